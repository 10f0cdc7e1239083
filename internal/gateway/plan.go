package gateway

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// StepName is the stable name of a step.
type StepName string

// The steps. What each does is in the method of the same name in steps.go.
const (
	StepEnsureImage     StepName = "ensure-image"
	StepCheckPort       StepName = "check-port"
	StepStop            StepName = "stop-container"
	StepRemoveContainer StepName = "remove-container"
	StepEnsureNetwork   StepName = "ensure-network"
	StepEnsureVolume    StepName = "ensure-volume"
	StepCreateContainer StepName = "create-container"
	StepWriteFiles      StepName = "write-files"
	StepAttachNetwork   StepName = "attach-network"
	StepUnpause         StepName = "unpause-container"
	StepStart           StepName = "start-container"
	StepUpdateChart     StepName = "update-chart"
	StepWaitReady       StepName = "wait-ready"
	StepUpdateFiles     StepName = "update-files"
	// The steps of a recreate, of a restore, and of making up for one that was cut off.
	StepKeepContainer   StepName = "keep-container"
	StepSetAside        StepName = "set-aside"
	StepSettle          StepName = "settle"
	StepRemoveOld       StepName = "remove-old"
	StepPutBack         StepName = "put-back"
	StepReturnContainer StepName = "return-container"
	StepSwapState       StepName = "swap-state"
)

// Step is one thing to do and why.
type Step struct {
	Name   StepName
	Reason string
}

// Plan is how to get from what was observed to what is wanted.
type Plan struct {
	Outcome Outcome
	// Target is the configuration that the gateway has in the end.
	Target  Record
	Changes []Change
	Steps   []Step
	// Notices are to be said before anything is done.
	Notices []string
	// Recovery says that this settles what an earlier command left; after it, it is
	// observed and planned anew.
	Recovery bool
}

func (p *Plan) add(name StepName, reason string) { p.Steps = append(p.Steps, Step{name, reason}) }

// planOptions is what a plan depends on besides what was observed.
type planOptions struct {
	Recreate, KeepOld, Restart, NameImplied bool
	// LocalComplete says that the client's files are all there, and that the server
	// answers a client that has them.
	LocalComplete bool
}

// makePlan decides everything. It is a pure function, and the only place that
// decides.
func makePlan(o Observed, target Record, changes []Change, opts planOptions) (Plan, error) {
	if err := checkOwnership(o); err != nil {
		return Plan{}, err
	}
	p := Plan{Target: target, Changes: changes}
	c := o.Container
	switch {
	case opts.Recreate:
		p.recreate(o, opts)
	case c == nil && o.Volume == nil:
		if o.Registered {
			return Plan{}, lostVolume(o)
		}
		p.Outcome = Created
		if opts.NameImplied && len(o.Others) > 0 {
			p.Notices = append(p.Notices, fmt.Sprintf("there is no gateway %q yet, but there is %s; to start that one, name it",
				o.Name, strings.Join(quoted(o.Others), " and ")))
		}
		p.create(o, "there is nothing yet")
	case c == nil:
		p.Outcome = Resumed
		p.create(o, "the container is gone; the volume and its recorded configuration are there")
	case c.Status == container.StateDead || c.Status == container.StateRemoving:
		p.Outcome = Resumed
		p.add(StepRemoveContainer, fmt.Sprintf("the daemon reports the container as %s; the volume is kept", c.Status))
		p.create(o, "a dead container cannot be started")
	case needsRebuild(changes):
		p.rebuild(o)
	case c.Status == container.StateCreated || c.Status == container.StateExited:
		p.resume(o)
	case c.Status == container.StatePaused:
		p.Outcome = Resumed
		p.add(StepUnpause, "the container is paused")
		p.finish("a paused gateway has missed everything")
	default:
		p.running(o, opts)
	}
	return p, nil
}

func needsRebuild(changes []Change) bool {
	for _, c := range changes {
		if c.Rebuild {
			return true
		}
	}
	return false
}

// create makes what is missing around the volume, or all.
func (p *Plan) create(o Observed, reason string) {
	p.add(StepEnsureImage, "a container is made from "+p.Target.Image)
	p.makeContainer(reason)
}

func (p *Plan) makeContainer(reason string) {
	p.newContainer(reason)
	p.finish("the gateway boots")
}

func (p *Plan) newContainer(reason string) {
	p.add(StepEnsureNetwork, "the container needs its network")
	p.add(StepEnsureVolume, "everything worth keeping is on the volume")
	p.add(StepCreateContainer, reason)
	p.add(StepWriteFiles, "the new container holds nothing of ours yet")
	p.add(StepStart, "the container is new")
}

// recreate builds a new gateway beside the old state, which is removed when the new
// one is healthy and put back when it does not become so.
func (p *Plan) recreate(o Observed, opts planOptions) {
	p.Outcome = Recreated
	// All that could fail comes before anything is changed.
	p.add(StepEnsureImage, "checked before anything is changed")
	if portMoves(o, p.Target) {
		p.add(StepCheckPort, "checked before anything is changed")
	}
	if o.Container != nil {
		p.add(StepStop, "--recreate")
		p.add(StepKeepContainer, "it comes back if the new gateway fails")
	}
	if o.Volume != nil {
		p.add(StepSetAside, "it comes back if the new gateway fails")
	}
	p.newContainer("built from scratch")
	p.add(StepWaitReady, "the old state is kept until the new gateway is healthy")
	if o.Volume != nil {
		if opts.KeepOld {
			p.add(StepSettle, "the old state stays as a snapshot")
		} else {
			p.add(StepSettle, "the old state is no longer needed")
		}
	}
	if o.Container != nil {
		p.add(StepRemoveOld, "the new gateway is healthy")
	}
	p.add(StepUpdateFiles, "clients find the gateway through them")
}

