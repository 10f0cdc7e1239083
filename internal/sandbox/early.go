package sandbox

import (
	"context"
	"net"
	"time"
)

// earlyLife is how long a connection that was made early waits to be used: a server
// closes one on which nothing is asked.
const earlyLife = 2 * time.Second

// earlyDial is one connection that is made before it is needed. A nil one has none.
type earlyDial struct {
	cancel context.CancelFunc
	result chan made // one, if the attempt succeeds; then closed
}

type made struct {
	net.Conn
	at time.Time
}

func dialEarly(dial func(context.Context) (net.Conn, error)) *earlyDial {
	ctx, cancel := context.WithCancel(context.Background())
	e := &earlyDial{cancel: cancel, result: make(chan made, 1)}
	go func() {
		defer close(e.result)
		// An error shows again when the connection is needed.
		if conn, err := dial(ctx); err == nil {
			e.result <- made{conn, time.Now()}
		}
	}()
	return e
}

// take waits for the attempt and returns the connection, once; nil if there is none that
// can be used.
func (e *earlyDial) take(ctx context.Context) net.Conn {
	if e == nil {
		return nil
	}
	var m made
	select {
	case m = <-e.result:
	case <-ctx.Done():
		return nil
	}
	e.cancel()
	if m.Conn != nil && time.Since(m.at) > earlyLife {
		m.Close() //nolint:errcheck // nothing was written
		return nil
	}
	return m.Conn
}

// close gives up the attempt, or the connection if nobody took it.
func (e *earlyDial) close() {
	if e == nil {
		return
	}
	e.cancel()
	if m := <-e.result; m.Conn != nil {
		m.Close() //nolint:errcheck // nothing was written
	}
}
