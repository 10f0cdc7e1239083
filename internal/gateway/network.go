package gateway

import (
	"context"
	"fmt"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// ensureNetwork makes the gateway's network unless one is there. One that is there
// is never made anew: whatever else is attached to it would lose its connection.
func (r *run) ensureNetwork(ctx context.Context) error {
	found, err := r.m.observeNetworks(ctx, r.name)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		r.networkID = found[0].ID
		return nil
	}
	created, err := r.m.docker.NetworkCreate(ctx, objectName(r.name), client.NetworkCreateOptions{
		Driver: "bridge", Attachable: true, Labels: labels(r.name, r.m.cfg.Version)})
	if err != nil {
		if cerrdefs.IsConflict(err) {
			return errJoin
		}
		return &Error{Cause: CauseNetwork, Err: fmt.Errorf("create network %s: %w", objectName(r.name), err),
			Hint: "if the address pools are used up, remove networks that nothing uses: docker network prune"}
	}
	// Two commands may have made one each: names of networks are not unique. All
	// keep the one that the daemon lists first, and remove their own if it is not.
	found, err = r.m.observeNetworks(ctx, r.name)
	if err != nil {
		return err
	}
	r.networkID = created.ID
	if len(found) > 1 && found[0].ID != created.ID {
		if _, err := r.m.docker.NetworkRemove(ctx, created.ID, client.NetworkRemoveOptions{}); err != nil && !cerrdefs.IsNotFound(err) {
			return daemonError(err)
		}
		r.networkID = found[0].ID
	}
	return nil
}

// attachNetwork connects a stopped container to the gateway's network in place of
// one that is gone.
func (r *run) attachNetwork(ctx context.Context) error {
	if err := r.ensureNetwork(ctx); err != nil {
		return err
	}
	if r.o.Container.NetworkID != "" {
		// The container still holds the ID of the old network under the same name.
		_, err := r.m.docker.NetworkDisconnect(ctx, objectName(r.name), client.NetworkDisconnectOptions{Container: r.container, Force: true})
		if err != nil && !cerrdefs.IsNotFound(err) {
			return daemonError(fmt.Errorf("disconnect the lost network: %w", err))
		}
	}
	_, err := r.m.docker.NetworkConnect(ctx, r.networkID, client.NetworkConnectOptions{
		Container: r.container, EndpointConfig: &network.EndpointSettings{}})
	if err != nil {
		return daemonError(fmt.Errorf("connect network %s: %w", objectName(r.name), err))
	}
	return nil
}
