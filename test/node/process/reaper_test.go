package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func start(t *testing.T, r *Reaper, script string) (*Process, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "output")
	output, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	p, err := r.Start(Spec{Name: "sh", Path: "/bin/sh", Args: []string{"-c", script}, Output: output})
	if err != nil {
		t.Fatal(err)
	}
	return p, path
}

func await(t *testing.T, p *Process) {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		t.Fatalf("%s has not exited", p.Name())
	}
}

func TestReaper(t *testing.T) {
	r, err := NewReaper()
	if err != nil {
		t.Fatal(err)
	}

	t.Run("exit status and output", func(t *testing.T) {
		p, path := start(t, r, "echo out; echo err >&2; exit 7")
		await(t, p)
		if got, want := p.ExitState(), "exit status 7"; got != want {
			t.Errorf("exit state is %q, want %q", got, want)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(content), "out\nerr\n"; got != want {
			t.Errorf("output is %q, want %q", got, want)
		}
	})

	t.Run("signal", func(t *testing.T) {
		p, _ := start(t, r, "exec sleep 60")
		if err := p.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		await(t, p)
		if got, want := p.ExitState(), "signal: killed"; got != want {
			t.Errorf("exit state is %q, want %q", got, want)
		}
		if err := p.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("a signal to an exited process: %v", err)
		}
	})

	t.Run("missing executable", func(t *testing.T) {
		_, err := r.Start(Spec{Name: "nothing", Path: "/nonexistent/nothing", Output: os.Stderr})
		if err == nil {
			t.Fatal("a missing executable was started")
		}
	})

	t.Run("orphans leave no zombies", func(t *testing.T) {
		p, path := start(t, r, "sleep 0.1 & echo $!")
		await(t, p)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		status := filepath.Join("/proc", strings.TrimSpace(string(bytes.TrimSpace(content))))
		deadline := time.Now().Add(10 * time.Second)
		for {
			if _, err := os.Stat(status); os.IsNotExist(err) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal("the orphan is still a process")
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}
