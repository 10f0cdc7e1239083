package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/docker-openshell/docker-openshell/internal/clientdir"
)

// pending is a set-aside or a swap of state that has begun and is not settled. What
// the phases mean is written down in scripts/cluster-state.sh.
type pending struct {
	Phase string
	// ID is the snapshot that takes the present state, Other the one that is put in
	// its place.
	ID, Other string
}

// The phases.
const (
	phaseMoving   = "moving"
	phaseAside    = "aside"
	phaseClearing = "clearing"
	phaseLeaving  = "leaving"
	phaseEntering = "entering"
)

func parsePending(data []byte) (*pending, error) {
	fields := strings.Fields(string(data))
	switch {
	case len(fields) == 2 && (fields[0] == phaseMoving || fields[0] == phaseAside || fields[0] == phaseClearing):
		return &pending{Phase: fields[0], ID: fields[1]}, nil
	case len(fields) == 3 && (fields[0] == phaseLeaving || fields[0] == phaseEntering):
		return &pending{Phase: fields[0], ID: fields[1], Other: fields[2]}, nil
	default:
		return nil, &Error{Cause: CauseBroken, Err: fmt.Errorf("%s cannot be read: %.100q", pendingPath, data),
			Hint: "it was written by another version of this plugin: use that one; nothing was changed"}
	}
}

// swap says that a restore was cut off.
func (p *pending) swap() bool { return p.Phase == phaseLeaving || p.Phase == phaseEntering }

// interrupted says that a recreate or a restore was cut off: it must be settled before
// anything else.
func (o Observed) interrupted() bool { return o.Pending != nil || o.Old != nil }

// observeOld finds the container that a recreate keeps under another name.
func (m *Manager) observeOld(ctx context.Context, name string) (*ObservedContainer, error) {
	in, err := m.docker.ContainerInspect(ctx, oldName(name), client.ContainerInspectOptions{})
	if cerrdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, daemonError(err)
	}
	return observedContainer(name, in.Container), nil
}

