package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// engineScript runs test/engine/engine.sh.
func engineScript(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), filepath.Join(repository(t), "test", "engine", "engine.sh"), args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("engine.sh %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// isolated makes a user on an Engine of its own, which the test may kill, with the
// images of the ground's Engine in it.
func isolated(t *testing.T, name string, options ...string) *ground {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("an Engine in namespaces of its own needs root")
	}
	from := newGround(t)
	t.Cleanup(func() { engineScript(t, "stop", "--purge", name) })
	engineScript(t, append([]string{"start", "--isolated", name}, options...)...)
	g := newGround(t)
	g.host = "unix:///run/docker-openshell/" + name + "/docker.sock"
	g.prefix = []string{filepath.Join(repository(t), "test", "engine", "engine.sh"), "nsenter", name, "--"}
	images := exec.CommandContext(t.Context(), "sh", "-c", `docker -H "$1" save "$3" | docker -H "$2" load`, "sh",
		from.host, g.host, os.Getenv("OPENSHELL_CLUSTER_IMAGE"))
	if from.host == "" {
		t.Fatal("DOCKER_HOST is not set")
	}
	if out, err := images.CombinedOutput(); err != nil {
		t.Fatalf("copy images: %v: %s", err, out)
	}
	return g
}

// TestEngineRestarts shows that Docker brings a gateway back by itself, healthy and
// with nothing lost, and that one that was stopped stays so. Its Engine has no network
// to the outside, which no start may depend on (W35).
func TestEngineRestarts(t *testing.T) {
	t.Parallel()
	const engine = "e2e-restart"
	g := isolated(t, engine)
	name := g.gateway("boot")
	g.must("gateway", "start", name, "--port", port())
	box := g.box(name, "box")
	g.mark(name, "kept")
	before := g.state(name)
	secret := before.Secret

	healthy := func() bool { return g.run("docker", "openshell", "status", "-g", name).code == 0 }
	same := func(t *testing.T) {
		t.Helper()
		if after := g.state(name); after != before {
			t.Errorf("state changed: %+v, before %+v", after, before)
		}
		for _, b := range g.boots(name) {
			if b.Secret != secret {
				t.Errorf("a boot with another secret: %+v", b)
			}
		}
		box.works(t)
	}
	t.Run("the Engine restarts", func(t *testing.T) {
		engineScript(t, "restart", engine)
		eventually(t, time.Minute, "the gateway is back without a command of ours", healthy)
		same(t)
	})
	t.Run("power cut", func(t *testing.T) {
		engineScript(t, "kill", "--hard", engine)
		engineScript(t, "resume", engine)
		eventually(t, time.Minute, "the gateway is back without a command of ours", healthy)
		same(t)
	})
	t.Run("only the daemon dies", func(t *testing.T) {
		engineScript(t, "kill", engine)
		engineScript(t, "resume", engine)
		g.must("gateway", "start", name)
		same(t)
	})
	t.Run("the node's main process dies", func(t *testing.T) {
		pid := g.inspect(name, "{{.State.Pid}}")
		if out, err := exec.CommandContext(t.Context(), "kill", "-KILL", pid).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		eventually(t, time.Minute, "the gateway is back without a command of ours", func() bool {
			return g.inspect(name, "{{.State.Pid}}") != pid && healthy()
		})
		same(t)
	})
	t.Run("stopped stays stopped", func(t *testing.T) {
		g.must("gateway", "stop", name)
		engineScript(t, "restart", engine)
		if got := g.inspect(name, "{{.State.Status}}"); got != "exited" {
			t.Errorf("after a restart of the Engine: %s", got)
		}
		g.fails(1, []string{"stopped", "docker openshell gateway start " + name}, "status", "-g", name)
		g.must("gateway", "start", name)
		same(t)
	})
	t.Run("a destroy on another daemon is refused", func(t *testing.T) {
		other := newGround(t)
		other.home = g.home
		other.fails(1, []string{"was last started on the daemon of", "docker --host " + g.host + " openshell gateway destroy " + name}, "gateway", "destroy", "--force", name)
		if _, err := os.Stat(filepath.Join(g.config(), "openshell", "gateways", name, "metadata.json")); err != nil {
			t.Errorf("the registration is gone: %v", err)
		}
		g.must("status", "-g", name)
	})
	t.Run("the daemon is gone", func(t *testing.T) {
		engineScript(t, "kill", engine)
		g.fails(1, []string{"start Docker"}, "gateway", "start", name)
		engineScript(t, "resume", engine)
	})
}
