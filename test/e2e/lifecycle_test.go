package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestLifecycle walks one gateway through every state that a start can find: the
// same secret, certificates and database come out of each, and nothing is asked.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	name := g.gateway("life")
	p := port()

	res := g.must("gateway", "start", name, "--port", p)
	if !strings.Contains(res.stdout, "created") {
		t.Errorf("start from nothing: %q", res.stdout)
	}
	secret := g.secret(name, "openshell-ssh-handshake", "secret")
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(secret) {
		t.Error("the handshake secret is not 64 hexadecimal characters")
	}
	if policy := g.inspect(name, "{{.HostConfig.RestartPolicy.Name}} {{.Config.Hostname}} {{.Config.StopTimeout}}"); policy != "unless-stopped openshell-life 60" {
		t.Errorf("restart policy, host name, stop timeout: %s", policy)
	}
	if bind := g.inspect(name, `{{(index .HostConfig.PortBindings "30051/tcp" 0).HostIp}}`); bind != "127.0.0.1" {
		t.Errorf("published on %s", bind)
	}
	g.mark(name, "kept")
	before := g.state(name)
	if before.Mark != "kept" {
		t.Fatalf("the database does not keep a mark: %+v", before)
	}
	id := g.inspect(name, "{{.Id}}")
	const token = "registry-token-of-this-user"

	check := func(t *testing.T) {
		t.Helper()
		if diff := cmp.Diff(before, g.state(name)); diff != "" {
			t.Errorf("state changed (-before +after):\n%s", diff)
		}
		boots := g.boots(name)
		for _, b := range boots {
			if b.Secret != digest(secret) || b.Certificate != boots[0].Certificate {
				t.Errorf("a boot with another secret or certificate: %+v", boots)
			}
		}
	}

	t.Run("running", func(t *testing.T) {
		eventually(t, time.Minute, "healthy", func() bool { return g.inspect(name, "{{.State.Health.Status}}") == "healthy" })
		started := g.inspect(name, "{{.State.StartedAt}}")
		res := g.must("gateway", "start", name)
		if !strings.Contains(res.stdout, "already running") {
			t.Errorf("said %q", res.stdout)
		}
		if got := g.inspect(name, "{{.Id}} {{.State.StartedAt}}"); got != id+" "+started {
			t.Errorf("the container was touched: %s", got)
		}
		check(t)
	})
	t.Run("stopped", func(t *testing.T) {
		g.must("gateway", "stop", name)
		if got := g.inspect(name, "{{.State.Status}} {{.State.ExitCode}}"); got != "exited 0" {
			t.Errorf("after stop: %s", got)
		}
		res := g.must("gateway", "start", name)
		if !strings.Contains(res.stdout, "resumed") || g.inspect(name, "{{.Id}}") != id {
			t.Errorf("not the same container: %q", res.stdout)
		}
		check(t)
	})
	t.Run("a stop is cut off", func(t *testing.T) {
		// The daemon goes on with it.
		g.interruptAt([]string{program(t), "gateway", "stop", name}, "Stopping container")
		g.must("gateway", "start", name)
		if g.inspect(name, "{{.Id}}") != id {
			t.Error("not the same container")
		}
		check(t)
	})
	t.Run("paused", func(t *testing.T) {
		g.docker("pause", object(name))
		g.must("gateway", "start", name)
		if got := g.inspect(name, "{{.Id}} {{.State.Status}}"); got != id+" running" {
			t.Errorf("after start: %s", got)
		}
		check(t)
	})
	t.Run("killed", func(t *testing.T) {
		g.docker("kill", object(name))
		g.must("gateway", "start", name)
		check(t)
	})
	t.Run("network pruned", func(t *testing.T) {
		g.must("gateway", "stop", name)
		g.docker("network", "rm", object(name))
		g.must("gateway", "start", name)
		if g.inspect(name, "{{.Id}}") != id {
			t.Error("not the same container")
		}
		check(t)
	})
	t.Run("W6: container removed", func(t *testing.T) {
		g.docker("rm", "-f", "-v", object(name))
		// A command that was killed has left a helper.
		g.docker("create", "--label", "io.github.docker-openshell.helper=back "+object(name), "-v", object(name)+":/state", g.shellImage(), "never-started")
		// The recorded port and images come back without flags or environment.
		g.env = []string{"OPENSHELL_CLUSTER_IMAGE=", "OPENSHELL_GATEWAY_IMAGE="}
		res := g.must("gateway", "start", name)
		g.env = nil
		if !strings.Contains(res.stdout, "resumed") || !strings.Contains(res.stdout, ":"+p) {
			t.Errorf("said %q", res.stdout)
		}
		if got := g.inspect(name, "{{.Config.Image}}"); got != os.Getenv("OPENSHELL_CLUSTER_IMAGE") {
			t.Errorf("image %s", got)
		}
		if left := g.leftovers(name); left != "" {
			t.Errorf("left: %q", left)
		}
		check(t)
	})
	t.Run("files on this machine lost", func(t *testing.T) {
		if err := os.RemoveAll(g.config()); err != nil {
			t.Fatal(err)
		}
		g.must("gateway", "start", name)
		g.must("status", "-g", name)
		if active, err := os.ReadFile(filepath.Join(g.config(), "openshell", "active_gateway")); err != nil || string(active) != name {
			t.Errorf("active gateway %q, %v", active, err)
		}
		check(t)
	})
	t.Run("W5: another port", func(t *testing.T) {
		next := port()
		g.env = []string{"OPENSHELL_REGISTRY_TOKEN=" + token}
		res := g.must("gateway", "start", name, "--port", next, "--progress", "plain")
		g.env = nil
		if !strings.Contains(res.stdout, "rebuilt") || !strings.Contains(res.stdout, ":"+next) {
			t.Errorf("said %q", res.stdout)
		}
		check(t)
	})
	t.Run("recreate", func(t *testing.T) {
		g.must("gateway", "start", name, "--recreate")
		after := g.state(name)
		if after.Secret == before.Secret || after.Mark != "" || after.CA == before.CA {
			t.Errorf("the old state is still there: %+v", after)
		}
		if !strings.Contains(g.copied(name, "/var/lib/rancher/k3s/openshell/registries.yaml"), token) {
			t.Error("the credentials for registries are lost")
		}
		g.must("status", "-g", name)
	})
	t.Run("W29: destroy leaves nothing, and says so where there is nothing", func(t *testing.T) {
		g.fails(1, []string{"--force"}, "gateway", "destroy", name)
		g.docker("container", "inspect", object(name))
		// A command that was killed a moment ago has left a helper.
		g.docker("create", "--label", "io.github.docker-openshell.helper=read "+object(name), "-v", object(name)+":/state", g.shellImage(), "never-started")
		g.must("gateway", "destroy", "--force", name)
		for _, kind := range []string{"container", "volume", "network"} {
			if g.run("docker", kind, "inspect", object(name)).code == 0 {
				t.Errorf("the %s is still there", kind)
			}
		}
		if _, err := os.Stat(filepath.Join(g.config(), "openshell", "gateways", name)); !os.IsNotExist(err) {
			t.Errorf("files are still there: %v", err)
		}
		g.fails(1, []string{"there is no gateway"}, "gateway", "destroy", "--force", name)
		g.fails(1, []string{"there is no gateway"}, "gateway", "stop", name)
	})
}
