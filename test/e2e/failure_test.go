package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shellImage imports an image that holds a shell and no k3s.
func (g *ground) shellImage() string {
	g.t.Helper()
	const image = "openshell/test-shell:1"
	// The node's own busybox is linked statically.
	path := filepath.Join(g.t.TempDir(), "busybox")
	node := g.docker("create", os.Getenv("OPENSHELL_CLUSTER_IMAGE"))
	g.docker("cp", "-L", node+":/bin/busybox", path)
	g.docker("rm", "-v", node)
	program, err := os.ReadFile(path)
	if err != nil {
		g.t.Fatal(err)
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, applet := range []string{"busybox", "sh", "mkdir", "rm", "cat", "ls", "sleep"} {
		h := &tar.Header{Name: "bin/" + applet, Mode: 0o755, Typeflag: tar.TypeSymlink, Linkname: "busybox"}
		if applet == "busybox" {
			h = &tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(program))}
		}
		if err := w.WriteHeader(h); err != nil {
			g.t.Fatal(err)
		}
		if applet == "busybox" {
			if _, err := w.Write(program); err != nil {
				g.t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		g.t.Fatal(err)
	}
	cmd := g.command(context.Background(), "docker", "import", "-", image)
	cmd.Stdin = &buf
	if out, err := cmd.CombinedOutput(); err != nil {
		g.t.Fatalf("import: %v: %s", err, out)
	}
	return image
}

// TestFailedStart makes a resume fail in every way. The volume and its content, the
// container and its log stay; the exit code and the message are as promised; and once
// the cause is gone, a plain start succeeds.
func TestFailedStart(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	name := g.gateway("fail")
	p := port()
	g.must("gateway", "start", name, "--port", p)
	g.mark(name, "kept")
	before := g.state(name)
	id := g.inspect(name, "{{.Id}}")
	g.must("gateway", "stop", name)

	recovered := func(t *testing.T, want string) {
		t.Helper()
		g.must("gateway", "start", name)
		if after := g.state(name); after != before {
			t.Errorf("state changed: %+v, before %+v", after, before)
		}
		if got := g.inspect(name, "{{.Id}}"); want != "" && got != want {
			t.Errorf("container %s, want %s", got, want)
		}
		g.must("gateway", "stop", name)
	}
	kept := func(t *testing.T) {
		t.Helper()
		if got := g.docker("volume", "inspect", "-f", "{{.CreatedAt}}", object(name)); got != before.Volume {
			t.Errorf("the volume is another: %s", got)
		}
		if g.inspect(name, "{{.Id}}") != id {
			t.Error("the container is another")
		}
		g.docker("logs", "--tail", "1", object(name))
	}

	t.Run("W7 W25 W37: the port is taken by a process", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:"+p)
		if err != nil {
			t.Fatal(err)
		}
		g.fails(1, []string{"port " + p + " on 127.0.0.1 is taken", "--port"}, "gateway", "start", name)
		kept(t)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		recovered(t, id)
	})
	t.Run("W25: the port is taken by a container, which is named", func(t *testing.T) {
		g.docker("run", "-d", "--name", "port-holder", "-p", "127.0.0.1:"+p+":80", "--entrypoint", "/bin/sleep", g.shellImage(), "600")
		defer g.run("docker", "rm", "-f", "-v", "port-holder")
		g.fails(1, []string{"port " + p + " on 127.0.0.1 is taken by container \"port-holder\"", "--port"}, "gateway", "start", name)
		kept(t)
		g.fails(1, []string{"taken by container \"port-holder\""}, "gateway", "start", name, "--recreate")
		kept(t)
		g.docker("rm", "-f", "-v", "port-holder")
		recovered(t, id)
	})
	t.Run("timeout", func(t *testing.T) {
		g.fails(1, []string{"not ready after 1s", "run the same command again"}, "gateway", "start", name, "--timeout", "1s")
		kept(t)
		if g.inspect(name, "{{.State.Status}}") != "running" {
			t.Error("the container does not go on booting")
		}
		recovered(t, id)
	})
	t.Run("Ctrl-C", func(t *testing.T) {
		cmd := g.command(context.Background(), "docker", "openshell", "gateway", "start", name, "--progress", "plain")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, 30*time.Second, "running", func() bool { return g.inspect(name, "{{.State.Status}}") == "running" })
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 130 {
			t.Errorf("exit code %d: %s", cmd.ProcessState.ExitCode(), out.String())
		}
		kept(t)
		recovered(t, id)
	})
	t.Run("W27: recreate with an image that cannot be had", func(t *testing.T) {
		g.fails(1, []string{"openshell/no-such-image:1", "cannot be pulled", "nothing was removed"},
			"gateway", "start", name, "--recreate", "--image", "openshell/no-such-image:1")
		kept(t)
		recovered(t, id)
	})
	t.Run("W30: an image without k3s crash-loops, and is named with its log", func(t *testing.T) {
		res := g.fails(1, []string{"exits again and again (exit code 127)", "holds no k3s", "--image"}, "gateway", "start", name, "--image", g.shellImage())
		if strings.Contains(res.stderr, "Corrupted") || strings.Contains(res.stderr, "cleaned up") {
			t.Errorf("W37: wrong diagnosis: %s", res.stderr)
		}
		if got := g.docker("volume", "inspect", "-f", "{{.CreatedAt}}", object(name)); got != before.Volume {
			t.Error("the volume is another")
		}
		g.docker("logs", "--tail", "1", object(name))
		// The command that the message names.
		g.must("gateway", "start", name, "--image", os.Getenv("OPENSHELL_CLUSTER_IMAGE"))
		g.must("gateway", "stop", name)
		recovered(t, "")
	})
	t.Run("an image without a shell", func(t *testing.T) {
		load := g.command(t.Context(), "sh", "-c", "docker load < \"$(../../test/gateway/image.sh build)\"")
		load.Env = append(os.Environ(), "DOCKER_HOST="+g.host)
		if out, err := load.CombinedOutput(); err != nil {
			t.Fatalf("load: %v: %s", err, out)
		}
		g.fails(1, []string{"cannot run a node", "--image"}, "gateway", "start", name, "--image", os.Getenv("OPENSHELL_GATEWAY_IMAGE"))
		g.must("gateway", "start", name, "--image", os.Getenv("OPENSHELL_CLUSTER_IMAGE"))
		g.must("gateway", "stop", name)
		recovered(t, "")
	})
	t.Run("the plugin is killed, at several moments, and the container is lost", func(t *testing.T) {
		for _, after := range []time.Duration{20, 60, 120, 200, 400, 900, 2500} {
			cmd := g.command(context.Background(), "docker", "openshell", "gateway", "start", name)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(after * time.Millisecond)
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Log("the command was done before it was killed")
			}
			g.run("docker", "rm", "-f", "-v", object(name))
		}
		recovered(t, "")
	})
}
