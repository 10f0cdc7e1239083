package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/docker-openshell/docker-openshell/internal/k3sexec"
)

// signature is a text by which a cause is recognised in a log, where the component
// that fails offers nothing better. Each is specific enough not to stand in the
// noise of a boot that goes well.
type signature struct {
	text  string
	cause Cause
	say   string
	hint  string
}

// signatures, the most specific first.
var signatures = []signature{
	{"failed to find interface with specified node ip", CauseNetwork, "the node's address changed and k3s looks for the old one", "run 'docker openshell gateway restart'"},
	{"Node password rejected", CauseBroken, "the node's password does not match the one that Kubernetes has stored", "run 'docker openshell gateway start' again; see docs/recovery.md if it stays"},
	{"encrypted with different token", CauseBroken, "the datastore was encrypted with another k3s token", "the token file on the volume was changed; restore it"},
	{"file is not a database", CauseBroken, "the datastore on the volume is damaged", "make a copy of the volume before anything else; see docs/recovery.md"},
	{"database disk image is malformed", CauseBroken, "the datastore on the volume is damaged", "make a copy of the volume before anything else; see docs/recovery.md"},
	{"attempt to write a readonly database", CauseDisk, "the volume is read-only", "look at the disk under Docker's data directory"},
	{"failed to reserve sandbox name", CauseBroken, "containerd's own records are damaged", "see docs/recovery.md"},
	{"no space left on device", CauseDisk, "the disk under Docker's data directory is full", "free space on the daemon's host; nothing was removed"},
	{"too many open files", CauseDisk, "the daemon's host is out of inotify watches or file handles", "raise fs.inotify.max_user_instances and fs.inotify.max_user_watches on the daemon's host"},
	{"flag provided but not defined", CauseImage, "the image's k3s does not know an option that this plugin uses", "choose another image with --image"},
	{"exec " + entrypointPath + ": no such file or directory", CauseImage, "the image cannot run a node: it has no shell", "choose another image with --image"},
	{"/bin/k3s: not found", CauseImage, "the image holds no k3s", "choose another image with --image"},
	{"certificate has expired or is not yet valid", CauseUnhealthy, "a certificate of the cluster has expired, or a clock is wrong", "compare the clocks of this machine and of the daemon's host"},
}

// recognise finds the first signature that stands in the lines.
func recognise(lines []string) (signature, bool) {
	for _, s := range signatures {
		for _, line := range lines {
			if strings.Contains(line, s.text) {
				return s, true
			}
		}
	}
	return signature{}, false
}

// daemonError classifies an error of the Engine API that has no better explanation.
func daemonError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case client.IsErrConnectionFailed(err):
		return &Error{Cause: CauseDaemon, Err: err,
			Hint: "start Docker, or choose another daemon with 'docker --context NAME openshell …'"}
	case cerrdefs.IsPermissionDenied(err) || strings.Contains(err.Error(), "permission denied while trying to connect"):
		return &Error{Cause: CauseDaemon, Err: err, Hint: "your user may not use the Docker socket: see 'docker context ls', or join the group docker"}
	case strings.Contains(err.Error(), "no space left on device"):
		return &Error{Cause: CauseDisk, Err: err, Hint: "free space on the daemon's host; nothing was removed"}
	default:
		return err
	}
}

// diagnoseStart explains why the daemon did not create or start a container. The
// daemon has no typed errors for these.
func diagnoseStart(err error, t Record) error {
	text := err.Error()
	switch {
	case portTaken(err):
		return portError(t, "", err)
	case strings.Contains(text, entrypointPath) && (strings.Contains(text, "no such file or directory") || strings.Contains(text, "executable file not found")):
		return &Error{Cause: CauseImage, Err: fmt.Errorf("image %s cannot run a node: it has no shell for the entrypoint", t.Image),
			Detail: []string{text},
			Hint:   "container, log and volume are kept; choose an OpenShell cluster image: docker openshell gateway start --image IMAGE " + t.Name}
	case strings.Contains(text, "could not select device driver") || strings.Contains(text, "nvidia.com/gpu"):
		return &Error{Cause: CauseInvalid, Err: errors.New("the daemon's host offers no NVIDIA GPU to containers"), Detail: []string{text},
			Hint: "install the NVIDIA container toolkit there, or start with --gpu=false"}
	case strings.Contains(text, "operation not permitted") || strings.Contains(text, "privileged"):
		return &Error{Cause: CauseDaemon, Err: errors.New("the daemon does not run privileged containers, which a Kubernetes node needs"),
			Detail: []string{text}, Hint: "use a daemon that is neither rootless nor restricted"}
	}
	return daemonError(fmt.Errorf("start container: %w", err))
}

// crashed describes a container that exited, once or again and again, by the end of
// its log.
func (m *Manager) crashed(ctx context.Context, name string, in container.InspectResponse, again bool) error {
	e := &Error{Cause: CauseCrash}
	lines := m.logTail(ctx, in.ID, 200)
	if again {
		e.Err = fmt.Errorf("container %s exits again and again (exit code %d)", objectName(name), in.State.ExitCode)
	} else {
		e.Err = fmt.Errorf("container %s exited (exit code %d)", objectName(name), in.State.ExitCode)
	}
	e.Hint = fmt.Sprintf("container, log and volume are kept; see 'docker openshell gateway logs %s', then run the same command again", name)
	if s, ok := recognise(lines); ok {
		e.Cause = s.cause
		e.Err = fmt.Errorf("%w: %s", e.Err, s.say)
		e.Hint = s.hint
	}
	e.Detail = lastLines(lines, 10)
	return e
}

