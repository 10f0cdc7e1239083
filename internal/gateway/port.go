package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// checkPort asks the daemon whether the port can be published, before something is
// stopped. Only the daemon knows its host's ports, so a container is made that publishes
// the port and ends at once. An image that holds no shell is not an answer: the start of
// the gateway will tell.
func (r *run) checkPort(ctx context.Context) error {
	t := r.plan.Target
	if err := r.m.portHolder(ctx, t, r.container); err != nil {
		return err
	}
	image := r.image
	bind, err := netip.ParseAddr(t.Bind)
	if err != nil {
		return err
	}
	port := network.MustParsePort(nodePort)
	created, err := r.m.docker.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config: &container.Config{Image: image, Entrypoint: []string{"/bin/sh", "-c", "exit 0"},
			ExposedPorts: network.PortSet{port: struct{}{}},
			Labels:       map[string]string{labelHelper: helperLabel("check-port", t.Name)}},
		HostConfig: &container.HostConfig{Tmpfs: map[string]string{dataPath: ""}, PortBindings: network.PortMap{port: []network.PortBinding{{
			HostIP: bind, HostPort: fmt.Sprint(t.Port)}}}},
	})
	if err != nil {
		return daemonError(fmt.Errorf("check port %d: %w", t.Port, err))
	}
	_, startErr := r.m.docker.ContainerStart(ctx, created.ID, client.ContainerStartOptions{})
	_, rmErr := r.m.docker.ContainerRemove(context.WithoutCancel(ctx), created.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if rmErr != nil && !cerrdefs.IsNotFound(rmErr) {
		return daemonError(errors.Join(startErr, rmErr))
	}
	if portTaken(startErr) {
		return portError(t, "", startErr)
	}
	return ctx.Err()
}

// portHolder names the container that publishes the port, if one does that is not the
// gateway's own.
func (m *Manager) portHolder(ctx context.Context, t Record, own string) error {
	list, err := m.docker.ContainerList(ctx, client.ContainerListOptions{
		Filters: make(client.Filters).Add("publish", fmt.Sprint(t.Port)).Add("status", "running")})
	if err != nil {
		return daemonError(err)
	}
	bind, err := netip.ParseAddr(t.Bind)
	if err != nil {
		return err
	}
	for _, c := range list.Items {
		if c.ID == own || slices.Contains(c.Names, "/"+objectName(t.Name)) {
			continue
		}
		for _, p := range c.Ports {
			clash := p.IP == bind || p.IP.IsUnspecified() || bind.IsUnspecified()
			if int(p.PublicPort) == t.Port && p.Type == "tcp" && clash && len(c.Names) > 0 {
				return portError(t, strings.TrimPrefix(c.Names[0], "/"), nil)
			}
		}
	}
	return nil
}

func portError(t Record, holder string, err error) *Error {
	e := &Error{Cause: CausePort, Err: fmt.Errorf("port %d on %s is taken by another process on the daemon's host", t.Port, t.Bind),
		Hint: fmt.Sprintf("free the port, or choose another: docker openshell gateway start --port PORT %s", t.Name)}
	if holder != "" {
		e.Err = fmt.Errorf("port %d on %s is taken by container %q", t.Port, t.Bind, holder)
	}
	if err != nil {
		e.Detail = []string{err.Error()}
	}
	return e
}

// portTaken recognises the daemon's ways to say so. It has no typed error for it.
func portTaken(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "port is already allocated") || strings.Contains(text, "address already in use")
}
