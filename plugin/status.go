package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

// newStatus is "openshell status" and "openshell gateway status": the first is what
// users of the openshell CLI know, the second is where it belongs.
func newStatus(a *app) *cobra.Command {
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "status [OPTIONS] [NAME]",
		Short: "Show whether a gateway is healthy",
		Long: `Show the condition of a gateway and, if it is not healthy, what is wrong and what to do.

A gateway counts as healthy when its container passes the health check and the
OpenShell server answers this machine. The exit code is 0 when it is healthy and 1 when
it is not, or does not exist.`,
		Example: `# The gateway that commands mean when none is named
docker openshell status

# In a script
docker openshell status work > /dev/null && echo healthy

# One value
docker openshell status --format '{{.State}}'`,
		Args:              cli.RequiresMaxArgs(1),
		ValidArgsFunction: a.completeGateways(onlyOne),
		RunE: run(onlyReading, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			return runStatus(ctx, a, cmd, args, format)
		}),
	}
	format.add(cmd, "", tableOrTemplate, "table", "json")
	return cmd
}

func runStatus(ctx context.Context, a *app, cmd *cobra.Command, args []string, format formatFlag) error {
	t, m, err := a.on(cmd, args, nil)
	if err != nil {
		return err
	}
	st, err := m.Status(ctx, t.name)
	if err != nil {
		return err
	}
	if format != "" {
		err = writeRows(a.cli.Out(), format, "table {{.Name}}{{.Mark}}\t{{.State}}\t{{.Endpoint}}\t{{.Auth}}\t{{.ServerVersion}}", []*statusRow{{Status: st}})
	} else {
		describe(a.cli.Out(), st)
	}
	if err != nil || st.Healthy {
		return err
	}
	return unhealthy(t, st)
}

// unhealthy is the error that gives status its exit code. It repeats the problem,
// because standard output may have gone elsewhere.
func unhealthy(t target, st gateway.Status) error {
	err := fmt.Errorf("gateway %q is %s", st.Name, st.State)
	if st.State == gateway.StateAbsent {
		err = fmt.Errorf("there is no gateway %q", st.Name)
		if t.implied {
			err = fmt.Errorf("%w (named by %s)", err, t.source)
		}
	} else if st.Problem != "" {
		err = fmt.Errorf("%w: %s", err, st.Problem)
	}
	return &gateway.Error{Cause: gateway.CauseUnhealthy, Err: err, Hint: st.Hint}
}

// describe shows a status to people. Problem and hint follow on standard error.
func describe(w io.Writer, st gateway.Status) {
	name := st.Name
	if st.Active {
		name += " (active)"
	}
	field(w, "Gateway", name)
	field(w, "State", string(st.State))
	field(w, "Endpoint", st.Endpoint)
	field(w, "Auth", st.Auth)
	field(w, "Server", st.ServerVersion)
	if st.Port != 0 {
		field(w, "Published", bindPort(st.Bind, st.Port))
	}
	if c := st.Container; c != nil {
		field(w, "Container", fmt.Sprintf("%s (%s), %s", c.Name, shortID(c.ID), containerState(c)))
		field(w, "Image", c.Image)
	}
	if v := st.Volume; v != nil {
		field(w, "Volume", v.Name)
	}
	field(w, "Network", st.Network)
	if len(st.StaleSandboxes) > 0 {
		field(w, "Sandboxes", "these hold an older SSH handshake secret and refuse SSH until they are made anew: "+strings.Join(st.StaleSandboxes, ", "))
	}
	field(w, "Sandboxes", st.SandboxProblem)
	if st.Origin == originUpstream {
		field(w, "Origin", "made by the openshell CLI")
	}
	daemon := st.Context
	if st.Daemon != "" {
		daemon += " (" + st.Daemon + ")"
	}
	field(w, "Context", daemon)
}

// originUpstream is the origin of a gateway that the openshell CLI made.
const originUpstream = "openshell"

// containerState is what "docker ps" shows of a container, as far as it matters.
func containerState(c *gateway.ContainerStatus) string {
	parts := []string{c.Status}
	switch {
	case c.Status == "running" && !c.StartedAt.IsZero():
		parts = append(parts, "started "+ago(c.StartedAt))
	case c.Status != "running" && !c.FinishedAt.IsZero():
		parts = append(parts, fmt.Sprintf("exit code %d, %s", c.ExitCode, ago(c.FinishedAt)))
	}
	if c.RestartCount > 0 {
		parts = append(parts, fmt.Sprintf("restarted %d times", c.RestartCount))
	}
	return strings.Join(parts, ", ")
}

func bindPort(bind string, port int) string {
	if strings.Contains(bind, ":") {
		bind = "[" + bind + "]"
	}
	return bind + ":" + strconv.Itoa(port)
}

// shortID is how docker shows an ID.
func shortID(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}