// observePending reads how far a set-aside has come, where there may be one and where
// a container mounts the volume. A volume without a container is read by readVolume.
func (m *Manager) observePending(ctx context.Context, o *Observed) error {
	reader := o.Old
	if reader == nil && o.Container != nil && o.Container.Recreate != "" {
		reader = o.Container
	}
	if reader == nil {
		return nil
	}
	data, err := m.readFile(ctx, reader.ID, pendingPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	o.Pending, err = parsePending(data)
	return err
}

// planRecovery decides what becomes of a recreate or a restore that was cut off: it is
// finished where the new gateway is healthy, and undone where it is not.
func planRecovery(o Observed) (Plan, error) {
	p := Plan{Recovery: true}
	c, cut := o.Container, o.Pending
	switch {
	case cut == nil && c == nil:
		p.Outcome = PutBack
		p.Notices = append(p.Notices, "an earlier recreate was cut off before it changed anything; the gateway is put back")
		p.add(StepReturnContainer, "the recreate was cut off")
	case cut == nil:
		p.Outcome = Finished
		p.Notices = append(p.Notices, "an earlier recreate was cut off at its end; it is finished")
		p.add(StepRemoveOld, "the new gateway is complete")
	case cut.swap():
		p.Outcome = Finished
		p.Notices = append(p.Notices, fmt.Sprintf("an earlier restore of snapshot %s was cut off; it is finished", cut.Other))
		if c != nil {
			return Plan{}, inTheWay(c)
		}
		p.add(StepSwapState, "the restore was cut off")
	case cut.Phase == phaseAside && c != nil && c.Recreate == cut.ID && c.Status == container.StateRunning && c.Health == container.Healthy:
		p.Outcome = Finished
		p.Notices = append(p.Notices, "an earlier recreate was cut off when the new gateway was healthy; it is finished")
		p.add(StepSettle, "the new gateway is healthy")
		if o.Old != nil {
			p.add(StepRemoveOld, "the new gateway is complete")
		}
	default:
		p.Outcome = PutBack
		p.Notices = append(p.Notices, "an earlier recreate was cut off; the old gateway is put back, with all its data")
		if c != nil {
			if c.Recreate != cut.ID {
				return Plan{}, inTheWay(c)
			}
			p.add(StepRemoveContainer, "the new gateway never became healthy")
		}
		p.add(StepPutBack, "the old state is in the volume")
		if o.Old != nil {
			p.add(StepReturnContainer, "the old container is there")
		}
	}
	return p, nil
}

func inTheWay(c *ObservedContainer) error {
	return &Error{Cause: CauseForeign, Err: fmt.Errorf("a recreate or restore was cut off, and something else made container %q meanwhile", c.Name),
		Hint: fmt.Sprintf("remove it and run the same command again: docker rm -f %s; the gateway's state is in the volume", c.Name)}
}

// recovery settles what was cut off, if anything was. A volume without a container is
// looked into only where deep is set: that takes a container. The caller holds the
// gateway's lock.
func (m *Manager) recovery(ctx context.Context, name string, deep bool) error {
	o, err := m.observeInterrupted(ctx, name, deep)
	if err != nil || !o.interrupted() {
		return err
	}
	// A helper of the command that was cut off may still be at work.
	if worked, err := m.sweep(ctx, name); err != nil {
		return err
	} else if worked {
		if o, err = m.observeInterrupted(ctx, name, deep); err != nil || !o.interrupted() {
			return err
		}
	}
	r, err := m.recover(o)
	if err != nil {
		return err
	}
	if err := r.execute(ctx); err != nil {
		return fmt.Errorf("%w: %w", errNotSettled, err)
	}
	return nil
}

// observeInterrupted observes as much as says whether something was cut off.
func (m *Manager) observeInterrupted(ctx context.Context, name string, deep bool) (Observed, error) {
	o, err := m.observeObjects(ctx, name)
	if err != nil {
		return o, err
	}
	if deep && o.Old == nil && o.Container == nil && o.Volume != nil {
		return m.observe(ctx, name, DefaultImage)
	}
	return o, m.observePending(ctx, &o)
}

// recoverUnlocked settles what was cut off, unless another command works on the
// gateway: then nothing was.
func (m *Manager) recoverUnlocked(ctx context.Context, name string) error {
	o, err := m.observeInterrupted(ctx, name, false)
	if err != nil || !o.interrupted() {
		return err
	}
	unlock, err := m.cfg.Dir.TryLock(name)
	if errors.Is(err, clientdir.ErrLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(m.recovery(ctx, name, false), unlock())
}

// errNotSettled says that a recreate or a restore was cut off, and could not be made
// up for.
var errNotSettled = errors.New("what an earlier command left could not be settled")

// recover prepares the run that settles what was cut off.
func (m *Manager) recover(o Observed) (*run, error) {
	if err := checkOwnership(o); err != nil {
		return nil, err
	}
	plan, err := planRecovery(o)
	if err != nil {
		return nil, err
	}
	r := &run{m: m, name: o.Name, o: o, plan: plan}
	if o.Container != nil {
		r.container = o.Container.ID
	}
	return r, nil
}

// helperImage is an image that runs the script: that of a container of the gateway,
// or the one that its volume or its record names.
func (r *run) helperImage(ctx context.Context) (string, error) {
	refs := []string{r.image}
	for _, c := range []*ObservedContainer{r.o.Old, r.o.Container} {
		if c != nil {
			refs = append(refs, c.ImageID)
		}
	}
	if r.o.Record != nil {
		refs = append(refs, r.o.Record.ImageID, r.o.Record.Image)
	}
	if r.o.Volume != nil {
		refs = append(refs, r.o.Volume.Image)
	}
	return r.m.anyImage(ctx, append(refs, DefaultImage))
}

// state runs the script that moves state.
func (r *run) state(ctx context.Context, files []file, args ...string) error {
	image, err := r.helperImage(ctx)
	if err != nil {
		return err
	}
	_, err = r.m.runState(ctx, r.name, image, files, args...)
	return err
}
