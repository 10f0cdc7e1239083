package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestRunningIsLeftAlone shows that nothing of a running gateway is touched, and that
// what is missing around it is repaired all the same.
func TestRunningIsLeftAlone(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	name := g.gateway("calm")
	g.must("gateway", "start", name, "--port", port())
	look := func() string {
		return g.inspect(name, `{{.Id}} {{.State.StartedAt}} {{range .NetworkSettings.Networks}}{{.NetworkID}} {{.IPAddress}}{{end}}`)
	}
	before, pod := look(), g.kubectl(name, "get", "pod", "openshell-0", "-o", "jsonpath={.metadata.uid}")
	g.docker("network", "connect", object(name), g.guest())

	t.Run("W1 W8: the network of a running gateway stays", func(t *testing.T) {
		g.must("gateway", "start", name)
		g.must("gateway", "stop", name)
		g.must("gateway", "start", name)
		if nets := g.docker("inspect", "-f", "{{len .NetworkSettings.Networks}}", "e2e-guest"); nets != "2" {
			t.Errorf("a guest lost its network: %s", nets)
		}
		before = look()
	})
	t.Run("W2: lost files are repaired without a restart", func(t *testing.T) {
		for _, lost := range []string{"active_gateway", "gateways/" + name + "/metadata.json", "gateways/" + name + "/mtls"} {
			path := filepath.Join(g.config(), "openshell", lost)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			g.must("gateway", "start", name)
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %v", lost, err)
			}
		}
		if err := os.WriteFile(filepath.Join(g.config(), "openshell", "gateways", name, "metadata.json"), []byte("{nonsense"), 0o600); err != nil {
			t.Fatal(err)
		}
		g.must("gateway", "start", name)
		g.must("status", "-g", name)
		if got := look(); got != before {
			t.Errorf("the container was touched: %s, before %s", got, before)
		}
	})
	t.Run("resume makes no new release and keeps the pod", func(t *testing.T) {
		if now := g.kubectl(name, "get", "pod", "openshell-0", "-o", "jsonpath={.metadata.uid}"); now != pod {
			t.Errorf("the pod is another: %s, before %s", now, pod)
		}
		if releases := g.kubectl(name, "get", "secrets", "-l", "owner=helm,name=openshell", "-o", "name"); strings.Count(releases, "\n") != 0 {
			t.Errorf("releases: %s", releases)
		}
	})
	t.Run("W36: the server itself is asked", func(t *testing.T) {
		res := g.must("status", "-g", name, "--format", "json")
		var st struct{ State, ServerVersion string }
		if err := json.Unmarshal([]byte(res.stdout), &st); err != nil || st.State != "healthy" || st.ServerVersion != "0.0.34" {
			t.Errorf("%+v, %v: %s", st, err, res.stdout)
		}
	})
	t.Run("W28: destroy keeps the image", func(t *testing.T) {
		g.docker("rm", "-f", "-v", "e2e-guest")
		g.must("gateway", "destroy", "--force", name)
		g.docker("image", "inspect", os.Getenv("OPENSHELL_CLUSTER_IMAGE"))
	})
}

// guest runs somebody else's container.
func (g *ground) guest() string {
	g.t.Helper()
	g.t.Cleanup(func() { g.run("docker", "rm", "-f", "-v", "e2e-guest") })
	g.docker("run", "-d", "--name", "e2e-guest", "--entrypoint", "/bin/sleep", g.shellImage(), "600")
	return "e2e-guest"
}

// TestStartsAtOnce shows that of several starts at the same moment all succeed, with
// one gateway and one secret (W32), from one machine and from several.
func TestStartsAtOnce(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	name := g.gateway("race")
	p := port()
	var wg sync.WaitGroup
	results := make([]result, 4)
	for i := range results {
		// Every second one is another machine, which shares no lock with the others.
		user := g
		if i%2 == 1 {
			user = newGround(t)
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			results[i] = user.openshell("gateway", "start", name, "--port", p)
		}()
	}
	wg.Wait()
	for i, res := range results {
		if res.code != 0 {
			t.Errorf("start %d: exit code %d: %s%s", i, res.code, res.stdout, res.stderr)
		}
	}
	if n := strings.Count(g.docker("ps", "-aq", "--filter", "label=io.github.docker-openshell.gateway="+name)+"\n", "\n"); n != 1 {
		t.Errorf("%d containers", n)
	}
	if n := strings.Count(g.docker("network", "ls", "-q", "--filter", "name="+object(name))+"\n", "\n"); n != 1 {
		t.Errorf("%d networks", n)
	}
	boots := g.boots(name)
	if len(boots) == 0 || boots[len(boots)-1].Secret != digest(g.secret(name, "openshell-ssh-handshake", "secret")) {
		t.Errorf("the server runs with another secret: %+v", boots)
	}
}

// TestRegisteredElsewhere (W4) shows that a gateway that the files on this machine know and
// this daemon does not is never replaced by an empty one.
func TestRegisteredElsewhere(t *testing.T) {
	g := newGround(t)
	dir := filepath.Join(g.config(), "openshell", "gateways", "spark")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	metadata := `{"name":"spark","gateway_endpoint":"https://10.0.0.5:8080","is_remote":true,"gateway_port":8080,"remote_host":"me@spark","resolved_host":"10.0.0.5"}`
	if err := os.WriteFile(filepath.Join(dir, "metadata.json"), []byte(metadata), 0o600); err != nil {
		t.Fatal(err)
	}
	g.fails(1, []string{"registered", "https://10.0.0.5:8080", "docker context"}, "gateway", "start", "spark")
	if g.run("docker", "volume", "inspect", object("spark")).code == 0 {
		t.Error("a volume was made")
	}
	g.fails(1, []string{"another Docker context"}, "status", "-g", "spark")
	got, err := os.ReadFile(filepath.Join(dir, "metadata.json"))
	if err != nil || string(got) != metadata {
		t.Errorf("metadata changed: %s, %v", got, err)
	}
}
