package clientdir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Metadata is what metadata.json says of a gateway. The keys, their order and their
// meaning are the openshell CLI's.
type Metadata struct {
	Name string `json:"name"`
	// Endpoint is https://HOST:PORT or http://HOST:PORT, without a final slash.
	Endpoint string `json:"gateway_endpoint"`
	IsRemote bool   `json:"is_remote"`
	// Port is on the daemon's host; 0 for a gateway that was only registered.
	Port int `json:"gateway_port"`
	// RemoteHost is an SSH destination such as user@box, ResolvedHost its address.
	RemoteHost   string `json:"remote_host,omitempty"`
	ResolvedHost string `json:"resolved_host,omitempty"`
	// AuthMode is "" or "mtls", "plaintext", or a mode of gateways that we don't run.
	AuthMode string `json:"auth_mode,omitempty"`

	// extra holds the keys that we don't know, so that a rewrite keeps them.
	extra []member
}

type member struct {
	key   string
	value json.RawMessage
}

// ErrCorrupt is returned for metadata that is there and cannot be read.
var ErrCorrupt = errors.New("the gateway's metadata cannot be read")

// Metadata reads a gateway's metadata. It is [fs.ErrNotExist] when there is none and
// [ErrCorrupt] when it is not what it should be.
func (d *Dir) Metadata(name string) (Metadata, error) {
	dir, err := d.gateway(name)
	if err != nil {
		return Metadata{}, err
	}
	path := filepath.Join(dir, "metadata.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return Metadata{}, err
	}
	var m Metadata
	if err := json.Unmarshal(data, &m); err != nil {
		return Metadata{}, fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
	}
	if m.Name == "" || m.Endpoint == "" {
		return Metadata{}, fmt.Errorf("%w: %s: it names no gateway or no endpoint", ErrCorrupt, path)
	}
	m.extra, err = unknownMembers(data)
	if err != nil {
		return Metadata{}, fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
	}
	return m, nil
}

// unknownMembers returns the members of an object that [Metadata] has no field for,
// in their order.
func unknownMembers(data []byte) ([]member, error) {
	known := map[string]bool{"name": true, "gateway_endpoint": true, "is_remote": true, "gateway_port": true,
		"remote_host": true, "resolved_host": true, "auth_mode": true}
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	var out []member
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		if key, ok := token.(string); ok && !known[key] {
			out = append(out, member{key, value})
		}
	}
	return out, nil
}

// WriteMetadata writes a gateway's metadata atomically. Members that it was read
// with and that we do not know are kept.
func (d *Dir) WriteMetadata(m Metadata) error {
	dir, err := d.gateway(m.Name)
	if err != nil {
		return err
	}
	data, err := m.encode()
	if err != nil {
		return err
	}
	return replace(filepath.Join(dir, "metadata.json"), data)
}

func (m Metadata) encode() ([]byte, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	for _, e := range m.extra {
		key, err := json.Marshal(e.key)
		if err != nil {
			return nil, err
		}
		data = append(data[:len(data)-1], ',')
		data = append(append(append(data, key...), ':'), e.value...)
		data = append(data, '}')
	}
	var out bytes.Buffer
	err = json.Indent(&out, data, "", "  ")
	return out.Bytes(), err
}

// Registered reports whether metadata of a gateway is there, readable or not.
func (d *Dir) Registered(name string) bool {
	_, err := d.Metadata(name)
	return err == nil || !errors.Is(err, fs.ErrNotExist)
}
