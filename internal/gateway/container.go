package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"
)

// daemonFacts is what the shape of a container depends on.
type daemonFacts struct {
	apiVersion    string
	loggingDriver string
	cdi           bool // the daemon knows device specifications of the CDI kind
}

func (m *Manager) daemonFacts(ctx context.Context) (daemonFacts, error) {
	info, err := m.docker.Info(ctx, client.InfoOptions{})
	if err != nil {
		return daemonFacts{}, daemonError(err)
	}
	if err := checkDaemon(info.Info); err != nil {
		return daemonFacts{}, err
	}
	return daemonFacts{
		apiVersion:    m.docker.ClientVersion(),
		loggingDriver: info.Info.LoggingDriver,
		cdi:           len(info.Info.CDISpecDirs) > 0,
	}, nil
}

// checkDaemon refuses a daemon that cannot run a node, before anything is made.
func checkDaemon(info system.Info) error {
	if info.OSType != "" && info.OSType != "linux" {
		return &Error{Cause: CauseDaemon, Err: fmt.Errorf("the daemon runs %s containers; a gateway needs Linux ones", info.OSType),
			Hint: "switch the daemon to Linux containers, or use another Docker context"}
	}
	return nil
}

// containerOptions describes a gateway's container. It depends on nothing but its
// arguments.
func containerOptions(r Record, image, version string, d daemonFacts) (client.ContainerCreateOptions, error) {
	bind, err := netip.ParseAddr(r.Bind)
	if err != nil {
		return client.ContainerCreateOptions{}, err
	}
	port := network.MustParsePort(nodePort)
	stopTimeout := int(StopTimeout / time.Second)
	cfg := &container.Config{
		Hostname:     nodeName(r.Name),
		Image:        image,
		Entrypoint:   []string{entrypointPath},
		Cmd:          nodeArguments(r),
		Env:          nodeEnv(r),
		Labels:       labels(r.Name, version),
		ExposedPorts: network.PortSet{port: struct{}{}},
		StopTimeout:  &stopTimeout,
		Healthcheck: &container.HealthConfig{
			Test:        []string{"CMD", healthcheckPath},
			Interval:    15 * time.Second,
			Timeout:     healthCheckTimeout,
			StartPeriod: 10 * time.Minute,
			Retries:     2,
		},
	}
	if versions.GreaterThanOrEqualTo(d.apiVersion, "1.44") {
		cfg.Healthcheck.StartInterval = 2 * time.Second
	}
	host := &container.HostConfig{
		Privileged:    true,
		CgroupnsMode:  container.CgroupnsModeHost,
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyUnlessStopped},
		// By name: a container whose network was pruned can then be given another one.
		NetworkMode: container.NetworkMode(objectName(r.Name)),
		PortBindings: network.PortMap{port: []network.PortBinding{{
			HostIP: bind, HostPort: strconv.Itoa(r.Port)}}},
		Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: objectName(r.Name), Target: dataPath}},
		// What a boot leaves behind in /run is wrong for the next one.
		Tmpfs:      map[string]string{"/run": "", "/var/run": ""},
		ExtraHosts: []string{"host.docker.internal:host-gateway", "host.openshell.internal:host-gateway"},
		LogConfig:  logConfig(d.loggingDriver),
	}
	if r.GPU {
		host.DeviceRequests = []container.DeviceRequest{gpuRequest(d.cdi)}
	}
	return client.ContainerCreateOptions{Name: objectName(r.Name), Config: cfg, HostConfig: host}, nil
}

// nodeArguments are k3s' own; the entrypoint adds those that only the container
// knows.
func nodeArguments(r Record) []string {
	args := []string{"server", "--disable=traefik",
		"--tls-san=127.0.0.1", "--tls-san=localhost", "--tls-san=host.docker.internal"}
	if r.GatewayHost != "" {
		args = append(args, "--tls-san="+r.GatewayHost)
	}
	return args
}

func nodeEnv(r Record) []string {
	env := []string{"OPENSHELL_NODE_NAME=" + nodeName(r.Name)}
	if r.Plaintext {
		env = append(env, "DISABLE_TLS=true")
	}
	if r.GPU {
		env = append(env, "GPU_ENABLED=true")
	}
	return env
}

// logConfig bounds the size of the node's log where the daemon's own driver can:
// a driver that is not known to take these options is left as it is.
func logConfig(driver string) container.LogConfig {
	switch driver {
	case "json-file", "local":
		return container.LogConfig{Type: driver, Config: map[string]string{"max-size": "10m", "max-file": "3"}}
	default:
		return container.LogConfig{}
	}
}

func gpuRequest(cdi bool) container.DeviceRequest {
	if cdi {
		return container.DeviceRequest{Driver: "cdi", DeviceIDs: []string{"nvidia.com/gpu=all"}}
	}
	return container.DeviceRequest{Driver: "nvidia", Count: -1, Capabilities: [][]string{{"gpu", "utility", "compute"}}}
}

// errJoin says that another command made the container first: the caller observes
// again and joins it.
var errJoin = errors.New("another command made the container at the same time")

// createContainer makes the container. The daemon lets only one of several callers
// make a container of one name, which settles who goes on.
func (r *run) createContainer(ctx context.Context) error {
	facts, err := r.m.daemonFacts(ctx)
	if err != nil {
		return err
	}
	opts, err := containerOptions(r.plan.Target, r.image, r.m.cfg.Version, facts)
	if err != nil {
		return err
	}
	if r.snapshot != "" && r.plan.Outcome == Recreated {
		opts.Config.Labels[labelRecreate] = r.snapshot
		opts.Config.Env = append(opts.Config.Env, "OPENSHELL_RECREATE="+r.snapshot)
	}
	created, err := r.m.docker.ContainerCreate(ctx, opts)
	switch {
	case cerrdefs.IsConflict(err):
		return errJoin
	case err != nil:
		return diagnoseStart(err, r.plan.Target)
	}
	for _, w := range created.Warnings {
		r.warn(w)
	}
	r.container = created.ID
	return nil
}

// stopContainer gives the node time to end, without a limit where it is negative. It says
// how much: the openshell CLI's containers would be killed after 10 seconds. A stop that is
// not seen to its end leaves a mark, because the daemon goes on with it.
func (m *Manager) stopContainer(ctx context.Context, name, id string, timeout time.Duration) error {
	if err := m.cfg.Dir.MarkStop(name, id); err != nil {
		return err
	}
	seconds := int(timeout.Round(time.Second) / time.Second)
	_, err := m.docker.ContainerStop(ctx, id, client.ContainerStopOptions{Timeout: &seconds})
	if err != nil && !cerrdefs.IsNotFound(err) {
		return daemonError(fmt.Errorf("stop container: %w", err))
	}
	return m.cfg.Dir.ClearStop(name)
}

// removeContainer removes a container and waits until it is gone: its name is
// needed again. The anonymous volumes that its image declares go with it, named ones
// do not.
func (m *Manager) removeContainer(ctx context.Context, id string) error {
	gone := m.docker.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionRemoved})
	_, err := m.docker.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	switch {
	case cerrdefs.IsNotFound(err):
		return nil
	case err != nil && !cerrdefs.IsConflict(err): // a conflict: somebody else is removing it
		return daemonError(fmt.Errorf("remove container: %w", err))
	}
	select {
	case <-gone.Result:
		return nil
	case err := <-gone.Error:
		if err == nil || cerrdefs.IsNotFound(err) {
			return nil
		}
		return daemonError(fmt.Errorf("remove container: %w", err))
	}
}
