package clientdir

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Daemon is the Docker daemon that a gateway was last started on. It is in a file of
// our own beside the openshell CLI's, which does not know it.
type Daemon struct {
	// ID is the daemon's own; Name is its host's.
	ID   string `json:"id"`
	Name string `json:"name"`
	// Context is the Docker context by which it was reached, Endpoint its address.
	Context  string `json:"context"`
	Endpoint string `json:"endpoint"`
}

// Docker is the beginning of a command line that leads to the daemon, for messages. The
// default context does not: it is whatever --host and the environment make of it.
func (d Daemon) Docker() string {
	if d.Context == "default" && d.Endpoint != "" {
		return "docker --host " + d.Endpoint
	}
	return "docker --context " + d.Context
}

const daemonFile = "docker.json"

// Daemon returns what is recorded of a gateway's daemon. It is [fs.ErrNotExist] when
// nothing is, as for a gateway that the openshell CLI registered.
func (d *Dir) Daemon(name string) (Daemon, error) {
	dir, err := d.gateway(name)
	if err != nil {
		return Daemon{}, err
	}
	path := filepath.Join(dir, daemonFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return Daemon{}, err
	}
	var out Daemon
	if err := json.Unmarshal(data, &out); err != nil {
		return Daemon{}, fmt.Errorf("%s: %w", path, err)
	}
	if out.ID == "" {
		return Daemon{}, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return out, nil
}

// WriteDaemon records a gateway's daemon.
func (d *Dir) WriteDaemon(name string, daemon Daemon) error {
	dir, err := d.gateway(name)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(daemon, "", "  ")
	if err != nil {
		return err
	}
	return replace(filepath.Join(dir, daemonFile), append(data, '\n'))
}
