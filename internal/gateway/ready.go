package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/docker-openshell/docker-openshell/internal/k3sexec"
	"github.com/docker-openshell/docker-openshell/internal/manifest"
)

// Bounds of the wait, chosen so that a slow machine is not given up and a hopeless
// case is.
const (
	// crashLimit is how often the container may exit during one wait.
	crashLimit = 3
	// serverCrashLimit is the same for the server's pod, which may well exit while
	// the cluster's DNS comes up.
	serverCrashLimit = 4
	// imageGrace is how long an image may fail to be pulled.
	imageGrace = 60 * time.Second
	// silence is how long a container that ran before may have no answering API
	// server before it is restarted, once.
	silence = 45 * time.Second
	// retryEvery paces requests that failed.
	retryEvery = 500 * time.Millisecond
	// reconnect paces the attempts to look into a container that exits.
	reconnect = 300 * time.Millisecond
	// stopLooks is how often a container that was stopped is looked at again.
	stopLooks = 3
)

// waiter is one wait for readiness. A gateway is ready when the API server has
// answered, the Secrets are in place, the server's pod is ready, and a client that
// uses those Secrets gets an answer from the server on the published port.
type waiter struct {
	r    *run
	kube kubernetes

	apiReady   bool
	secrets    map[string]manifest.SecretData
	reconciled bool
	retry      bool // a request failed that no report will repeat
	pod        *manifest.Pod
	oldPod     string // UID of a pod that was told to go
	// mustRestart says that this wait has replaced what the server's pod may hold, and
	// mayRestart that it has written something that was not there.
	mustRestart, mayRestart bool
	// askSandboxes says that sandboxes may hold an older secret than this wait has written.
	askSandboxes bool
	badImage     time.Time // when an image could first not be pulled
	crashes      int       // of the pod, when the wait began
	crashesSet   bool
	heard        bool // the API server has answered in this wait
	restarted    bool // this wait restarted the container
	problem      string
	phase        string
	stuckOn      string // what the node's log said when it was looked at last
}

// waitReady waits until the gateway is ready. It ends early where waiting cannot
// help, and in the end leaves everything as it is.
func (r *run) waitReady(ctx context.Context) error {
	timeout := r.opts.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	expired := fmt.Errorf("not ready after %s", timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, expired)
	defer cancel()
	w := &waiter{r: r, kube: r.m.kubernetes(r.container)}
	err := w.wait(ctx)
	if err != nil && errors.Is(context.Cause(ctx), expired) {
		return w.timedOut(expired)
	}
	return err
}

