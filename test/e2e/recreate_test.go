package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cutOff begins a recreate and sends a signal when the given step begins. It reports
// false if the recreate ended before that.
func (g *ground) cutOff(name, step string, sig syscall.Signal) bool {
	g.t.Helper()
	return g.signalAt(step, sig, "gateway", "start", "--recreate", "--progress", "json", name)
}

// signalAt does the same with any command that tells its progress as JSON.
func (g *ground) signalAt(step string, sig syscall.Signal, args ...string) bool {
	g.t.Helper()
	begins := func(line string) bool {
		var e struct{ Step string }
		return json.Unmarshal([]byte(line), &e) == nil && e.Step == step
	}
	sent := false
	// The plugin itself, so that the signal meets what does the work.
	g.when(append([]string{program(g.t)}, args...), begins, func(p *os.Process) error {
		sent = true
		return p.Signal(sig)
	})
	return sent
}

// helpers are the IDs of a gateway's short-lived containers that are there.
func (g *ground) helpers(name string) []string {
	g.t.Helper()
	var ids []string
	for line := range strings.Lines(g.docker("ps", "-a", "--format", `{{.ID}} {{.Label "io.github.docker-openshell.helper"}}`)) {
		if id, purpose, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasSuffix(purpose, " "+object(name)) {
			ids = append(ids, id)
		}
	}
	return ids
}

// leftovers are containers and snapshots that should not be there.
func (g *ground) leftovers(name string) string {
	g.t.Helper()
	old := g.docker("ps", "-aq", "--filter", "name=openshell-old-"+name)
	own := g.docker("exec", object(name), "sh", "-c", "ls -A /var/lib/rancher/k3s/.openshell 2>/dev/null; ls -A /var/lib/rancher/k3s/.openshell/snapshots 2>/dev/null; true")
	return strings.TrimSpace(strings.ReplaceAll(strings.Join(g.helpers(name), " ")+old+own, "snapshots", ""))
}

