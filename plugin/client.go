package main

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/containerd/errdefs"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/context/docker"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/clientdir"
	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

// manager connects to the daemon of the current Docker context. Events may be nil.
func (a *app) manager(events func(gateway.Event)) (*gateway.Manager, error) {
	endpoint, err := a.endpoint()
	if err != nil {
		return nil, err
	}
	dir, err := a.dir()
	if err != nil {
		return nil, err
	}
	return gateway.New(gateway.Config{
		Docker:   a.cli.Client(),
		Context:  a.cli.CurrentContext(),
		Endpoint: endpoint,
		Dir:      dir,
		Events:   events,
		PullAuth: func(_ context.Context, ref string) (string, error) {
			return command.RetrieveAuthTokenFromImage(a.cli.ConfigFile(), ref)
		},
		Version: version,
	}), nil
}

// on finds the gateway that a command means, and connects to the daemon. Events may be
// nil.
func (a *app) on(cmd *cobra.Command, args []string, events func(gateway.Event)) (target, *gateway.Manager, error) {
	t, err := a.target(cmd, args)
	if err != nil {
		return t, nil, err
	}
	m, err := a.manager(events)
	return t, m, err
}

// dir is the directory that we share with the openshell CLI.
func (a *app) dir() (*clientdir.Dir, error) {
	root, err := clientdir.DefaultRoot(os.Getenv, runtime.GOOS)
	if err != nil {
		return nil, err
	}
	return clientdir.Open(root), nil
}

// endpoint is the address of the current context's daemon. It does beforehand, and
// with an error as the result, what Client would end the process for.
func (a *app) endpoint() (string, error) {
	name := a.cli.CurrentContext()
	wrap := func(err error) error { return fmt.Errorf("docker context %q: %w", name, err) }
	meta, err := a.cli.ContextStore().GetMetadata(name)
	if errdefs.IsNotFound(err) {
		return "", &gateway.Error{Cause: gateway.CauseDaemon, Err: fmt.Errorf("there is no Docker context %q", name),
			Hint: "see 'docker context ls'"}
	}
	if err != nil {
		return "", wrap(err)
	}
	epMeta, err := docker.EndpointFromContext(meta)
	if err != nil {
		return "", wrap(err)
	}
	ep, err := docker.WithTLSData(a.cli.ContextStore(), name, epMeta)
	if err != nil {
		return "", wrap(err)
	}
	opts, err := ep.ClientOpts()
	if err != nil {
		return "", wrap(err)
	}
	probe, err := client.New(opts...)
	if err != nil {
		return "", wrap(err)
	}
	return ep.Host, probe.Close()
}