// wait runs until ready: one goroutine follows the cluster, one knocks on the port,
// this one decides.
func (w *waiter) wait(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	reports := make(chan k3sexec.Report)
	followed := make(chan error, 1)
	knocks := make(chan knock, 1)
	knocker := make(chan struct{})
	defer func() {
		cancel()
		<-knocker
		// The follower may be handing over a report: take it, so that it can end.
		for followed != nil {
			select {
			case <-reports:
			case <-followed:
				followed = nil
			}
		}
	}()
	follow := func() {
		followed <- w.kube.Follow(ctx, secretsPath, podWatch, func(rep k3sexec.Report) error {
			select {
			case reports <- rep:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}
	go follow()
	go func() {
		defer close(knocker)
		w.r.m.knock(ctx, w.r.plan.Target, knocks)
	}()
	silent := time.NewTimer(silence)
	defer silent.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	lastKnock := knock{}
	var retry <-chan time.Time
	for {
		if w.retry {
			w.retry, retry = false, time.After(retryEvery)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case rep := <-reports:
			if err := w.report(ctx, rep); err != nil {
				return err
			}
		case err := <-followed:
			if err := w.lostContainer(ctx, err); err != nil {
				followed <- nil // the follower has ended: nothing is left to wait for
				return err
			}
			go follow()
		case lastKnock = <-knocks:
		case <-retry:
			if err := w.readSecrets(ctx); err != nil {
				return err
			}
		case <-look.C:
			if err := w.look(ctx); err != nil {
				return err
			}
		case <-silent.C:
			if err := w.restartSilent(ctx); err != nil {
				return err
			}
		}
		w.refreshServer(ctx)
		done, err := w.done(ctx, lastKnock)
		if err != nil || done {
			return err
		}
	}
}

// report takes in what the follower saw.
func (w *waiter) report(ctx context.Context, rep k3sexec.Report) error {
	switch rep.Kind {
	case k3sexec.ReportProblem:
		w.problem = string(rep.Data)
		w.say("Waiting for Kubernetes")
		return nil
	case k3sexec.ReportList:
		w.heard, w.problem = true, ""
		secrets, err := manifest.DecodeSecrets(rep.Data)
		if err != nil {
			return fmt.Errorf("read Secrets: %w", err)
		}
		w.secrets = secrets
		return w.reconcile(ctx)
	case k3sexec.ReportReady:
		w.apiReady, w.problem = true, ""
		return w.reconcile(ctx)
	case k3sexec.ReportEvent:
		event, err := manifest.DecodePodEvent(rep.Data)
		if err != nil {
			return fmt.Errorf("read pod: %w", err)
		}
		return w.podEvent(ctx, event)
	default:
		return nil
	}
}

// readSecrets reads the Secrets again after a request that failed.
func (w *waiter) readSecrets(ctx context.Context) error {
	list, found, err := w.kube.Get(ctx, secretsPath)
	if found != k3sexec.Present {
		if err != nil {
			w.problem = err.Error()
		}
		w.retry = true
		return nil
	}
	if w.secrets, err = manifest.DecodeSecrets(list); err != nil {
		return fmt.Errorf("read Secrets: %w", err)
	}
	return w.reconcile(ctx)
}

func (w *waiter) podEvent(ctx context.Context, event manifest.PodEvent) error {
	switch event.Type {
	case "DELETED":
		w.pod = nil
		return nil
	case "ADDED", "MODIFIED":
	default: // an ERROR ends the watch, which then begins anew
		return nil
	}
	pod := event.Pod
	w.pod = &pod
	if !w.crashesSet {
		w.crashes, w.crashesSet = pod.RestartCount(), true
	}
	w.say("Waiting for the OpenShell server: " + pod.Summary())
	return w.hopeless(ctx)
}

// done says whether all conditions hold, and asks the server itself last.
func (w *waiter) done(ctx context.Context, k knock) (bool, error) {
	switch {
	case !w.apiReady || !w.reconciled || w.pod == nil || !w.pod.Ready():
		return false, nil
	case w.mustRestart || w.pod.UID() == w.oldPod:
		return false, nil
	case w.outdated():
		return false, nil
	case !w.r.m.reachable(w.r.plan.Target):
		// The port is bound to the loopback address of another machine: that the
		// pod is ready is all that can be known from here.
		return true, nil
	case !k.answers(w.r.material, w.r.plan.Target):
		return false, nil
	}
	_, err := w.r.m.health(ctx, w.r.plan.Target, w.r.plan.Target.host(w.r.m.daemonHost()), w.r.material.client)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	// A server that has just come up may drop the first call; the next report or
	// knock asks again.
	return err == nil, nil
}

// expectImage is the image that the server's pod must run, where we decide that.
func (r *run) expectImage() string {
	if r.o.Container != nil && r.o.Container.Origin == OriginUpstream && r.container == r.o.Container.ID {
		return ""
	}
	repository, tag, digest, err := manifest.SplitImage(r.plan.Target.GatewayImage)
	if err != nil {
		return ""
	}
	return manifest.ImageName(repository, tag, digest)
}

func (w *waiter) say(phase string) {
	if phase != w.phase {
		w.phase = phase
		w.r.emit(Event{Kind: Progress, Step: string(StepWaitReady), Text: phase})
	}
}

// lostContainer finds out why the connection into the container ended. A container
// that is being restarted is waited for, within bounds.
func (w *waiter) lostContainer(ctx context.Context, cause error) error {
	for stopped := 0; ; {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		in, err := w.r.m.docker.ContainerInspect(ctx, w.r.container, client.ContainerInspectOptions{})
		switch {
		case cerrdefs.IsNotFound(err):
			return &Error{Cause: CauseStopped, Err: errors.New("the container was removed while it started"),
				Hint: "the volume is kept; run the same command again"}
		case err != nil:
			return daemonError(err)
		}
		state := in.Container.State
		switch {
		case in.Container.RestartCount >= crashLimit:
			return w.r.m.crashed(ctx, w.r.name, in.Container, true)
		case state.Status == container.StateExited && state.ExitCode == 0 && w.r.booted.IsZero() && !w.restarted:
			// It was found running and ended in good order: the daemon carried out what a
			// command that is gone had asked for.
			w.restarted = true
			w.r.notice("the container was stopped meanwhile; starting it")
			if err := w.r.startContainer(ctx); err != nil {
				return err
			}
			continue
		case stoppedByHand(in.Container) && stopped < stopLooks:
			stopped++ // it may be in the middle of a restart
		case stoppedByHand(in.Container):
			return &Error{Cause: CauseStopped, Err: fmt.Errorf("the container was stopped while it started (exit code %d)", state.ExitCode),
				Hint: "container and volume are kept; run the same command again"}
		case state.Status == container.StateExited || state.Status == container.StateDead:
			return w.r.m.crashed(ctx, w.r.name, in.Container, false)
		case state.Status == container.StatePaused:
			return errPaused
		}
		w.apiReady, w.reconciled, w.pod = false, false, nil
		if err := pause(ctx, reconnect); err != nil {
			return err
		}
		if state.Status == container.StateRunning {
			w.problem = cause.Error()
			return nil
		}
	}
}

// errPaused is for a container that nothing can be heard of until it goes on.
var errPaused = &Error{Cause: CauseStopped, Err: errors.New("the container was paused while it started"), Hint: "run the same command again"}

// stoppedByHand says that a container ended because the daemon was told to end it: one
// that ends otherwise is restarted, or could not be.
func stoppedByHand(in container.InspectResponse) bool {
	policy := in.HostConfig.RestartPolicy
	return in.State.Status == container.StateExited && in.State.Error == "" && (policy.IsUnlessStopped() || policy.IsAlways())
}

// restartSilent restarts, once, a container that was found running and whose API
// server does not answer.
func (w *waiter) restartSilent(ctx context.Context) error {
	if w.heard || w.restarted || !w.r.booted.IsZero() || w.r.o.Container == nil {
		return nil
	}
	w.restarted = true
	w.r.warn(fmt.Sprintf("Kubernetes in the container has not answered for %s; restarting the container", silence))
	if err := w.r.m.stopContainer(ctx, w.r.name, w.r.container, StopTimeout); err != nil {
		return err
	}
	return w.r.startContainer(ctx)
}

// timedOut describes a wait that came to its end, with what was last seen.
func (w *waiter) timedOut(expired error) error {
	e := &Error{Cause: CauseTimeout, Err: fmt.Errorf("gateway %q is %w", w.r.name, expired),
		Hint: fmt.Sprintf("everything is left in place and goes on booting; run the same command again to continue, with a longer --timeout if this machine is slow, or look at 'docker openshell gateway logs %s'", w.r.name)}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	switch {
	case !w.apiReady:
		e.Detail = append(e.Detail, "Kubernetes in the container did not become ready")
		if w.problem != "" {
			e.Detail = append(e.Detail, w.problem)
		}
		e.Detail = append(e.Detail, w.r.m.logTail(ctx, w.r.container, 10)...)
	case !w.reconciled:
		e.Detail = append(e.Detail, "the Secrets could not be read or put in place: "+w.problem)
	case w.pod == nil:
		e.Detail = append(e.Detail, w.chartProblem(ctx)...)
	case !w.pod.Ready():
		e.Detail = append(e.Detail, "the OpenShell server's pod is not ready: "+w.pod.Summary())
	default:
		e.Detail = append(e.Detail, fmt.Sprintf("the OpenShell server does not answer on %s", w.r.plan.Target.endpoint(w.r.m.daemonHost())))
	}
	return e
}
