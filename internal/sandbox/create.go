package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// CreateOptions describe a new sandbox.
type CreateOptions struct {
	// Name may be empty: the gateway makes one up then.
	Name string
	// Image may be empty: then it is the gateway's default image.
	Image string
	GPU   bool
	// Providers are names of providers that the gateway knows.
	Providers []string
}

// maxImage is what the server takes for any text of a template, in bytes.
const maxImage = 1024

// Create asks for a sandbox. It returns at once; [Client.WaitReady] waits.
func (c *Client) Create(ctx context.Context, opts CreateOptions) (Sandbox, error) {
	if opts.Name != "" {
		if err := ValidateName(opts.Name); err != nil {
			return Sandbox{}, err
		}
	}
	if len(opts.Image) > maxImage {
		return Sandbox{}, fail(CauseInvalid, "", "the image name has %d bytes; at most %d are allowed", len(opts.Image), maxImage)
	}
	spec := &pb.SandboxSpec{Gpu: opts.GPU, Providers: opts.Providers}
	if opts.Image != "" {
		spec.Template = &pb.SandboxTemplate{Image: opts.Image}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.api.CreateSandbox(ctx, &pb.CreateSandboxRequest{Name: opts.Name, Spec: spec})
	if err != nil {
		err := c.callError(ctx, "create a sandbox", err)
		if CauseOf(err) == CauseExists {
			return Sandbox{}, fail(CauseExists, fmt.Sprintf("choose another name, or delete it first: docker openshell sandbox rm %s", opts.Name),
				"there is a sandbox %q already", opts.Name)
		}
		return Sandbox{}, err
	}
	return decode(r.GetSandbox())
}

// Progress is something that happened to a sandbox while it was waited for.
type Progress struct {
	// Reason is Kubernetes' word for it, such as "Pulling"; "" for a line of the
	// gateway's log.
	Reason, Message string
}

// watchPause is the time between two attempts to watch.
const watchPause = 500 * time.Millisecond

// WaitReady waits until a sandbox that is being provisioned is ready. The context
// bounds it. A watch that breaks is taken up again.
func (c *Client) WaitReady(ctx context.Context, s Sandbox, progress func(Progress)) (Sandbox, error) {
	w := &watcher{client: c, last: s, progress: progress, seen: map[string]bool{}, notReady: s.Phase != PhaseReady}
	for {
		done, err := w.follow(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return w.last, w.expired(ctx)
		case err != nil || done:
			return w.last, err
		}
		select {
		case <-ctx.Done():
			return w.last, w.expired(ctx)
		case <-time.After(watchPause):
		}
	}
}

// watcher follows one sandbox over several streams.
type watcher struct {
	client   *Client
	last     Sandbox
	progress func(Progress)
	// seen are the events that were reported: a new stream repeats them.
	seen map[string]bool
	// notReady says that the sandbox was seen in another phase than ready: a gateway
	// may still show the state from before the wait.
	notReady bool
}

func (w *watcher) expired(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return ctx.Err()
	}
	why := string(w.last.Phase)
	if p := w.last.problem(); p != "" {
		why += ": " + p
	}
	return fail(CauseTimeout, "OPENSHELL_PROVISION_TIMEOUT sets the time, in seconds; see also 'docker openshell sandbox logs "+w.last.Name+"'",
		"sandbox %q did not become ready in time; it is still %s", w.last.Name, why)
}

// follow reads one stream. It returns false to be called again.
func (w *watcher) follow(ctx context.Context) (done bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	what := fmt.Sprintf("watch sandbox %q", w.last.Name)
	stream, err := w.client.api.WatchSandbox(ctx, &pb.WatchSandboxRequest{
		Id: w.last.ID, FollowStatus: true, FollowLogs: true, FollowEvents: true, LogTailLines: 200, LogSources: []string{"gateway"}})
	if err != nil {
		return false, w.again(w.client.callError(ctx, what, err))
	}
	for {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			// The stream ends when the sandbox is gone; a gateway that is being
			// restarted ends it too.
			return false, nil
		}
		if status.Code(err) == codes.NotFound {
			return false, fail(CauseFailed, "", "sandbox %q was deleted while it was being provisioned", w.last.Name)
		}
		if err != nil {
			return false, w.again(w.client.callError(ctx, what, err))
		}
		if done, err := w.handle(e); done || err != nil {
			return done, err
		}
	}
}

// again passes over the errors that another attempt may not have. A gateway may see the
// end of the wait a moment before this side does.
func (w *watcher) again(err error) error {
	switch CauseOf(err) {
	case CauseUnreachable, CauseTimeout:
		return nil
	default:
		return err
	}
}

func (w *watcher) handle(e *pb.SandboxStreamEvent) (done bool, err error) {
	switch p := e.GetPayload().(type) {
	case *pb.SandboxStreamEvent_Sandbox:
		s, err := decode(p.Sandbox)
		if err != nil {
			return false, err
		}
		if s.ID != w.last.ID {
			return false, fail(CauseReply, "", "the gateway answered with sandbox %q where %q was asked for", s.ID, w.last.ID)
		}
		w.last = s
		switch s.Phase {
		case PhaseReady:
			return w.notReady, nil
		case PhaseError:
			return false, fail(CauseFailed, "", "sandbox %q cannot be provisioned: %s", s.Name, s.problem())
		case PhaseDeleting:
			return false, fail(CauseFailed, "", "sandbox %q is being deleted", s.Name)
		}
		w.notReady = true
	case *pb.SandboxStreamEvent_Event:
		w.report(p.Event.GetReason(), p.Event.GetMessage())
	case *pb.SandboxStreamEvent_Warning:
		w.report("Warning", p.Warning.GetMessage())
	}
	return false, nil
}

func (w *watcher) report(reason, message string) {
	p := Progress{Reason: clean(reason), Message: clean(message)}
	if key := p.Reason + "\x00" + p.Message; !w.seen[key] && w.progress != nil {
		w.seen[key] = true
		w.progress(p)
	}
}
