package sandbox

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	// maxHeader bounds the header of the answer to CONNECT, in bytes.
	maxHeader = 8192
	// answerTimeout bounds the wait for that answer: the gateway itself waits up to
	// half a minute for the sandbox.
	answerTimeout = 45 * time.Second
	// notReadyTimeout is how long a sandbox that is not ready is tried again.
	notReadyTimeout = 60 * time.Second
)

// tunnelCauses classifies the statuses of the gateway; each has its own words.
var tunnelCauses = map[int]struct {
	cause Cause
	text  string
}{
	400: {CauseRefused, "the gateway did not understand the request"},
	401: {CauseRefused, "the gateway does not accept the session; it may have been revoked, or have expired"},
	404: {CauseAbsent, "the sandbox is gone"},
	412: {CauseNotReady, "the sandbox is not ready"},
	429: {CauseBusy, "there are too many connections to the sandbox"},
	502: {CauseNotReady, "the gateway cannot reach the sandbox"},
}

// Tunnel is a connection to a sandbox' SSH server. It can be closed in one direction.
type Tunnel struct {
	net.Conn
	// reader holds what came in one piece with the answer.
	reader *bufio.Reader
}

// Read reads what the sandbox sent.
func (t *Tunnel) Read(p []byte) (int, error) {
	if t.reader.Buffered() > 0 {
		return t.reader.Read(p)
	}
	return t.Conn.Read(p)
}

// WriteTo copies everything until the end of the stream.
func (t *Tunnel) WriteTo(w io.Writer) (int64, error) {
	n, err := io.CopyN(w, t.reader, int64(t.reader.Buffered()))
	if err != nil {
		return n, err
	}
	m, err := io.CopyBuffer(w, struct{ io.Reader }{t.Conn}, make([]byte, 256<<10))
	return n + m, err
}

// CloseWrite tells the sandbox that nothing more follows.
func (t *Tunnel) CloseWrite() error {
	half, ok := t.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("the connection cannot be closed in one direction")
	}
	return half.CloseWrite()
}

// Dial opens a tunnel. A sandbox that is not ready is waited for, with a growing
// pause between the attempts.
func (s *Session) Dial(ctx context.Context) (*Tunnel, error) {
	end := time.Now().Add(notReadyTimeout)
	for pause := time.Second; ; pause = min(2*pause, 8*time.Second) {
		t, status, err := s.connect(ctx)
		if status != 412 || time.Now().Add(pause).After(end) {
			return t, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// connect makes one attempt.
func (s *Session) connect(ctx context.Context) (t *Tunnel, status int, err error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, 0, err
	}
	// A cancelled context ends reads and writes; the deadline does it for a gateway
	// that never answers.
	stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // an early end
	defer func() {
		stopped := stop()
		if err == nil && !stopped {
			err = ctx.Err()
		}
		if err != nil {
			t = nil
			conn.Close() //nolint:errcheck // there is an error already
			if ctx.Err() != nil {
				err = ctx.Err()
			}
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return nil, 0, err
	}
	if _, err := io.WriteString(conn, s.request()); err != nil {
		return nil, 0, s.broken(err)
	}
	reader := bufio.NewReaderSize(conn, maxHeader)
	status, err = readAnswer(reader)
	if err != nil {
		return nil, 0, s.broken(err)
	}
	if status != 200 {
		return nil, status, s.refused(status)
	}
	return &Tunnel{conn, reader}, status, conn.SetDeadline(time.Time{})
}

// dial connects to where the session leads, or takes the connection that was made early.
func (s *Session) dial(ctx context.Context) (net.Conn, error) {
	if s.host == s.client.host && s.port == s.client.port {
		if conn := s.client.early.take(ctx); conn != nil {
			return conn, nil
		}
	}
	return s.client.dialTo(ctx, s.host, s.port)
}

func (c *Client) dial(ctx context.Context) (net.Conn, error) { return c.dialTo(ctx, c.host, c.port) }

// dialTo opens a connection for a tunnel.
func (c *Client) dialTo(ctx context.Context, host string, port int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	var d interface {
		DialContext(context.Context, string, string) (net.Conn, error)
	} = &net.Dialer{}
	if c.tls != nil {
		// No protocol is offered: this is HTTP/1.1, as the openshell CLI speaks it.
		cfg := c.tls.Clone()
		cfg.ServerName = host
		d = &tls.Dialer{Config: cfg}
	}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fail(CauseUnreachable, "", "connect to the gateway at %s: %w", addr, cleaned{err})
	}
	return conn, nil
}

// request is what opens the tunnel. The values were checked when the session was
// made.
func (s *Session) request() string {
	host := s.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return "CONNECT " + s.path + " HTTP/1.1\r\n" +
		"Host: " + host + "\r\n" +
		"X-Sandbox-Id: " + s.sandbox.ID + "\r\n" +
		"X-Sandbox-Token: " + s.token + "\r\n\r\n"
}

func (s *Session) broken(err error) error {
	return fail(CauseCut, "", "open a tunnel to sandbox %q: %w", s.sandbox.Name, err)
}

func (s *Session) refused(status int) error {
	known, ok := tunnelCauses[status]
	if !ok {
		return fail(CauseRefused, "", "open a tunnel to sandbox %q: the gateway answered with status %d", s.sandbox.Name, status)
	}
	hint := ""
	switch known.cause {
	case CauseBusy:
		hint = "close some of them and try again"
	case CauseNotReady:
		hint = "see 'docker openshell sandbox get " + s.sandbox.Name + "'"
	}
	return fail(known.cause, hint, "open a tunnel to sandbox %q: %s (status %d)", s.sandbox.Name, known.text, status)
}

// readAnswer reads the header of an answer and returns its status. What follows the
// header stays in the reader.
func readAnswer(r *bufio.Reader) (int, error) {
	status, size := 0, 0
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		size += len(line)
		if errors.Is(err, bufio.ErrBufferFull) || size > maxHeader {
			return 0, fmt.Errorf("the gateway's answer has a header of more than %d bytes", maxHeader)
		}
		if errors.Is(err, io.EOF) {
			return 0, errors.New("the gateway closed the connection without an answer")
		}
		if err != nil {
			return 0, err
		}
		text := strings.TrimRight(string(line), "\r\n")
		switch {
		case first:
			if status, err = parseStatus(text); err != nil {
				return 0, err
			}
		case text == "":
			return status, nil
		}
	}
}

// parseStatus reads a status line, such as "HTTP/1.1 200 OK".
func parseStatus(line string) (int, error) {
	version, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if version != "HTTP/1.1" && version != "HTTP/1.0" || err != nil || len(code) != 3 || status < 100 {
		return 0, fmt.Errorf("the gateway's answer is not HTTP: %q", clean(line))
	}
	return status, nil
}
