package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
)

// joinAttempts bounds how often a start observes anew because another command was
// quicker to make the container.
const joinAttempts = 5

// Start brings a gateway up from whatever is there: it resumes one that is running,
// stopped, or has only its volume left, and makes a new one where there is nothing.
// It never asks, and it deletes nothing unless opts.Recreate is set.
func (m *Manager) Start(ctx context.Context, name string, opts StartOptions) (StartResult, error) {
	if err := checkWanted(name, opts); err != nil {
		return StartResult{}, err
	}
	if res, done, err := m.alreadyRunning(ctx, name, opts); done || err != nil {
		return res, err
	}
	unlock, err := m.lock(ctx, name)
	if err != nil {
		return StartResult{}, err
	}
	res, err := m.startLocked(ctx, name, opts)
	return res, errors.Join(err, unlock())
}

func (m *Manager) startLocked(ctx context.Context, name string, opts StartOptions) (StartResult, error) {
	if _, err := m.sweep(ctx, name); err != nil {
		return StartResult{}, m.interrupted(err, name)
	}
	for range joinAttempts {
		r, err := m.prepare(ctx, name, opts)
		if err == nil && r.plan.Recovery {
			if err = m.recovery(ctx, name, true); err == nil {
				r, err = m.prepare(ctx, name, opts)
			}
		}
		if err == nil && r.plan.Recovery {
			err = fmt.Errorf("gateway %q: %w", name, errNotSettled)
		}
		if err == nil {
			err = r.execute(ctx)
			if err != nil && r.undoable {
				err = r.undo(ctx, err)
			}
		}
		if errors.Is(err, errJoin) {
			// What the other command made is observed, and joined.
			opts.Recreate = false
			if err := pause(ctx, reconnect); err != nil {
				return StartResult{}, m.interrupted(err, name)
			}
			continue
		}
		if err != nil {
			return StartResult{}, m.interrupted(err, name)
		}
		return r.result(), nil
	}
	return StartResult{}, &Error{Cause: CauseLocked, Err: fmt.Errorf("gateway %q: %w, again and again", name, errJoin),
		Hint: "wait for the other command and run this one again"}
}

// PlanStart describes what Start would do, and changes nothing.
func (m *Manager) PlanStart(ctx context.Context, name string, opts StartOptions) (string, error) {
	if err := checkWanted(name, opts); err != nil {
		return "", err
	}
	r, err := m.prepare(ctx, name, opts)
	if err != nil {
		return "", err
	}
	text := strings.Join(r.o.lines(), "\n") + "\n" + r.plan.String()
	if r.plan.Recovery {
		text += "and then what is there is observed and planned anew\n"
	}
	return text, nil
}

// checkWanted refuses bad input before anything is looked at.
func checkWanted(name string, opts StartOptions) error {
	if err := validateName(name); err != nil {
		return err
	}
	r, _ := newRecord(name).apply(opts.Wanted)
	r.defaults(opts)
	if err := r.validate(); err != nil {
		return &Error{Cause: CauseInvalid, Err: err}
	}
	if opts.KeepOld && !opts.Recreate {
		return invalidf("add --recreate", "only a recreate has an old state to keep")
	}
	if opts.RegistryUsername != "" && opts.RegistryToken == "" {
		return invalidf("set OPENSHELL_REGISTRY_TOKEN or give --registry-token", "a registry user name (%q) without a token", opts.RegistryUsername)
	}
	return nil
}

// defaults puts in the images that a new gateway gets.
func (r *Record) defaults(opts StartOptions) {
	for to, from := range map[*string]string{&r.Image: opts.DefaultImage, &r.GatewayImage: opts.DefaultGatewayImage, &r.SandboxImage: opts.DefaultSandboxImage} {
		if from != "" {
			*to = from
		}
	}
}

// prepare observes and plans.
func (m *Manager) prepare(ctx context.Context, name string, opts StartOptions) (*run, error) {
	o, err := m.observe(ctx, name, opts.Image, opts.DefaultImage, DefaultImage)
	if err != nil {
		return nil, err
	}
	if o.interrupted() {
		return m.recover(o)
	}
	base := newRecord(name)
	base.defaults(opts)
	if o.Record != nil && o.RecordFrom != "volume" {
		// What was derived knows nothing of the server's image, and from the files
		// alone nothing of the node's.
		o.Record.GatewayImage, o.Record.SandboxImage = base.GatewayImage, base.SandboxImage
		if o.RecordFrom == "files" && o.Volume.Image == "" {
			o.Record.Image = base.Image
		}
	}
	if o.Record != nil && !opts.Recreate {
		base = *o.Record
	} else if o.Record != nil {
		base = o.Record.recreated(base)
	}
	target, changes := base.apply(opts.Wanted)
	target.Plugin = m.cfg.Version
	if err := target.validate(); err != nil {
		return nil, &Error{Cause: CauseInvalid, Err: err}
	}
	if err := m.dropKnownCredentials(ctx, &opts, o, target); err != nil {
		return nil, err
	}
	if c := o.Container; c != nil && c.Origin == OriginOurs {
		_, hash, err := containerFiles(target, m.daemonHost())
		if err != nil {
			return nil, err
		}
		if o.FilesCurrent, err = m.filesCurrent(ctx, c.ID, hash); err != nil {
			return nil, err
		}
		o.FilesCurrent = o.FilesCurrent && o.RecordFrom == "volume" && opts.RegistryToken == ""
	}
	plan, err := makePlan(o, target, changes, planOptions{
		Recreate:      opts.Recreate,
		KeepOld:       opts.KeepOld,
		Restart:       opts.Restart || opts.RegistryToken != "",
		NameImplied:   opts.NameImplied,
		LocalComplete: m.answersHere(ctx, o.Container, target),
	})
	if err != nil {
		return nil, err
	}
	if plan.Outcome == Created {
		// Before anything is made. What else may hold the port is found out by the start.
		if err := m.portHolder(ctx, target, ""); err != nil {
			return nil, err
		}
	}
	r := &run{m: m, name: name, opts: opts, o: o, plan: plan}
	if plan.Outcome == Recreated && o.Volume != nil {
		r.snapshot = snapshotID(m.cfg.Now())
	}
	if o.Container != nil {
		r.container = o.Container.ID
	}
	return r, nil
}

