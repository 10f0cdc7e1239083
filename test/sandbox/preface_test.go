package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

const (
	testSecret = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	testToken  = "5f1b3c0e-3a51-4f6e-8f57-7d7f6a3d9f10"
)

// preface makes the line of a server, without its line feed.
func preface(secret string, at time.Time, nonce string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%s|%d|%s", testToken, at.Unix(), nonce)
	return fmt.Sprintf("NSSH1 %s %d %s %s", testToken, at.Unix(), nonce, hex.EncodeToString(mac.Sum(nil)))
}

// TestPrefaceKnownLine checks a line whose signature was made by other means
// (printf … | openssl dgst -sha256 -hmac SECRET).
func TestPrefaceKnownLine(t *testing.T) {
	v := newVerifier([]byte(testSecret), 300*time.Second)
	v.now = func() time.Time { return time.Unix(1700000000, 0) }
	line := "NSSH1 " + testToken + " 1700000000 nonce aade14b912fc5a70484e3fcb305500cb5d19bc85c3da5049b538de2d1112ec61"
	if err := v.verify(line); err != nil {
		t.Error(err)
	}
}

func TestPreface(t *testing.T) {
	now := time.Unix(1700000000, 0)
	good := preface(testSecret, now, "n")
	raw, err := hex.DecodeString(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		line string
		want error
	}{
		"good":                      {good, nil},
		"good, odd white space":     {strings.ReplaceAll(good, " ", "\t ") + "\r", nil},
		"good, at the skew's start": {preface(testSecret, now.Add(-300*time.Second), "n"), nil},
		"good, at the skew's end":   {preface(testSecret, now.Add(300*time.Second), "n"), nil},
		"too old":                   {preface(testSecret, now.Add(-301*time.Second), "n"), errSkew},
		"too new":                   {preface(testSecret, now.Add(301*time.Second), "n"), errSkew},
		"no time":                   {strings.Replace(good, "1700000000", "now", 1), errSkew},
		"another secret":            {preface(testSecret[1:]+"0", now, "n"), errSignature},
		"the secret's bytes":        {preface(string(raw), now, "n"), errSignature},
		"another token":             {strings.Replace(good, testToken, "token", 1), errSignature},
		"another nonce":             {strings.Replace(good, " n ", " m ", 1), errSignature},
		"another time":              {strings.Replace(good, "1700000000", "1700000001", 1), errSignature},
		"upper-case signature":      {good[:len(good)-64] + strings.ToUpper(good[len(good)-64:]), errSignature},
		"short signature":           {good[:len(good)-1], errSignature},
		"nothing":                   {"", errMalformed},
		"four fields":               {good[:strings.LastIndex(good, " ")], errMalformed},
		"six fields":                {good + " x", errMalformed},
		"another version":           {strings.Replace(good, "NSSH1", "NSSH2", 1), errMalformed},
		"SSH":                       {"SSH-2.0-OpenSSH_9.9", errMalformed},
		"garbage":                   {"\x00\xff \x01 \x02 \x03 \x04", errMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier([]byte(testSecret), 300*time.Second)
			v.now = func() time.Time { return now }
			if err := v.verify(test.line); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// TestPrefaceReplay (W17): a line serves once, for as long as it would be accepted.
func TestPrefaceReplay(t *testing.T) {
	now := time.Unix(1700000000, 0)
	v := newVerifier([]byte(testSecret), 300*time.Second)
	v.now = func() time.Time { return now }
	future := preface(testSecret, now.Add(300*time.Second), "future")
	for _, line := range []string{future, preface(testSecret, now, "n")} {
		if err := v.verify(line); err != nil {
			t.Fatal(err)
		}
		if err := v.verify(line); !errors.Is(err, errReplay) {
			t.Errorf("the second time got %v, want %v", err, errReplay)
		}
	}
	// A refused line uses up nothing.
	if err := v.verify(preface("wrong", now, "m")); !errors.Is(err, errSignature) {
		t.Fatal(err)
	}
	if err := v.verify(preface(testSecret, now, "m")); err != nil {
		t.Error(err)
	}
	// A line from the future is valid for twice the skew, and known for as long.
	now = now.Add(600 * time.Second)
	if err := v.verify(future); !errors.Is(err, errReplay) {
		t.Errorf("a line from the future, again, got %v, want %v", err, errReplay)
	}
	now = now.Add(purgeInterval)
	if err := v.verify(preface(testSecret, now, "last")); err != nil {
		t.Fatal(err)
	}
	if len(v.nonces) != 1 {
		t.Errorf("%d nonces are kept, want 1", len(v.nonces))
	}
}

func TestReadPreface(t *testing.T) {
	in := strings.NewReader("line\nSSH-2.0-x")
	line, err := readPreface(in)
	if err != nil || line != "line" {
		t.Errorf("got %q, %v", line, err)
	}
	if rest, _ := io.ReadAll(in); string(rest) != "SSH-2.0-x" {
		t.Errorf("what is left is %q", rest)
	}
	line, err = readPreface(strings.NewReader(strings.Repeat("x", 2*prefaceMax)))
	if err != nil || len(line) != prefaceMax {
		t.Errorf("of a long line got %d bytes, %v", len(line), err)
	}
	if _, err := readPreface(strings.NewReader("no end")); err == nil {
		t.Error("a line without an end was read")
	}
}

func TestAnswer(t *testing.T) {
	for name, test := range map[string]struct{ sent, want string }{
		"good":     {preface(testSecret, time.Now(), "n") + "\n", "OK\n"},
		"bad":      {preface("wrong", time.Now(), "n") + "\n", "ERR\n"},
		"too long": {strings.Repeat("x", prefaceMax), "ERR\n"},
		"garbage":  {"GET / HTTP/1.0\r\n", "ERR\n"},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer theirs.Close()
			done := make(chan error, 1)
			go func() {
				defer ours.Close()
				done <- answer(ours, newVerifier([]byte(testSecret), time.Minute))
			}()
			if _, err := io.WriteString(theirs, test.sent); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(theirs)
			if err != nil || string(got) != test.want {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
			err = <-done
			if accepted := err == nil; accepted != (test.want == "OK\n") {
				t.Errorf("the outcome is %v", err)
			}
			if err != nil && strings.Contains(err.Error(), testToken) {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
}