// logTail returns the last lines of a container's log, both streams in their order.
// It is for messages: where the log cannot be read it says so in a line.
func (m *Manager) logTail(ctx context.Context, id string, n int) []string {
	return m.logLines(ctx, id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: fmt.Sprint(n)})
}

func (m *Manager) logLines(ctx context.Context, id string, opts client.ContainerLogsOptions) []string {
	res, err := m.docker.ContainerLogs(ctx, id, opts)
	if err != nil {
		return []string{"(the container's log cannot be read: " + err.Error() + ")"}
	}
	defer res.Close() //nolint:errcheck // a reader's close has nothing to say
	var buf bytes.Buffer
	if _, err := stdcopy.StdCopy(&buf, &buf, res); err != nil {
		return []string{"(the container's log cannot be read: " + err.Error() + ")"}
	}
	var lines []string
	scan := bufio.NewScanner(&buf)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		lines = append(lines, scan.Text())
	}
	return lines
}

func lastLines(lines []string, n int) []string {
	if over := len(lines) - n; over > 0 {
		return lines[over:]
	}
	return lines
}

// lookEvery is how often a node is looked at from outside while it is waited for.
const lookEvery = 10 * time.Second

// look finds what no report tells of: a container that is paused, whose connections stay
// open, and a node that cannot come up.
func (w *waiter) look(ctx context.Context) error {
	in, err := w.r.m.docker.ContainerInspect(ctx, w.r.container, client.ContainerInspectOptions{})
	switch {
	case cerrdefs.IsNotFound(err):
		return nil // its connections end
	case err != nil:
		return daemonError(err)
	case in.Container.State.Status == container.StatePaused:
		return errPaused
	case w.heard:
		return nil
	}
	return w.stuck(ctx)
}

// stuck ends the wait for a node that says why it cannot come up, and goes on trying. It
// counts only if it is still said when the log is looked at again.
func (w *waiter) stuck(ctx context.Context) error {
	since := fmt.Sprint(w.r.m.cfg.Now().Add(-lookEvery).Unix())
	lines := w.r.m.logLines(ctx, w.r.container, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Since: since, Tail: "200"})
	s, ok := recognise(lines)
	again := ok && s.text == w.stuckOn
	w.stuckOn = s.text
	if !again || s.cause != CauseBroken && s.cause != CauseDisk {
		return nil
	}
	return &Error{Cause: s.cause, Err: fmt.Errorf("the node of gateway %q cannot start: %s", w.r.name, s.say), Detail: lastLines(lines, 5), Hint: s.hint}
}

// hopeless ends a wait for a server that cannot come up.
func (w *waiter) hopeless(ctx context.Context) error {
	pod := w.pod
	reason, message := pod.Waiting()
	switch {
	case w.outdated(): // about to be replaced, whatever its trouble
	case reason == "InvalidImageName" || reason == "ErrImageNeverPull":
		return w.badServer(ctx, CauseImage, fmt.Errorf("the server's image %s: %s", pod.Image(), message), "choose another with --gateway-image")
	case reason == "ErrImagePull" || reason == "ImagePullBackOff":
		if w.badImage.IsZero() {
			w.badImage = w.r.m.cfg.Now()
		}
		if w.r.m.cfg.Now().Sub(w.badImage) > imageGrace {
			return w.badServer(ctx, CauseImage, fmt.Errorf("the node cannot pull the server's image %s: %s", pod.Image(), message),
				"check the network and the registry's credentials (--registry-token), or choose another image with --gateway-image; the wait goes on with the same command")
		}
	case reason == "CrashLoopBackOff" && pod.RestartCount()-w.crashes >= serverCrashLimit:
		return w.badServer(ctx, CauseUnhealthy, errors.New("the OpenShell server exits again and again"),
			fmt.Sprintf("see 'docker openshell gateway logs --server %s'; the volume is kept", w.r.name))
	default:
		w.badImage = time.Time{}
	}
	if text := pod.Unschedulable(); strings.Contains(text, "disk-pressure") {
		return w.badServer(ctx, CauseDisk, errors.New("the node is short of disk space, so the server cannot be placed on it"),
			"free space on the daemon's host; nothing was removed")
	}
	return nil
}

func (w *waiter) badServer(ctx context.Context, cause Cause, err error, hint string) error {
	e := &Error{Cause: cause, Err: err, Hint: hint}
	path := "/api/v1/namespaces/" + namespace + "/pods/" + serverPod + "/log?tailLines=10"
	if log, found, logErr := w.kube.Get(ctx, path); found == k3sexec.Present && logErr == nil {
		for line := range strings.Lines(string(log)) {
			e.Detail = append(e.Detail, strings.TrimRight(line, "\n"))
		}
	}
	return e
}

// chartProblem says why there is no pod at all, as far as the HelmChart object and
// the node's log tell.
func (w *waiter) chartProblem(ctx context.Context) []string {
	lines := []string{"Kubernetes is ready, but the OpenShell server was not deployed"}
	doc, found, err := w.kube.Get(ctx, chartPath)
	switch found {
	case k3sexec.Absent:
		return append(lines, "there is no HelmChart object kube-system/openshell")
	case k3sexec.Unknown:
		return append(lines, err.Error())
	}
	var chart struct {
		Status struct {
			Conditions []struct{ Type, Status, Reason, Message string } `json:"conditions"`
		} `json:"status"`
	}
	if err := json.Unmarshal(doc, &chart); err != nil {
		return append(lines, err.Error())
	}
	for _, c := range chart.Status.Conditions {
		if c.Message != "" {
			lines = append(lines, c.Type+"="+c.Status+": "+c.Message)
		}
	}
	return lines
}
