package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// signals are those that SSH names, and some more.
var signals = map[string]syscall.Signal{
	"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "CONT": syscall.SIGCONT, "FPE": syscall.SIGFPE,
	"HUP": syscall.SIGHUP, "ILL": syscall.SIGILL, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL,
	"PIPE": syscall.SIGPIPE, "QUIT": syscall.SIGQUIT, "SEGV": syscall.SIGSEGV, "STOP": syscall.SIGSTOP,
	"TERM": syscall.SIGTERM, "TSTP": syscall.SIGTSTP, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
	"WINCH": syscall.SIGWINCH,
}

// process is what runs for a session, on a terminal or on pipes.
type process struct {
	command *exec.Cmd
	// attached says that attach runs; it belongs to the session's goroutine.
	attached bool

	// terminal is nil for a process on pipes.
	terminal *os.File
	stdin    io.WriteCloser
	stdout   io.ReadCloser
	stderr   io.ReadCloser

	mu    sync.Mutex
	ended bool
}

func startOnPipes(command *exec.Cmd) (*process, error) {
	p := &process{command: command}
	var err error
	if p.stdin, err = command.StdinPipe(); err != nil {
		return nil, err
	}
	if p.stdout, err = command.StdoutPipe(); err != nil {
		return nil, err
	}
	if p.stderr, err = command.StderrPipe(); err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

func startOnTerminal(command *exec.Cmd, account *account, size *unix.Winsize) (*process, error) {
	terminal, slave, err := openTerminal()
	if err != nil {
		return nil, fmt.Errorf("open a terminal: %w", err)
	}
	defer slave.Close()
	command.Stdin, command.Stdout, command.Stderr = slave, slave, slave
	command.SysProcAttr.Setctty = true
	p := &process{command: command, terminal: terminal}
	err = account.own(slave.Name())
	if err == nil {
		err = p.resize(size)
	}
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		return nil, errors.Join(err, terminal.Close())
	}
	return p, nil
}

// openTerminal opens a terminal whose first file can be closed while it is read,
// unlike the one that package pty returns.
func openTerminal() (terminal, slave *os.File, err error) {
	blocking, slave, err := pty.Open()
	if err != nil {
		return nil, nil, err
	}
	defer blocking.Close()
	fd, err := unix.FcntlInt(blocking.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, nil, errors.Join(err, slave.Close())
	}
	return os.NewFile(uintptr(fd), blocking.Name()), slave, nil
}

// attach connects the process with the channel, and ends the channel with the exit
// state. As with other SSH servers, that is when its output has ended, which others
// may hold open for longer than it lives.
func (p *process) attach(channel ssh.Channel) {
	defer channel.Close()
	if p.terminal != nil {
		// What the client sends last does not end a terminal.
		go copyAll(p.terminal, channel)
		copyAll(channel, p.terminal)
	} else {
		go func() {
			copyAll(p.stdin, channel)
			p.stdin.Close()
		}()
		done := make(chan struct{})
		go func() {
			defer close(done)
			copyOutput(channel.Stderr(), p.stderr)
		}()
		copyOutput(channel, p.stdout)
		<-done
	}
	name, payload := p.wait()
	if err := channel.CloseWrite(); err != nil {
		return // the client is gone
	}
	if _, err := channel.SendRequest(name, false, payload); err != nil {
		log.Printf("ssh: report an exit state: %v", err)
	}
}

// copyAll copies until either side ends. That is no error: a process may leave its
// input unread, a terminal's output ends with one, and a client may go at any time.
func copyAll(to io.Writer, from io.Reader) { _, _ = io.Copy(to, from) }

// copyOutput copies and, if the client is gone, breaks the process's pipe.
func copyOutput(to io.Writer, from io.ReadCloser) {
	copyAll(to, from)
	from.Close()
}

// abandon closes this end of all streams: a terminal hangs up, a pipe breaks.
func (p *process) abandon() {
	if p.terminal != nil {
		p.terminal.Close()
		return
	}
	p.stdin.Close()
	p.stdout.Close()
	p.stderr.Close()
}

// wait reaps the process and returns the request that tells the client how it ended.
func (p *process) wait() (name string, payload []byte) {
	// It is not reaped before nobody can signal it any more: its ID is free then.
	err := ignoreInterrupts(func() error {
		return unix.Waitid(unix.P_PID, p.command.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
	})
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	if p.terminal != nil {
		p.terminal.Close()
	}
	// Its own error only says that the exit state is not 0.
	waitErr := p.command.Wait()
	if state := p.command.ProcessState; state != nil {
		return exitRequest(state.Sys().(syscall.WaitStatus))
	}
	log.Printf("ssh: wait for a process: %v", errors.Join(err, waitErr))
	return exitRequest(255 << 8)
}

func ignoreInterrupts(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func exitRequest(status syscall.WaitStatus) (name string, payload []byte) {
	if !status.Signaled() {
		return "exit-status", ssh.Marshal(struct{ Status uint32 }{uint32(status.ExitStatus())})
	}
	// Signals without a name of SSH's get one that belongs to a domain.
	signal := fmt.Sprintf("%d@openshell.test", status.Signal())
	for name, number := range signals {
		if number == status.Signal() {
			signal = name
		}
	}
	return "exit-signal", ssh.Marshal(struct {
		Signal            string
		Dumped            bool
		Message, Language string
	}{Signal: signal, Dumped: status.CoreDump()})
}

func (p *process) resize(size *unix.Winsize) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil
	}
	conn, err := p.terminal.SyscallConn()
	if err != nil {
		return err
	}
	// Not by Fd, which would make the file one that cannot be closed while it is read.
	controlErr := conn.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, size)
	})
	return errors.Join(controlErr, err)
}

// signal sends a signal to the process and those that it started.
func (p *process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil
	}
	if err := syscall.Kill(-p.command.Process.Pid, s); err != nil {
		return fmt.Errorf("send %s: %w", s, err)
	}
	return nil
}
