package gateway

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/docker-openshell/docker-openshell/internal/k3sexec"
)

// Logs copies the log of a gateway's node, or of its OpenShell server. The node's
// can be read in every state of the container.
func (m *Manager) Logs(ctx context.Context, name string, opts LogsOptions) error {
	if err := validateName(name); err != nil {
		return err
	}
	c, err := m.observeContainer(ctx, name)
	if err != nil {
		return err
	}
	if c == nil {
		return absent(name)
	}
	if c.Origin == OriginForeign {
		return checkOwnership(Observed{Name: name, Container: c})
	}
	if opts.Server {
		return m.serverLogs(ctx, name, c, opts)
	}
	res, err := m.docker.ContainerLogs(ctx, c.ID, client.ContainerLogsOptions{
		ShowStdout: true, ShowStderr: true, Follow: opts.Follow, Timestamps: opts.Timestamps,
		Tail: opts.Tail, Since: opts.Since, Until: opts.Until,
	})
	if err != nil {
		return daemonError(err)
	}
	defer res.Close() //nolint:errcheck // a reader's close has nothing to say
	if _, err := stdcopy.StdCopy(opts.Out, opts.Err, res); err != nil && ctx.Err() == nil {
		return daemonError(err)
	}
	return ctx.Err()
}

// serverLogs reads the pod's log with the kubectl in the container.
func (m *Manager) serverLogs(ctx context.Context, name string, c *ObservedContainer, opts LogsOptions) error {
	if c.Status != container.StateRunning {
		return &Error{Cause: CauseUnhealthy, Err: fmt.Errorf("gateway %q does not run (%s), so its server's log cannot be read", name, c.Status),
			Hint: "without --server the node's own log is shown"}
	}
	if opts.Until != "" {
		return invalidf("leave out --until, or read the node's log without --server", "--until %q does not go with --server", opts.Until)
	}
	args := []string{"logs", "-n", namespace, serverPod, "--all-containers"}
	if opts.Follow {
		args = append(args, "--follow")
	}
	if opts.Timestamps {
		args = append(args, "--timestamps")
	}
	if opts.Tail != "" && opts.Tail != "all" {
		args = append(args, "--tail", opts.Tail)
	}
	if opts.Since != "" {
		since, err := sinceArgument(opts.Since)
		if err != nil {
			return err
		}
		args = append(args, since)
	}
	return k3sexec.NewKubectl(k3sexec.New(m.docker, c.ID)).Stream(ctx, opts.Out, args...)
}

// sinceArgument turns what "docker logs --since" takes into kubectl's two options.
func sinceArgument(since string) (string, error) {
	if d, err := time.ParseDuration(since); err == nil && d > 0 {
		return "--since=" + d.String(), nil
	}
	if _, err := time.Parse(time.RFC3339, since); err == nil {
		return "--since-time=" + since, nil
	}
	return "", invalidf("give a duration such as 10m, or a time such as "+time.RFC3339, "--since %q is neither a duration nor a time", strings.TrimSpace(since))
}
