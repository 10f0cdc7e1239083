package e2e

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// TestSandboxSurvives: a sandbox that was made before works after everything that
// happens to a gateway.
func TestSandboxSurvives(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	name := g.gateway("keep")
	g.must("gateway", "start", name, "--port", port())
	b := g.box(name, "box")
	b.works(t)

	t.Run("stop and start", func(t *testing.T) {
		g.must("gateway", "stop", name)
		g.must("gateway", "start", name)
		b.works(t)
	})
	t.Run("the container is removed", func(t *testing.T) {
		g.docker("rm", "-f", "-v", object(name))
		g.must("gateway", "start", name)
		b.works(t)
	})
	t.Run("a command resumes it", func(t *testing.T) {
		g.must("gateway", "stop", name)
		res := g.must("-g", name, "sandbox", "exec", "-n", "box", "--", "cat", "work")
		if res.stdout != boxText+"\n" || !strings.Contains(res.stderr, "resuming it") {
			t.Errorf("%q %q", res.stdout, res.stderr)
		}
	})
	t.Run("the port moves", func(t *testing.T) {
		g.must("gateway", "start", name, "--port", port())
		b.works(t)
	})
	t.Run("the node image is another", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM "+os.Getenv("OPENSHELL_CLUSTER_IMAGE")+"\nLABEL test.upgrade=yes\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		g.env = append(g.env, "DOCKER_BUILDKIT=0")
		g.docker("build", "-q", "-t", "openshell/test-node-upgrade:1", dir)
		t.Cleanup(func() { g.run("docker", "rmi", "openshell/test-node-upgrade:1") })
		g.must("gateway", "start", name, "--image", "openshell/test-node-upgrade:1")
		b.works(t)
		g.must("gateway", "start", name, "--image", os.Getenv("OPENSHELL_CLUSTER_IMAGE"))
		b.works(t)
	})
	t.Run("a secret that was made anew is noticed", func(t *testing.T) {
		old := g.secret(name, "openshell-ssh-handshake", "secret")
		other := strings.Repeat("0123456789abcdef", 4)
		g.setSecret(name, "openshell-ssh-handshake", "secret", other)
		g.kubectl(name, "delete", "pod", "openshell-0", "--wait=true")
		g.must("gateway", "start", name, "--timeout", "2m")
		res := g.fails(1, []string{`sandbox "box" refused the gateway's connection`, "older SSH handshake secret"}, "-g", name, "sandbox", "exec", "-n", "box", "--", "true")
		if strings.Contains(res.stderr, old) || strings.Contains(res.stderr, other) {
			t.Error("the secret is in the error")
		}
		if ssh := b.ssh("", "cat work"); ssh.code == 0 {
			t.Error("ssh works with another secret")
		}
		if status := g.must("status", "-g", name); !strings.Contains(status.stdout, "refuse SSH until they are made anew: box") {
			t.Errorf("status: %q", status.stdout)
		}
		g.setSecret(name, "openshell-ssh-handshake", "secret", old)
		g.kubectl(name, "delete", "pod", "openshell-0", "--wait=true")
		g.must("gateway", "start", name)
		b.works(t)
	})
}

// sessionsOf lists the SSH sessions that the server has recorded for a sandbox.
func (g *ground) sessionsOf(gateway, sandbox string) (open, all int) {
	g.t.Helper()
	var list []struct {
		Sandbox string
		Revoked bool
	}
	g.server(gateway, &list, "get", "--raw", serverProxy+"/sessions")
	for _, s := range list {
		if s.Sandbox != sandbox {
			continue
		}
		all++
		if !s.Revoked {
			open++
		}
	}
	return open, all
}

