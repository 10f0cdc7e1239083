package gateway

import (
	"context"
	"errors"
	"fmt"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// PlanDestroy lists what Destroy would remove, one thing a line; nothing, if there
// is nothing. Objects of our name that are not a gateway's are an error.
func (m *Manager) PlanDestroy(ctx context.Context, name string) ([]string, error) {
	if err := validateName(name); err != nil {
		return nil, err
	}
	o, err := m.destroyable(ctx, name)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, s := range m.destroySteps(o) {
		lines = append(lines, s.text)
	}
	return lines, nil
}

// Destroy removes a gateway with all its data. It is idempotent: what is gone
// already is passed over, so that a destroy that was cut off can be run again.
func (m *Manager) Destroy(ctx context.Context, name string) (DestroyResult, error) {
	if err := validateName(name); err != nil {
		return DestroyResult{}, err
	}
	unlock, err := m.lock(ctx, name)
	if err != nil {
		return DestroyResult{}, err
	}
	res, err := m.destroyLocked(ctx, name)
	return res, m.interrupted(errors.Join(err, unlock()), name)
}

func (m *Manager) destroyLocked(ctx context.Context, name string) (DestroyResult, error) {
	res := DestroyResult{Name: name, Removed: []string{}}
	o, err := m.destroyable(ctx, name)
	if err != nil {
		return res, err
	}
	for _, s := range m.destroySteps(o) {
		if err := ctx.Err(); err != nil {
			return res, err
		}
		m.cfg.Events(Event{Kind: StepStarted, Step: s.name, Text: "Removing " + s.text})
		if err := s.do(ctx); err != nil {
			m.cfg.Events(Event{Kind: StepFailed, Step: s.name, Text: "Removing " + s.text})
			return res, err
		}
		m.cfg.Events(Event{Kind: StepDone, Step: s.name, Text: "Removing " + s.text})
		res.Removed = append(res.Removed, s.text)
	}
	return res, nil
}

// destroyable observes a gateway for its destruction, and refuses what is not ours.
func (m *Manager) destroyable(ctx context.Context, name string) (Observed, error) {
	if err := m.recovery(ctx, name, false); err != nil {
		// It is going to be destroyed in any case.
		m.cfg.Events(Event{Kind: Warning, Text: err.Error()})
	}
	o, err := m.observe(ctx, name)
	var e *Error
	if errors.As(err, &e) && (e.Cause == CauseBroken || e.Cause == CauseImage) {
		// A record that cannot be read is no reason to keep a gateway that its user
		// wants gone; what it is made of is known without it.
		o, err = m.observeObjects(ctx, name)
		if o.Volume != nil && o.Volume.Origin == OriginOurs {
			o.Record = &Record{}
		}
	}
	if err != nil {
		return o, err
	}
	return o, checkOwnership(o)
}

type destroyStep struct {
	name, text string
	do         func(context.Context) error
}

// destroySteps removes what could be missed least first: as long as the volume is
// there, everything can be had back.
func (m *Manager) destroySteps(o Observed) []destroyStep {
	var steps []destroyStep
	if c := o.Container; c != nil {
		steps = append(steps, destroyStep{"remove-container", "container " + c.Name, func(ctx context.Context) error {
			return m.removeContainer(ctx, c.ID)
		}})
	}
	if c := o.Old; c != nil {
		steps = append(steps, destroyStep{"remove-old", "container " + c.Name, func(ctx context.Context) error {
			return m.removeContainer(ctx, c.ID)
		}})
	}
	for _, n := range o.Networks {
		steps = append(steps, destroyStep{"remove-network", "network " + objectName(o.Name), func(ctx context.Context) error {
			return m.removeNetwork(ctx, o.Name, n.ID)
		}})
	}
	if v := o.Volume; v != nil {
		steps = append(steps, destroyStep{"remove-volume", "volume " + v.Name + " with all sandboxes and data", func(ctx context.Context) error {
			return m.removeVolume(ctx, o.Name)
		}})
	}
	if o.Registered {
		steps = append(steps, destroyStep{"remove-files", "registration and certificates on this machine", func(context.Context) error {
			_, err := m.cfg.Dir.Remove(o.Name)
			return err
		}})
	}
	return steps
}

// removeNetwork removes the gateway's network unless somebody else's containers are
// attached to it: they would lose their connection for good.
func (m *Manager) removeNetwork(ctx context.Context, name, id string) error {
	in, err := m.docker.NetworkInspect(ctx, id, client.NetworkInspectOptions{})
	if cerrdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return daemonError(err)
	}
	if users := len(in.Network.Containers); users > 0 {
		m.cfg.Events(Event{Kind: Warning, Text: fmt.Sprintf("network %s is kept: %d other containers are attached to it", objectName(name), users)})
		return nil
	}
	if _, err := m.docker.NetworkRemove(ctx, id, client.NetworkRemoveOptions{}); err != nil && !cerrdefs.IsNotFound(err) {
		return daemonError(fmt.Errorf("remove network %s: %w", objectName(name), err))
	}
	return nil
}
