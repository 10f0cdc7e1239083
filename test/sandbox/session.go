package main

import (
	"fmt"
	"log"
	"regexp"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

const (
	bash       = "/bin/bash"
	sftpServer = "/usr/lib/openssh/sftp-server"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// session is an SSH session channel: a process, and what is asked for it before.
type session struct {
	account *account
	channel ssh.Channel
	env     []string
	// size is nil where no terminal was asked for.
	size    *unix.Winsize
	process *process
}

// serveSession serves a session until its process has ended and its client is gone.
func serveSession(newChannel ssh.NewChannel, account *account) {
	channel, requests, err := newChannel.Accept()
	if err != nil {
		log.Printf("ssh: accept a session: %v", err)
		return
	}
	s := &session{account: account, channel: channel}
	for request := range requests {
		err := s.handle(request)
		if request.WantReply {
			if replyErr := request.Reply(err == nil, nil); replyErr != nil {
				log.Printf("ssh: answer a request: %v", replyErr)
			}
		}
		if err != nil {
			log.Printf("ssh: %s: %v", request.Type, err)
		}
		// Only after the answer: a short process would end the channel before it.
		if s.process != nil && !s.process.attached {
			s.process.attached = true
			go s.process.attach(channel)
		}
	}
	if s.process == nil {
		channel.Close()
		return
	}
	// The client is gone. The process finds out by its streams.
	s.process.abandon()
}

// handle does what a request asks for.
func (s *session) handle(request *ssh.Request) error {
	switch request.Type {
	case "env":
		return s.setVariable(request.Payload)
	case "pty-req":
		return s.setTerminal(request.Payload)
	case "window-change":
		return s.resize(request.Payload)
	case "signal":
		return s.signal(request.Payload)
	case "shell":
		return s.start(bash)
	case "exec":
		var exec struct{ Command string }
		if err := ssh.Unmarshal(request.Payload, &exec); err != nil {
			return err
		}
		return s.start(bash, "-c", exec.Command)
	case "subsystem":
		var subsystem struct{ Name string }
		if err := ssh.Unmarshal(request.Payload, &subsystem); err != nil {
			return err
		}
		if subsystem.Name != "sftp" {
			return fmt.Errorf("there is no subsystem %q", subsystem.Name)
		}
		return s.start(sftpServer)
	}
	return fmt.Errorf("the request is not known")
}

func (s *session) setVariable(payload []byte) error {
	var variable struct{ Name, Value string }
	if err := ssh.Unmarshal(payload, &variable); err != nil {
		return err
	}
	if !variableName.MatchString(variable.Name) || strings.ContainsRune(variable.Value, 0) {
		return fmt.Errorf("%q cannot be set", variable.Name)
	}
	s.env = append(s.env, variable.Name+"="+variable.Value)
	return nil
}

// setTerminal notes the terminal that the process gets. The client's terminal modes
// are left aside.
func (s *session) setTerminal(payload []byte) error {
	var terminal struct {
		Term          string
		Columns, Rows uint32
		Width, Height uint32
		Modes         string
	}
	if err := ssh.Unmarshal(payload, &terminal); err != nil {
		return err
	}
	if s.process != nil || strings.ContainsRune(terminal.Term, 0) {
		return fmt.Errorf("a terminal is not possible here")
	}
	s.env = append(s.env, "TERM="+terminal.Term)
	s.size = winsize(terminal.Columns, terminal.Rows, terminal.Width, terminal.Height)
	return nil
}

func (s *session) resize(payload []byte) error {
	var window struct{ Columns, Rows, Width, Height uint32 }
	if err := ssh.Unmarshal(payload, &window); err != nil {
		return err
	}
	if s.size == nil {
		return fmt.Errorf("there is no terminal")
	}
	s.size = winsize(window.Columns, window.Rows, window.Width, window.Height)
	if s.process == nil {
		return nil
	}
	return s.process.resize(s.size)
}

func winsize(columns, rows, width, height uint32) *unix.Winsize {
	return &unix.Winsize{Col: uint16(columns), Row: uint16(rows), Xpixel: uint16(width), Ypixel: uint16(height)}
}

func (s *session) signal(payload []byte) error {
	var signal struct{ Name string }
	if err := ssh.Unmarshal(payload, &signal); err != nil {
		return err
	}
	number, known := signals[signal.Name]
	if !known || s.process == nil {
		return fmt.Errorf("the signal %q cannot be sent", signal.Name)
	}
	return s.process.signal(number)
}

// start starts the session's only process.
func (s *session) start(program string, arguments ...string) error {
	if s.process != nil {
		return fmt.Errorf("the session has a process already")
	}
	command := s.account.command(program, arguments...)
	if program == bash && len(arguments) == 0 {
		// The dash makes it a login shell.
		command.Args[0] = "-bash"
	}
	command.Env = append(command.Env, s.env...)
	var err error
	if s.size != nil {
		s.process, err = startOnTerminal(command, s.account, s.size)
	} else {
		s.process, err = startOnPipes(command)
	}
	return err
}
