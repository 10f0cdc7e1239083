package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"github.com/docker-openshell/docker-openshell/internal/clientdir"
	"github.com/docker-openshell/docker-openshell/internal/pki"
)

// observeLocal reads what the client's files say of the gateway. They are a cache:
// ones that cannot be read are written anew at the end of a start.
func (m *Manager) observeLocal(o *Observed) error {
	o.Registered = m.cfg.Dir.Registered(o.Name)
	var err error
	if o.Stopping, err = m.stopping(o.Name, o.Container); err != nil {
		return err
	}
	meta, err := m.cfg.Dir.Metadata(o.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, clientdir.ErrCorrupt):
		return nil
	case err != nil:
		return err
	}
	o.RegisteredEndpoint = meta.Endpoint
	return nil
}

// stopping says whether a container that runs may be about to end, because a command of
// this machine was cut off while it stopped it.
func (m *Manager) stopping(name string, c *ObservedContainer) (bool, error) {
	if c == nil || !c.running() {
		return false, nil
	}
	marked, err := m.cfg.Dir.StopMarked(name)
	return marked == c.ID, err
}

// recordFromFiles makes up for a record that is missing on a volume, as it is on one
// of the openshell CLI's, from the client's files.
func (m *Manager) recordFromFiles(o *Observed) error {
	if o.Volume == nil || o.Volume.Origin == OriginForeign {
		return nil
	}
	r := newRecord(o.Name)
	if o.Volume.Image != "" {
		r.Image = o.Volume.Image
	}
	meta, err := m.cfg.Dir.Metadata(o.Name)
	switch {
	case err == nil:
		if meta.Port != 0 {
			r.Port = meta.Port
		}
		r.Plaintext = strings.HasPrefix(meta.Endpoint, "http://")
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, clientdir.ErrCorrupt):
		return err
	case o.Volume.Origin == OriginOurs:
		// The volume was made and nothing was recorded yet: as good as new.
		return nil
	}
	o.Record, o.RecordFrom = &r, "files"
	return nil
}

// localComplete says whether this machine has what clients need, and whether it is
// about the gateway's present endpoint. It does not say that the certificates fit.
func (m *Manager) localComplete(r Record) bool {
	meta, err := m.cfg.Dir.Metadata(r.Name)
	if err != nil {
		return false
	}
	u, err := url.Parse(meta.Endpoint)
	if err != nil || u.Port() != strconv.Itoa(r.Port) || (u.Scheme == "http") != r.Plaintext {
		return false
	}
	if r.Plaintext {
		return true
	}
	_, err = m.cfg.Dir.Bundle(r.Name)
	return err == nil
}

// localEndpoint is the URL that the client's files name, which may hold a host name
// that the container knows nothing of, or the one that follows from the record.
func (m *Manager) localEndpoint(name string, r Record) string {
	if meta, err := m.cfg.Dir.Metadata(name); err == nil && m.localComplete(r) {
		return meta.Endpoint
	}
	return r.endpoint(m.daemonHost())
}

func (m *Manager) localBundle(name string, r Record) (clientdir.Bundle, error) {
	if r.Plaintext {
		return clientdir.Bundle{}, nil
	}
	return m.cfg.Dir.Bundle(name)
}

// greets says whether the server on the published port answers a client that has this
// machine's files.
func (m *Manager) greets(ctx context.Context, r Record) bool {
	if !m.reachable(r) {
		return true
	}
	bundle, err := m.localBundle(r.Name, r)
	if err != nil {
		return false
	}
	_, err = m.health(ctx, r, m.serverName(r), bundle)
	return err == nil
}

// serverName is the name by which this machine's certificates must know the server.
func (m *Manager) serverName(r Record) string {
	if meta, err := m.cfg.Dir.Metadata(r.Name); err == nil {
		if u, err := url.Parse(meta.Endpoint); err == nil && u.Hostname() != "" {
			return u.Hostname()
		}
	}
	return r.host(m.daemonHost())
}

func (m *Manager) isActive(name string) bool {
	active, err := m.cfg.Dir.Active()
	return err == nil && active == name
}

// activate makes the gateway the one that is meant when none is named.
func (m *Manager) activate(name string) (bool, error) {
	if m.isActive(name) {
		return true, nil
	}
	if err := m.cfg.Dir.SetActive(name); err != nil {
		return false, fmt.Errorf("make the gateway the active one: %w", err)
	}
	return true, nil
}

// updateLocal writes this machine's files. It comes last: until the server has
// answered, the old certificates are the ones that may work.
func (r *run) updateLocal(ctx context.Context) error {
	t, dir := r.plan.Target, r.m.cfg.Dir
	if !t.Plaintext {
		old, err := dir.Bundle(r.name)
		if err != nil || !old.Equal(r.material.client) {
			if err := dir.WriteBundle(r.name, r.material.client); err != nil {
				return fmt.Errorf("write certificates: %w", err)
			}
		}
	}
	// Members that we do not know are kept; a file that cannot be read is replaced.
	meta, err := dir.Metadata(r.name)
	if err != nil {
		meta = clientdir.Metadata{}
	}
	meta.Name, meta.Endpoint, meta.Port = r.name, t.endpoint(r.m.daemonHost()), t.Port
	meta.AuthMode = ""
	if t.Plaintext {
		meta.AuthMode = "plaintext"
	}
	meta.RemoteHost = sshDestination(r.m.cfg.Endpoint)
	meta.IsRemote = meta.RemoteHost != ""
	meta.ResolvedHost = ""
	if meta.IsRemote {
		meta.ResolvedHost = r.m.daemonHost()
	}
	if err := dir.WriteMetadata(meta); err != nil {
		return fmt.Errorf("write metadata: %w", err)
	}
	info, err := r.m.docker.Info(ctx, client.InfoOptions{})
	if err != nil {
		return daemonError(err)
	}
	daemon := clientdir.Daemon{ID: info.Info.ID, Name: info.Info.Name, Context: r.m.cfg.Context, Endpoint: r.m.cfg.Endpoint}
	if err := dir.WriteDaemon(r.name, daemon); err != nil {
		return fmt.Errorf("record the daemon: %w", err)
	}
	if !r.m.reachable(t) {
		r.warn(fmt.Sprintf("the gateway listens on %s of %s, which this machine cannot reach; start it with --bind, or forward the port with 'ssh -L %d:127.0.0.1:%d'",
			t.Bind, r.m.daemonHost(), t.Port, t.Port))
	}
	_, err = r.m.activate(r.name)
	return err
}

// localCertificates describes the certificates of this machine's bundle.
func (m *Manager) localCertificates(name string) ([]Certificate, error) {
	bundle, err := m.cfg.Dir.Bundle(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Certificate
	for _, c := range []struct {
		name string
		pem  []byte
	}{{"ca", bundle.CA}, {"client", bundle.Cert}} {
		fingerprint, err := pki.Fingerprint(c.pem)
		if err != nil {
			return nil, fmt.Errorf("certificate %s of gateway %q on this machine: %w", c.name, name, err)
		}
		end, err := pki.NotAfter(c.pem)
		if err != nil {
			return nil, err
		}
		out = append(out, Certificate{Name: c.name, NotAfter: end.In(time.UTC), Fingerprint: fingerprint})
	}
	return out, nil
}