// TestRecreateCutOff kills a recreate at each of its steps. After one plain start the
// old gateway is back with its sandboxes, or the new one is complete.
func TestRecreateCutOff(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	name := g.gateway("cut")
	g.must("gateway", "start", name, "--port", port())
	b := g.box(name, "box")
	before := digest(g.secret(name, "openshell-ssh-handshake", "secret"))

	for _, step := range []string{"ensure-image", "stop-container", "keep-container", "set-aside", "ensure-network",
		"create-container", "write-files", "start-container", "wait-ready"} {
		t.Run("killed at "+step, func(t *testing.T) {
			if !g.cutOff(name, step, syscall.SIGKILL) {
				t.Fatal("there was no such step")
			}
			g.must("gateway", "start", name)
			if now := digest(g.secret(name, "openshell-ssh-handshake", "secret")); now != before {
				t.Fatal("the old gateway is not back")
			}
			b.works(t)
			if left := g.leftovers(name); left != "" {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// TestRecreateFails interrupts a recreate, lets it fail, and kills it at its end: the old
// gateway is back, or the new one is complete, and it is said which.
func TestRecreateFails(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	name := g.gateway("undo")
	g.must("gateway", "start", name, "--port", port())
	b := g.box(name, "box")

	t.Run("interrupted", func(t *testing.T) {
		cmd := []string{program(t), "gateway", "start", "--recreate", name}
		res := g.interruptAt(cmd, "Waiting for the gateway")
		if res.code != 130 || !strings.Contains(res.stderr, "the old gateway is back") {
			t.Errorf("exit code %d: %q", res.code, res.stderr)
		}
		b.works(t)
	})
	t.Run("status settles it too", func(t *testing.T) {
		g.cutOff(name, "wait-ready", syscall.SIGKILL)
		g.fails(1, []string{"stopped"}, "status", name)
		if got := g.inspect(name, "{{.Name}}"); got != "/"+object(name) {
			t.Errorf("container %s", got)
		}
		g.must("gateway", "start", name)
		b.works(t)
	})
	t.Run("it fails", func(t *testing.T) {
		id := g.inspect(name, "{{.Id}} {{.State.StartedAt}}")
		g.fails(1, []string{"cannot be pulled"}, "gateway", "start", name, "--recreate", "--image", "localhost:1/no/such:1")
		if now := g.inspect(name, "{{.Id}} {{.State.StartedAt}}"); now != id {
			t.Error("the container was touched")
		}
		holder := g.holdPort(t)
		g.fails(1, []string{"port " + holder}, "gateway", "start", name, "--recreate", "--port", holder)
		if now := g.inspect(name, "{{.Id}} {{.State.StartedAt}}"); now != id {
			t.Error("the container was touched")
		}
		g.fails(1, []string{"the old gateway is back"}, "gateway", "start", name, "--recreate", "--image", g.shellImage())
		g.must("gateway", "start", name)
		b.works(t)
		g.fails(1, []string{"not ready after 3s", "the old gateway is back"}, "gateway", "start", name, "--recreate", "--timeout", "3s")
		g.must("gateway", "start", name)
		b.works(t)
	})
	for _, step := range []string{"settle", "remove-old", "update-files"} {
		t.Run("killed at "+step, func(t *testing.T) {
			before := digest(g.secret(name, "openshell-ssh-handshake", "secret"))
			if !g.cutOff(name, step, syscall.SIGKILL) {
				t.Fatal("there was no such step")
			}
			g.must("gateway", "start", name)
			g.must("status", name)
			// The node's own health check may not have run by then: either is whole.
			boxes := g.must("-g", name, "sandbox", "ls", "-q").stdout
			if now := digest(g.secret(name, "openshell-ssh-handshake", "secret")); now == before && !(step == "settle" && boxes == "box\n") {
				t.Errorf("neither the old gateway nor a new one: sandboxes %q", boxes)
			}
			if left := g.leftovers(name); left != "" {
				t.Errorf("left: %q", left)
			}
		})
	}
	t.Run("the files for clients cannot be written", func(t *testing.T) {
		before := digest(g.secret(name, "openshell-ssh-handshake", "secret"))
		file := filepath.Join(g.config(), "openshell", "gateways", name, "docker.json")
		if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o700)); err != nil {
			t.Fatal(err)
		}
		res := g.fails(1, []string{"docker.json"}, "gateway", "start", name, "--recreate")
		if strings.Contains(res.stderr, "the old gateway is back") {
			t.Errorf("it is not: %q", res.stderr)
		}
		if digest(g.secret(name, "openshell-ssh-handshake", "secret")) == before {
			t.Error("the new gateway did not stay")
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		g.must("gateway", "start", name)
		g.must("status", name)
		if left := g.leftovers(name); left != "" {
			t.Errorf("left: %q", left)
		}
	})
}

// holdPort takes a port of the daemon's host until the test ends.
func (g *ground) holdPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// interruptAt runs a command and interrupts it when it says something.
func (g *ground) interruptAt(argv []string, text string) result {
	g.t.Helper()
	return g.when(argv, says(text), func(p *os.Process) error { return p.Signal(os.Interrupt) })
}

// says matches a line that holds the text.
func says(text string) func(string) bool {
	return func(line string) bool { return strings.Contains(line, text) }
}

// when runs a command and does something, once, at the first line of its progress that
// matches.
func (g *ground) when(argv []string, matches func(line string) bool, do func(*os.Process) error) result {
	g.t.Helper()
	cmd := g.command(g.t.Context(), argv...)
	out, err := cmd.StderrPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	var said strings.Builder
	lines := bufio.NewScanner(out)
	done := false
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if !done && matches(lines.Text()) {
			done = true
			if err := do(cmd.Process); err != nil {
				g.t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		if _, exited := err.(*exec.ExitError); !exited {
			g.t.Fatal(err)
		}
	}
	return result{stderr: said.String(), code: cmd.ProcessState.ExitCode()}
}

// TestSnapshots: a recreate that keeps the old state, and the way back.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	name := g.gateway("snap")
	g.must("gateway", "start", name, "--port", port())
	b := g.box(name, "box")
	g.fails(1, []string{"add --recreate"}, "gateway", "start", name, "--keep-old")
	g.fails(1, []string{"has no snapshots"}, "gateway", "restore", name, "nope")

	res := g.must("gateway", "start", name, "--recreate", "--keep-old")
	if !strings.Contains(res.stderr, "docker openshell gateway restore "+name) {
		t.Errorf("it does not say how to get the state back: %q", res.stderr)
	}
	if boxes := g.must("-g", name, "sandbox", "ls", "-q").stdout; boxes != "" {
		t.Errorf("the new gateway has sandboxes: %q", boxes)
	}
	var row struct {
		ID, Reason, Image string
		Size              int64
		Sandboxes         []string
		Created           time.Time
	}
	list := func() string { return g.must("gateway", "snapshot", "ls", "--format", "json", name).stdout }
	if err := json.Unmarshal([]byte(list()), &row); err != nil || len(row.Sandboxes) != 1 || row.Sandboxes[0] != "box" ||
		row.Size < 1<<20 || row.Image == "" || row.Reason == "" || time.Since(row.Created) > time.Hour {
		t.Fatalf("%v: %+v", err, row)
	}
	old := row.ID
	id := g.inspect(name, "{{.Id}}")
	g.fails(1, []string{"has no snapshot"}, "gateway", "restore", name, "nope")
	if g.inspect(name, "{{.Id}}") != id {
		t.Error("the container was touched")
	}
	g.must("gateway", "restore", name, old)
	b.works(t)
	if err := json.Unmarshal([]byte(list()), &row); err != nil || row.ID == old || len(row.Sandboxes) != 0 {
		t.Fatalf("the state before is no snapshot: %v: %+v", err, row)
	}
	// A restore that is killed leaves one of the two states, and the other as the snapshot.
	for _, step := range []string{"stop-container", "remove-container", "swap-state", "create-container", "wait-ready"} {
		if !g.signalAt(step, syscall.SIGKILL, "gateway", "restore", "--progress", "json", name, row.ID) {
			t.Fatalf("killed at %s: there was no such step", step)
		}
		g.must("gateway", "start", name)
		boxes := g.must("-g", name, "sandbox", "ls", "-q").stdout
		old := row.ID
		err := json.Unmarshal([]byte(list()), &row) // fails unless there is exactly one
		if held := append(strings.Fields(boxes), row.Sandboxes...); err != nil || len(held) != 1 || held[0] != "box" {
			t.Fatalf("killed at %s: sandboxes %q, snapshot %+v: %v", step, boxes, row, err)
		}
		if (row.ID == old) != (boxes == "box\n") {
			t.Errorf("killed at %s: snapshot %s was %s, with sandboxes %q in the gateway", step, row.ID, old, boxes)
		}
		if boxes == "" {
			g.must("gateway", "restore", name, row.ID)
			if err := json.Unmarshal([]byte(list()), &row); err != nil {
				t.Fatal(err)
			}
		}
		b.works(t)
		if left := g.leftovers(name); left != row.ID {
			t.Errorf("killed at %s: left %q beside the snapshot %s", step, left, row.ID)
		}
	}
	g.fails(1, []string{"no terminal to ask on"}, "-g", name, "gateway", "snapshot", "rm", row.ID)
	plan := g.fails(1, []string{"no terminal to ask on", "snapshot " + row.ID, "with sandbox box", "Docker context"}, "gateway", "destroy", name)
	if plan.stdout != "" {
		t.Errorf("standard output: %q", plan.stdout)
	}
	g.must("-g", name, "gateway", "snapshot", "rm", "--force", row.ID)
	if list() != "" {
		t.Error("the snapshot is still there")
	}
	b.works(t)

	// W9: an interruption is no reason to rebuild anything.
	g.must("gateway", "stop", name)
	cut := g.interruptAt([]string{program(t), "-g", name, "sandbox", "create"}, "Waiting for the gateway")
	if cut.code != 130 || list() != "" {
		t.Errorf("interrupted: exit code %d, snapshots %q: %q", cut.code, list(), cut.stderr)
	}
	g.must("gateway", "start", name)
	b.works(t)
}
