// Package process starts the node's components and collects their exit states.
//
// The supervisor is PID 1 of a container, so every orphan of the container
// becomes its child. One place must therefore wait for "any child"; waiting for
// one's own children elsewhere (os/exec does) would race with it.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Spec says what to run.
type Spec struct {
	// Name is what the component is called in logs and errors.
	Name string
	// Path is the executable.
	Path string
	// Args is the argument vector without argv[0], which is Name: the node
	// binary decides by it which component it is.
	Args []string
	// Env is added to the supervisor's own environment.
	Env []string
	// Output receives stdout and stderr.
	Output *os.File
}

// Process is a started component.
type Process struct {
	name   string
	pid    int
	reaper *Reaper
	done   chan struct{}
	status syscall.WaitStatus
}

// Reaper is the only waiter of the process that it runs in.
type Reaper struct {
	mu       sync.Mutex
	children map[int]*Process
}

// NewReaper makes the calling process adopt and reap all orphans below it.
func NewReaper() (*Reaper, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the reaper of orphans: %w", err)
	}
	r := &Reaper{children: map[int]*Process{}}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGCHLD)
	go func() {
		for range signals {
			r.reap()
		}
	}()
	return r, nil
}

// Start runs a component in a process group of its own, so that a signal sent
// to the supervisor's group reaches the supervisor alone.
func (r *Reaper) Start(spec Spec) (*Process, error) {
	// The lock is held until the child is known: otherwise it could exit and
	// be reaped as a stranger first.
	r.mu.Lock()
	defer r.mu.Unlock()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	defer null.Close()
	pid, err := syscall.ForkExec(spec.Path, append([]string{spec.Name}, spec.Args...), &syscall.ProcAttr{
		Dir:   "/",
		Env:   append(os.Environ(), spec.Env...),
		Files: []uintptr{null.Fd(), spec.Output.Fd(), spec.Output.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("start %s from %s: %w", spec.Name, spec.Path, err)
	}
	p := &Process{name: spec.Name, pid: pid, reaper: r, done: make(chan struct{})}
	r.children[pid] = p
	return p, nil
}

// reap collects every child that has exited.
func (r *Reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if p, ours := r.children[pid]; ours {
			delete(r.children, pid)
			p.status = status
			close(p.done)
		}
	}
}

// Name is the component's name.
func (p *Process) Name() string { return p.name }

// Done is closed once the component has exited.
func (p *Process) Done() <-chan struct{} { return p.done }

// ExitState says how the component ended. It may be called after Done only.
func (p *Process) ExitState() string {
	if p.status.Signaled() {
		return "signal: " + p.status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", p.status.ExitStatus())
}

// Signal sends a signal, unless the component has exited.
func (p *Process) Signal(signal syscall.Signal) error {
	// Under the lock the pid can't have been reaped and given to another.
	p.reaper.mu.Lock()
	defer p.reaper.mu.Unlock()
	if _, running := p.reaper.children[p.pid]; !running {
		return nil
	}
	if err := syscall.Kill(p.pid, signal); err != nil {
		return fmt.Errorf("send %s to %s: %w", signal, p.name, err)
	}
	return nil
}
