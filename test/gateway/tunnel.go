package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

const (
	idHeader    = "X-Sandbox-Id"
	tokenHeader = "X-Sandbox-Token"
	// presentTimeout bounds the wait for a sandbox before a tunnel is granted.
	presentTimeout = 30 * time.Second
	established    = "HTTP/1.1 200 Connection Established\r\n\r\n"
)

// httpError is a refusal of a tunnel.
type httpError struct {
	code int
	text string
}

func (e *httpError) Error() string { return e.text }

func refuse(code int, text string) error { return &httpError{code, text} }

// connect serves "CONNECT /connect/ssh": after the answer, the connection is that to
// the sandbox's SSH server.
func (s *service) connect(w http.ResponseWriter, r *http.Request) {
	n, row, err := s.admit(r)
	if err == nil {
		var leave func()
		if leave, err = s.tunnels.enter(n); err != nil {
			err = refuse(http.StatusTooManyRequests, err.Error())
		} else {
			defer leave()
			err = s.grant(w, r, row.Sandbox)
		}
	}
	if refusal, ok := errors.AsType[*httpError](err); ok {
		if n.SandboxID != "" {
			s.journal.log(n.SandboxID, "WARN", "tunnel", "tunnel refused: "+refusal.text)
		}
		http.Error(w, refusal.text, refusal.code)
	} else if err != nil {
		s.journal.log(n.SandboxID, "WARN", "tunnel", "tunnel failed", "error", err.Error())
	}
}

// admit checks a request in the order of the real server. The session that it returns
// has a sandbox only if the token is good for it.
func (s *service) admit(r *http.Request) (session, sandboxRow, error) {
	none := sandboxRow{}
	if r.Method != http.MethodConnect {
		return session{}, none, refuse(http.StatusMethodNotAllowed, "only CONNECT is allowed")
	}
	id, err := header(r, idHeader)
	if err != nil {
		return session{}, none, err
	}
	token, err := header(r, tokenHeader)
	if err != nil {
		return session{}, none, err
	}
	n, err := s.store.sessionOf(r.Context(), token)
	if err != nil && !errors.Is(err, errNoRow) {
		return session{}, none, refuse(http.StatusInternalServerError, err.Error())
	}
	if err != nil || n.Revoked || n.SandboxID != id || n.ExpiresAt <= time.Now().UnixMilli() {
		return session{}, none, refuse(http.StatusUnauthorized, "the session is not valid")
	}
	row, err := s.store.sandboxByID(r.Context(), id)
	switch {
	case errors.Is(err, errNoRow):
		return n, none, refuse(http.StatusNotFound, notFoundText)
	case err != nil:
		return n, none, refuse(http.StatusInternalServerError, err.Error())
	case row.GetPhase() != ready:
		return n, none, refuse(http.StatusPreconditionFailed, notReadyText)
	}
	return n, row, nil
}

func header(r *http.Request, name string) (string, error) {
	values := r.Header.Values(name)
	if len(values) == 0 {
		return "", refuse(http.StatusUnauthorized, name+" is missing")
	}
	value := values[0]
	if value == "" {
		return "", refuse(http.StatusBadRequest, name+" is empty")
	}
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return "", refuse(http.StatusBadRequest, name+" is not ASCII")
		}
	}
	return value, nil
}

// grant takes the connection over, answers 200, and joins it to the sandbox. As with
// the real server, the way to the sandbox may still fail then; the end of the
// connection is all that the client sees of that.
func (s *service) grant(w http.ResponseWriter, r *http.Request, sandbox *pb.Sandbox) error {
	wait, cancel := context.WithTimeout(r.Context(), presentTimeout)
	defer cancel()
	if err := s.hop.present(wait, sandbox); err != nil {
		return refuse(http.StatusBadGateway, err.Error())
	}
	token := r.Header.Get(tokenHeader)
	client, err := hijack(w)
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck // it is over
	if _, err := io.WriteString(client, established); err != nil {
		return fmt.Errorf("answer a CONNECT: %w", err)
	}
	id := string(sandbox.GetId())
	far, err := s.hop.dial(s.life, sandbox, token)
	if err != nil {
		return err
	}
	s.journal.log(id, "INFO", "tunnel", "tunnel opened")
	stop := context.AfterFunc(s.life, func() {
		client.Close() //nolint:errcheck // the server ends
		far.Close()    //nolint:errcheck // the server ends
	})
	defer stop()
	begun := time.Now()
	err = join(client, far)
	s.journal.log(id, "INFO", "tunnel", "tunnel closed", "seconds", fmt.Sprintf("%.3f", time.Since(begun).Seconds()))
	return err
}

// client is the connection of a tunnel's client, without the HTTP server. Bytes that
// came together with the request's header are read first. Go sets TCP_NODELAY.
type client struct {
	stream
	early *bytes.Reader
}

func (c *client) Read(p []byte) (int, error) {
	if c.early.Len() > 0 {
		return c.early.Read(p)
	}
	return c.stream.Read(p)
}

func hijack(w http.ResponseWriter) (*client, error) {
	conn, buffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "CONNECT needs HTTP/1.1")
	}
	early, err := buffered(buffer.Reader)
	if err == nil {
		// The server's deadline for headers must not cut the tunnel.
		err = conn.SetDeadline(time.Time{})
	}
	both, ok := conn.(stream)
	if err == nil && !ok {
		err = fmt.Errorf("a %T cannot be half closed", conn)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &client{stream: both, early: bytes.NewReader(early)}, nil
}

func buffered(r *bufio.Reader) ([]byte, error) {
	part, err := r.Peek(r.Buffered())
	return bytes.Clone(part), err
}

// What the HTTP server hands over can be half closed.
var _ = []stream{(*net.TCPConn)(nil), (*tls.Conn)(nil)}
