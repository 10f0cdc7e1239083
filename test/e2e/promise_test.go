package e2e

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestPromises is what this project is for, row by row, as a user meets it.
func TestPromises(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	name := g.gateway("promise")
	p := port()
	secret := func() string { return g.secret(name, "openshell-ssh-handshake", "secret") }
	start := func(t *testing.T, outcome string, flags ...string) {
		t.Helper()
		// What is on standard input is nobody's answer, and must still be there afterwards.
		answer, input, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Close()
		if _, err := input.WriteString("y\n"); err != nil {
			t.Fatal(err)
		}
		g.stdin = answer
		res := g.must(append([]string{"gateway", "start", name}, flags...)...)
		g.stdin = nil
		if !strings.Contains(res.stdout, outcome) {
			t.Errorf("start said %q, not %q", res.stdout, outcome)
		}
		input.Close()
		if left, err := io.ReadAll(answer); err != nil || string(left) != "y\n" {
			t.Errorf("start read from standard input: %q is left, %v", left, err)
		}
	}

	t.Run("nothing is there: it is created", func(t *testing.T) { start(t, "created", "--port", p) })
	b := g.box(name, "box")
	first := secret()
	same := func(t *testing.T) {
		t.Helper()
		if secret() != first {
			t.Error("the secret is another")
		}
		b.works(t)
	}

	t.Run("the secret is 32 random bytes, on the volume, behind a secretKeyRef", func(t *testing.T) {
		if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(first) {
			t.Error("it is not 64 hexadecimal characters")
		}
		if ref := g.kubectl(name, "get", "statefulset", "openshell", "-o",
			`jsonpath={.spec.template.spec.containers[0].env[?(@.name=="OPENSHELL_SSH_HANDSHAKE_SECRET")].valueFrom.secretKeyRef.name}`); ref != "openshell-ssh-handshake" {
			t.Errorf("the server reads it from %q", ref)
		}
		if policy := g.inspect(name, "{{.HostConfig.RestartPolicy.Name}}"); policy != "unless-stopped" {
			t.Errorf("restart policy %s", policy)
		}
	})
	t.Run("it runs: nothing is done", func(t *testing.T) {
		eventually(t, time.Minute, "healthy", func() bool { return g.inspect(name, "{{.State.Health.Status}}") == "healthy" })
		before := g.inspect(name, "{{.Id}} {{.State.StartedAt}}")
		start(t, "already running")
		if g.inspect(name, "{{.Id}} {{.State.StartedAt}}") != before {
			t.Error("the container was touched")
		}
		same(t)
	})
	t.Run("it was stopped: it stays stopped, and is resumed", func(t *testing.T) {
		g.must("gateway", "stop", name)
		if got := g.inspect(name, "{{.State.Status}}"); got != "exited" {
			t.Errorf("it is %s", got)
		}
		start(t, "resumed")
		same(t)
	})
	t.Run("only the volume is left: it is resumed, as it was", func(t *testing.T) {
		g.docker("rm", "-f", "-v", object(name))
		start(t, "resumed")
		if got := g.inspect(name, `{{(index .HostConfig.PortBindings "30051/tcp" 0).HostPort}}`); got != p {
			t.Errorf("port %s", got)
		}
		same(t)
	})
	t.Run("a resume that fails leaves the volume alone", func(t *testing.T) {
		g.must("gateway", "stop", name)
		g.fails(1, []string{"not ready after 1s"}, "gateway", "start", name, "--timeout", "1s")
		start(t, "resumed")
		same(t)
	})
	t.Run("a sandbox needs a gateway: it is resumed", func(t *testing.T) {
		g.must("gateway", "stop", name)
		g.must("-g", name, "sandbox", "create", "--no-keep", "--", "true")
		same(t)
	})
	t.Run("recreated: from scratch, and nothing is lost by accident", func(t *testing.T) {
		start(t, "recreated", "--recreate", "--keep-old")
		if secret() == first {
			t.Error("the secret is the old one")
		}
		g.must("gateway", "restore", name, strings.TrimSpace(g.must("gateway", "snapshot", "ls", "-q", name).stdout))
		same(t)
	})
}
