package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The bench's gateways and their ports.
const (
	gateway      = "bench"
	freshGateway = "bench-fresh"
	port         = "18090"
	freshPort    = "18091"
)

func object(name string) string { return "openshell-cluster-" + name }

// rows are the budgets, in the order in which they build on each other.
func (b *bench) rows() []row {
	return []row{
		{name: "help", against: "the smallest plugin's --help", budget: 1.3, pairs: 30,
			ours:  func() (time.Duration, error) { return b.timed("openshell", "--help") },
			other: func() (time.Duration, error) { return b.timed("smallest", "--help") }},
		{name: "binary MB", against: "stripped", budget: 25, figure: b.binary},
		{name: "resume", against: "docker start until the port serves", budget: 1.05, pairs: 15, ours: b.resume, other: b.bareStart},
		{name: "execs", against: "in the container, in one resume", budget: 3, figure: b.execs},
		{name: "running", against: "a plugin that pings and inspects the container", budget: 1.5, pairs: 30,
			ours:  b.running,
			other: func() (time.Duration, error) { return b.timed("smallest", object(gateway)) }},
		{name: "health CPU s", against: "one run of the health check", budget: 0.25, figure: b.healthCPU},
		{name: "first start", against: "the same container made by docker, until it serves", budget: 1.10, ours: b.firstStart, other: b.bareFirstStart},
	}
}

// ensure has the gateway of the rows on a running gateway up.
func (b *bench) ensure() error {
	_, err := b.docker("openshell", "gateway", "start", gateway, "--port", port, "--progress", "quiet")
	return err
}

func (b *bench) stopped() error {
	if err := b.ensure(); err != nil {
		return err
	}
	_, err := b.docker("openshell", "gateway", "stop", gateway)
	return err
}

func (b *bench) resume() (time.Duration, error) {
	if err := b.stopped(); err != nil {
		return 0, err
	}
	return b.timed("openshell", "gateway", "start", gateway)
}

func (b *bench) bareStart() (time.Duration, error) {
	if err := b.stopped(); err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := b.docker("start", object(gateway)); err != nil {
		return 0, err
	}
	err := b.serves(port)
	return time.Since(began), err
}

// serves waits for the first TLS handshake on a published port, probed tightly. An
// attempt that hangs, because it led to a pod of the boot before, holds up no other.
func (b *bench) serves(port string) error {
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	served := make(chan bool)
	var last time.Time
	for waiting := 0; ; {
		if waiting == 0 || time.Since(last) >= 50*time.Millisecond {
			waiting, last = waiting+1, time.Now()
			go func() {
				ok := handshake(ctx, port)
				select {
				case served <- ok:
				case <-ctx.Done():
				}
			}()
		}
		select {
		case ok := <-served:
			if ok {
				return nil
			}
			waiting--
			<-tick.C
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func handshake(ctx context.Context, port string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+port)
	if err != nil {
		return false
	}
	defer conn.Close()                                                                          //nolint:errcheck // nothing was written
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx) == nil //nolint:gosec // only time counts here
}

func (b *bench) running() (time.Duration, error) {
	if err := b.healthy(); err != nil {
		return 0, err
	}
	return b.timed("openshell", "gateway", "start", gateway)
}

// healthy waits until Docker's own health check has passed.
func (b *bench) healthy() error {
	for {
		state, err := b.docker("container", "inspect", "-f", "{{.State.Health.Status}}", object(gateway))
		if err != nil || state == "healthy" {
			return err
		}
		if err := b.ensure(); err != nil {
			return err
		}
	}
}

func (b *bench) binary() (string, float64, error) {
	info, err := os.Stat(filepath.Join(b.dir, "cli-plugins", "docker-openshell"))
	if err != nil {
		return "", 0, err
	}
	mb := float64(info.Size()) / 1e6
	return fmt.Sprintf("%.2f", mb), mb, nil
}

// execs counts the commands that a resume executes in the container, without the
// health check's.
func (b *bench) execs() (string, float64, error) {
	if err := b.stopped(); err != nil {
		return "", 0, err
	}
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	events := exec.CommandContext(ctx, "docker", "events", "--filter", "container="+object(gateway), "--filter", "event=exec_create", "--filter", "event=pause", "--format", "{{.Action}}")
	out, err := events.StdoutPipe()
	if err != nil {
		return "", 0, err
	}
	if err := events.Start(); err != nil {
		return "", 0, err
	}
	if err := b.ensure(); err != nil {
		return "", 0, err
	}
	// The stream is in order: a pause marks the end of what belongs to the resume.
	for _, mark := range []string{"pause", "unpause"} {
		if _, err := b.docker(mark, object(gateway)); err != nil {
			return "", 0, err
		}
	}
	count := 0
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "pause" {
		if strings.HasPrefix(lines.Text(), "exec_create") && !strings.Contains(lines.Text(), "cluster-healthcheck.sh") {
			count++
		}
	}
	cancel()
	if err := events.Wait(); err == nil {
		return "", 0, errors.New("the event stream ended early")
	}
	return strconv.Itoa(count), float64(count), nil
}

// healthCPU is the mean CPU time, user and system, of some runs of the health check.
func (b *bench) healthCPU() (string, float64, error) {
	if err := b.ensure(); err != nil {
		return "", 0, err
	}
	const runs = 10
	out, err := b.docker("exec", object(gateway), "sh", "-c",
		fmt.Sprintf("i=0; while [ $i -lt %d ]; do /usr/local/bin/cluster-healthcheck.sh >/dev/null; i=$((i+1)); done; times", runs))
	if err != nil {
		return "", 0, err
	}
	// The second line of "times" is for the children: 0m1.23s 0m0.45s.
	lines := strings.Split(out, "\n")
	total := time.Duration(0)
	for field := range strings.FieldsSeq(lines[len(lines)-1]) {
		d, err := time.ParseDuration(field)
		if err != nil {
			return "", 0, fmt.Errorf("times printed %q: %w", out, err)
		}
		total += d
	}
	each := total.Seconds() / runs
	return fmt.Sprintf("%.3f", each), each, nil
}
