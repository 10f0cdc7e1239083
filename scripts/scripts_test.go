package scripts

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain makes the test binary the stand-in for kubectl where it is called by that
// name, so that the health check's template is rendered by the real template engine.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "kubectl" {
		os.Exit(kubectl())
	}
	os.Exit(m.Run())
}

// box is a directory that a script takes for the root of its machine, and a PATH on
// which there are only the tools that a test allows and stand-ins for the others.
type box struct {
	t     *testing.T
	shell []string
	root  string
	bin   string
	env   map[string]string
	// secrets are values that no output and no argument list may hold.
	secrets []string
}

// result is what a script left behind.
type result struct {
	code           int
	stdout, stderr string
	calls          []string // the stand-ins' command lines, in order
}

// eachShell runs a test under every shell that the scripts must work in.
func eachShell(t *testing.T, test func(*box)) {
	t.Helper()
	for _, shell := range [][]string{{"dash"}, {"busybox", "sh"}} {
		t.Run(shell[0], func(t *testing.T) {
			t.Parallel()
			path, err := exec.LookPath(shell[0])
			if err != nil {
				t.Skipf("%s is not installed: %v", shell[0], err)
			}
			root := t.TempDir()
			b := &box{t: t, shell: append([]string{path}, shell[1:]...), root: root, bin: filepath.Join(root, "stubs"), env: map[string]string{}}
			for _, tool := range []string{"cat", "chmod", "cmp", "env", "ln", "mkdir", "mv", "rm", "sleep"} {
				b.tool(tool)
			}
			test(b)
		})
	}
}

// tool puts a real tool on the PATH: the one that comes with the shell, if one does.
func (b *box) tool(name string) {
	b.t.Helper()
	target := b.shell[0]
	if filepath.Base(target) != "busybox" {
		path, err := exec.LookPath(name)
		if err != nil {
			b.t.Fatal(err)
		}
		target = path
	}
	b.link(target, "stubs/"+name)
}

// stub puts a stand-in on the PATH, which notes its command line and then does what
// body says.
func (b *box) stub(name, body string) {
	b.t.Helper()
	b.executable("stubs/"+name, fmt.Sprintf("printf '%%s\\n' \"%s $*\" >>\"$OPENSHELL_ROOT/calls\"\n%s\n", name, body))
}

// executable writes a script for the machine's own shell.
func (b *box) executable(path, body string) {
	b.t.Helper()
	b.file(path, "#!/bin/sh\n"+body)
	if err := os.Chmod(b.path(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) path(p string) string { return filepath.Join(b.root, p) }

func (b *box) file(path, content string) {
	b.t.Helper()
	if err := os.MkdirAll(filepath.Dir(b.path(path)), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Remove(b.path(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.path(path), []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) dir(path string) {
	b.t.Helper()
	if err := os.MkdirAll(b.path(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) remove(path string) {
	b.t.Helper()
	if err := os.RemoveAll(b.path(path)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) link(target, path string) {
	b.t.Helper()
	b.dir(filepath.Dir(path))
	b.remove(path)
	if err := os.Symlink(target, b.path(path)); err != nil {
		b.t.Fatal(err)
	}
}

// read returns a file's content, and "" for a file that is not there.
func (b *box) read(path string) string {
	b.t.Helper()
	content, err := os.ReadFile(b.path(path))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.t.Fatal(err)
	}
	return string(content)
}

// run runs a script of this directory until it and what it started have ended.
func (b *box) run(script string, args ...string) result {
	b.t.Helper()
	path, err := filepath.Abs(script)
	if err != nil {
		b.t.Fatal(err)
	}
	b.remove("calls")
	argv := append(append(append([]string{}, b.shell...), path), args...)
	cmd := exec.CommandContext(b.t.Context(), argv[0], argv[1:]...)
	cmd.Dir = b.root
	cmd.Env = []string{"PATH=" + b.bin, "OPENSHELL_ROOT=" + b.root}
	for k, v := range b.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	calls := b.read("calls")
	for _, s := range b.secrets {
		if strings.Contains(stdout.String()+stderr.String()+calls, s) {
			b.t.Error("a secret was printed, or was an argument")
		}
	}
	r := result{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
	if calls != "" {
		r.calls = strings.Split(strings.TrimSuffix(calls, "\n"), "\n")
	}
	return r
}

// count says how many command lines begin with prefix.
func (r result) count(prefix string) int {
	n := 0
	for _, c := range r.calls {
		if strings.HasPrefix(c, prefix) {
			n++
		}
	}
	return n
}

// TestEmbedded makes sure that what is put into containers is what is tested here.
func TestEmbedded(t *testing.T) {
	for name, content := range map[string][]byte{"cluster-entrypoint.sh": Entrypoint, "cluster-healthcheck.sh": Healthcheck, "cluster-state.sh": State} {
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content, want) || !bytes.HasPrefix(content, []byte("#!/bin/sh\n")) {
			t.Errorf("%s is embedded with another content, or does not begin with #!/bin/sh", name)
		}
	}
}

// TestShellcheck holds the scripts to POSIX.
func TestShellcheck(t *testing.T) {
	path, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skipf("shellcheck is not installed: %v", err)
	}
	files, err := filepath.Glob("*.sh")
	if err != nil || len(files) < 3 {
		t.Fatalf("scripts: %v, %v", files, err)
	}
	if out, err := exec.CommandContext(t.Context(), path, append([]string{"--shell=sh"}, files...)...).CombinedOutput(); err != nil {
		t.Errorf("shellcheck: %v\n%s", err, out)
	}
}
