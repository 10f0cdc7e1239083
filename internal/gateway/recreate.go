package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/moby/moby/client"
)

func (r *run) rename(ctx context.Context, id, to string) error {
	if _, err := r.m.docker.ContainerRename(ctx, id, client.ContainerRenameOptions{NewName: to}); err != nil {
		return daemonError(fmt.Errorf("rename the container to %s: %w", to, err))
	}
	return nil
}

// keepContainer gives the old container another name, so that the new one can have its.
func (r *run) keepContainer(ctx context.Context) error {
	if err := r.rename(ctx, r.container, oldName(r.name)); err != nil {
		return err
	}
	r.container = ""
	return nil
}

func (r *run) returnContainer(ctx context.Context) error {
	if err := r.rename(ctx, r.o.Old.ID, objectName(r.name)); err != nil {
		return err
	}
	r.container = r.o.Old.ID
	return nil
}

// setAside makes a snapshot of the state and leaves the volume as new.
func (r *run) setAside(ctx context.Context) error {
	info, err := r.snapshotInfo()
	if err != nil {
		return err
	}
	return r.state(ctx, []file{{statePoint + "/.openshell/snapshots/" + r.snapshot + "/info.json", 0o600, info}}, "aside", r.snapshot)
}

// settle ends a set-aside: the snapshot is kept where that was asked for.
func (r *run) settle(ctx context.Context) error {
	keep := r.opts.KeepOld
	if r.plan.Recovery {
		data, err := r.m.readFile(ctx, r.container, snapshotsPath+"/"+r.o.Pending.ID+"/info.json")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		var info snapshotInfo
		// What cannot be read is kept: nothing is removed on a guess.
		keep = err != nil || json.Unmarshal(data, &info) != nil || info.Keep
	}
	if keep {
		return r.state(ctx, nil, "settle")
	}
	return r.state(ctx, nil, "drop")
}

func (r *run) removeOld(ctx context.Context) error {
	old, err := r.m.observeOld(ctx, r.name)
	if err != nil || old == nil {
		return err
	}
	return r.m.removeContainer(ctx, old.ID)
}

// swapState puts a snapshot in the place of the present state, which becomes one.
func (r *run) swapState(ctx context.Context) error {
	if r.plan.Recovery {
		return r.state(ctx, nil, "swap")
	}
	info, err := r.snapshotInfo()
	if err != nil {
		return err
	}
	return r.state(ctx, []file{{statePoint + "/.openshell/snapshots/" + r.snapshot + "/info.json", 0o600, info}},
		"swap", r.snapshot, r.restore.ID)
}

// undoTimeout bounds the way back of a recreate that failed, which is not cut short by
// what ended the recreate itself.
const undoTimeout = 3 * time.Minute

// undo puts the old gateway back, after a recreate that failed.
func (r *run) undo(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if _, err := r.m.sweep(ctx, r.name); err != nil {
		return errors.Join(cause, err)
	}
	o, err := r.m.observe(ctx, r.name, r.image)
	if err != nil {
		return errors.Join(cause, err)
	}
	e := &Error{Cause: CauseOf(cause), Err: cause, Undone: true}
	if inner, ok := errors.AsType[*Error](cause); ok {
		e.Detail = inner.Detail
	}
	if errors.Is(cause, context.Canceled) {
		e.Cause = CauseCanceled
		e.Err = fmt.Errorf("interrupted (%w)", cause)
	}
	wasRunning := r.o.Container != nil && r.o.Container.running()
	if o.interrupted() {
		back, err := r.m.recover(o)
		if err == nil {
			back.plan.Notices = []string{"the recreate did not succeed; the old gateway is put back"}
			if back.plan.Outcome == Finished {
				back.plan.Notices = nil
			}
			err = back.execute(ctx)
		}
		if err != nil {
			e.Undone = false
			e.Err = errors.Join(cause, fmt.Errorf("put the old gateway back: %w", err))
			e.Hint = fmt.Sprintf("its state is on volume %s; run 'docker openshell gateway start %s' to have it put back", objectName(r.name), r.name)
			return e
		}
		if back.plan.Outcome == Finished {
			e.Undone = false
			e.Hint = fmt.Sprintf("the new gateway was healthy by then, so it stays; 'docker openshell gateway start %s' goes on from here", r.name)
			return e
		}
	}
	return r.restartOld(ctx, e, wasRunning)
}

// restartOld starts the old container again where it ran before.
func (r *run) restartOld(ctx context.Context, e *Error, wasRunning bool) error {
	c, err := r.m.observeContainer(ctx, r.name)
	if err != nil {
		return errors.Join(e, err)
	}
	e.Hint = "the old gateway is back as it was, with all its data"
	if c == nil || !wasRunning || c.running() {
		return e
	}
	if _, err := r.m.docker.ContainerStart(ctx, c.ID, client.ContainerStartOptions{}); err != nil {
		e.Hint += fmt.Sprintf("; it could not be started (%v): docker openshell gateway start %s", err, r.name)
	} else {
		e.Hint = "the old gateway is back, with all its data, and starts again"
	}
	return e
}
