package e2e

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// forget removes this machine's files, so that the next start looks into the cluster
// even where the container is healthy.
func (g *ground) forget() {
	g.t.Helper()
	if err := os.RemoveAll(g.config()); err != nil {
		g.t.Fatal(err)
	}
}

// setSecret writes one key of a Secret by hand.
func (g *ground) setSecret(name, secret, key, value string) {
	g.t.Helper()
	g.kubectl(name, "patch", "secret", secret, "--type=merge", "-p",
		`{"data":{"`+key+`":"`+base64.StdEncoding.EncodeToString([]byte(value))+`"}}`)
}

func (g *ground) hasSecret(name, secret string) bool {
	g.t.Helper()
	return g.kubectl(name, "get", "secret", secret, "--ignore-not-found", "-o", "name") != ""
}

// breakKubectl puts a kubectl before the real one that answers requests for Secrets
// as a sick API server would; mend takes it away.
func (g *ground) breakKubectl(name, script string) (mend func()) {
	g.t.Helper()
	path := filepath.Join(g.t.TempDir(), "kubectl")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\nexec /bin/kubectl \"$@\"\n"), 0o755); err != nil {
		g.t.Fatal(err)
	}
	g.docker("cp", path, object(name)+":/usr/local/bin/kubectl")
	return func() { g.docker("exec", object(name), "rm", "-f", "/usr/local/bin/kubectl") }
}

// TestSecret shows what becomes of the SSH handshake secret: one that is there stays,
// one that is definitely not there is made, and what cannot be read is left alone.
func TestSecret(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	name := g.gateway("secret")
	g.must("gateway", "start", name, "--port", port())
	const handshake = "openshell-ssh-handshake"

	t.Run("deleted by hand", func(t *testing.T) {
		eventually(t, time.Minute, "healthy", func() bool { return g.inspect(name, "{{.State.Health.Status}}") == "healthy" })
		boots := len(g.boots(name))
		g.kubectl(name, "delete", "secret", handshake)
		eventually(t, time.Minute, "unhealthy", func() bool { return g.inspect(name, "{{.State.Health.Status}}") == "unhealthy" })
		if log := g.inspect(name, "{{range .State.Health.Log}}{{.Output}}{{end}}"); !strings.Contains(log, "Secret openshell/openshell-ssh-handshake is missing") {
			t.Errorf("the health check does not name the Secret: %s", log)
		}
		g.fails(1, []string{handshake}, "gateway", "status", name)
		g.must("gateway", "start", name)
		g.must("gateway", "status", name) // also before the daemon's next health check
		if len(g.secret(name, handshake, "secret")) != 64 {
			t.Error("no new secret")
		}
		after := g.boots(name)
		if len(after) != boots+1 || after[len(after)-1].Secret != digest(g.secret(name, handshake, "secret")) {
			t.Errorf("the server was not restarted once, with the new secret: %d boots before, then %+v", boots, after)
		}
	})
	t.Run("W14 W34: an API server that fails is not taken for one that says no", func(t *testing.T) {
		for what, script := range map[string]string{
			"internal error": `case "$*" in *secrets*) echo 'Error from server (InternalError): an error on the server has prevented the request' >&2; exit 1;; esac`,
			"killed":         `case "$*" in *secrets*) kill -9 $$;; esac`,
			"no answer":      `case "$*" in *secrets*) exec sleep 60;; esac`,
		} {
			t.Run(what, func(t *testing.T) {
				before := g.secret(name, handshake, "secret")
				mend := g.breakKubectl(name, script)
				g.forget()
				res := g.fails(1, []string{"not ready after 6s", "run the same command again"}, "gateway", "start", name, "--timeout", "6s")
				if res.took > 40*time.Second {
					t.Errorf("took %s", res.took)
				}
				mend()
				if g.secret(name, handshake, "secret") != before {
					t.Error("the secret was replaced")
				}
				g.must("gateway", "start", name)
				if g.secret(name, handshake, "secret") != before {
					t.Error("the secret was replaced afterwards")
				}
			})
		}
	})
	t.Run("W14: nothing is created while the API server fails", func(t *testing.T) {
		g.kubectl(name, "delete", "secret", handshake)
		mend := g.breakKubectl(name, `case "$*" in *secrets*) echo 'Error from server (Timeout): the server was unable to return a response' >&2; exit 1;; esac`)
		g.forget()
		g.fails(1, []string{"not ready after 5s"}, "gateway", "start", name, "--timeout", "5s")
		mend()
		if g.hasSecret(name, handshake) {
			t.Error("a secret was created without a word from the API server")
		}
		g.must("gateway", "start", name)
		if !g.hasSecret(name, handshake) {
			t.Error("no secret afterwards")
		}
	})
	t.Run("W15: unusable values are replaced, and it is said", func(t *testing.T) {
		for value, says := range map[string]string{"": "it is empty", "abcdef": "6 characters", strings.Repeat("xy", 32): "not hexadecimal"} {
			g.setSecret(name, handshake, "secret", value)
			g.forget()
			res := g.must("gateway", "start", name)
			if !strings.Contains(res.stderr, "was unusable") || !strings.Contains(res.stderr, says) {
				t.Errorf("value of %d characters: said %q", len(value), res.stderr)
			}
			now := g.secret(name, handshake, "secret")
			boots := g.boots(name)
			if len(now) != 64 || boots[len(boots)-1].Secret != digest(now) {
				t.Errorf("value of %d characters: the server does not run with a new secret", len(value))
			}
		}
	})
	t.Run("a good value of somebody else's is kept", func(t *testing.T) {
		own := strings.Repeat("0123456789abcdef", 4)
		g.setSecret(name, handshake, "secret", own)
		g.forget()
		g.must("gateway", "start", name)
		boots := g.boots(name)
		if g.secret(name, handshake, "secret") != own || boots[len(boots)-1].Secret != digest(own) {
			t.Error("the value was replaced, or the server does not use it")
		}
	})
}
