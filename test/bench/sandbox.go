package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The sandbox of the rows on sandboxes, and how many others there are for a list.
const (
	box   = "box"
	crowd = "99"
	// volume is how much goes through a tunnel, in bytes.
	volume = "300000000"
)

// sandboxRows are the budgets of what goes through a running gateway.
func (b *bench) sandboxRows() []row {
	return []row{
		{name: "exec", against: "ssh with a bare ProxyCommand to the same tunnel", budget: 1.5, pairs: 30,
			ours: b.with(func() (time.Duration, error) {
				return b.run([]string{"docker", "openshell", "-g", gateway, "sandbox", "exec", "-n", box, "--no-tty", "--", "true"})
			}),
			other: b.with(func() (time.Duration, error) { return b.ssh(b.bare("connect", b.boxID, b.token()), "true") })},
		{name: "exec direct", against: "the same, without docker before the plugin", budget: 1.5, pairs: 30,
			ours: b.with(func() (time.Duration, error) {
				return b.run([]string{b.plugin(), "-g", gateway, "sandbox", "exec", "-n", box, "--no-tty", "--", "true"})
			}),
			other: b.with(func() (time.Duration, error) { return b.ssh(b.bare("connect", b.boxID, b.token()), "true") })},
		{name: "tunnel", against: "a plain TLS relay through the same gateway, 300 MB", budget: 1 / 0.9,
			ours: b.with(func() (time.Duration, error) { return b.ssh(b.proxy(), "head -c "+volume+" /dev/zero") }),
			other: b.with(func() (time.Duration, error) {
				return b.ssh(b.bare("connect", b.boxID, b.token()), "head -c "+volume+" /dev/zero")
			})},
		{name: "image push", against: "docker save | docker exec -i … ctr images import -", budget: 1 / 0.95, ours: b.with(b.push), other: b.with(b.pipe)},
		// Without docker before it, which is two process starts of its own.
		{name: "sandbox ls", against: "the bare call, with 100 sandboxes", budget: 2, pairs: 30,
			ours: b.crowded(func() (time.Duration, error) {
				return b.run([]string{b.plugin(), "-g", gateway, "sandbox", "ls", "-q"})
			}),
			other: b.crowded(func() (time.Duration, error) { return b.run(b.bare("ls")) })},
	}
}

// with has the gateway up, with a sandbox in it, before f.
func (b *bench) with(f func() (time.Duration, error)) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		if b.boxID == "" {
			if err := b.populate(); err != nil {
				return 0, err
			}
		}
		return f()
	}
}

// crowded is the same with a crowd beside the sandbox.
func (b *bench) crowded(f func() (time.Duration, error)) func() (time.Duration, error) {
	return b.with(func() (time.Duration, error) {
		if !b.crowd {
			b.crowd = true
			if _, err := b.run(b.bare("fill", crowd)); err != nil {
				return 0, err
			}
		}
		return f()
	})
}

func (b *bench) plugin() string { return filepath.Join(b.dir, "cli-plugins", "docker-openshell") }

func (b *bench) populate() error {
	if err := b.ensure(); err != nil {
		return err
	}
	build := exec.CommandContext(b.ctx, "go", "build", "-o", filepath.Join(b.dir, "bare"), "./test/bench/bare")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build bare: %w: %s", err, out)
	}
	if _, err := b.docker("openshell", "-g", gateway, "sandbox", "create", "--name", box, "--", "true"); err != nil {
		return err
	}
	argv := b.bare("session", box, b.token())
	out, err := exec.CommandContext(b.ctx, argv[0], argv[1:]...).Output()
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	b.boxID = strings.TrimSpace(string(out))
	return nil
}

func (b *bench) token() string { return filepath.Join(b.dir, "token") }

func (b *bench) bare(args ...string) []string {
	bundle := filepath.Join(b.dir, "config", "openshell", "gateways", gateway, "mtls")
	return append([]string{filepath.Join(b.dir, "bare"), "https://127.0.0.1:" + port, bundle}, args...)
}

// proxy is the ProxyCommand that "sandbox ssh-config" prints.
func (b *bench) proxy() []string {
	return []string{b.plugin(), "ssh-proxy", "--gateway-name", gateway, "--name", box}
}

// ssh runs a command in the sandbox through a ProxyCommand, none of whose words needs
// to be quoted.
func (b *bench) ssh(proxy []string, command string) (time.Duration, error) {
	return b.run([]string{"ssh", "-F", "none", "-o", "ProxyCommand=" + strings.Join(proxy, " "), "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "sandbox@" + box, command})
}

// run runs a command without its output and returns how long it took.
func (b *bench) run(argv []string) (time.Duration, error) {
	cmd := exec.CommandContext(b.ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+b.dir, "XDG_CONFIG_HOME="+filepath.Join(b.dir, "config"))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w: %s", argv[0], err, stderr.String())
	}
	return time.Since(began), nil
}

// pushed is the image that is brought into the gateway: the node's own, which is large.
func pushed() string { return os.Getenv("OPENSHELL_CLUSTER_IMAGE") }

// forgetImage removes the image from the node, with its content.
func (b *bench) forgetImage() error {
	_, err := b.docker("exec", object(gateway), "ctr", "-n", "k8s.io", "images", "rm", "--sync", "docker.io/"+pushed())
	if err != nil && strings.Contains(err.Error(), "not found") {
		return nil
	}
	return err
}

func (b *bench) push() (time.Duration, error) {
	if err := b.forgetImage(); err != nil {
		return 0, err
	}
	return b.timed("openshell", "-g", gateway, "image", "push", pushed())
}

// pipe does by docker alone what image push does.
func (b *bench) pipe() (took time.Duration, err error) {
	if err := b.forgetImage(); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	save := exec.CommandContext(ctx, "docker", "save", pushed())
	load := exec.CommandContext(ctx, "docker", "exec", "-i", object(gateway), "ctr", "-n", "k8s.io", "images", "import", "-")
	if load.Stdin, err = save.StdoutPipe(); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := errors.Join(save.Start(), load.Start()); err != nil {
		return 0, err
	}
	if err := errors.Join(load.Wait(), save.Wait()); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}
