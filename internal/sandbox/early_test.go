package sandbox

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// TestEarlyDial opens two tunnels of a client that connects early: the first goes
// through the connection that is there, the second through one of its own.
func TestEarlyDial(t *testing.T) {
	accepted := make(chan int, 2)
	s := gate(t, func(n int, conn *net.TCPConn) {
		accepted <- n
		header(conn)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		io.Copy(io.Discard, conn)
	})
	s.client.early = dialEarly(s.client.dial)
	<-accepted // before anything was asked
	for want := range 2 {
		tunnel, err := s.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tunnel.Close()
		if more := len(accepted); more != want {
			t.Errorf("tunnel %d: %d more connections, want %d", want+1, more, want)
		}
	}
	s.client.early.close()
}

func TestEarlyDialUnused(t *testing.T) {
	near, far := net.Pipe()
	dial := func(context.Context) (net.Conn, error) { return near, nil }
	dialEarly(dial).close()
	if _, err := far.Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("it stays open: %v", err)
	}

	near, far = net.Pipe()
	old := &earlyDial{cancel: func() {}, result: make(chan made, 1)}
	old.result <- made{near, time.Now().Add(-2 * earlyLife)}
	if conn := old.take(t.Context()); conn != nil {
		t.Error("an old connection is used")
	}
	if _, err := far.Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("an old connection stays open: %v", err)
	}

	failed := dialEarly(func(context.Context) (net.Conn, error) { return nil, errors.New("refused") })
	if conn := failed.take(t.Context()); conn != nil {
		t.Error("a connection from nowhere")
	}
	failed.close()

	// One that does not come about is not waited for after the end.
	hangs := dialEarly(func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if conn := hangs.take(ctx); conn != nil {
		t.Error("a connection from nowhere")
	}
	hangs.close()
}
