package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// frameSize bounds the data of a frame.
const frameSize = 16 << 10

// relayConn is a RelayStream call as a connection. The server of a call cannot end its
// own direction alone, so that CloseWrite ends both; SSH says by itself when it is over.
type relayConn struct {
	call  grpc.BidiStreamingServer[pb.RelayFrame, pb.RelayFrame]
	rest  []byte
	done  chan struct{}
	close func()
}

func newRelayConn(call grpc.BidiStreamingServer[pb.RelayFrame, pb.RelayFrame]) *relayConn {
	c := &relayConn{call: call, done: make(chan struct{})}
	c.close = sync.OnceFunc(func() { close(c.done) })
	return c
}

func (c *relayConn) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		frame, err := c.call.Recv()
		select {
		case <-c.done:
			return 0, io.EOF
		default:
		}
		if err != nil {
			return 0, err
		}
		c.rest = frame.GetData()
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *relayConn) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		select {
		case <-c.done:
			return written, net.ErrClosed
		default:
		}
		n := min(len(p), frameSize)
		// The call may keep the frame, the caller reuses its buffer.
		frame := &pb.RelayFrame{Payload: &pb.RelayFrame_Data{Data: bytes.Clone(p[:n])}}
		if err := c.call.Send(frame); errors.Is(err, io.EOF) {
			return written, io.ErrClosedPipe
		} else if err != nil {
			return written, err
		}
		written += n
		p = p[n:]
	}
	return written, nil
}

func (c *relayConn) CloseWrite() error { return c.Close() }

func (c *relayConn) Close() error {
	c.close()
	return nil
}

// relayAddr is the address of either end.
type relayAddr struct{}

func (relayAddr) Network() string { return "relay" }
func (relayAddr) String() string  { return "relay" }

func (*relayConn) LocalAddr() net.Addr              { return relayAddr{} }
func (*relayConn) RemoteAddr() net.Addr             { return relayAddr{} }
func (*relayConn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (*relayConn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (*relayConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
