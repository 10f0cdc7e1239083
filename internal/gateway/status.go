package gateway

import "time"

// State is the condition of a gateway in one word or two.
type State string

// The states of a gateway.
const (
	StateHealthy    State = "healthy"
	StateStarting   State = "starting"
	StateUnhealthy  State = "unhealthy"
	StateRestarting State = "restarting"
	StatePaused     State = "paused"
	StateCreated    State = "created" // the container was never started
	StateStopped    State = "stopped"
	StateDead       State = "dead"
	StateRemoving   State = "removing"
	StateVolume     State = "volume only" // the container is gone, the volume is there
	StateAbsent     State = "absent"
	StateLost       State = "volume lost" // the files on the client, or the container, name a volume that is gone
)

// Status is what [Manager.Status] found. It describes a gateway in any state,
// also a broken one.
type Status struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// Healthy is true only for [StateHealthy].
	Healthy bool `json:"healthy"`
	// Active says that commands without a name mean this gateway.
	Active bool `json:"active"`
	// Origin is "docker-openshell", or "openshell" for one that the openshell CLI
	// made.
	Origin string `json:"origin,omitempty"`
	// Endpoint is the URL under which clients reach it.
	Endpoint string `json:"endpoint,omitempty"`
	Bind     string `json:"bind,omitempty"`
	Port     int    `json:"port,omitempty"`
	// Auth is "mtls", "tls" (no client certificate asked for) or "plaintext".
	Auth string `json:"auth,omitempty"`
	// ServerVersion is what the OpenShell server answered, or "".
	ServerVersion string `json:"serverVersion,omitempty"`
	// Problem says what is wrong and Hint what to do; both are empty when healthy.
	Problem string `json:"problem,omitempty"`
	Hint    string `json:"hint,omitempty"`

	// StaleSandboxes hold an older SSH handshake secret than the gateway and refuse its
	// connections; SandboxProblem says why that is not known.
	StaleSandboxes []string `json:"staleSandboxes,omitempty"`
	SandboxProblem string   `json:"sandboxProblem,omitempty"`

	Container *ContainerStatus `json:"container,omitempty"`
	Volume    *VolumeStatus    `json:"volume,omitempty"`
	Network   string           `json:"network,omitempty"`

	// Context and Daemon tell where it runs: the Docker context and the daemon's
	// host name.
	Context string `json:"context"`
	Daemon  string `json:"daemon,omitempty"`
}

// ContainerStatus describes a gateway's container.
type ContainerStatus struct {
	ID            string    `json:"id"`
	Name          string    `json:"name"`
	Status        string    `json:"status"`
	Health        string    `json:"health,omitempty"`
	HealthOutput  string    `json:"healthOutput,omitempty"`
	Image         string    `json:"image"`
	ImageID       string    `json:"imageID"`
	Created       time.Time `json:"created"`
	StartedAt     time.Time `json:"startedAt,omitzero"`
	FinishedAt    time.Time `json:"finishedAt,omitzero"`
	ExitCode      int       `json:"exitCode"`
	RestartCount  int       `json:"restartCount"`
	RestartPolicy string    `json:"restartPolicy"`

	healthTest []string
}

// VolumeStatus describes a gateway's volume.
type VolumeStatus struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

// Summary is one line of "gateway ls".
type Summary struct {
	Name     string    `json:"name"`
	State    State     `json:"state"`
	Active   bool      `json:"active"`
	Endpoint string    `json:"endpoint"`
	Image    string    `json:"image"`
	Origin   string    `json:"origin"`
	Created  time.Time `json:"created,omitzero"`
}

// Inspection is everything that can be found out about a gateway without
// changing it.
type Inspection struct {
	Status
	// Record is the configuration as it is recorded on the volume; nil when there
	// is none or it could not be read.
	Record *Record `json:"record,omitempty"`
	// Certificates are those of the local mTLS bundle.
	Certificates []Certificate `json:"certificates,omitempty"`
	// Files are the paths of the client's files that belong to this gateway.
	Files []string `json:"files,omitempty"`
}

// Certificate describes one certificate.
type Certificate struct {
	Name        string    `json:"name"` // ca, server or client
	NotAfter    time.Time `json:"notAfter"`
	Fingerprint string    `json:"fingerprint"` // SHA-256 of the DER form, hex
}
