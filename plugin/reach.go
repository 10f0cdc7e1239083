package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/clientdir"
	"github.com/docker-openshell/docker-openshell/internal/gateway"
	"github.com/docker-openshell/docker-openshell/internal/sandbox"
)

const (
	flagEndpoint = "gateway-endpoint"
	envEndpoint  = "OPENSHELL_GATEWAY_ENDPOINT"
)

// reach says how a command gets to a gateway that may not run.
type reach struct {
	// events shows what is done to bring the gateway up.
	events func(gateway.Event)
	// resume brings up a gateway that is there; create makes one where there is none,
	// and rebuilds one that is broken.
	resume, create bool
	// tunnel says that a tunnel into a sandbox will be opened soon.
	tunnel bool
}

// link is a connection to a gateway.
type link struct {
	*sandbox.Client
	// name is the gateway's, or "" for one that is known by its endpoint alone.
	name string
	dir  *clientdir.Dir
	// tunnel says that a tunnel will be opened soon.
	tunnel bool
}

// addEndpoint adds --gateway-endpoint to a group of commands that talk to a gateway.
func addEndpoint(cmd *cobra.Command) {
	cmd.PersistentFlags().String(flagEndpoint, "", "URL of the gateway, in place of the one that is recorded ["+envEndpoint+"]")
	complete(cmd, flagEndpoint, cobra.NoFileCompletions)
}