// soon bounds the question to a server that may not be up yet.
const soon = time.Second

// answersHere says whether this machine's files are complete, and the server answers a
// client that has them. A container that does not run, is paused or is not well is not asked.
func (m *Manager) answersHere(ctx context.Context, c *ObservedContainer, target Record) bool {
	if c == nil || c.Status != container.StateRunning || !m.localComplete(target) {
		return false
	}
	switch c.Health {
	case container.Healthy:
		return m.greets(ctx, target)
	case container.Starting:
		ctx, cancel := context.WithTimeout(ctx, soon)
		defer cancel()
		return m.greets(ctx, target)
	default:
		return false
	}
}

// dropKnownCredentials leaves out registry credentials that the volume holds already:
// they may stand in the user's environment for every command, and only new ones are a
// reason to restart a node.
func (m *Manager) dropKnownCredentials(ctx context.Context, opts *StartOptions, o Observed, target Record) error {
	if opts.RegistryToken == "" || o.Container == nil || o.Container.Origin == OriginForeign {
		return nil
	}
	known, err := m.readFile(ctx, o.Container.ID, registriesPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	wanted, err := registriesFile(opts.Wanted, target.GatewayImage)
	if err != nil {
		return err
	}
	if bytes.Equal(known, wanted.data) {
		opts.RegistryUsername, opts.RegistryToken = "", ""
	}
	return nil
}

// recreated is the configuration for a gateway that is built from scratch in the
// place of this one: the user's choices stay, the images are today's.
func (r Record) recreated(fresh Record) Record {
	r.Image, r.GatewayImage, r.SandboxImage = fresh.Image, fresh.GatewayImage, fresh.SandboxImage
	r.ImageID, r.ImageDigest = "", ""
	return r
}

// alreadyRunning is the short way for the common case: the gateway is healthy,
// nothing else is asked for, and this machine's files are complete.
func (m *Manager) alreadyRunning(ctx context.Context, name string, opts StartOptions) (StartResult, bool, error) {
	if opts.Recreate || opts.Restart || opts.Wanted != (Wanted{}) {
		return StartResult{}, false, nil
	}
	c, err := m.observeContainer(ctx, name)
	if err != nil {
		return StartResult{}, false, m.interrupted(err, name)
	}
	if c == nil || c.Origin == OriginForeign || c.Status != container.StateRunning || c.Health != container.Healthy {
		return StartResult{}, false, nil
	}
	if stopping, err := m.stopping(name, c); err != nil || stopping {
		return StartResult{}, false, err
	}
	if c.Recreate != "" {
		// Its recreate may not be settled.
		o := Observed{Name: name, Container: c}
		if o.Old, err = m.observeOld(ctx, name); err == nil {
			err = m.observePending(ctx, &o)
		}
		if err != nil || o.interrupted() {
			return StartResult{}, false, err
		}
	}
	record := *c.derivedRecord(name)
	if !m.localComplete(record) || !m.greets(ctx, record) {
		return StartResult{}, false, nil
	}
	active, err := m.activate(name)
	if err != nil {
		return StartResult{}, false, err
	}
	return StartResult{Name: name, Outcome: AlreadyRunning, Endpoint: m.localEndpoint(name, record), Container: c.ID, Active: active}, true, nil
}

func (r *run) result() StartResult {
	res := StartResult{Name: r.name, Outcome: r.plan.Outcome, Endpoint: r.plan.Target.endpoint(r.m.daemonHost()),
		Container: r.container, Active: true, Warnings: r.warnings}
	if r.opts.KeepOld {
		res.Snapshot = r.snapshot
	}
	return res
}

// interrupted says what state an interrupted command leaves.
func (m *Manager) interrupted(err error, name string) error {
	if e, ok := errors.AsType[*Error](err); !errors.Is(err, context.Canceled) || ok && e.Undone {
		return err
	}
	return &Error{Cause: CauseCanceled, Err: fmt.Errorf("interrupted; gateway %q is left as it is: %w", name, err),
		Hint: "the same command goes on from here"}
}
