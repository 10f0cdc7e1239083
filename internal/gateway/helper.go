package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/docker-openshell/docker-openshell/scripts"
)

// statePoint is where a helper has the volume, and statePath what it runs there.
const (
	statePoint  = "/state"
	stateScript = "/openshell-cluster-state.sh"
)

// helperLabel says what a helper is for, and whose it is.
func helperLabel(purpose, name string) string { return purpose + " " + objectName(name) }

// withHelper makes a container with the gateway's volume, hands its ID over, and
// removes it. The container runs only if fn starts it.
func (m *Manager) withHelper(ctx context.Context, opts client.ContainerCreateOptions, name, purpose string, fn func(id string) error) (err error) {
	opts.Config.Labels = map[string]string{labelHelper: helperLabel(purpose, name)}
	opts.HostConfig.NetworkMode = "none"
	created, err := m.docker.ContainerCreate(ctx, opts)
	if err != nil {
		return daemonError(fmt.Errorf("create a container to %s volume %s: %w", purpose, objectName(name), err))
	}
	defer func() {
		_, rmErr := m.docker.ContainerRemove(context.WithoutCancel(ctx), created.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if rmErr != nil && !cerrdefs.IsNotFound(rmErr) {
			err = errors.Join(err, daemonError(rmErr))
		}
	}()
	return fn(created.ID)
}

// readers are the purposes of helpers that change nothing.
var readers = []string{"read", "ls", "check-port"}

// stale is how old a helper that changes nothing is when nobody can be waiting for it.
const stale = time.Minute

// sweep removes helpers that a killed command has left. One that changes state may
// still be at work: it is stopped, because the gateway's lock is held here, and what it
// leaves is made up for. It reports whether there was one of that kind.
func (m *Manager) sweep(ctx context.Context, name string) (bool, error) {
	return m.sweepHelpers(ctx, name, stale)
}

// sweepHelpers does that, with those that change nothing only if they are as old as that.
func (m *Manager) sweepHelpers(ctx context.Context, name string, age time.Duration) (bool, error) {
	list, err := m.docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", labelHelper)})
	if err != nil {
		return false, daemonError(err)
	}
	worked := false
	for _, c := range list.Items {
		purpose, ours := strings.CutSuffix(c.Labels[labelHelper], " "+objectName(name))
		reader := slices.Contains(readers, purpose)
		if !ours || reader && age > 0 && m.cfg.Now().Sub(time.Unix(c.Created, 0)) < age {
			continue
		}
		if err := m.removeContainer(ctx, c.ID); err != nil {
			return worked, err
		}
		worked = worked || !reader
	}
	return worked, nil
}

// volumeAt mounts the gateway's volume.
func volumeAt(name, target string, readOnly bool) mount.Mount {
	return mount.Mount{Type: mount.TypeVolume, Source: objectName(name), Target: target, ReadOnly: readOnly,
		// Without this the daemon would fill an empty volume from the image.
		VolumeOptions: &mount.VolumeOptions{NoCopy: true}}
}

// runState runs the script that moves state, in a container of the given image, and
// returns what it printed. It needs of the image a shell and the usual tools, which
// every image of a node has. The files are put on the volume first.
func (m *Manager) runState(ctx context.Context, name, image string, files []file, args ...string) (string, error) {
	opts := client.ContainerCreateOptions{
		Config: &container.Config{Image: image, Entrypoint: append([]string{"/bin/sh", stateScript}, args...),
			Env: []string{"OPENSHELL_STATE=" + statePoint, "OPENSHELL_SHIPPED=" + dataPath}, User: "0:0"},
		HostConfig: &container.HostConfig{Mounts: []mount.Mount{volumeAt(name, statePoint, false)}},
	}
	if args[0] != "aside" {
		// Only a set-aside needs what the image has there; the daemon would copy it.
		opts.HostConfig.Tmpfs = map[string]string{dataPath: ""}
	}
	var out string
	err := m.withHelper(ctx, opts, name, args[0], func(id string) error {
		if err := m.copyFiles(ctx, id, append(files, file{stateScript, 0o755, scripts.State})); err != nil {
			return err
		}
		var err error
		out, err = m.runToEnd(ctx, id)
		return err
	})
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%s the state on volume %s: %w", args[0], objectName(name), err)
	}
	return out, err
}

// runToEnd starts a container, waits for its end, and returns its output.
func (m *Manager) runToEnd(ctx context.Context, id string) (string, error) {
	wait := m.docker.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := m.docker.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		return "", daemonError(err)
	}
	var code int64
	select {
	case res := <-wait.Result:
		code = res.StatusCode
	case err := <-wait.Error:
		return "", daemonError(err)
	}
	logs, err := m.docker.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return "", daemonError(err)
	}
	defer logs.Close() //nolint:errcheck // a reader's close has nothing to say
	var stdout, stderr bytes.Buffer
	if _, err := stdcopy.StdCopy(&stdout, &stderr, logs); err != nil {
		return "", err
	}
	if code == 0 {
		return stdout.String(), nil
	}
	text := strings.TrimPrefix(strings.TrimSpace(stderr.String()), "error: ")
	if strings.Contains(text, "o space left") {
		return "", &Error{Cause: CauseDisk, Err: errors.New(text), Hint: "free space on the daemon's host; nothing was removed"}
	}
	return "", fmt.Errorf("exit code %d: %s", code, text)
}
