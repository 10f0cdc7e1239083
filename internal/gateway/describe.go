package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"github.com/docker-openshell/docker-openshell/internal/k3sexec"
)

// healthCheckTimeout bounds one run of the container's health check.
const healthCheckTimeout = 10 * time.Second

// Status describes a gateway in any state. It asks the server itself where the
// container is said to be healthy, and looks again where it is said not to be. It changes nothing but for a recreate or a restore
// that was cut off, which it settles. An absent gateway is a status, not an error.
func (m *Manager) Status(ctx context.Context, name string) (Status, error) {
	if err := validateName(name); err != nil {
		return Status{}, err
	}
	if err := m.recoverUnlocked(ctx, name); err != nil {
		return Status{}, err
	}
	st, record, err := m.describe(ctx, name)
	if err != nil {
		return Status{}, err
	}
	info, err := m.docker.Info(ctx, client.InfoOptions{})
	if err != nil {
		return Status{}, daemonError(err)
	}
	st.Daemon = info.Info.Name
	if st.State == StateUnhealthy {
		m.checkHealth(ctx, &st)
	}
	if st.State == StateHealthy || st.State == StateStarting {
		m.askServer(ctx, &st, record)
	}
	if st.State == StateHealthy {
		m.findStale(ctx, &st)
	}
	return st, nil
}

// describe is what the daemon and the client's files tell, without asking the
// gateway itself. The record is derived from the container where there is one.
func (m *Manager) describe(ctx context.Context, name string) (Status, Record, error) {
	o, err := m.observeObjects(ctx, name)
	if err != nil {
		return Status{}, Record{}, err
	}
	st := Status{Name: name, State: StateAbsent, Context: m.cfg.Context, Active: m.isActive(name)}
	record := newRecord(name)
	if len(o.Networks) > 0 {
		st.Network = objectName(name)
	}
	if v := o.Volume; v != nil {
		st.Volume = &VolumeStatus{Name: v.Name, Created: v.Created}
		st.State, st.Origin = StateVolume, string(v.Origin)
		st.Problem = "the container is gone; the volume with all data is there"
		st.Hint = "docker openshell gateway start " + name
	}
	switch c := o.Container; {
	case c != nil:
		record = *c.derivedRecord(name)
		m.describeContainer(&st, c)
		st.Bind, st.Port, st.Auth = c.Bind, c.Port, record.auth()
		st.Endpoint = m.localEndpoint(name, record)
	case o.Volume == nil && o.Registered:
		st.State, st.Endpoint = StateLost, o.RegisteredEndpoint
		st.Problem = "it is registered on this machine, but this daemon has neither its container nor its volume"
		st.Hint = "another Docker context may have it ('docker context ls'); to forget it: docker openshell gateway destroy " + name
	case o.Volume == nil:
		st.Problem, st.Hint = "there is no such gateway", "docker openshell gateway start "+name
	default:
		st.Endpoint = o.RegisteredEndpoint
	}
	if err := checkOwnership(o); CauseOf(err) == CauseForeign && o.Container != nil {
		st.State, st.Problem = StateAbsent, err.Error()
	}
	st.Healthy = st.State == StateHealthy
	return st, record, nil
}

