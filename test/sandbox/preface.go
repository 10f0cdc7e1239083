package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	prefaceMagic = "NSSH1"
	// prefaceMax bounds what is read of a line.
	prefaceMax = 1024
	// purgeInterval is how often forgotten nonces are looked for.
	purgeInterval = time.Minute
)

// The reasons to refuse a handshake. They tell nothing of what was sent, because that
// may hold a session's token.
var (
	errMalformed = errors.New("the line is not NSSH1 and four fields")
	errSkew      = errors.New("the time stamp is too far from now")
	errSignature = errors.New("the signature is not of this sandbox's secret")
	errReplay    = errors.New("the nonce was used before")
)

// verifier checks the line that a server sends first: that it knows the secret, that
// the line is recent, and that it was not used before.
type verifier struct {
	secret []byte
	skew   time.Duration
	now    func() time.Time

	mu sync.Mutex
	// nonces maps each to when a line with it is too old anyway.
	nonces map[string]time.Time
	purged time.Time
}

func newVerifier(secret []byte, skew time.Duration) *verifier {
	return &verifier{secret: secret, skew: skew, now: time.Now, nonces: map[string]time.Time{}}
}

// verify checks a line: "NSSH1 token unix-seconds nonce signature".
func (v *verifier) verify(line string) error {
	fields := strings.Fields(line)
	if len(fields) != 5 || fields[0] != prefaceMagic {
		return errMalformed
	}
	token, stamp, nonce, signature := fields[1], fields[2], fields[3], fields[4]
	// What is no number counts as the epoch, as with the real supervisor.
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		seconds = 0
	}
	now, signed := v.now(), time.Unix(seconds, 0)
	if signed.Before(now.Add(-v.skew)) || signed.After(now.Add(v.skew)) {
		return errSkew
	}
	// The key is the text of the secret, not what its hexadecimal digits mean.
	mac := hmac.New(sha256.New, v.secret)
	mac.Write([]byte(token + "|" + stamp + "|" + nonce))
	if !hmac.Equal([]byte(signature), []byte(hex.EncodeToString(mac.Sum(nil)))) {
		return errSignature
	}
	return v.use(nonce, now, signed.Add(v.skew))
}

// use notes a nonce, unless it is known.
func (v *verifier) use(nonce string, now, expires time.Time) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now.Sub(v.purged) >= purgeInterval {
		v.purged = now
		for known, until := range v.nonces {
			if until.Before(now) {
				delete(v.nonces, known)
			}
		}
	}
	if _, known := v.nonces[nonce]; known {
		return errReplay
	}
	v.nonces[nonce] = expires
	return nil
}

// readPreface reads byte by byte up to a line feed, so that nothing behind it is
// taken. A line that is too long is cut, and then does not verify.
func readPreface(r io.Reader) (string, error) {
	var line [prefaceMax]byte
	for n := range line {
		if _, err := io.ReadFull(r, line[n:n+1]); err != nil {
			return "", err
		}
		if line[n] == '\n' {
			return string(line[:n]), nil
		}
	}
	return string(line[:]), nil
}
