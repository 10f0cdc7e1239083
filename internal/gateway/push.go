package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"

	"github.com/docker-openshell/docker-openshell/internal/k3sexec"
)

// StepPush is the name of the step of [Manager.PushImages].
const StepPush = "push-images"

// PushImages brings images of the daemon into a running gateway: in one stream,
// without a copy of them on a disk in between. They are pinned, so that the node does
// not remove them when space gets short. Names may be given as docker takes them; what
// is returned are the full names by which the node knows them.
func (m *Manager) PushImages(ctx context.Context, name string, images []string) ([]string, error) {
	if err := validateName(name); err != nil {
		return nil, err
	}
	full, total, err := m.pushable(ctx, images)
	if err != nil {
		return nil, err
	}
	id, err := m.runningContainer(ctx, name)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("Bringing %d images into gateway %q", len(full), name)
	if len(full) == 1 {
		text = fmt.Sprintf("Bringing %s into gateway %q", full[0], name)
	}
	m.cfg.Events(Event{Kind: StepStarted, Step: StepPush, Text: text})
	if err := m.push(ctx, id, images, full, total, text); err != nil {
		m.cfg.Events(Event{Kind: StepFailed, Step: StepPush, Text: text})
		return nil, m.interrupted(err, name)
	}
	m.cfg.Events(Event{Kind: StepDone, Step: StepPush, Text: text})
	return full, nil
}

func (m *Manager) push(ctx context.Context, id string, images, full []string, total int64, text string) error {
	archive, err := m.docker.ImageSave(ctx, images)
	if err != nil {
		return daemonError(fmt.Errorf("read the images: %w", err))
	}
	defer archive.Close() //nolint:errcheck // a reader's close has nothing to say
	counted := &counter{Reader: archive, report: func(n int64) {
		m.cfg.Events(Event{Kind: Progress, Step: StepPush, Text: text, Current: n, Total: max(n, total)})
	}}
	containerd := k3sexec.NewContainerd(k3sexec.New(m.docker, id))
	if err := containerd.Import(ctx, counted); err != nil {
		return importError(err)
	}
	return containerd.Pin(ctx, full)
}

func importError(err error) error {
	if s, ok := recognise([]string{err.Error()}); ok {
		return &Error{Cause: s.cause, Err: err, Hint: s.hint}
	}
	return err
}

// pushable looks all images up before anything is sent.
func (m *Manager) pushable(ctx context.Context, images []string) (full []string, total int64, err error) {
	for _, image := range images {
		ref, err := reference.ParseNormalizedNamed(image)
		if err != nil {
			return nil, 0, invalidf("give a name such as my/image:tag", "image %q: %w", image, err)
		}
		if _, digested := ref.(reference.Digested); digested {
			return nil, 0, invalidf("give the image a tag first: docker tag "+image+" NAME:TAG", "image %q: only images with a tag can be brought into a gateway", image)
		}
		in, err := m.docker.ImageInspect(ctx, image)
		if cerrdefs.IsNotFound(err) {
			return nil, 0, &Error{Cause: CauseImage, Err: fmt.Errorf("image %q is not on this daemon", image),
				Hint: "see 'docker image ls', or fetch it with 'docker pull " + image + "'"}
		}
		if err != nil {
			return nil, 0, daemonError(err)
		}
		full = append(full, reference.TagNameOnly(ref).String())
		total += in.Size
	}
	return full, total, nil
}

// runningContainer finds the container of a gateway that must run.
func (m *Manager) runningContainer(ctx context.Context, name string) (string, error) {
	c, err := m.observeContainer(ctx, name)
	if err != nil {
		return "", err
	}
	if c != nil && c.Origin != OriginForeign && c.running() {
		return c.ID, nil
	}
	return "", &Error{Cause: CauseAbsent, Err: fmt.Errorf("gateway %q does not run on this daemon", name),
		Hint: "docker openshell gateway start " + name}
}

// counter reports how much was read, at most once for each of the steps.
type counter struct {
	io.Reader
	n, said int64
	report  func(int64)
}

// countStep is how much is read between two reports, in bytes.
const countStep = 4 << 20

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	if c.n-c.said >= countStep || errors.Is(err, io.EOF) && c.n > c.said {
		c.said = c.n
		c.report(c.n)
	}
	return n, err
}
