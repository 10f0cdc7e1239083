package sandbox

import (
	"encoding/json"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// FuzzEndpoint: what is accepted is a scheme, a host and a port, and nothing else that
// could be lost or that means something to a shell.
func FuzzEndpoint(f *testing.F) {
	for _, s := range []string{"https://127.0.0.1:8080", "http://[::1]", "http://box/", "http://x?", "http://x#", "http://[]", "http://[]:80", "http://:80",
		"http://x:", "https://x:65536", "http://[fe80::1%25eth0]", "http://%61", "HTTPS://x", "http://x:080", "http://u@x", "http://a]b", "http://[::1", "http://..", "http:x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, endpoint string) {
		c := &Client{}
		if c.parse(endpoint) != nil {
			return
		}
		if c.scheme != "http" && c.scheme != "https" || c.host == "" || c.port < 1 || c.port > 65535 {
			t.Fatalf("%q became %q %q %d", endpoint, c.scheme, c.host, c.port)
		}
		host, port, err := net.SplitHostPort(c.address())
		if err != nil || host != c.host || port != strconv.Itoa(c.port) {
			t.Errorf("%q has the address %q", endpoint, c.address())
		}
		if strings.ContainsAny(endpoint, "?#@%\\ \t\r\n'\"`$;&|<>(){}*!~") {
			t.Errorf("%q was accepted", endpoint)
		}
		again := &Client{}
		if err := again.parse((&url.URL{Scheme: c.scheme, Host: c.address()}).String()); err != nil || again.address() != c.address() {
			t.Errorf("%q: what it says is not accepted: %v", endpoint, err)
		}
	})
}

// FuzzSandbox: whatever a gateway says of a sandbox can be shown and written as JSON.
func FuzzSandbox(f *testing.F) {
	f.Add([]byte(served()))
	f.Add([]byte(join(text(1, id), text(2, "x"), text(3, hostileText), number(7, 1<<62))))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s pb.Sandbox
		if proto.Unmarshal(data, &s) != nil {
			return
		}
		got, err := decode(&s)
		if err != nil {
			fits(t, "the error", err.Error())
			return
		}
		if _, err := json.Marshal(got); err != nil {
			t.Error(err)
		}
		texts := append([]string{got.ID, got.Name, got.Namespace, got.Image, got.problem()}, got.Providers...)
		for _, c := range got.Condition {
			texts = append(texts, c.Type, c.Status, c.Reason, c.Message)
		}
		for _, s := range texts {
			fits(t, "a text", s)
		}
	})
}

// FuzzStatus: a status is a number of three digits after the version of HTTP.
func FuzzStatus(f *testing.F) {
	for _, s := range []string{"HTTP/1.1 200 OK", "HTTP/1.0 412", "HTTP/1.1 +20", "HTTP/1.1 -20", "HTTP/1.1 099", "HTTP/1.1  200", "HTTP/1.1\t200", "HTTP/2 200",
		"HTTP/1.1 2000", "http/1.1 200", "HTTP/1.1 20", "HTTP/1.1", "", "\x1b[2J", "HTTP/1.1 ２00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		status, err := parseStatus(line)
		if err != nil {
			fits(t, "the error", err.Error())
			return
		}
		if status < 100 || status > 999 || !strings.HasPrefix(line+" ", "HTTP/1."+line[7:8]+" "+strconv.Itoa(status)+" ") {
			t.Errorf("%q has status %d", line, status)
		}
	})
}

// FuzzClean: nothing that a terminal obeys gets through, and the length is bounded.
func FuzzClean(f *testing.F) {
	f.Add("plain")
	f.Add(hostileText)
	f.Add("\xff\xfe")
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		fits(t, "a text", got)
		if len(got) > 5*2100 {
			t.Errorf("%d bytes", len(got))
		}
	})
}

// TestCleanCuts: a long text is cut between two characters, and stays a text.
func TestCleanCuts(t *testing.T) {
	for _, pad := range []string{"", "x", "xx"} {
		got := clean(pad + strings.Repeat("€", 1000))
		if !strings.HasPrefix(got, pad+"€") || !strings.HasSuffix(got, "€…") || len(got) > 2003 {
			t.Errorf("%d bytes, ends with %q", len(got), got[len(got)-10:])
		}
	}
}
