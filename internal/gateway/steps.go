package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// run is one execution of a plan.
type run struct {
	m    *Manager
	name string
	opts StartOptions
	o    Observed
	plan Plan

	// What the steps hand to each other.
	container string // ID
	image     string // what a container is made from
	networkID string
	booted    time.Time // when this run started the container
	snapshot  string    // what the present state is set aside as
	restore   *Snapshot // what takes its place; nil is a new state
	undoable  bool      // a recreate has changed something, and has not replaced it yet
	material  keyMaterial
	warnings  []string
}

// text says what a step does, in the words of progress output.
func (r *run) text(s StepName) string {
	switch s {
	case StepEnsureImage:
		return "Looking for image " + r.plan.Target.Image
	case StepCheckPort:
		return fmt.Sprintf("Checking that port %d is free", r.plan.Target.Port)
	case StepStop:
		return "Stopping container " + objectName(r.name)
	case StepRemoveContainer:
		return "Removing container " + objectName(r.name)
	case StepEnsureNetwork:
		return "Preparing network " + objectName(r.name)
	case StepEnsureVolume:
		return "Preparing volume " + objectName(r.name)
	case StepCreateContainer:
		return "Creating container " + objectName(r.name)
	case StepWriteFiles:
		return "Writing files into the container"
	case StepAttachNetwork:
		return "Connecting the container to its network"
	case StepUnpause:
		return "Unpausing container " + objectName(r.name)
	case StepStart:
		return "Starting container " + objectName(r.name)
	case StepUpdateChart:
		return "Updating the server's configuration"
	case StepWaitReady:
		return "Waiting for the gateway to be ready"
	case StepUpdateFiles:
		return "Updating the files for clients"
	case StepKeepContainer:
		return "Keeping the old container as " + oldName(r.name)
	case StepSetAside:
		return "Setting the old state aside"
	case StepSettle:
		if r.opts.KeepOld {
			return "Keeping the old state as snapshot " + r.snapshot
		}
		return "Removing the old state"
	case StepRemoveOld:
		return "Removing the old container"
	case StepPutBack:
		return "Putting the old state back"
	case StepReturnContainer:
		return "Putting the old container back"
	case StepSwapState:
		return "Swapping the state"
	default:
		return string(s)
	}
}

// execute runs the steps in order. Once ctx ends no further step begins.
func (r *run) execute(ctx context.Context) error {
	for _, n := range r.plan.Notices {
		r.notice(n)
	}
	for _, s := range r.plan.Steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		switch s.Name {
		case StepStop, StepKeepContainer, StepSetAside:
			r.undoable = r.plan.Outcome == Recreated
		}
		r.emit(Event{Kind: StepStarted, Step: string(s.Name), Text: r.text(s.Name)})
		if err := r.do(ctx, s.Name); err != nil {
			if !errors.Is(err, errJoin) {
				r.emit(Event{Kind: StepFailed, Step: string(s.Name), Text: r.text(s.Name)})
			}
			return err
		}
		if s.Name == StepSettle {
			// The new gateway has taken the old one's place: there is no way back.
			r.undoable = false
		}
		r.emit(Event{Kind: StepDone, Step: string(s.Name), Text: r.text(s.Name)})
	}
	return nil
}

func (r *run) do(ctx context.Context, s StepName) error {
	switch s {
	case StepEnsureImage:
		return r.ensureImage(ctx)
	case StepCheckPort:
		return r.checkPort(ctx)
	case StepStop:
		return r.m.stopContainer(ctx, r.name, r.container, StopTimeout)
	case StepRemoveContainer:
		return r.removeContainer(ctx)
	case StepEnsureNetwork:
		return r.ensureNetwork(ctx)
	case StepEnsureVolume:
		return r.ensureVolume(ctx)
	case StepCreateContainer:
		return r.createContainer(ctx)
	case StepWriteFiles:
		return r.writeFiles(ctx)
	case StepAttachNetwork:
		return r.attachNetwork(ctx)
	case StepUnpause:
		return r.unpause(ctx)
	case StepStart:
		return r.startContainer(ctx)
	case StepUpdateChart:
		return r.updateChart(ctx)
	case StepWaitReady:
		return r.waitReady(ctx)
	case StepUpdateFiles:
		return r.updateLocal(ctx)
	case StepKeepContainer:
		return r.keepContainer(ctx)
	case StepSetAside:
		return r.setAside(ctx)
	case StepSettle:
		return r.settle(ctx)
	case StepRemoveOld:
		return r.removeOld(ctx)
	case StepPutBack:
		return r.state(ctx, nil, "back")
	case StepReturnContainer:
		return r.returnContainer(ctx)
	case StepSwapState:
		return r.swapState(ctx)
	default:
		return fmt.Errorf("no such step: %s", s)
	}
}

func (r *run) removeContainer(ctx context.Context) error {
	if err := r.m.removeContainer(ctx, r.container); err != nil {
		return err
	}
	r.container = ""
	return nil
}

// ensureVolume makes the volume with our labels; one that is there stays as it is.
func (r *run) ensureVolume(ctx context.Context) error {
	want := labels(r.name, r.m.cfg.Version)
	want[labelImage] = r.plan.Target.Image
	_, err := r.m.docker.VolumeCreate(ctx, client.VolumeCreateOptions{Name: objectName(r.name), Labels: want})
	if err != nil {
		return daemonError(fmt.Errorf("create volume %s: %w", objectName(r.name), err))
	}
	return nil
}

func (m *Manager) removeVolume(ctx context.Context, name string) error {
	_, err := m.docker.VolumeRemove(ctx, objectName(name), client.VolumeRemoveOptions{})
	if err != nil && !cerrdefs.IsNotFound(err) {
		return daemonError(fmt.Errorf("remove volume %s: %w", objectName(name), err))
	}
	return nil
}

func (r *run) unpause(ctx context.Context) error {
	if _, err := r.m.docker.ContainerUnpause(ctx, r.container, client.ContainerUnpauseOptions{}); err != nil {
		return daemonError(err)
	}
	return nil
}

// startAttempts is how often a start is tried while its port is taken: for a moment
// after a container has ended, its port may still be held by the daemon's proxy.
const startAttempts = 5

func (r *run) startContainer(ctx context.Context) error {
	if err := r.m.cfg.Dir.ClearStop(r.name); err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		r.booted = r.m.cfg.Now()
		_, err := r.m.docker.ContainerStart(ctx, r.container, client.ContainerStartOptions{})
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if portTaken(err) {
			if holder := r.m.portHolder(ctx, r.plan.Target, r.container); holder != nil {
				return holder
			}
			if attempt < startAttempts {
				if err := pause(ctx, 300*time.Millisecond); err != nil {
					return err
				}
				continue
			}
		}
		return diagnoseStart(err, r.plan.Target)
	}
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (r *run) emit(e Event) { r.m.cfg.Events(e) }

func (r *run) notice(text string) { r.emit(Event{Kind: Notice, Text: text}) }

// warn says something once.
func (r *run) warn(text string) {
	if slices.Contains(r.warnings, text) {
		return
	}
	r.warnings = append(r.warnings, text)
	r.emit(Event{Kind: Warning, Text: text})
}
