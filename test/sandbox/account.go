package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// account is who runs what runs in the sandbox, and where.
type account struct {
	name, home, directory string
	// credential is nil where this process's own is kept.
	credential *syscall.Credential
}

// lookupAccount finds a user of the image.
func lookupAccount(name, directory string) (*account, error) {
	found, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("the image needs a user %q: %w", name, err)
	}
	uid, err := strconv.ParseUint(found.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("the user ID of %q: %w", name, err)
	}
	gid, err := strconv.ParseUint(found.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("the group ID of %q: %w", name, err)
	}
	return &account{
		name:       name,
		home:       found.HomeDir,
		directory:  directory,
		credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)},
	}, nil
}

// command prepares a program with a small environment, as the leader of a session and
// so of a process group.
func (a *account) command(program string, arguments ...string) *exec.Cmd {
	c := exec.Command(program, arguments...)
	c.Dir = a.directory
	c.Env = []string{
		"HOME=" + a.home,
		"USER=" + a.name,
		"LOGNAME=" + a.name,
		"SHELL=" + bash,
		"PATH=" + searchPath,
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: a.credential}
	return c
}

// own gives a terminal to the account, so that its programs can open it by name.
func (a *account) own(terminal string) error {
	if a.credential == nil {
		return nil
	}
	if err := os.Chown(terminal, int(a.credential.Uid), int(a.credential.Gid)); err != nil {
		return fmt.Errorf("give the terminal to %s: %w", a.name, err)
	}
	return nil
}
