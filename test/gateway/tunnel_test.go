package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// dialTunnel sends a request for a tunnel, with bytes behind it in the same segment.
func (w *world) dialTunnel(method, headers, early string) (int, *tls.Conn, *bufio.Reader) {
	w.Helper()
	// OpenShell's client offers no ALPN.
	conn, err := tls.Dial("tcp", w.address, w.tls)
	w.check(err)
	w.Cleanup(func() { conn.Close() }) //nolint:errcheck // the test is over
	w.check(conn.SetDeadline(time.Now().Add(20 * time.Second)))
	_, err = fmt.Fprintf(conn, "%s /connect/ssh HTTP/1.1\r\nHost: gateway\r\n%s\r\n%s", method, headers, early)
	w.check(err)
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	w.check(err)
	return res.StatusCode, conn, r
}

func credentialsOf(id, token string) string {
	return idHeader + ": " + id + "\r\n" + tokenHeader + ": " + token + "\r\n"
}

func echo(conn *net.TCPConn, r *bufio.Reader) {
	io.Copy(conn, r)  //nolint:errcheck // the test looks at the other end
	conn.CloseWrite() //nolint:errcheck // the test looks at the other end
}

// TestTunnelRefusals goes through the status codes in the order of the checks.
func TestTunnelRefusals(t *testing.T) {
	w := newWorld(t, false)
	box, other := w.ready("box"), w.ready("other")
	id := string(box.GetId())
	token, revoked, gone := w.session(id), w.session(id), w.session(string(other.GetId()))
	_, err := w.client.RevokeSshSession(t.Context(), &pb.RevokeSshSessionRequest{Token: revoked})
	w.check(err)
	const expired = "expired-token"
	w.check(w.service.store.insertSession(t.Context(), session{TokenSHA256: tokenSum(expired), SandboxID: id, Sandbox: "box", ExpiresAt: time.Now().UnixMilli()}))
	// The object of the other sandbox goes without a call to delete it.
	w.fake.gone("other")
	w.waitGone(string(other.GetId()))

	for _, tt := range []struct {
		what, method, headers string
		code                  int
	}{
		{"another method", http.MethodGet, credentialsOf(id, token), 405},
		{"no headers", http.MethodConnect, "", 401},
		{"no token", http.MethodConnect, idHeader + ": " + id + "\r\n", 401},
		{"an empty token", http.MethodConnect, credentialsOf(id, ""), 400},
		{"an empty ID", http.MethodConnect, credentialsOf("", token), 400},
		{"a token that is not ASCII", http.MethodConnect, credentialsOf(id, "tök"), 400},
		{"an unknown token", http.MethodConnect, credentialsOf(id, "unknown"), 401},
		{"a revoked token", http.MethodConnect, credentialsOf(id, revoked), 401},
		{"the token of another sandbox", http.MethodConnect, credentialsOf(id, gone), 401},
		{"an expired token", http.MethodConnect, credentialsOf(id, expired), 401},
		{"a sandbox that is gone", http.MethodConnect, credentialsOf(string(other.GetId()), gone), 404},
	} {
		if code, _, _ := w.dialTunnel(tt.method, tt.headers, ""); code != tt.code {
			t.Errorf("%s: %d, want %d", tt.what, code, tt.code)
		}
	}
	w.fake.setReady("box", "False", "DependenciesNotReady")
	w.wait(id, provisioning)
	if code, _, _ := w.dialTunnel(http.MethodConnect, credentialsOf(id, token), ""); code != 412 {
		t.Errorf("not ready: %d", code)
	}
}

// TestTunnelStoreError has a database that does not answer.
func TestTunnelStoreError(t *testing.T) {
	s := newTestStore(t)
	calls := newTestService(t, options{}, s, nil)
	s.close()
	r := httptest.NewRequest(http.MethodConnect, connectPath, nil)
	r.Header.Set(idHeader, "1")
	r.Header.Set(tokenHeader, "token")
	answer := httptest.NewRecorder()
	if calls.connect(answer, r); answer.Code != 500 {
		t.Error(answer.Code)
	}
}

// TestTunnel sends data both ways, some of it before the answer, and ends the two
// directions one by one.
func TestTunnel(t *testing.T) {
	w := newWorld(t, false)
	l := sandboxPeer(t, "OK\nhello ", echo)
	w.service.hop = testHop(l)
	id := string(w.ready("box").GetId())
	data := make([]byte, 8<<20)
	rand.Read(data) //nolint:errcheck // it never fails
	code, conn, r := w.dialTunnel(http.MethodConnect, credentialsOf(id, w.session(id)), "early ")
	if code != 200 {
		t.Fatal(code)
	}
	go func() {
		conn.Write(data)  //nolint:errcheck // the sum below says it
		conn.CloseWrite() //nolint:errcheck // the end below says it
	}()
	got, err := io.ReadAll(r)
	w.check(err)
	if sha256.Sum256(got) != sha256.Sum256(append([]byte("hello early "), data...)) {
		t.Errorf("%d bytes came back", len(got))
	}
}

