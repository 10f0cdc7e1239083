package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// patience is how long a command may take here; one that hangs fails its test.
const patience = 30 * time.Second

// realDocker returns an environment in which the docker client finds the plugin, and
// the client. The plugin is this test binary, under the name that docker looks for.
func realDocker(t *testing.T, socket string) (env []string, docker string) {
	t.Helper()
	docker, err := exec.LookPath("docker")
	if err != nil {
		t.Skip("no docker client on PATH")
	}
	root := t.TempDir()
	plugins := filepath.Join(root, "plugins")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string][]string{"cliPluginsExtraDirs": {plugins}})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{plugins, filepath.Join(root, "docker")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(exe, filepath.Join(plugins, "docker-openshell")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "docker", "config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	return cleanEnv(root, socket), docker
}

type result struct {
	stdout, stderr string
	code           int
}

func startable(t *testing.T, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	return cmd
}

func runCommand(t *testing.T, env []string, name string, args ...string) result {
	t.Helper()
	cmd := startable(t, env, name, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	code := exitCode(t, cmd.Run())
	return result{out.String(), errOut.String(), code}
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		t.Fatal(err)
	}
	return exit.ExitCode()
}

// TestDockerClient runs the plugin through the docker client of this machine.
func TestDockerClient(t *testing.T) {
	env, docker := realDocker(t, "/nonexistent.sock")
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"it is discovered", []string{"--help"}, 0, "openshell*", ""},
		{"help of the plugin", []string{"help", "openshell"}, 0, "Usage:  docker openshell [OPTIONS] COMMAND", ""},
		{"help of a command", []string{"help", "openshell", "gateway", "start"}, 0, "--recreate", ""},
		{"no command", []string{"openshell"}, 0, "", "Usage:  docker openshell [OPTIONS] COMMAND"},
		{"an unknown command", []string{"openshell", "bogus"}, 1, "", "unknown command: docker openshell bogus"},
		{"an unknown flag", []string{"openshell", "gateway", "start", "--bogus"}, 125, "", "unknown flag: --bogus"},
		{"completion of commands", []string{"__complete", "openshell", "gateway", "st"}, 0, "start\t", ""},
		{"completion of flags", []string{"__complete", "openshell", "gateway", "start", "--progress", ""}, 0, "plain\n", ""},
		{"no daemon", []string{"openshell", "status"}, 1, "", "hint: start Docker"},
		{"another daemon", []string{"--host", "unix:///other.sock", "openshell", "gateway", "ls"}, 1, "", "/other.sock"},
		{"a context that does not exist", []string{"--context", "nope", "openshell", "gateway", "ls"}, 1, "", `"nope"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := runCommand(t, env, docker, tt.args...)
			if got.code != tt.code || !strings.Contains(got.stdout, tt.stdout) || !strings.Contains(got.stderr, tt.stderr) {
				t.Errorf("exit code %d, want %d\nstdout, want %q:\n%s\nstderr, want %q:\n%s", got.code, tt.code, tt.stdout, got.stdout, tt.stderr, got.stderr)
			}
			if tt.stdout == "" && got.stdout != "" {
				t.Errorf("unexpected output: %s", got.stdout)
			}
		})
	}
}

// An answer of the daemon that cannot be used is passed on, and is one failure.
func TestDaemonError(t *testing.T) {
	e := newFakeEngine(t, pong, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		if _, err := io.WriteString(w, `{"message":"the database is on fire"}`); err != nil {
			t.Error(err)
		}
	})
	for _, args := range [][]string{{"status"}, {"gateway", "ls"}, {"gateway", "start"}, {"gateway", "destroy", "--force"}} {
		got := runCommand(t, asDocker(cleanEnv(t.TempDir(), e.socket)), os.Args[0], append([]string{"openshell"}, args...)...)
		if got.code != 1 || strings.Count(got.stderr, "the database is on fire") != 1 || got.stdout != "" {
			t.Errorf("%v: exit code %d\n%s%s", args, got.code, got.stdout, got.stderr)
		}
	}
}

// Completion must not make a shell wait for a daemon that hangs, nor print anything
// into its line.
func TestCompletionIsBounded(t *testing.T) {
	for name, e := range map[string]*fakeEngine{"no pong": newFakeEngine(t, hang, hang), "no answer": newFakeEngine(t, pong, hang)} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir := filepath.Join(root, "config", "openshell", "gateways", "work")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			metadata := `{"name":"work","gateway_endpoint":"https://127.0.0.1:8081","is_remote":false,"gateway_port":8081}`
			if err := os.WriteFile(filepath.Join(dir, "metadata.json"), []byte(metadata), 0o600); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			got := runCommand(t, asDocker(cleanEnv(root, e.socket)), os.Args[0], "__complete", "openshell", "gateway", "stop", "")
			if took := time.Since(began); took > 10*completionTime {
				t.Errorf("it took %s", took)
			}
			if got.code != 0 || got.stdout != "work\n:4\n" {
				t.Errorf("exit code %d: %q", got.code, got.stdout)
			}
		})
	}
}

// Ctrl-C on a terminal reaches the plugin directly: docker only waits for it.
func TestInterruptOnTerminal(t *testing.T) {
	e := newFakeEngine(t, pong, hang)
	env, docker := realDocker(t, e.socket)
	cmd := startable(t, env, docker, "openshell", "gateway", "start", "work")
	terminal, output := startOnTerminal(t, cmd)
	e.wait(t, "/json")
	press(t, terminal, "\x03")
	if code := exitCode(t, cmd.Wait()); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	if got := <-output; !strings.Contains(got, `gateway "work" are left as they are`) || !strings.Contains(got, "hint: the same command goes on") {
		t.Errorf("it does not say what is left: %s", got)
	}
}

// Elsewhere docker catches the signal and tells the plugin through a socket.
func TestInterruptWithoutTerminal(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		e := newFakeEngine(t, pong, hang)
		env, docker := realDocker(t, e.socket)
		cmd := startable(t, env, docker, "openshell", "gateway", "destroy", "--force", "work")
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		e.wait(t, "/json")
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if code := exitCode(t, cmd.Wait()); code != 130 || !strings.Contains(output.String(), "interrupted; ") {
			t.Errorf("%v: exit code %d, want 130: %s", sig, code, output.String())
		}
	}
}

// The second Ctrl-C ends the process at once, whatever it waits for: here for the
// answer to a ping, which nothing can cancel.
func TestSecondInterrupt(t *testing.T) {
	e := newFakeEngine(t, hang, hang)
	env := asDocker(cleanEnv(t.TempDir(), e.socket))
	cmd := startable(t, env, os.Args[0], "openshell", "gateway", "start")
	terminal, output := startOnTerminal(t, cmd)
	e.wait(t, "ping")
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case err := <-ended:
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok || !exit.Sys().(syscall.WaitStatus).Signaled() {
				t.Errorf("it ended by itself: %v\n%s", err, <-output)
			}
			return
		case <-again.C:
			press(t, terminal, "\x03")
		}
	}
}

// startOnTerminal starts a command on a terminal of its own. What it printed there is
// sent when it has ended.
func startOnTerminal(t *testing.T, cmd *exec.Cmd) (*os.File, <-chan string) {
	t.Helper()
	terminal, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := terminal.Close(); err != nil {
			t.Error(err)
		}
	})
	output := make(chan string, 1)
	go func() {
		var b bytes.Buffer
		// On Linux the end of a terminal is an error (EIO), not an end of file.
		_, err := io.Copy(&b, terminal)
		if err != nil && !errors.Is(err, syscall.EIO) {
			b.WriteString(err.Error())
		}
		output <- b.String()
	}()
	return terminal, output
}

func press(t *testing.T, terminal *os.File, keys string) {
	t.Helper()
	if _, err := io.WriteString(terminal, keys); err != nil && !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
}
