package gateway

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
)

// observe reads everything that a plan is made from. It changes nothing that
// lasts: reading a volume that no container uses takes a container, which is
// created, never started, and removed.
func (m *Manager) observe(ctx context.Context, name string, helperImages ...string) (Observed, error) {
	o, err := m.observeObjects(ctx, name)
	if err != nil {
		return o, err
	}
	if o.Volume != nil {
		if o.VolumeUsers, err = m.volumeUsers(ctx, o); err != nil {
			return o, err
		}
	}
	if err := m.observePending(ctx, &o); err != nil {
		return o, err
	}
	if err := m.observeRecord(ctx, &o, helperImages); err != nil {
		return o, err
	}
	if o.Container == nil && o.Volume == nil {
		if o.Others, err = m.otherGateways(ctx, name); err != nil {
			return o, err
		}
	}
	return o, nil
}

// observeContainer finds the gateway's container by name, or by our label where a
// user has renamed it.
func (m *Manager) observeContainer(ctx context.Context, name string) (*ObservedContainer, error) {
	in, err := m.docker.ContainerInspect(ctx, objectName(name), client.ContainerInspectOptions{})
	if err == nil {
		return observedContainer(name, in.Container), nil
	}
	if !cerrdefs.IsNotFound(err) {
		return nil, daemonError(err)
	}
	list, err := m.docker.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("label", labelGateway+"="+name)})
	if err != nil {
		return nil, daemonError(err)
	}
	for _, item := range list.Items {
		in, err := m.docker.ContainerInspect(ctx, item.ID, client.ContainerInspectOptions{})
		if cerrdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, daemonError(err)
		}
		if found := observedContainer(name, in.Container); found.Name != oldName(name) {
			return found, nil
		}
	}
	return nil, nil
}

func (m *Manager) observeNetworks(ctx context.Context, name string) ([]ObservedNetwork, error) {
	list, err := m.docker.NetworkList(ctx, client.NetworkListOptions{Filters: make(client.Filters).Add("name", objectName(name))})
	if err != nil {
		return nil, daemonError(err)
	}
	var out []ObservedNetwork
	for _, n := range list.Items {
		if n.Name == objectName(name) { // the filter matches parts of names
			out = append(out, ObservedNetwork{ID: n.ID, Origin: observedNetwork(name, n.Labels)})
		}
	}
	return out, nil
}

// volumeUsers names the containers that mount the gateway's volume, other than the
// gateway's own: two k3s on one datastore would damage it.
func (m *Manager) volumeUsers(ctx context.Context, o Observed) ([]string, error) {
	list, err := m.docker.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("volume", objectName(o.Name))})
	if err != nil {
		return nil, daemonError(err)
	}
	var users []string
	for _, c := range list.Items {
		own := o.Container != nil && c.ID == o.Container.ID || o.Old != nil && c.ID == o.Old.ID
		_, helper := c.Labels[labelHelper]
		// The daemon's filter also matches mount points and parts of names.
		mounts := slices.ContainsFunc(c.Mounts, func(p container.MountPoint) bool { return p.Name == objectName(o.Name) })
		if !own && !helper && mounts && len(c.Names) > 0 {
			users = append(users, c.Names[0][1:])
		}
	}
	return users, nil
}

// otherGateways names the gateways on this daemon, without the one given.
func (m *Manager) otherGateways(ctx context.Context, name string) ([]string, error) {
	found, err := m.onDaemon(ctx)
	if err != nil {
		return nil, err
	}
	var others []string
	for _, n := range found {
		if n != name {
			others = append(others, n)
		}
	}
	return others, nil
}

// observeRecord finds the recorded configuration: on the volume, else from what the
// container was made with, else from the client's files.
func (m *Manager) observeRecord(ctx context.Context, o *Observed, helperImages []string) error {
	if o.Volume == nil && o.Container == nil {
		return nil
	}
	// Objects that are not ours are refused by the plan; they are not read.
	if o.Container != nil && o.Container.Origin == OriginForeign || o.Volume != nil && o.Volume.Origin == OriginForeign {
		return nil
	}
	var data []byte
	var err error
	if o.Container != nil {
		data, err = m.readFile(ctx, o.Container.ID, recordPath)
	} else {
		data, err = m.readVolume(ctx, o, helperImages)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		r, err := parseRecord(o.Name, data)
		if err != nil {
			return &Error{Cause: CauseBroken, Err: err,
				Hint: "nothing was changed; use the plugin version that wrote it, or restore the file on volume " + objectName(o.Name)}
		}
		o.Record, o.RecordFrom = &r, "volume"
		return nil
	}
	if o.Container != nil {
		o.Record, o.RecordFrom = o.Container.derivedRecord(o.Name), "container"
		return nil
	}
	return m.recordFromFiles(o)
}

// readVolume reads the record from a volume that no container of ours uses, and how
// far a set-aside has come.
func (m *Manager) readVolume(ctx context.Context, o *Observed, images []string) (data []byte, err error) {
	if o.Volume.Image != "" {
		images = append([]string{o.Volume.Image}, images...)
	}
	image, err := m.anyImage(ctx, images)
	if err != nil {
		return nil, err
	}
	opts := client.ContainerCreateOptions{
		// No command of the image is run: the container is never started.
		Config:     &container.Config{Image: image, Entrypoint: []string{"/never-started"}},
		HostConfig: &container.HostConfig{Mounts: []mount.Mount{volumeAt(o.Name, dataPath, true)}},
	}
	err = m.withHelper(ctx, opts, o.Name, "read", func(id string) error {
		if o.Volume.Origin == OriginUpstream {
			// An unlabelled volume of our name is the openshell CLI's if k3s ran on it.
			_, err := m.docker.ContainerStatPath(ctx, id, client.ContainerStatPathOptions{Path: dataPath + "/server/db"})
			if cerrdefs.IsNotFound(err) {
				o.Volume.Origin = OriginForeign
				return fs.ErrNotExist
			}
			if err != nil {
				return daemonError(err)
			}
		}
		cut, err := m.readFile(ctx, id, pendingPath)
		if err == nil {
			o.Pending, err = parsePending(cut)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		data, err = m.readFile(ctx, id, recordPath)
		return err
	})
	return data, err
}

// readFile reads one file of a container, which need not run. A file that is not
// there is [fs.ErrNotExist].
func (m *Manager) readFile(ctx context.Context, id, path string) ([]byte, error) {
	const limit = 1 << 20
	res, err := m.docker.CopyFromContainer(ctx, id, client.CopyFromContainerOptions{SourcePath: path})
	if cerrdefs.IsNotFound(err) {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, daemonError(fmt.Errorf("read %s: %w", path, err))
	}
	defer res.Content.Close() //nolint:errcheck // a reader's close has nothing to say
	r := tar.NewReader(res.Content)
	if _, err := r.Next(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > limit {
		return nil, fmt.Errorf("read %s: more than %d bytes", path, limit)
	}
	return data, nil
}

// filesCurrent tells whether the container holds the given set of our files.
func (m *Manager) filesCurrent(ctx context.Context, id, hash string) (bool, error) {
	_, err := m.docker.ContainerStatPath(ctx, id, client.ContainerStatPathOptions{Path: filesPath + "/" + hash})
	if cerrdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, daemonError(err)
	}
	return true, nil
}
