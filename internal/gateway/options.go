package gateway

import (
	"io"
	"time"
)

// Wanted is what a caller asks of a gateway's configuration. A nil pointer or an
// empty string means "not asked for": then what is recorded stays, and for a new
// gateway the default is taken.
type Wanted struct {
	// Port on the host, 1 to 65535.
	Port *int
	// Bind is an IP address of the host.
	Bind *string
	// Image of the node.
	Image string
	// GatewayImage is the image of the OpenShell server.
	GatewayImage string
	// SandboxImage is the image of sandboxes that ask for none; nil or "" is the
	// server's own default.
	SandboxImage *string
	// GatewayHost is the host name or address under which clients reach the
	// gateway, where it is not the loopback address or the context's host.
	GatewayHost *string
	// Plaintext serves without TLS.
	Plaintext *bool
	// DisableGatewayAuth serves TLS without asking for a client certificate.
	DisableGatewayAuth *bool
	// GPU passes the host's NVIDIA GPUs in.
	GPU *bool
	// RegistryUsername and RegistryToken are for the registry of the images that
	// the node pulls. They end up in a file on the volume, mode 0600.
	RegistryUsername, RegistryToken string
}

// StartOptions are the options of [Manager.Start] and [Manager.PlanStart].
type StartOptions struct {
	Wanted
	// DefaultImage, DefaultGatewayImage and DefaultSandboxImage are what a new gateway
	// gets when Wanted names no image; they never change one that exists. Empty means
	// the built-in defaults.
	DefaultImage, DefaultGatewayImage, DefaultSandboxImage string
	// Recreate sets the gateway's state aside, builds a new one, and removes the old
	// state when the new gateway is healthy.
	Recreate bool
	// KeepOld keeps the old state as a snapshot, and Reason says why it was replaced;
	// "" is that it was asked for.
	KeepOld bool
	Reason  string
	// Timeout bounds the wait for readiness; 0 means [DefaultTimeout].
	Timeout time.Duration
	// NameImplied says that the user did not name this gateway.
	NameImplied bool
	// Restart stops a running gateway first.
	Restart bool
}

// StartResult says what Start found and did.
type StartResult struct {
	Name     string  `json:"name"`
	Outcome  Outcome `json:"outcome"`
	Endpoint string  `json:"endpoint"`
	// Container is the ID of the gateway's container.
	Container string `json:"container"`
	// Active says that this is now the active gateway.
	Active bool `json:"active"`
	// Snapshot is the ID under which the state before is kept, or "".
	Snapshot string `json:"snapshot,omitempty"`
	// Warnings are things that the user should know and that did not prevent the
	// start. Each was emitted as an event too.
	Warnings []string `json:"warnings,omitempty"`
}

// Outcome is the short result of a start.
type Outcome string

// The outcomes of a start.
const (
	AlreadyRunning Outcome = "already running"
	Created        Outcome = "created"
	Resumed        Outcome = "resumed"
	Rebuilt        Outcome = "rebuilt"   // a new container around the old volume
	Recreated      Outcome = "recreated" // from scratch
	Restored       Outcome = "restored"  // from a snapshot
	// PutBack and Finished are of a recreate or a restore that was cut off.
	PutBack  Outcome = "put back"
	Finished Outcome = "finished"
)

// StopResult says what Stop found.
type StopResult struct {
	Name string `json:"name"`
	// Stopped is false when the gateway was not running.
	Stopped bool `json:"stopped"`
}

// DestroyPlan says what a destroy would remove, and where.
type DestroyPlan struct {
	Name string
	// Context is the Docker context, Daemon the daemon's host.
	Context, Daemon string
	// Things are what would be removed, one a line; none, if there is nothing. A line
	// that begins with spaces describes the thing before it.
	Things []string
}

// DestroyResult lists what Destroy removed, in order.
type DestroyResult struct {
	Name    string   `json:"name"`
	Removed []string `json:"removed"`
}

// LogsOptions are the options of [Manager.Logs].
type LogsOptions struct {
	Follow, Timestamps bool
	// Tail is a number of lines, or "all".
	Tail string
	// Since and Until are what "docker logs" takes: a timestamp or a duration.
	Since, Until string
	// Server reads the log of the OpenShell server's pod in place of the node's.
	Server bool
	// Out and Err receive the two streams.
	Out, Err io.Writer
}
