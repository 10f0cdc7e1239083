package main

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// fakeEngine is a daemon on a socket that does what a real one does not do on demand:
// it fails, or it never answers. Everything that a real Engine can do is tested on one.
type fakeEngine struct {
	socket string
	// asked gets the path of each request but pings; closed is closed with the test.
	asked chan string
}

// hang is a handler that answers only when the client gives up.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// newFakeEngine serves pings, and everything else with the handler.
func newFakeEngine(t *testing.T, ping, other http.HandlerFunc) *fakeEngine {
	t.Helper()
	e := &fakeEngine{socket: filepath.Join(t.TempDir(), "docker.sock"), asked: make(chan string, 100)}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", e.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			e.asked <- "ping"
			ping(w, r)
			return
		}
		e.asked <- r.URL.Path
		other(w, r)
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	return e
}

// pong answers a ping as Engine 28.5 does.
func pong(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Api-Version", "1.51")
	w.Header().Set("Ostype", "linux")
	w.WriteHeader(http.StatusOK)
}

// wait returns when the engine was asked for something that has the given suffix.
func (e *fakeEngine) wait(t *testing.T, suffix string) {
	t.Helper()
	for {
		select {
		case path := <-e.asked:
			if strings.HasSuffix(path, suffix) {
				return
			}
		case <-t.Context().Done():
			t.Fatalf("nothing asked for %s", suffix)
		}
	}
}