// portMoves says whether the gateway will publish on something that it does not
// hold at this moment.
func portMoves(o Observed, target Record) bool {
	c := o.Container
	return c == nil || !c.running() || c.Port != target.Port || c.Bind != target.Bind
}

func (p *Plan) rebuild(o Observed) {
	p.Outcome = Rebuilt
	why := "changed: " + describe(p.Changes)
	p.Notices = append(p.Notices, why+"; the container is made anew around the same volume")
	p.add(StepEnsureImage, "checked before the container is removed")
	if portMoves(o, p.Target) {
		p.add(StepCheckPort, "checked before the container is removed")
	}
	if o.Container.running() || o.Container.Status == container.StatePaused {
		p.add(StepStop, why)
	}
	p.add(StepRemoveContainer, why+"; the volume is kept")
	p.makeContainer(why)
}

func (p *Plan) resume(o Observed) {
	p.Outcome = Resumed
	if addr, err := netip.ParseAddr(o.Container.Bind); err == nil && addr.IsUnspecified() && o.Container.Origin == OriginUpstream {
		p.Notices = append(p.Notices, "the gateway listens on all addresses of the daemon's host, as the openshell CLI made it; to change that: --bind "+DefaultBind)
	}
	p.writeFiles(o)
	p.attach(o)
	reason := "the container is stopped"
	if o.Container.Status == container.StateCreated {
		reason = "the container was never started"
	}
	p.add(StepStart, reason)
	p.finish("the gateway boots")
}

// writeFiles brings our files in a container that does not run up to date. The
// openshell CLI's containers keep the files of their image.
func (p *Plan) writeFiles(o Observed) {
	if o.Container.Origin != OriginOurs || o.FilesCurrent {
		return
	}
	reason := "the container does not hold this version's files"
	if len(p.Changes) > 0 {
		reason = "changed: " + describe(p.Changes)
	}
	p.add(StepWriteFiles, reason)
}

// attach mends the connection of a container whose network was pruned while it was
// stopped: it remembers an ID that is gone, and a new network of the same name does
// not help it.
func (p *Plan) attach(o Observed) {
	if !o.attached() {
		p.add(StepAttachNetwork, "the container's network is gone")
	}
}

// attached says that the container is connected to the gateway's network.
func (o Observed) attached() bool {
	return slices.ContainsFunc(o.Networks, func(n ObservedNetwork) bool { return n.ID == o.Container.NetworkID })
}

func (p *Plan) running(o Observed, opts planOptions) {
	c := o.Container
	switch {
	case opts.Restart || o.Stopping || !o.attached():
		why := "restart"
		switch {
		case opts.Restart:
		case o.Stopping:
			why = "an earlier stop was cut off, and may be under way"
		default:
			// A boot sets up what depends on the node's address.
			why = "the container was disconnected from its network"
		}
		p.Outcome = Resumed
		p.add(StepStop, why)
		p.writeFiles(o)
		p.attach(o)
		p.add(StepStart, why)
		p.finish("the gateway boots")
	case len(p.Changes) > 0:
		p.Outcome = Resumed
		p.Notices = append(p.Notices, "changed: "+describe(p.Changes)+"; the server is rolled out anew")
		p.add(StepUpdateChart, "changed: "+describe(p.Changes))
		p.finish("the server is rolled out anew")
	case c.Status == container.StateRestarting:
		p.Outcome = Resumed
		if c.Origin == OriginOurs && !o.FilesCurrent {
			p.add(StepStop, "the container exits again and again")
			p.writeFiles(o)
			p.add(StepStart, "tried again with this version's files")
		}
		p.finish("the container exits again and again")
	case c.Health == container.Healthy && opts.LocalComplete:
		p.Outcome = AlreadyRunning
	case c.Health == container.Healthy:
		p.Outcome = AlreadyRunning
		p.finish("files on this machine are missing, or are not this gateway's")
	case c.Health == container.Starting && opts.LocalComplete:
		p.Outcome = AlreadyRunning
		p.finish("the server answers, and the daemon's first health check has not passed yet")
	default:
		p.Outcome = Resumed
		p.finish("the container runs but is not healthy yet")
	}
}

func (p *Plan) finish(reason string) {
	p.add(StepWaitReady, reason)
	p.add(StepUpdateFiles, "clients find the gateway through them")
}

func describe(changes []Change) string {
	var parts []string
	for _, c := range changes {
		parts = append(parts, c.String())
	}
	return strings.Join(parts, ", ")
}

func quoted(names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, fmt.Sprintf("%q", n))
	}
	return out
}

// String returns the plan as text: the outcome, and a line for each step.
func (p Plan) String() string {
	var b strings.Builder
	for _, n := range p.Notices {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	if len(p.Steps) == 0 {
		b.WriteString("nothing to do\n")
	}
	for i, s := range p.Steps {
		fmt.Fprintf(&b, "%d. %-17s %s\n", i+1, s.Name, s.Reason)
	}
	fmt.Fprintf(&b, "outcome: %s\n", p.Outcome)
	return b.String()
}
