package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// likeUpstream makes a gateway as the openshell CLI does: the same names, no labels.
// What its image would hold is copied from a container of ours.
func (g *ground) likeUpstream(name, port string) {
	g.t.Helper()
	g.must("gateway", "start", name, "--port", port)
	files := g.t.TempDir()
	paths := map[string]string{
		"/usr/local/bin/cluster-entrypoint.sh":              "entrypoint",
		"/usr/local/bin/cluster-healthcheck.sh":             "healthcheck",
		"/opt/openshell/manifests/openshell-helmchart.yaml": "chart",
	}
	for path, file := range paths {
		g.docker("cp", object(name)+":"+path, filepath.Join(files, file))
	}
	g.must("gateway", "destroy", "--force", name)
	o := object(name)
	g.docker("network", "create", "--attachable", o)
	g.docker("create", "--name", o, "--hostname", "openshell-"+name, "--privileged", "--cgroupns=host", "--restart", "unless-stopped",
		"--network", o, "-v", o+":/var/lib/rancher/k3s", "-p", port+":30051", "--tmpfs", "/run", "--tmpfs", "/var/run",
		"--add-host", "host.docker.internal:host-gateway", "--add-host", "host.openshell.internal:host-gateway",
		"-e", "OPENSHELL_NODE_NAME=openshell-"+name, "--entrypoint", "/usr/local/bin/cluster-entrypoint.sh",
		"--health-cmd", "/usr/local/bin/cluster-healthcheck.sh", "--health-interval", "5s",
		os.Getenv("OPENSHELL_CLUSTER_IMAGE"), "server", "--disable=traefik", "--tls-san=127.0.0.1")
	for path, file := range paths {
		g.docker("cp", filepath.Join(files, file), o+":"+path)
	}
}

// slowDown has a gateway's main process hear nothing for a while.
func (g *ground) slowDown(name string, d time.Duration) {
	g.t.Helper()
	pid, err := strconv.Atoi(g.inspect(name, "{{.State.Pid}}"))
	if err != nil {
		g.t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		g.t.Fatal(err)
	}
	time.AfterFunc(d, func() { syscall.Kill(pid, syscall.SIGCONT) }) //nolint:errcheck // the test sees it
}

// TestUpstream resumes a gateway that the openshell CLI made, and keeps it when its
// container is lost.
func TestUpstream(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	name := g.gateway("up")
	p := port()
	g.likeUpstream(name, p)
	id := g.inspect(name, "{{.Id}}")

	res := g.must("gateway", "start", name)
	if !strings.Contains(res.stdout, "resumed") || g.inspect(name, "{{.Id}}") != id {
		t.Errorf("not resumed: %q", res.stdout)
	}
	if labels := g.inspect(name, "{{len .Config.Labels}}"); strings.Contains(g.inspect(name, "{{.Config.Labels}}"), "docker-openshell.gateway") {
		t.Errorf("labels: %s", labels)
	}
	g.mark(name, "kept")
	before := g.state(name)
	if origin := g.must("gateway", "ls", "--format", "{{.Name}} {{.Origin}}").stdout; !strings.Contains(origin, name+" openshell\n") {
		t.Errorf("gateway ls: %q", origin)
	}
	// W29: it has no stop timeout of its own, and gets more than the Engine's ten seconds.
	g.slowDown(name, 12*time.Second)
	g.must("gateway", "stop", name)
	if code := g.inspect(name, "{{.State.ExitCode}}"); code != "0" {
		t.Errorf("the node was killed: exit code %s", code)
	}
	g.must("gateway", "start", name)
	if after := g.state(name); after != before {
		t.Errorf("state changed: %+v, before %+v", after, before)
	}
	g.docker("rm", "-f", "-v", object(name))
	res = g.must("gateway", "start", name)
	if after := g.state(name); after != before || !strings.Contains(res.stdout, ":"+p) {
		t.Errorf("state changed: %+v, before %+v; said %q", after, before, res.stdout)
	}
	if bind := g.inspect(name, `{{(index .HostConfig.PortBindings "30051/tcp" 0).HostIp}}`); bind != "127.0.0.1" {
		t.Errorf("W26: published on %s", bind)
	}
}
