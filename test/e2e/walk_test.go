package e2e

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// deed is one thing that happens to a gateway.
type deed struct {
	what string
	do   func()
}

// TestWalk lets happen to a gateway what users and machines do, in an order that nobody
// would think of. After each walk one plain start makes up for all of it, and nothing is
// lost. OPENSHELL_E2E_SEED and OPENSHELL_E2E_WALKS choose other walks, and more of them.
func TestWalk(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	name := g.gateway("walk")
	ports := []string{port(), port()}
	g.must("gateway", "start", name, "--port", ports[0])
	b := g.box(name, "box")
	g.mark(name, "kept")
	before := g.state(name)

	seed, walks := number(t, "OPENSHELL_E2E_SEED", 1), number(t, "OPENSHELL_E2E_WALKS", 2)
	for i := range walks {
		random := rand.New(rand.NewPCG(uint64(seed), uint64(i)))
		deeds := g.deeds(name, ports, random)
		var walk []string
		for range 5 {
			d := deeds[random.IntN(len(deeds))]
			walk = append(walk, d.what)
			d.do()
		}
		t.Logf("seed %d, walk %d: %s", seed, i, strings.Join(walk, ", "))
		g.must("gateway", "start", name)
		if after := g.state(name); after != before {
			t.Fatalf("state changed: %+v, before %+v", after, before)
		}
		g.must("status", "-g", name)
		b.works(t)
		for _, boot := range g.boots(name) {
			if boot.Secret != before.Secret {
				t.Fatalf("a boot with another secret: %+v", boot)
			}
		}
		if left := g.leftovers(name); left != "" {
			t.Fatalf("left: %q", left)
		}
	}
}

func number(t *testing.T, env string, otherwise int) int {
	t.Helper()
	text := os.Getenv(env)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s=%q is no number", env, text)
	}
	return n
}

// deeds are what can happen. Each may well fail, as on a gateway that is not there.
func (g *ground) deeds(name string, ports []string, random *rand.Rand) []deed {
	openshell := func(args ...string) func() { return func() { g.openshell(append(args, name)...) } }
	docker := func(args ...string) func() { return func() { g.run(append([]string{"docker"}, args...)...) } }
	inside := func(args ...string) func() {
		return docker(append([]string{"exec", object(name), "kubectl", "--kubeconfig", "/etc/rancher/k3s/k3s.yaml", "-n", "openshell"}, args...)...)
	}
	// cut ends a command of ours at some moment.
	cut := func(sig syscall.Signal, within time.Duration, args ...string) func() {
		return func() {
			cmd := g.command(g.t.Context(), append([]string{program(g.t)}, append(args, name)...)...)
			if err := cmd.Start(); err != nil {
				g.t.Fatal(err)
			}
			timer := time.AfterFunc(time.Duration(random.Int64N(int64(within))), func() { cmd.Process.Signal(sig) }) //nolint:errcheck // it may have ended
			cmd.Wait()                                                                                               //nolint:errcheck // it was cut
			timer.Stop()
		}
	}
	recreate := func(sig syscall.Signal) func() {
		steps := []string{"ensure-image", "set-aside", "ensure-network"}
		return func() { g.cutOff(name, steps[random.IntN(len(steps))], sig) }
	}
	remove := func(path ...string) func() {
		return func() {
			if err := os.RemoveAll(filepath.Join(append([]string{g.config(), "openshell"}, path...)...)); err != nil {
				g.t.Fatal(err)
			}
		}
	}
	return []deed{
		{"start", openshell("gateway", "start")},
		{"stop", openshell("gateway", "stop")},
		{"restart", openshell("gateway", "restart")},
		{"status", openshell("gateway", "status")},
		{"start on one port", openshell("gateway", "start", "--port", ports[0])},
		{"start on the other port", openshell("gateway", "start", "--port", ports[1])},
		{"start in no time", openshell("gateway", "start", "--timeout", "1s")},
		{"start, killed", cut(syscall.SIGKILL, 3*time.Second, "gateway", "start")},
		{"start, interrupted", cut(syscall.SIGINT, 3*time.Second, "gateway", "start")},
		{"move, killed", cut(syscall.SIGKILL, 3*time.Second, "gateway", "start", "--port", ports[random.IntN(2)])},
		{"stop, killed", cut(syscall.SIGKILL, 300*time.Millisecond, "gateway", "stop")},
		// Not later: once a new gateway boots it may well become healthy, and then it stays.
		{"recreate, killed", recreate(syscall.SIGKILL)},
		{"recreate, interrupted", recreate(syscall.SIGINT)},
		{"two starts at once", func() {
			var group sync.WaitGroup
			for range 2 {
				group.Go(openshell("gateway", "start"))
			}
			group.Wait()
		}},
		{"docker stop", docker("stop", object(name))},
		{"docker kill", docker("kill", object(name))},
		{"docker pause", docker("pause", object(name))},
		{"docker restart", docker("restart", object(name))},
		{"docker rm -f", docker("rm", "-f", "-v", object(name))},
		{"docker network rm", docker("network", "rm", object(name))},
		{"docker network disconnect", docker("network", "disconnect", "-f", object(name), object(name))},
		{"main process killed", func() {
			if res := g.run("docker", "inspect", "-f", "{{.State.Pid}}", object(name)); res.code == 0 && strings.TrimSpace(res.stdout) != "0" {
				exec.Command("kill", "-KILL", strings.TrimSpace(res.stdout)).Run() //nolint:errcheck // it may have ended
			}
		}},
		{"files removed", remove()},
		{"certificates removed", remove("gateways", name, "mtls")},
		{"metadata removed", remove("gateways", name, "metadata.json")},
		{"server's certificate removed", inside("delete", "secret", "openshell-server-tls", "--wait=false")},
		{"server's pod removed", inside("delete", "pod", "openshell-0", "--wait=false")},
	}
}
