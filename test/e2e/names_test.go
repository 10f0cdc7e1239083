package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestNames runs gateways side by side and refuses what is not a gateway.
func TestNames(t *testing.T) {
	t.Parallel()
	g := newGround(t)

	t.Run("W39: bad names touch nothing", func(t *testing.T) {
		for _, name := range []string{strings.Repeat("x", 41), "../up", "a/b", "-a", "a.", "a b", "ä"} {
			g.fails(1, []string{"gateway name", "letters, digits"}, "gateway", "start", "--", name)
		}
		if _, err := os.Stat(g.config()); !os.IsNotExist(err) {
			t.Errorf("something was written: %v", err)
		}
	})
	t.Run("bad values touch nothing", func(t *testing.T) {
		for _, args := range [][]string{
			{"--port", "0"}, {"--port", "65536"}, {"--bind", "localhost"}, {"--image", "UPPER CASE"}, {"--gateway-image", "a:b:c"},
			{"--gateway-host", "a b"}, {"--plaintext", "--disable-gateway-auth"}, {"--registry-username", "me"},
		} {
			if res := g.openshell(append([]string{"gateway", "start", "bad"}, args...)...); res.code != 1 && res.code != 125 {
				t.Errorf("%v: exit code %d: %s%s", args, res.code, res.stdout, res.stderr)
			}
			if g.run("docker", "volume", "inspect", object("bad")).code == 0 {
				t.Errorf("%v: a volume was made", args)
			}
		}
	})
	t.Run("foreign objects are refused and stay", func(t *testing.T) {
		name := g.gateway("foreign")
		image := g.shellImage()
		g.docker("create", "--name", object(name), image, "sh")
		id := g.inspect(name, "{{.Id}}")
		for _, command := range [][]string{{"start"}, {"start", "--recreate"}, {"stop"}, {"destroy", "--force"}, {"logs"}} {
			g.fails(1, []string{"is not a gateway", image}, append(append([]string{"gateway"}, command...), name)...)
		}
		if g.inspect(name, "{{.Id}}") != id {
			t.Error("the container is another")
		}
		g.docker("rm", "-f", "-v", object(name))

		g.docker("volume", "create", object(name))
		for _, command := range [][]string{{"start"}, {"start", "--recreate"}, {"destroy", "--force"}} {
			g.fails(1, []string{"volume", "is not a gateway's"}, append(append([]string{"gateway"}, command...), name)...)
		}
		g.docker("volume", "rm", object(name))

		g.docker("network", "create", object(name))
		for _, command := range [][]string{{"start"}, {"start", "--recreate"}, {"destroy", "--force"}} {
			g.fails(1, []string{"network", "is not a gateway's"}, append(append([]string{"gateway"}, command...), name)...)
		}
		g.docker("network", "rm", object(name))
	})
	t.Run("side by side", func(t *testing.T) {
		one, two := g.gateway("p_0"), g.gateway("p-0")
		g.must("gateway", "start", one, "--port", port())
		second := port()
		taken := g.inspect(one, `{{(index .HostConfig.PortBindings "30051/tcp" 0).HostPort}}`)
		g.fails(1, []string{"port " + taken, object(one), "--port"}, "gateway", "start", two, "--port", taken)
		if g.run("docker", "volume", "inspect", object(two)).code == 0 || g.run("docker", "network", "inspect", object(two)).code == 0 {
			t.Error("something was made for a port that is taken")
		}
		res := g.must("gateway", "start", two, "--port", second, "--plaintext")
		if !strings.Contains(res.stdout, "http://127.0.0.1:"+second) {
			t.Errorf("said %q", res.stdout)
		}
		for _, name := range []string{one, two} {
			g.must("status", "-g", name)
			if node := g.kubectl(name, "get", "nodes", "-o", "name"); node != "node/openshell-p-0" {
				t.Errorf("nodes of %s: %s", name, node)
			}
		}
		if digest(g.secret(one, "openshell-ssh-handshake", "secret")) == digest(g.secret(two, "openshell-ssh-handshake", "secret")) {
			t.Error("two gateways have one secret")
		}
		g.must("gateway", "stop", two)
		g.must("status", "-g", one)
		t.Run("W3: a plaintext gateway stays one", func(t *testing.T) {
			res := g.must("gateway", "start", two)
			if !strings.Contains(res.stdout, "http://") {
				t.Errorf("said %q", res.stdout)
			}
		})
		if names := g.must("gateway", "ls", "-q").stdout; !strings.Contains("\n"+names, fmt.Sprintf("\n%s\n%s\n", two, one)) {
			t.Errorf("gateway ls -q: %q", names)
		}
		g.must("gateway", "select", one)
		if res := g.must("status"); !strings.Contains(res.stdout, one) {
			t.Errorf("status of the active gateway: %q", res.stdout)
		}
		g.must("gateway", "destroy", "--force", two)
		g.must("status", "-g", one)
	})
	t.Run("shortest and longest", func(t *testing.T) {
		for _, name := range []string{"a", strings.Repeat("n", 40)} {
			g.gateway(name)
			g.must("gateway", "start", name, "--port", port())
			g.must("gateway", "destroy", "--force", name)
		}
	})
}
