// Package gateway is the engine: it knows what a gateway is and how to get from
// any state that is found to the one that is wanted.
//
// A gateway is one Docker container that runs a Kubernetes node, one volume that
// holds everything worth keeping, one network, and a few files on the client. The
// engine observes them, makes a plan with a pure function, and executes it step by
// step; every step looks at the thing itself to know whether it is done, so a run
// that was cut off anywhere is finished by the same command.
//
// The package writes to no stream, reads no environment variable and never exits.
// It reports through [Event] values and returns errors of type [*Error] where the
// user can do something about them.
package gateway

import (
	"context"
	"time"

	"github.com/moby/moby/client"

	"github.com/docker-openshell/docker-openshell/internal/clientdir"
)

// Names and figures that other parts of the project depend on.
const (
	// DefaultName is the gateway that is meant when nothing names one.
	DefaultName = "openshell"
	// DefaultPort is the port on the host on which a new gateway is published.
	DefaultPort = 8080
	// DefaultBind is the address on the host on which a new gateway is published.
	DefaultBind = "127.0.0.1"
	// DefaultImage is OpenShell's own cluster image, of the last release whose
	// sandboxes verify the SSH handshake secret.
	DefaultImage = "ghcr.io/nvidia/openshell/cluster:0.0.34"
	// DefaultGatewayImage is the server that goes with [DefaultImage].
	DefaultGatewayImage = "ghcr.io/nvidia/openshell/gateway:0.0.34"
	// DefaultTimeout bounds the wait for a gateway to become ready.
	DefaultTimeout = 10 * time.Minute
	// StopTimeout is what a gateway gets between SIGTERM and SIGKILL; it is set on
	// the container, so that the daemon's own shutdown honours it too.
	StopTimeout = 60 * time.Second
)

// Config is what a [Manager] needs to know of its surroundings.
type Config struct {
	// Docker is the daemon that runs the gateways.
	Docker client.APIClient
	// Context is the name of the Docker context, for messages; Endpoint is its
	// address, such as unix:///var/run/docker.sock or ssh://me@box.
	Context, Endpoint string
	// Dir holds the files that we share with the openshell CLI.
	Dir *clientdir.Dir
	// Events receives what happens, in order, from one goroutine at a time. It may
	// be nil.
	Events func(Event)
	// PullAuth returns the encoded registry credentials for an image, or "".
	PullAuth func(ctx context.Context, ref string) (string, error)
	// Version is the plugin's own version.
	Version string
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// Manager runs the gateways of one daemon. Its methods may be called at the same
// time, also for the same gateway: they take a lock of that gateway's.
type Manager struct {
	cfg    Config
	docker client.APIClient
}

// New returns a manager. It calls nothing yet.
func New(cfg Config) *Manager {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Events == nil {
		cfg.Events = func(Event) {}
	}
	if cfg.PullAuth == nil {
		cfg.PullAuth = func(context.Context, string) (string, error) { return "", nil }
	}
	return &Manager{cfg: cfg, docker: cfg.Docker}
}
