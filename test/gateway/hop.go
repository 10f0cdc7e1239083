package main

import (
	"context"
	"io"
	"net"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// stream is a connection whose two directions end one by one.
type stream interface {
	net.Conn
	CloseWrite() error
}

// hop is the way from the server to the SSH server of a sandbox.
type hop interface {
	// present waits until the sandbox can be reached; it is asked before a tunnel is
	// granted.
	present(ctx context.Context, sandbox *pb.Sandbox) error
	// dial connects. The token ends up in the handshake of those hops that have one.
	dial(ctx context.Context, sandbox *pb.Sandbox, token string) (stream, error)
}

// bufferSize is large because a tunnel carries whole file trees.
const bufferSize = 256 << 10

// join copies both ways until both directions have ended. The end of one direction is
// handed on and leaves the other one open; an error ends both.
func join(a, b stream) error {
	errs := make(chan error, 2)
	oneWay := func(dst, src stream) {
		err := copyStream(dst, src)
		if err == nil {
			err = dst.CloseWrite()
		}
		if err != nil {
			a.Close() //nolint:errcheck // the first error is the one that tells
			b.Close() //nolint:errcheck // the first error is the one that tells
		}
		errs <- err
	}
	go oneWay(a, b)
	oneWay(b, a)
	first, second := <-errs, <-errs
	a.Close() //nolint:errcheck // both directions have ended
	b.Close() //nolint:errcheck // both directions have ended
	if first != nil {
		return first
	}
	return second
}

func copyStream(dst io.Writer, src io.Reader) error {
	// The wrapping hides ReadFrom and WriteTo, which would use a small buffer.
	_, err := io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, bufferSize))
	return err
}
