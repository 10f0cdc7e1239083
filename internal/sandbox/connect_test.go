package sandbox

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestConnect: a gateway that is not there is found out at once.
func TestConnect(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	for what, endpoint := range map[string]string{"a port that nobody serves": "http://" + closed.Addr().String(), "a web server": web.URL} {
		began := time.Now()
		err := connected(t, Config{Endpoint: endpoint}).Connect(t.Context())
		if CauseOf(err) != CauseUnreachable || !strings.Contains(err.Error(), endpoint) || time.Since(began) > 5*time.Second {
			t.Errorf("%s: after %s: %v", what, time.Since(began), err)
		}
	}
}

// TestConnectSilent: a gateway that is paused takes connections and says nothing.
func TestConnectSilent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(io.Discard, conn)
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if err := connected(t, Config{Endpoint: "http://" + l.Addr().String()}).Connect(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	err = connected(t, Config{Endpoint: "http://" + l.Addr().String()}).Connect(t.Context())
	if CauseOf(err) != CauseUnreachable {
		t.Errorf("%v", err)
	}
}
