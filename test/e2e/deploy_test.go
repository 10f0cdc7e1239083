package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// serverImage builds the test server with another version and loads it into the
// Engine.
func (g *ground) serverImage(version string) string {
	g.t.Helper()
	script := filepath.Join(repository(g.t), "test", "gateway", "image.sh")
	build := func(verb string) string {
		out, err := exec.CommandContext(context.Background(), script, verb, version).Output()
		if err != nil {
			g.t.Fatalf("image.sh %s: %v", verb, err)
		}
		return strings.TrimSpace(string(out))
	}
	g.docker("load", "-i", build("build"))
	return build("name")
}

// TestDeployFast brings another build of the server into a running gateway, as people
// who develop the server do, and shows that nothing else changes.
func TestDeployFast(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	name := g.gateway("deploy")
	g.must("gateway", "start", name, "--port", port())
	g.mark(name, "kept")
	before := g.state(name)
	version := func() string {
		return strings.TrimSpace(g.must("status", "-g", name, "--format", "{{.ServerVersion}}").stdout)
	}
	old := version()

	script := filepath.Join(repository(t), "scripts", "cluster-deploy-fast.sh")
	deploy := func(args ...string) result {
		return g.run(append([]string{script}, args...)...)
	}
	next := g.serverImage("0.0.34-next")
	if res := deploy("--image", next, name); res.code != 0 {
		t.Fatalf("exit code %d: %s%s", res.code, res.stdout, res.stderr)
	}
	if got := version(); got != "0.0.34-next" || got == old {
		t.Errorf("the server calls itself %s, before %s", got, old)
	}
	if after := g.state(name); after != before {
		t.Errorf("state changed: %+v, before %+v", after, before)
	}
	g.must("gateway", "stop", name)
	g.must("gateway", "start", name)
	if got := version(); got != "0.0.34-next" {
		t.Errorf("after a resume the server calls itself %s", got)
	}
	for says, args := range map[string][]string{
		"there is no image missing:1": {"--image", "missing:1", name},
		"there is no gateway":         {"--image", next, "nobody"},
		"invalid name":                {"--image", next, "../x"},
		"unknown option":              {"--nonsense"},
	} {
		if res := deploy(args...); res.code == 0 || !strings.Contains(res.stderr, says) {
			t.Errorf("%v: exit code %d, said %q, want %q", args, res.code, res.stderr, says)
		}
	}
	// A server whose image cannot be had is named, and the old one is one flag away.
	res := g.fails(1, []string{"not ready after 10s"}, "gateway", "start", name, "--gateway-image", "example.invalid/no:1", "--timeout", "10s")
	if !strings.Contains(res.stderr, "example.invalid/no:1") && !strings.Contains(res.stderr, "Image") {
		t.Errorf("does not name the image: %s", res.stderr)
	}
	g.must("gateway", "start", name, "--gateway-image", os.Getenv("OPENSHELL_GATEWAY_IMAGE"))
	if got := version(); got != old {
		t.Errorf("back to the old image the server calls itself %s", got)
	}
}