// TestTunnelEnds shows that a sandbox that refuses, and a server that stops, end the
// connection.
func TestTunnelEnds(t *testing.T) {
	w := newWorld(t, false)
	id := string(w.ready("box").GetId())
	w.service.hop = testHop(sandboxPeer(t, "ERR\n", echo))
	token := w.session(id)
	code, _, r := w.dialTunnel(http.MethodConnect, credentialsOf(id, token), "")
	if rest, err := io.ReadAll(r); code != 200 || len(rest) != 0 || err != nil {
		t.Errorf("a refusal: %d, %q, %v", code, rest, err)
	}
	w.service.hop = testHop(sandboxPeer(t, "OK\nup", echo))
	_, _, r = w.dialTunnel(http.MethodConnect, credentialsOf(id, token), "")
	if _, err := io.ReadFull(r, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	w.stop()
	if rest, err := io.ReadAll(r); len(rest) != 0 {
		t.Errorf("the server stopped: %q, %v", rest, err)
	}
}

func TestTunnelLimits(t *testing.T) {
	w := newWorld(t, false)
	w.service.hop = testHop(sandboxPeer(t, "OK\n", echo))
	id := string(w.ready("box").GetId())
	var open []*tls.Conn
	for i := range tunnelsPerSandbox {
		if i%tunnelsPerToken == 0 {
			w.session(id)
		}
		code, conn, _ := w.dialTunnel(http.MethodConnect, credentialsOf(id, w.tokens[len(w.tokens)-1]), "")
		if code != 200 {
			t.Fatalf("tunnel %d: %d", i, code)
		}
		open = append(open, conn)
	}
	counts := func() map[string]int {
		answer := httptest.NewRecorder()
		w.service.healthHandler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/tunnels", nil))
		var m map[string]int
		w.check(json.Unmarshal(answer.Body.Bytes(), &m))
		return m
	}
	if m := counts(); len(m) != 1 || m["box"] != tunnelsPerSandbox {
		t.Errorf("open %v", m)
	}
	fresh := w.session(id)
	if code, _, _ := w.dialTunnel(http.MethodConnect, credentialsOf(id, fresh), ""); code != 429 {
		t.Errorf("a tunnel too many for the sandbox: %d", code)
	}
	// The first token has three; room for the sandbox does not help it.
	for _, conn := range open[tunnelsPerToken:] {
		w.check(conn.Close())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for counts()["box"] != tunnelsPerToken && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if code, _, _ := w.dialTunnel(http.MethodConnect, credentialsOf(id, w.tokens[0]), ""); code != 429 {
		t.Errorf("a tunnel too many for the token: %d", code)
	}
	if code, _, _ := w.dialTunnel(http.MethodConnect, credentialsOf(id, fresh), ""); code != 200 {
		t.Errorf("with room again: %d", code)
	}
}

// TestSessionLife follows a session from its creation to the end of its sandbox.
func TestSessionLife(t *testing.T) {
	w := newWorld(t, false)
	id := string(w.create("box").GetId())
	ask := func(id string) (*pb.CreateSshSessionResponse, error) {
		return w.client.CreateSshSession(t.Context(), &pb.CreateSshSessionRequest{SandboxId: id})
	}
	if _, err := ask(id); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("not ready: %v", err)
	}
	if _, err := ask("unknown"); status.Code(err) != codes.NotFound {
		t.Errorf("unknown: %v", err)
	}
	w.fake.setReady("box", "True", "DependenciesReady")
	w.wait(id, ready)
	got, err := ask(id)
	w.check(err)
	w.tokens = append(w.tokens, got.GetToken())
	life := time.Until(time.UnixMilli(got.GetExpiresAtMs()))
	if got.GetSandboxId() != id || len(got.GetToken()) != 36 || got.GetGatewayHost() != "127.0.0.1" || got.GetGatewayPort() != 8080 ||
		got.GetGatewayScheme() != "https" || got.GetConnectPath() != "/connect/ssh" || got.GetHostKeyFingerprint() != "" ||
		life > 24*time.Hour || life < 24*time.Hour-time.Minute {
		t.Errorf("session %v", got)
	}

	w.restart(false)
	revoke := func(token string) bool {
		res, err := w.client.RevokeSshSession(t.Context(), &pb.RevokeSshSessionRequest{Token: token})
		w.check(err)
		return res.GetRevoked()
	}
	listed := func() string {
		answer := httptest.NewRecorder()
		w.service.healthHandler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/sessions", nil))
		return strings.TrimSpace(answer.Body.String())
	}
	if revoke("unknown") || !revoke(got.GetToken()) || !revoke(got.GetToken()) {
		t.Error("revocation")
	}
	sum := sha256.Sum256([]byte(got.GetToken()))
	if text, want := listed(), fmt.Sprintf(`[{"tokenSHA256":"%x","sandbox":"box","revoked":true}]`, sum); text != want {
		t.Errorf("/sessions %s, want %s", text, want)
	}
	_, err = w.client.DeleteSandbox(t.Context(), &pb.DeleteSandboxRequest{Name: "box"})
	w.check(err)
	if text := listed(); text != "[]" {
		t.Errorf("after the deletion %s", text)
	}
	if bytes.Contains([]byte(listed()), []byte(got.GetToken())) {
		t.Error("the list holds the token")
	}
}
