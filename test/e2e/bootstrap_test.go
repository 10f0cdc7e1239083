package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestBootstrap: "sandbox create" brings up a gateway from whatever is there, makes one
// where there is nothing, and rebuilds one only where its state is broken.
func TestBootstrap(t *testing.T) {
	t.Parallel()
	const engine = "e2e-boot"
	g := isolated(t, engine)
	const name = "openshell" // the one that is meant when nothing names one
	sb := func(args ...string) []string { return append([]string{"sandbox"}, args...) }
	volume := func() string {
		res := g.run("docker", "volume", "inspect", "-f", "{{.CreatedAt}}", object(name))
		if res.code != 0 {
			return ""
		}
		return res.stdout
	}
	// rebuilt says whether a state was set aside.
	rebuilt := func() bool { return g.must("gateway", "snapshot", "ls", "-q", name).stdout != "" }

	t.Run("nothing, and not asked for", func(t *testing.T) {
		g.fails(1, []string{"there is no gateway", "docker openshell gateway start"}, sb("create", "--no-bootstrap")...)
		g.fails(1, []string{`there is no gateway "mistyped"`}, "-g", "mistyped", "sandbox", "create")
		g.fails(1, []string{"there is no gateway"}, sb("ls")...)
		g.env = []string{"OPENSHELL_GATEWAY=mistyped"}
		g.fails(1, []string{`there is no gateway "mistyped" (named by the environment variable OPENSHELL_GATEWAY)`}, sb("create")...)
		g.env = nil
		metadata := filepath.Join(g.config(), "openshell", "gateways", name, "metadata.json")
		if err := os.MkdirAll(filepath.Dir(metadata), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(metadata, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		g.fails(1, []string{"metadata"}, sb("create")...)
		if err := os.RemoveAll(g.config()); err != nil {
			t.Fatal(err)
		}
		if volume() != "" {
			t.Error("a volume was made")
		}
	})
	t.Run("nothing, and two at once", func(t *testing.T) {
		var group sync.WaitGroup
		for _, box := range []string{"one", "two"} {
			group.Go(func() {
				if res := g.openshell(sb("create", "--name", box)...); res.code != 0 || res.stdout != "Created sandbox: "+box+"\n" {
					t.Errorf("%+v", res)
				}
			})
		}
		group.Wait()
		if boxes := g.must(sb("ls", "-q")...).stdout; !strings.Contains(boxes, "one\n") || !strings.Contains(boxes, "two\n") {
			t.Errorf("sandboxes: %q", boxes)
		}
	})
	b := g.box(name, "box")
	made := volume()
	kept := func(t *testing.T) {
		t.Helper()
		if volume() != made || rebuilt() {
			t.Error("W9: the gateway was rebuilt")
		}
	}
	t.Run("W12: stopped", func(t *testing.T) {
		g.must("gateway", "stop")
		if res := g.fails(1, []string{"cannot be reached", "docker openshell gateway start " + name}, sb("create", "--no-bootstrap")...); strings.Contains(res.stderr, "destroy") {
			t.Errorf("it leads to a loss of data: %q", res.stderr)
		}
		if got := g.inspect(name, "{{.State.Status}}"); got != "exited" {
			t.Errorf("the container is %s", got)
		}
		res := g.must(sb("create", "--no-keep", "--", "true")...)
		if !strings.Contains(res.stderr, "resuming it") {
			t.Errorf("it does not say what it does: %q", res.stderr)
		}
		kept(t)
		b.works(t)
	})
	t.Run("W10: files that cannot be read", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(g.config(), "openshell", "gateways", name, "metadata.json"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		g.must(sb("create", "--no-keep", "--", "true")...)
		kept(t)
		b.works(t)
	})
	t.Run("volume only", func(t *testing.T) {
		g.docker("rm", "-f", "-v", object(name))
		g.must(sb("create", "--no-keep", "--", "true")...)
		kept(t)
		b.works(t)
	})
	t.Run("W9: causes that a recreate does not cure", func(t *testing.T) {
		g.must("gateway", "stop")
		t.Run("port", func(t *testing.T) {
			g.docker("rm", "-f", "-v", object(name))
			g.docker("run", "-d", "--name", "holder", "-p", "127.0.0.1:8080:1", "--entrypoint", "sleep", os.Getenv("OPENSHELL_CLUSTER_IMAGE"), "1000")
			g.fails(1, []string{"port 8080"}, sb("create")...)
			g.docker("rm", "-f", "-v", "holder")
			g.must("gateway", "start")
			kept(t)
		})
		t.Run("image", func(t *testing.T) {
			g.docker("rm", "-f", "-v", object(name))
			image := os.Getenv("OPENSHELL_CLUSTER_IMAGE")
			g.docker("tag", image, "openshell/kept:1")
			id := g.docker("image", "inspect", "-f", "{{.Id}}", image)
			saved := filepath.Join(t.TempDir(), "image.tar")
			g.docker("save", "-o", saved, image)
			g.docker("rmi", "-f", id)
			g.fails(1, []string{"image"}, sb("create")...)
			g.docker("load", "-q", "-i", saved)
			g.must("gateway", "start")
			kept(t)
		})
		t.Run("somebody else's hand", func(t *testing.T) {
			g.must("gateway", "stop")
			// Each finds what the one before has left.
			for _, hand := range [][2]string{{"stop", "was stopped"}, {"pause", "was paused"}, {"rm -f", "was removed"}} {
				argv := append([]string{program(t)}, sb("create")...)
				res := g.when(argv, says("Waiting for the gateway"), func(*os.Process) error {
					g.docker(append(strings.Fields(hand[0]), object(name))...)
					return nil
				})
				if res.code != 1 || !strings.Contains(res.stderr, hand[1]) {
					t.Errorf("docker %s: exit code %d, said %q", hand[0], res.code, res.stderr)
				}
			}
			g.must("gateway", "start")
			kept(t)
		})
		t.Run("daemon", func(t *testing.T) {
			g.must("gateway", "stop")
			engineScript(t, "kill", engine)
			g.fails(1, []string{"start Docker"}, sb("create")...)
			engineScript(t, "resume", engine)
			g.must("gateway", "start")
			kept(t)
		})
	})
	t.Run("W9: the disk is full", func(t *testing.T) {
		const name = "small"
		g.smallVolume(name, "600M")
		g.gateway(name)
		// The filesystem's own directory keeps the Engine from filling the volume with what
		// the image has at its place.
		g.docker("run", "--rm", "-v", object(name)+":/v", "--entrypoint", "rmdir", os.Getenv("OPENSHELL_CLUSTER_IMAGE"), "/v/lost+found")
		g.must("gateway", "start", name, "--port", port())
		b := g.box(name, "box")
		g.must("gateway", "stop", name)
		inVolume := func(script string) {
			g.docker("run", "--rm", "-v", object(name)+":/v", "--entrypoint", "sh", os.Getenv("OPENSHELL_CLUSTER_IMAGE"), "-c", script)
		}
		inVolume("dd if=/dev/zero of=/v/filler bs=64k 2>/dev/null; dd if=/dev/zero of=/v/rest bs=1 2>/dev/null; true")
		g.fails(1, []string{"no space left on device"}, "-g", name, "sandbox", "create")
		inVolume("rm /v/filler /v/rest")
		if g.must("gateway", "snapshot", "ls", "-q", name).stdout != "" {
			t.Error("the gateway was rebuilt")
		}
		g.must("gateway", "start", name)
		b.works(t)
		g.must("gateway", "destroy", "--force", name)
	})
	b.works(t)
	t.Run("broken", func(t *testing.T) {
		g.must("gateway", "stop")
		g.docker("run", "--rm", "-v", object(name)+":/v", "--entrypoint", "sh", os.Getenv("OPENSHELL_CLUSTER_IMAGE"),
			"-c", "for f in /v/server/db/*.db*; do echo garbage-garbage-garbage > $f; done")
		g.fails(1, nil, sb("create", "--no-bootstrap")...)
		res := g.must(sb("create", "--name", "fresh", "--", "echo", "hello")...)
		if !strings.Contains(res.stderr, "docker openshell gateway restore "+name) || !strings.HasSuffix(res.stdout, "hello\n") {
			t.Errorf("%q %q", res.stdout, res.stderr)
		}
		if !rebuilt() {
			t.Error("the old state is not kept")
		}
		eventually(t, time.Minute, "the new gateway is healthy", func() bool { return g.openshell("status").code == 0 })
	})
}

// smallVolume makes a gateway's volume on a disk of its own.
func (g *ground) smallVolume(name, size string) {
	g.t.Helper()
	disk := filepath.Join(g.t.TempDir(), "disk.img")
	for _, argv := range [][]string{{"truncate", "-s", size, disk}, {"mkfs.ext4", "-q", "-m", "0", disk}} {
		if res := g.run(argv...); res.code != 0 {
			g.t.Fatalf("%q: %s", argv, res.stderr)
		}
	}
	res := g.run("losetup", "--find", "--show", disk)
	if res.code != 0 {
		g.t.Fatalf("losetup: %s", res.stderr)
	}
	device := strings.TrimSpace(res.stdout)
	g.t.Cleanup(func() { g.run("losetup", "--detach", device) })
	g.docker("volume", "create", "--opt", "type=ext4", "--opt", "device="+device,
		"--label", "io.github.docker-openshell.gateway="+name, object(name))
}
