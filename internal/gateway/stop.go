package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// Stop stops a gateway, and it stays stopped until it is started again, also over
// restarts of the daemon. A negative timeout is no limit. Stopping one that
// is not running is no error, stopping one that does not exist is.
func (m *Manager) Stop(ctx context.Context, name string, timeout time.Duration) (StopResult, error) {
	if err := validateName(name); err != nil {
		return StopResult{}, err
	}
	unlock, err := m.lock(ctx, name)
	if err != nil {
		return StopResult{}, err
	}
	res, err := m.stopLocked(ctx, name, timeout)
	return res, m.interrupted(errors.Join(err, unlock()), name)
}

func (m *Manager) stopLocked(ctx context.Context, name string, timeout time.Duration) (StopResult, error) {
	if err := m.recovery(ctx, name, false); err != nil {
		return StopResult{}, err
	}
	o, err := m.observeObjects(ctx, name)
	if err != nil {
		return StopResult{}, err
	}
	if err := checkOwnership(o); err != nil {
		return StopResult{}, err
	}
	c := o.Container
	switch {
	case c == nil && o.Volume == nil:
		return StopResult{}, absent(name)
	case c == nil:
		return StopResult{Name: name}, nil
	}
	switch c.Status {
	case container.StateRunning, container.StateRestarting, container.StatePaused:
	default:
		return StopResult{Name: name}, nil
	}
	step := Event{Step: string(StepStop), Text: "Stopping container " + c.Name}
	step.Kind = StepStarted
	m.cfg.Events(step)
	if err := m.stopContainer(ctx, name, c.ID, timeout); err != nil {
		step.Kind = StepFailed
		m.cfg.Events(step)
		return StopResult{}, err
	}
	step.Kind = StepDone
	m.cfg.Events(step)
	return StopResult{Name: name, Stopped: true}, nil
}

// observeObjects reads the gateway's objects without its record: enough to stop,
// destroy or describe it.
func (m *Manager) observeObjects(ctx context.Context, name string) (Observed, error) {
	o := Observed{Name: name}
	var err error
	if o.Container, err = m.observeContainer(ctx, name); err != nil {
		return o, err
	}
	if o.Old, err = m.observeOld(ctx, name); err != nil {
		return o, err
	}
	vol, err := m.docker.VolumeInspect(ctx, objectName(name), client.VolumeInspectOptions{})
	switch {
	case err == nil:
		o.Volume = observedVolume(name, vol.Volume)
	case !cerrdefs.IsNotFound(err):
		return o, daemonError(err)
	}
	if o.Networks, err = m.observeNetworks(ctx, name); err != nil {
		return o, err
	}
	return o, m.observeLocal(&o)
}

func absent(name string) error {
	return &Error{Cause: CauseAbsent, Err: fmt.Errorf("there is no gateway %q on this daemon", name),
		Hint: "see 'docker openshell gateway ls'; to make one: docker openshell gateway start " + name}
}

// lock takes the gateway's lock, and says whom it waits for.
func (m *Manager) lock(ctx context.Context, name string) (func() error, error) {
	unlock, err := m.cfg.Dir.TryLock(name)
	if err == nil {
		return unlock, nil
	}
	if holder := m.cfg.Dir.LockHolder(name); holder != "" {
		m.cfg.Events(Event{Kind: Notice, Text: "waiting for another command on this gateway: " + holder})
	}
	unlock, err = m.cfg.Dir.Lock(ctx, name)
	if err != nil {
		return nil, m.interrupted(err, name)
	}
	return unlock, nil
}