// connect opens a connection to the gateway that a command means, and brings the
// gateway up first where it is down, ours and on this Docker context's daemon.
func (a *app) connect(ctx context.Context, cmd *cobra.Command, how reach) (*link, error) {
	dir, err := a.dir()
	if err != nil {
		return nil, err
	}
	endpoint := os.Getenv(envEndpoint)
	if f := cmd.Flags().Lookup(flagEndpoint); f != nil && f.Changed {
		endpoint = f.Value.String()
	}
	if endpoint != "" {
		return a.connectEndpoint(ctx, cmd, dir, endpoint, how)
	}
	t, err := a.target(cmd, nil)
	if err != nil {
		return nil, err
	}
	l := &link{name: t.name, dir: dir, tunnel: how.tunnel}
	openErr := l.open(ctx)
	if openErr == nil {
		return l, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if sandbox.CauseOf(openErr) != sandbox.CauseUnreachable && !errors.Is(openErr, fs.ErrNotExist) && !errors.Is(openErr, clientdir.ErrCorrupt) {
		return nil, openErr
	}
	if err := a.bringUp(ctx, t, dir, how, openErr); err != nil {
		return nil, err
	}
	return l, l.open(ctx)
}

// open reads what this machine knows of the gateway, and connects: only then is it known
// that it is there.
func (l *link) open(ctx context.Context) error {
	meta, err := l.dir.Metadata(l.name)
	if err != nil {
		return err
	}
	return l.openAt(ctx, meta.Endpoint)
}

func (l *link) openAt(ctx context.Context, endpoint string) error {
	cfg := sandbox.Config{Endpoint: endpoint, Tunnel: l.tunnel}
	if strings.HasPrefix(endpoint, "https://") {
		bundle, err := l.dir.Bundle(l.name)
		if err != nil {
			return fmt.Errorf("certificates of gateway %q on this machine: %w", l.name, err)
		}
		cfg.CA, cfg.Cert, cfg.Key = bundle.CA, bundle.Cert, bundle.Key
	}
	c, err := sandbox.Open(cfg)
	if err != nil {
		return err
	}
	if err := c.Connect(ctx); err != nil {
		return errors.Join(err, c.Close())
	}
	l.Client = c
	return nil
}

// connectEndpoint is for --gateway-endpoint. The certificates are those of the gateway
// that -g names, or of the one that is registered with this endpoint.
func (a *app) connectEndpoint(ctx context.Context, cmd *cobra.Command, dir *clientdir.Dir, endpoint string, how reach) (*link, error) {
	if u, err := url.Parse(endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usageError(cmd, fmt.Errorf("gateway endpoint %q: use https://HOST:PORT or http://HOST:PORT", endpoint))
	}
	line, err := onLine(cmd, nil)
	if err != nil {
		return nil, err
	}
	l := &link{dir: dir, tunnel: how.tunnel}
	if len(line) > 0 {
		l.name = line[0].name
	} else if l.name, err = registeredAt(dir, endpoint); err != nil {
		return nil, err
	}
	if l.name == "" && strings.HasPrefix(endpoint, "https://") {
		return nil, &gateway.Error{Cause: gateway.CauseAbsent, Err: fmt.Errorf("no gateway is registered with the endpoint %s, so there are no certificates for it", endpoint),
			Hint: "name the gateway whose certificates to use: --gateway NAME"}
	}
	return l, l.openAt(ctx, endpoint)
}

func registeredAt(dir *clientdir.Dir, endpoint string) (string, error) {
	names, _, err := dir.List()
	if err != nil {
		return "", err
	}
	for _, name := range names {
		meta, err := dir.Metadata(name)
		if err == nil && strings.TrimSuffix(meta.Endpoint, "/") == strings.TrimSuffix(endpoint, "/") {
			return name, nil
		}
	}
	return "", nil
}

// bringUp resumes, or makes, the gateway that could not be reached because of cause.
func (a *app) bringUp(ctx context.Context, t target, dir *clientdir.Dir, how reach, cause error) error {
	start := "docker openshell gateway start " + t.name
	meta, metaErr := dir.Metadata(t.name)
	if metaErr == nil && meta.Port == 0 {
		return &gateway.Error{Cause: gateway.CauseAbsent, Err: cause,
			Hint: fmt.Sprintf("gateway %q was registered by its endpoint alone: it has to be started where it runs", t.name)}
	}
	m, err := a.manager(how.events)
	if err != nil {
		return errors.Join(unreachable(t.name, cause), err)
	}
	st, err := m.Status(ctx, t.name)
	if err != nil {
		return err
	}
	here := st.State != gateway.StateAbsent && st.State != gateway.StateLost
	switch {
	case !here && metaErr == nil:
		where := "use the Docker context of the daemon that has it: see 'docker context ls'"
		if d, err := dir.Daemon(t.name); err == nil {
			where = fmt.Sprintf("it was last started on the daemon of %s: %s openshell gateway start %s", d.Name, d.Docker(), t.name)
		}
		return &gateway.Error{Cause: gateway.CauseAbsent, Err: unreachable(t.name, cause), Hint: where}
	case !here && !errors.Is(metaErr, fs.ErrNotExist):
		// Files that cannot be read do not say that there is nothing.
		return &gateway.Error{Cause: gateway.CauseBroken, Err: metaErr,
			Hint: "is this the right Docker context? 'docker context ls'; to forget the gateway: docker openshell gateway destroy " + t.name}
	case !here && !(how.create && t.source == sourceDefault):
		err := fmt.Errorf("there is no gateway %q", t.name)
		if t.implied {
			err = fmt.Errorf("%w (named by %s)", err, t.source)
		}
		return &gateway.Error{Cause: gateway.CauseAbsent, Err: err, Hint: "see 'docker openshell gateway ls'; to make it: " + start}
	case here && !how.resume:
		return &gateway.Error{Cause: gateway.CauseUnhealthy, Err: unreachable(t.name, cause), Hint: start}
	}
	say := func(format string, args ...any) {
		how.events(gateway.Event{Kind: gateway.Notice, Text: fmt.Sprintf(format, args...)})
	}
	opts := defaultStart()
	if here {
		say("gateway %q is %s: resuming it", t.name, st.State)
	} else {
		say("there is no gateway yet: starting one")
		opts.NameImplied = true
	}
	if how.create {
		res, err := m.Bootstrap(ctx, t.name, opts)
		if err == nil && res.Snapshot != "" {
			say("the state before is kept as snapshot %[2]s; to get it back: docker openshell gateway restore %[1]s %[2]s", t.name, res.Snapshot)
		}
		return err
	}
	_, err = m.Start(ctx, t.name, opts)
	return err
}

func unreachable(name string, cause error) error {
	return fmt.Errorf("gateway %q cannot be reached: %w", name, cause)
}

// named is the sandbox that a command means: the one that is named, or the one that
// was used last.
func (l *link) named(a *app, name string) (string, error) {
	if name != "" {
		return name, nil
	}
	if l.name == "" {
		return "", errors.New("name a sandbox: of a gateway that is known by its endpoint alone none is remembered")
	}
	last, err := l.dir.LastSandbox(l.name)
	if err != nil {
		return "", err
	}
	if last == "" {
		return "", &gateway.Error{Cause: gateway.CauseInvalid, Err: fmt.Errorf("name a sandbox: none was used yet on gateway %q", l.name),
			Hint: "see 'docker openshell sandbox ls'"}
	}
	fmt.Fprintf(a.cli.Err(), "Using sandbox %q, the last one that was used\n", last)
	return last, nil
}

// remember makes a sandbox the one that is meant when none is named.
func (l *link) remember(name string) error {
	if l.name == "" {
		return nil
	}
	return l.dir.SetLastSandbox(l.name, name)
}

// forget is for a sandbox that is gone.
func (l *link) forget(name string) error {
	if l.name == "" {
		return nil
	}
	last, err := l.dir.LastSandbox(l.name)
	if err != nil || last != name {
		return err
	}
	return l.dir.SetLastSandbox(l.name, "")
}