// TestSandboxCommands: what a user does with a sandbox, and what goes wrong.
func TestSandboxCommands(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	name := g.gateway("work")
	g.must("gateway", "start", name, "--port", port())
	b := g.box(name, "box")
	sb := func(args ...string) []string { return append([]string{"-g", name, "sandbox"}, args...) }
	sandbox := func(args ...string) result { g.t.Helper(); return g.openshell(sb(args...)...) }

	// Two sessions idle over several keep-alives while the rest goes on.
	var idle sync.WaitGroup
	idle.Go(func() {
		if res := b.ssh("", "sleep 40; echo awake"); res.stdout != "awake\n" {
			t.Errorf("ssh that idles: %+v", res)
		}
	})
	idle.Go(func() {
		if res := sandbox("exec", "-n", "box", "--", "sh", "-c", "sleep 40; echo awake"); res.stdout != "awake\n" {
			t.Errorf("exec that idles: %+v", res)
		}
	})

	t.Run("exec passes everything through", func(t *testing.T) {
		if res := sandbox("exec", "--", "sh", "-c", "echo out; echo err >&2; exit 7"); res.code != 7 || res.stdout != "out\n" || !strings.HasSuffix(res.stderr, "err\n") {
			t.Errorf("%+v", res)
		}
		odd := "a b 'c' \"d\" $HOME `id` \\ * \nline"
		if res := sandbox("exec", "-n", "box", "--", "printf", "%s|", odd, ""); res.stdout != odd+"||" {
			t.Errorf("W40: arguments became %q", res.stdout)
		}
		if res := sandbox("exec", "-n", "box", "-e", "A=x y", "-w", "/tmp", "--", "sh", "-c", `echo "$A $PWD"`); res.stdout != "x y /tmp\n" {
			t.Errorf("environment and directory: %q", res.stdout)
		}
		if res := sandbox("exec", "-n", "box", "--timeout", "1", "--", "sleep", "30"); res.code != 124 {
			t.Errorf("timeout: exit code %d", res.code)
		}
		if res := sandbox("exec", "-n", "box", "--", "sh", "-c", "kill -KILL $$"); res.code != 137 {
			t.Errorf("killed by a signal: exit code %d", res.code)
		}
	})
	t.Run("a signal is the command's", func(t *testing.T) {
		cmd := g.command(t.Context(), append([]string{program(t)}, sb("exec", "-n", "box", "--", "sh", "-c",
			"trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.1; done")...)...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ready := make([]byte, len("ready\n"))
		if _, err := io.ReadFull(out, ready); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(out)
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 9 || string(rest) != "caught\n" {
			t.Errorf("%v: %q", err, rest)
		}
	})
	t.Run("a terminal is handed over", func(t *testing.T) {
		cmd := g.command(t.Context(), append([]string{"docker", "openshell"}, sb("exec", "-n", "box", "--", "sh", "-c",
			"trap 'echo caught; exit 9' INT; stty size; read line; stty size; echo ready; while :; do sleep 0.1; done")...)...)
		cmd.Env = append(cmd.Env, "TERM=xterm")
		terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 33, Cols: 111})
		if err != nil {
			t.Fatal(err)
		}
		defer terminal.Close()
		screen := bufio.NewReader(terminal)
		var seen strings.Builder
		until := func(text string) {
			t.Helper()
			for {
				line, err := screen.ReadString('\n')
				seen.WriteString(line)
				if err != nil {
					t.Fatalf("%v before %q: %q", err, text, seen.String())
				}
				if strings.TrimRight(line, "\r\n") == text {
					return
				}
			}
		}
		until("33 111")
		if err := pty.Setsize(terminal, &pty.Winsize{Rows: 44, Cols: 122}); err != nil {
			t.Fatal(err)
		}
		// The kernel's signal of it has no answer that could be waited for.
		eventually(t, 10*time.Second, "the new size arrives", func() bool {
			res := sandbox("exec", "-n", "box", "--", "sh", "-c", "for t in /dev/pts/[0-9]*; do stty -F $t size 2>/dev/null; done; true")
			return strings.Contains(res.stdout, "44 122\n")
		})
		if _, err := terminal.WriteString("\r"); err != nil {
			t.Fatal(err)
		}
		until("44 122")
		until("ready")
		if _, err := terminal.WriteString("\x03"); err != nil {
			t.Fatal(err)
		}
		until("^Ccaught")
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 9 {
			t.Errorf("%v: %q", err, seen.String())
		}
	})
	t.Run("files", func(t *testing.T) {
		dir := t.TempDir()
		write := func(name, text string) {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write("a file", "one")
		write("sub/-x", "two")
		write(".gitignore", "*.log\n")
		write("noise.log", "three")
		if out, err := exec.CommandContext(t.Context(), "git", "-C", dir, "init", "-q").CombinedOutput(); err != nil {
			t.Fatalf("git init: %v: %s", err, out)
		}
		g.must(sb("upload", "box", dir, "/sandbox/up load")...)
		if res := sandbox("exec", "-n", "box", "-w", "/sandbox/up load", "--", "find", ".", "-type", "f"); strings.Contains(res.stdout, "noise") || !strings.Contains(res.stdout, "./sub/-x") {
			t.Errorf("uploaded: %q", res.stdout)
		}
		back := filepath.Join(t.TempDir(), "back")
		g.must(sb("download", "box", "/sandbox/up load", back)...)
		if data, err := os.ReadFile(filepath.Join(back, "sub", "-x")); err != nil || string(data) != "two" {
			t.Errorf("downloaded: %q %v", data, err)
		}
		g.fails(1, []string{"No such file"}, sb("download", "box", "/nowhere", back)...)
		// What OpenSSH's own tools do.
		cmd := g.command(t.Context(), "scp", "-F", b.config, filepath.Join(dir, "a file"), "openshell-box:copied")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("scp: %v: %s", err, out)
		}
		if res := b.ssh("", "cat copied"); res.stdout != "one" {
			t.Errorf("copied by scp: %+v", res)
		}
	})
	t.Run("sequential and parallel", func(t *testing.T) {
		for i := range 50 {
			if res := b.ssh("", fmt.Sprintf("echo %d", i)); res.stdout != fmt.Sprintf("%d\n", i) {
				t.Fatalf("%d: %+v", i, res)
			}
		}
		var group sync.WaitGroup
		for i := range 10 {
			group.Go(func() {
				if res := sandbox("exec", "-n", "box", "--", "sh", "-c", fmt.Sprintf("sleep 1; echo %d", i)); res.stdout != fmt.Sprintf("%d\n", i) {
					t.Errorf("%d: %+v", i, res)
				}
			})
		}
		group.Wait()
	})
	t.Run("100 MB each way", func(t *testing.T) {
		data := make([]byte, 100<<20)
		if _, err := rand.Read(data); err != nil {
			t.Fatal(err)
		}
		sum := digest(string(data))
		if res := b.ssh(string(data), "tee big | sha256sum"); !strings.HasPrefix(res.stdout, sum) {
			t.Errorf("up: %.100q %q", res.stdout, res.stderr)
		}
		if res := b.ssh("", "cat big"); digest(res.stdout) != sum {
			t.Errorf("down: %d bytes, %q", len(res.stdout), res.stderr)
		}
		cmd := g.command(t.Context(), append([]string{"docker", "openshell"}, sb("exec", "-n", "box", "--", "tee", "big")...)...)
		cmd.Stdin = strings.NewReader(string(data))
		out, err := cmd.Output()
		if err != nil || digest(string(out)) != sum {
			t.Errorf("both ways at once: %d bytes, %v", len(out), err)
		}
	})
	idle.Wait()
	t.Run("W31: nothing stays behind", func(t *testing.T) {
		eventually(t, 20*time.Second, "all sessions are revoked", func() bool {
			open, all := g.sessionsOf(name, "box")
			return open == 0 && all > 60
		})
		res := g.must(sb("create", "--name", "gone", "--no-keep", "--", "true")...)
		if !strings.Contains(res.stdout, "Created sandbox: gone") {
			t.Errorf("said %q", res.stdout)
		}
		g.env = append(g.env, "OPENSHELL_PROVISION_TIMEOUT=5")
		g.fails(1, []string{"did not become ready in time"}, sb("create", "--name", "never", "--from", "localhost/no-such-image:1")...)
		g.env = nil
		eventually(t, time.Minute, "both are deleted", func() bool { return sandbox("ls", "-q").stdout == "box\n" })
		g.fails(1, []string{"upload"}, sb("create", "--name", "never", "--upload", "/no/such/file")...)
	})
	t.Run("an image of this Engine", func(t *testing.T) {
		dir := t.TempDir()
		for file, text := range map[string]string{"Dockerfile": "FROM " + g.sandboxImage() + "\nCOPY mark /etc/mark\n", "mark": "built here\n"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		g.env = []string{"DOCKER_BUILDKIT=0"}
		res := g.must(sb("create", "--name", "built", "--from", dir, "--", "cat", "/etc/mark")...)
		g.env = nil
		if !strings.HasSuffix(res.stdout, "\nbuilt here\n") {
			t.Errorf("%+v", res)
		}
		g.docker("tag", g.sandboxImage(), "openshell/test-pushed:1")
		if res := g.must("-g", name, "image", "push", "openshell/test-pushed:1"); res.stdout != "docker.io/openshell/test-pushed:1\n" {
			t.Errorf("pushed: %q", res.stdout)
		}
		g.docker("rm", "-f", "-v", object(name))
		g.must("gateway", "start", name)
		pinned := g.docker("exec", object(name), "ctr", "-n", "k8s.io", "images", "ls", "name==docker.io/openshell/test-pushed:1")
		if !strings.Contains(pinned, "pinned") {
			t.Errorf("after the container was rebuilt: %q", pinned)
		}
		g.fails(1, []string{"is not on this daemon"}, "-g", name, "image", "push", "no/such:1")
	})
	t.Run("a session that is cut", func(t *testing.T) {
		b.works(t)
		cmd := g.command(t.Context(), append([]string{"docker", "openshell"}, sb("exec", "-n", "box", "--", "sh", "-c", "echo ready; sleep 300")...)...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
			t.Fatal(err)
		}
		g.docker("kill", object(name))
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), "was cut") {
			t.Errorf("%v: %q", err, stderr.String())
		}
		g.must("gateway", "start", name)
		b.works(t)
	})
	t.Run("lists", func(t *testing.T) {
		var row struct{ Name, Phase string }
		if err := json.Unmarshal([]byte(g.must(sb("get", "box", "--format", "json")...).stdout), &row); err != nil || row.Name != "box" {
			t.Errorf("%v %+v", err, row)
		}
		if ids := g.must(sb("ls", "--ids", "--limit", "1")...).stdout; len(strings.TrimSpace(ids)) != 36 {
			t.Errorf("ids: %q", ids)
		}
		if log := g.must(sb("logs", "box")...).stdout; !strings.Contains(log, "gateway") {
			t.Errorf("log: %q", log)
		}
		g.must(sb("delete", "built")...)
		g.fails(1, []string{`there is no sandbox "built"`}, sb("rm", "built")...)
		g.must(sb("rm", "--force", "built")...)
		g.fails(1, []string{"no sandbox is deleted"}, sb("rm", "--all")...)
	})
	t.Run("the relay of the later generation", func(t *testing.T) {
		g.kubectl(name, "set", "env", "statefulset/openshell", "OPENSHELL_TEST_RELAY=true")
		g.kubectl(name, "rollout", "status", "statefulset/openshell", "--timeout=60s")
		var relayed *box
		eventually(t, 30*time.Second, "the server answers", func() bool { return sandbox("ls").code == 0 })
		relayed = g.box(name, "relayed")
		relayed.works(t)
		if res := relayed.ssh("through the relay", "cat; exit 3"); res.code != 3 || res.stdout != "through the relay" {
			t.Errorf("%+v", res)
		}
		g.must(sb("rm", "relayed")...)
		g.kubectl(name, "set", "env", "statefulset/openshell", "OPENSHELL_TEST_RELAY-")
	})
	t.Run("bad input", func(t *testing.T) {
		for text, args := range map[string][]string{
			"lower-case":          {"create", "--name", "Bad"},
			"is the name of a":    {"create", "--name", "openshell"},
			"invalid reference":   {"create", "--from", "A:B:C"},
			"no Dockerfile":       {"create", "--from", t.TempDir()},
			"no such file":        {"create", "--upload", "/no/such/file"},
			"cannot be the name":  {"get", "a b;id"},
			"no environment":      {"exec", "-n", "box", "-e", "1A=b", "--", "true"},
			"there is no sandbox": {"exec", "-n", "nope", "--", "true"},
		} {
			g.fails(1, []string{text}, sb(args...)...)
		}
		g.fails(125, []string{"use https://HOST:PORT"}, "sandbox", "ls", "--gateway-endpoint", "ftp://x")
		g.fails(125, []string{"--policy is not supported"}, sb("create", "--policy", "x")...)
		g.fails(1, []string{`there is no gateway "mistyped"`}, "-g", "mistyped", "sandbox", "create")
	})
	t.Run("W11: a flag that cannot be honoured is an error", func(t *testing.T) {
		before := sandbox("ls", "-q").stdout
		g.fails(1, []string{"Docker context"}, sb("create", "--remote", "me@box")...)
		if now := sandbox("ls", "-q").stdout; now != before {
			t.Errorf("sandboxes %q, before %q", now, before)
		}
	})
}

// sandboxImage loads the sandboxes' image into the Engine: the node has it in its own
// store alone.
func (g *ground) sandboxImage() string {
	g.t.Helper()
	image := os.Getenv("OPENSHELL_SANDBOX_IMAGE")
	if g.run("docker", "image", "inspect", image).code == 0 {
		return image
	}
	out, err := exec.CommandContext(context.Background(), filepath.Join(repository(g.t), "test", "sandbox", "image.sh"), "build").Output()
	if err != nil {
		g.t.Fatalf("build the sandbox image: %v", err)
	}
	g.docker("load", "-q", "-i", strings.TrimSpace(string(out)))
	return image
}
