package e2e

import (
	"os"
	"strings"
	"testing"
)

// TestOldEngine shows that the oldest Engine that is supported, 20.10, understands what it
// is sent. Whether it runs privileged containers depends on the machine: where it does not,
// that is said, and nothing is lost.
func TestOldEngine(t *testing.T) {
	t.Parallel()
	const engine = "e2e-old"
	g := isolated(t, engine, "--engine", "debian")
	if version := g.docker("version", "-f", "{{.Server.Version}} {{.Server.APIVersion}}"); !strings.HasPrefix(version, "20.10.") || !strings.HasSuffix(version, " 1.41") {
		t.Fatalf("this is Engine %s", version)
	}
	name := g.gateway("old")
	if list := g.must("gateway", "ls", "-q").stdout; list != "" {
		t.Errorf("gateways: %q", list)
	}
	if plan := g.must("gateway", "start", name, "--dry-run").stdout; !strings.Contains(plan, "create-container") {
		t.Errorf("plan: %q", plan)
	}
	p := port()
	start := g.openshell("gateway", "start", name, "--port", p)
	runs := start.code == 0
	if !runs && !strings.Contains(start.stderr, "does not run privileged containers") {
		t.Fatalf("exit code %d: %s", start.code, start.stderr)
	}
	if got := g.inspect(name, "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.CgroupnsMode}} {{.Config.StopTimeout}}"); got != "unless-stopped host 60" {
		t.Errorf("the container has %s", got)
	}
	if got := g.copied(name, "/var/lib/rancher/k3s/openshell/gateway.json"); !strings.Contains(got, `"port": `+p) {
		t.Errorf("recorded: %s", got)
	}
	// This Engine calls a volume as young as what is in it: a mark has to do.
	onVolume := func(script string) string {
		return g.docker("run", "--rm", "-v", object(name)+":/v", "--entrypoint", "sh", os.Getenv("OPENSHELL_CLUSTER_IMAGE"), "-c", script)
	}
	onVolume("echo kept > /v/mark")
	if status := g.openshell("gateway", "status", name); (status.code == 0) != runs {
		t.Errorf("status: exit code %d: %s%s", status.code, status.stdout, status.stderr)
	}
	// Without the container, the record on the volume is read all the same.
	g.docker("rm", "-f", "-v", object(name))
	if plan := g.must("gateway", "start", name, "--dry-run").stdout; !strings.Contains(plan, "port "+p) {
		t.Errorf("plan: %q", plan)
	}
	// A recreate that does not come about leaves what was there.
	if res := g.openshell("gateway", "start", name, "--recreate"); (res.code == 0) != runs {
		t.Errorf("recreate: exit code %d: %s", res.code, res.stderr)
	}
	if mark := onVolume("cat /v/mark 2>/dev/null || true"); (mark == "") != runs {
		t.Errorf("the mark on the volume: %q", mark)
	}
	g.must("gateway", "stop", name)
	g.must("gateway", "destroy", "--force", name)
	if left := g.docker("ps", "-aq") + g.docker("volume", "ls", "-q") + g.docker("network", "ls", "-q", "--filter", "name=openshell"); left != "" {
		t.Errorf("left: %q", left)
	}
}