func (m *Manager) describeContainer(st *Status, c *ObservedContainer) {
	st.State, st.Origin = stateOf(c), string(c.Origin)
	st.Container = &ContainerStatus{ID: c.ID, Name: c.Name, Status: string(c.Status), Health: string(c.Health),
		HealthOutput: c.HealthOutput, Image: c.Image, ImageID: c.ImageID, Created: c.Created, StartedAt: c.StartedAt,
		FinishedAt: c.FinishedAt, ExitCode: c.ExitCode, RestartCount: c.Restarts, RestartPolicy: c.Policy, healthTest: c.HealthTest}
	start := "docker openshell gateway start " + st.Name
	st.Problem, st.Hint = "", start
	switch st.State {
	case StateHealthy:
		st.Hint = ""
	case StateStarting:
		st.Problem, st.Hint = "it is starting", "wait for it with: "+start
		if c.HealthOutput != "" {
			st.Problem += "; the last health check says: " + firstLine(c.HealthOutput)
		}
	case StateUnhealthy:
		st.Problem = "the health check fails"
		if c.HealthOutput != "" {
			st.Problem += ": " + firstLine(c.HealthOutput)
		}
	case StateRestarting:
		st.Problem = fmt.Sprintf("the container exits again and again (exit code %d)", c.ExitCode)
		st.Hint = "docker openshell gateway logs " + st.Name
	case StatePaused:
		st.Problem = "the container is paused"
	case StateCreated:
		st.Problem = "the container was never started"
		if c.Error != "" {
			st.Problem += ": " + c.Error
		}
	case StateDead, StateRemoving:
		st.Problem = "the daemon is removing the container, or could not; the volume is kept"
	default:
		st.Problem = "it is stopped"
		if c.ExitCode != 0 && c.ExitCode != 143 && c.ExitCode != 137 {
			st.Problem = fmt.Sprintf("it exited with code %d", c.ExitCode)
		}
	}
}

// checkHealth runs the container's health check once more where the last one failed: the
// daemon does so only every 15 seconds, and the gateway may work again since.
func (m *Manager) checkHealth(ctx context.Context, st *Status) {
	test := healthCommand(st.Container.healthTest)
	if test == nil {
		return
	}
	out, err := k3sexec.New(m.docker, st.Container.ID).Run(ctx, k3sexec.Command{Argv: test, Timeout: healthCheckTimeout})
	var failed *k3sexec.ExitError
	switch {
	case err == nil:
		st.State, st.Healthy, st.Problem, st.Hint = StateHealthy, true, "", ""
	case errors.As(err, &failed) && len(out) > 0:
		st.Problem = "the health check fails: " + firstLine(string(out))
	}
}

// healthCommand is the command of a health check, which the daemon keeps with a word
// before it that says how it is run.
func healthCommand(test []string) []string {
	switch {
	case len(test) > 1 && test[0] == "CMD":
		return test[1:]
	case len(test) == 2 && test[0] == "CMD-SHELL":
		return []string{"/bin/sh", "-c", test[1]}
	default:
		return nil
	}
}

// askServer completes a status with what the server says of itself, which counts for
// more than the health check: that one may be some seconds behind, either way.
func (m *Manager) askServer(ctx context.Context, st *Status, r Record) {
	if !m.reachable(r) {
		return
	}
	bundle, err := m.localBundle(st.Name, r)
	if err == nil {
		st.ServerVersion, err = m.health(ctx, r, m.serverName(r), bundle)
	}
	switch {
	case err == nil:
		st.State, st.Healthy, st.Problem, st.Hint = StateHealthy, true, "", ""
	case st.State == StateHealthy:
		st.State, st.Healthy = StateUnhealthy, false
		st.Problem = fmt.Sprintf("the container is healthy, but this machine gets no answer from the server at %s: %v", st.Endpoint, err)
		st.Hint = "docker openshell gateway start " + st.Name
	}
}

// Inspect is everything about a gateway that can be found out without changing it.
func (m *Manager) Inspect(ctx context.Context, name string) (Inspection, error) {
	st, err := m.Status(ctx, name)
	if err != nil {
		return Inspection{}, err
	}
	if st.State == StateAbsent {
		return Inspection{}, absent(name)
	}
	in := Inspection{Status: st}
	o, err := m.observe(ctx, name)
	if err != nil {
		return Inspection{}, err
	}
	in.Record = o.Record
	if in.Certificates, err = m.localCertificates(name); err != nil {
		return Inspection{}, err
	}
	in.Files, err = m.cfg.Dir.Files(name)
	return in, err
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
