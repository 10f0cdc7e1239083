package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

const (
	// answerLimit bounds the line with which a sandbox answers the preface.
	answerLimit   = 1024
	answerTimeout = 10 * time.Second
	dialTimeout   = 10 * time.Second
)

// dialPauses are the waits before each attempt to reach a sandbox.
var dialPauses = []time.Duration{0, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second}

// nssh1 is the hop of servers up to 0.0.34: a TCP connection to the sandbox, which
// begins with a line that shows that the server knows the handshake secret.
type nssh1 struct {
	secret string
	dialer func(ctx context.Context, network, address string) (net.Conn, error)
}

func newNSSH1(secret string) *nssh1 {
	return &nssh1{secret: secret, dialer: (&net.Dialer{Timeout: dialTimeout}).DialContext}
}

// preface is the line that opens a connection. The key is the text of the secret, not
// what its hexadecimal digits stand for.
func preface(secret, token, nonce string, at time.Time) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, token+"|"+seconds+"|"+nonce) //nolint:errcheck // a hash never fails
	return "NSSH1 " + token + " " + seconds + " " + nonce + " " + hex.EncodeToString(mac.Sum(nil)) + "\n"
}

// present is true of every sandbox: its address is a name that depends on nothing else.
func (*nssh1) present(context.Context, *pb.Sandbox) error { return nil }

// address is the sandbox's service. The final dot keeps the resolver from trying the
// pod's search domains first.
func address(sandbox *pb.Sandbox) string {
	host := string(sandbox.GetName()) + "." + string(sandbox.GetNamespace()) + ".svc.cluster.local."
	return net.JoinHostPort(host, strconv.Itoa(sshPort))
}

func (h *nssh1) dial(ctx context.Context, sandbox *pb.Sandbox, token string) (stream, error) {
	conn, err := h.dialRetrying(ctx, address(sandbox))
	if err != nil {
		return nil, err
	}
	if err := h.greet(ctx, conn, token); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	both, ok := conn.(stream)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a %T cannot be half closed", conn), conn.Close())
	}
	return both, nil
}

// dialRetrying connects; a sandbox that has just become ready may not be in the DNS yet.
func (h *nssh1) dialRetrying(ctx context.Context, address string) (net.Conn, error) {
	var last error
	for _, pause := range dialPauses {
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), last)
		case <-time.After(pause):
		}
		conn, err := h.dialer(ctx, "tcp", address)
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, fmt.Errorf("reach the sandbox: %w", last)
}

// greet sends the preface and reads the answer, and not a byte more.
func (h *nssh1) greet(ctx context.Context, conn net.Conn, token string) error {
	stop := context.AfterFunc(ctx, func() {
		conn.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // the read below says it
	})
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return fmt.Errorf("greet the sandbox: %w", err)
	}
	if _, err := io.WriteString(conn, preface(h.secret, token, newUUID(), time.Now())); err != nil {
		return fmt.Errorf("greet the sandbox: %w", err)
	}
	answer, err := readLine(conn, answerLimit)
	if err != nil {
		return fmt.Errorf("read the sandbox's answer: %w", err)
	}
	if strings.TrimSpace(answer) != "OK" {
		return errors.New("sandbox handshake rejected")
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("greet the sandbox: %w", err)
	}
	return nil
}

// readLine reads up to a line feed, byte by byte: what follows belongs to SSH.
func readLine(r io.Reader, limit int) (string, error) {
	line := make([]byte, 0, 16)
	for b := make([]byte, 1); len(line) < limit; {
		if _, err := io.ReadFull(r, b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			break
		}
		line = append(line, b[0])
	}
	return string(line), nil
}
