package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"github.com/moby/moby/client"
)

// PlanDestroy says what Destroy would remove. Objects of our name that are not a
// gateway's are an error, and so is another daemon than the gateway was started on.
func (m *Manager) PlanDestroy(ctx context.Context, name string) (DestroyPlan, error) {
	p := DestroyPlan{Name: name, Context: m.cfg.Context}
	if err := validateName(name); err != nil {
		return p, err
	}
	if err := m.recovery(ctx, name, false); errors.Is(err, errNotSettled) {
		// It is going to be destroyed in any case.
		m.cfg.Events(Event{Kind: Warning, Text: err.Error()})
	} else if err != nil {
		return p, err
	}
	o, err := m.destroyable(ctx, name)
	if err != nil {
		return p, err
	}
	info, err := m.docker.Info(ctx, client.InfoOptions{})
	if err != nil {
		return p, daemonError(err)
	}
	p.Daemon = info.Info.Name
	for _, s := range m.destroySteps(o) {
		p.Things = append(p.Things, s.text)
		if s.name == "remove-volume" {
			p.Things = append(p.Things, m.content(ctx, o)...)
		}
	}
	return p, nil
}

// content describes what is on a volume that is going to be removed, as far as it can
// be found out: a volume that cannot be read may well be the reason to remove it.
func (m *Manager) content(ctx context.Context, o Observed) []string {
	list, err := m.listState(ctx, o)
	if err != nil {
		return []string{"    (what is on it cannot be listed: " + err.Error() + ")"}
	}
	lines := []string{fmt.Sprintf("    the present state, %s, %s", units.HumanSize(float64(list.size)), sandboxes(list.sandboxes))}
	for _, s := range list.snapshots {
		lines = append(lines, fmt.Sprintf("    snapshot %s, %s, %s", s.ID, units.HumanSize(float64(s.Size)), sandboxes(s.Sandboxes)))
	}
	return lines
}

func sandboxes(names []string) string {
	switch len(names) {
	case 0:
		return "without sandboxes"
	case 1:
		return "with sandbox " + names[0]
	default:
		return fmt.Sprintf("with %d sandboxes: %s", len(names), strings.Join(names, ", "))
	}
}

// checkRecordedDaemon refuses a daemon that is not the one on which this machine's files say
// that the gateway is: a gateway of the same name there is another one.
func (m *Manager) checkRecordedDaemon(ctx context.Context, name string) error {
	recorded, err := m.cfg.Dir.Daemon(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := m.docker.Info(ctx, client.InfoOptions{})
	if err != nil {
		return daemonError(err)
	}
	if info.Info.ID == recorded.ID {
		return nil
	}
	return &Error{Cause: CauseForeign,
		Err: fmt.Errorf("gateway %q was last started on the daemon of %s (Docker context %q, %s), and this is the daemon of %s (context %q, %s)",
			name, recorded.Name, recorded.Context, recorded.Endpoint, info.Info.Name, m.cfg.Context, m.cfg.Endpoint),
		Hint: fmt.Sprintf("to destroy it there: %s openshell gateway destroy %[2]s\nto destroy a gateway of that name here, start it first, which makes it the one that is meant: docker openshell gateway start %[2]s\nto forget one whose daemon is gone for good, remove %[3]s",
			recorded.Docker(), name, filepath.Join(m.cfg.Dir.Root(), "gateways", name))}
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
	// Whatever mounts the volume would keep it.
	if _, err := m.sweepHelpers(ctx, name, 0); err != nil {
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
	if err := m.checkRecordedDaemon(ctx, name); err != nil {
		return Observed{}, err
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
