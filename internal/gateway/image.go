package gateway

import (
	"context"
	"fmt"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// ensureImage finds the image for a new container, or pulls it. A recorded image is
// preferred by its ID: a tag may mean something newer today, and a resume must not
// move k3s under its own data.
func (r *run) ensureImage(ctx context.Context) error {
	t := &r.plan.Target
	in, err := r.m.docker.ImageInspect(ctx, t.Image)
	switch {
	case err == nil && (t.ImageID == "" || t.ImageID == in.ID):
		return r.useImage(t.Image, in)
	case err != nil && !cerrdefs.IsNotFound(err):
		return daemonError(err)
	}
	if t.ImageID != "" {
		byID, idErr := r.m.docker.ImageInspect(ctx, t.ImageID)
		if idErr == nil {
			if err == nil {
				r.notice(fmt.Sprintf("%s is another image now; the gateway keeps the one that it was made from (to change it: --image)", t.Image))
			}
			return r.useImage(t.ImageID, byID)
		}
		if !cerrdefs.IsNotFound(idErr) {
			return daemonError(idErr)
		}
	}
	ref := t.Image
	if t.ImageDigest != "" {
		ref = t.ImageDigest
	}
	if t.ImageID != "" && t.ImageDigest == "" && err == nil {
		// The very image is gone and cannot be fetched again, its name is there.
		r.warn(fmt.Sprintf("the image that the gateway was made from is gone; using what %s is today", t.Image))
		return r.useImage(t.Image, in)
	}
	if isImageID(ref) {
		return &Error{Cause: CauseImage, Err: fmt.Errorf("image %s is not on this daemon, and an ID cannot be pulled", ref),
			Hint: "load it with 'docker load', or choose an image with --image"}
	}
	if err := r.pull(ctx, ref); err != nil {
		return err
	}
	in, err = r.m.docker.ImageInspect(ctx, ref)
	if err != nil {
		return daemonError(err)
	}
	return r.useImage(ref, in)
}

func (r *run) useImage(ref string, in client.ImageInspectResult) error {
	r.image = ref
	t := &r.plan.Target
	t.ImageID, t.ImageDigest = in.ID, ""
	if len(in.RepoDigests) > 0 {
		t.ImageDigest = in.RepoDigests[0]
	}
	if in.Os != "" && in.Os != "linux" {
		return &Error{Cause: CauseImage, Err: fmt.Errorf("image %s is for %s, not for Linux", ref, in.Os)}
	}
	return nil
}

// pull pulls an image and reports its progress in bytes.
func (r *run) pull(ctx context.Context, ref string) error {
	fail := func(err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &Error{Cause: CauseImage, Err: fmt.Errorf("image %s is not on this daemon and cannot be pulled: %w", ref, err),
			Hint: "nothing was removed; check the name and the network, or bring the image with 'docker load', or choose another with --image"}
	}
	auth, err := r.m.cfg.PullAuth(ctx, ref)
	if err != nil {
		return fail(err)
	}
	res, err := r.m.docker.ImagePull(ctx, ref, client.ImagePullOptions{RegistryAuth: auth})
	if err != nil {
		return fail(err)
	}
	defer res.Close() //nolint:errcheck // a reader's close has nothing to say
	layers := map[string][2]int64{}
	for msg, err := range res.JSONMessages(ctx) {
		if err != nil {
			return fail(err)
		}
		if msg.Error != nil {
			return fail(msg.Error)
		}
		if msg.Progress == nil || msg.ID == "" || msg.Status != "Downloading" {
			continue
		}
		layers[msg.ID] = [2]int64{msg.Progress.Current, msg.Progress.Total}
		var current, total int64
		for _, l := range layers {
			current, total = current+l[0], total+l[1]
		}
		r.emit(Event{Kind: Progress, Step: string(StepEnsureImage), Text: "Pulling " + ref, Current: current, Total: total})
	}
	return nil
}

// anyImage returns the first of the given images that the daemon has, else any: a
// container that is never started can be made from every image.
func (m *Manager) anyImage(ctx context.Context, refs []string) (string, error) {
	for _, ref := range refs {
		if ref == "" {
			continue
		}
		in, err := m.docker.ImageInspect(ctx, ref)
		if err == nil {
			return in.ID, nil
		}
		if !cerrdefs.IsNotFound(err) && !cerrdefs.IsInvalidArgument(err) {
			return "", daemonError(err)
		}
	}
	list, err := m.docker.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return "", daemonError(err)
	}
	if len(list.Items) == 0 {
		return "", &Error{Cause: CauseImage,
			Err:  fmt.Errorf("the daemon has no image, and without one the volume cannot be read; it is untouched"),
			Hint: "bring the gateway's image first, with 'docker pull' or 'docker load': " + strings.Join(refs, " ")}
	}
	return list.Items[0].ID, nil
}
