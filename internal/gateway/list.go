package gateway

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// onDaemon names the gateways that the daemon knows: by our labels, and by the
// names that the openshell CLI gives to its objects.
func (m *Manager) onDaemon(ctx context.Context) ([]string, error) {
	names := map[string]bool{}
	containers, err := m.docker.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return nil, daemonError(err)
	}
	for _, c := range containers.Items {
		if n := c.Labels[labelGateway]; n != "" {
			names[n] = true
			continue
		}
		for _, n := range c.Names {
			if n, ok := strings.CutPrefix(n, "/"+objectName("")); ok && mountsState(c) {
				names[n] = true
			}
		}
	}
	volumes, err := m.docker.VolumeList(ctx, client.VolumeListOptions{Filters: make(client.Filters).Add("label", labelGateway)})
	if err != nil {
		return nil, daemonError(err)
	}
	for _, v := range volumes.Items {
		if n := v.Labels[labelGateway]; v.Name == objectName(n) {
			names[n] = true
		}
	}
	for n := range names {
		if validateName(n) != nil {
			delete(names, n)
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

func mountsState(c container.Summary) bool {
	return slices.ContainsFunc(c.Mounts, func(p container.MountPoint) bool { return p.Destination == dataPath })
}

// Names lists the gateways that the daemon or the client's files know, sorted.
func (m *Manager) Names(ctx context.Context) ([]string, error) {
	names, err := m.onDaemon(ctx)
	if err != nil {
		return nil, err
	}
	registered, broken, err := m.cfg.Dir.List()
	if err != nil {
		return nil, err
	}
	names = append(append(names, registered...), broken...)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// List describes all gateways that the daemon or the client's files know, in any
// state. It changes nothing.
func (m *Manager) List(ctx context.Context) ([]Summary, error) {
	names, err := m.Names(ctx)
	if err != nil {
		return nil, err
	}
	list := []Summary{}
	for _, n := range names {
		st, _, err := m.describe(ctx, n)
		if err != nil {
			return nil, err
		}
		s := Summary{Name: n, State: st.State, Active: st.Active, Endpoint: st.Endpoint, Origin: st.Origin}
		if st.Container != nil {
			s.Image, s.Created = st.Container.Image, st.Container.Created
		}
		if st.Volume != nil {
			s.Created = st.Volume.Created
		}
		list = append(list, s)
	}
	return list, nil
}

// Select makes a gateway the active one: the one that is meant when none is named.
func (m *Manager) Select(ctx context.Context, name string) error {
	if err := validateName(name); err != nil {
		return err
	}
	names, err := m.Names(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(names, name) {
		return absent(name)
	}
	if _, err := m.activate(name); err != nil {
		return fmt.Errorf("select gateway %q: %w", name, err)
	}
	return nil
}
