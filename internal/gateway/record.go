package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/distribution/reference"
)

// recordVersion is the layout of the state on the volume. A plugin that finds a
// higher number refuses to touch the gateway.
const recordVersion = 1

// Record is a gateway's configuration as it is kept on its volume, so that the
// container can be rebuilt from the volume alone. It holds no secrets.
type Record struct {
	Version int    `json:"version"`
	Name    string `json:"name"`
	// Image is the node image as it was asked for; ImageID is what that was.
	Image   string `json:"image"`
	ImageID string `json:"imageID,omitempty"`
	// ImageDigest is a reference by digest under which the image can be pulled
	// again; empty for an image that never was in a registry.
	ImageDigest        string `json:"imageDigest,omitempty"`
	GatewayImage       string `json:"gatewayImage"`
	SandboxImage       string `json:"sandboxImage,omitempty"`
	Bind               string `json:"bind"`
	Port               int    `json:"port"`
	GatewayHost        string `json:"gatewayHost,omitempty"`
	Plaintext          bool   `json:"plaintext,omitempty"`
	DisableGatewayAuth bool   `json:"disableGatewayAuth,omitempty"`
	GPU                bool   `json:"gpu,omitempty"`
	// Plugin is the version that wrote this record.
	Plugin string `json:"plugin,omitempty"`
}

// newRecord returns the configuration of a new gateway of which nothing is asked.
func newRecord(name string) Record {
	return Record{Version: recordVersion, Name: name, Image: DefaultImage, GatewayImage: DefaultGatewayImage,
		Bind: DefaultBind, Port: DefaultPort}
}

// parseRecord reads a record and refuses one that cannot be right: what it says
// becomes a container.
func parseRecord(name string, data []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return Record{}, fmt.Errorf("%s: %w", recordPath, err)
	}
	switch {
	case r.Version > recordVersion:
		return Record{}, fmt.Errorf("%s has layout version %d; this plugin knows %d", recordPath, r.Version, recordVersion)
	case r.Version < 1:
		return Record{}, fmt.Errorf("%s has no layout version", recordPath)
	case r.Name != name:
		return Record{}, fmt.Errorf("%s belongs to gateway %q", recordPath, r.Name)
	}
	if err := r.validate(); err != nil {
		return Record{}, fmt.Errorf("%s: %w", recordPath, err)
	}
	return r, nil
}

func (r Record) encode() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// validate checks every value that a user can choose.
func (r Record) validate() error {
	if r.Port < 1 || r.Port > 65535 {
		return fmt.Errorf("port %d is not in the range 1 to 65535", r.Port)
	}
	if _, err := netip.ParseAddr(r.Bind); err != nil {
		return fmt.Errorf("bind address %q is not an IP address", r.Bind)
	}
	if r.GatewayHost != "" && !validHost(r.GatewayHost) {
		return fmt.Errorf("gateway host %q is neither a host name nor an IP address", r.GatewayHost)
	}
	for what, image := range map[string]string{"image": r.Image, "gateway image": r.GatewayImage, "sandbox image": r.SandboxImage} {
		if image == "" && what == "sandbox image" {
			continue // the server's own default
		}
		if _, err := reference.ParseNormalizedNamed(image); err != nil && !isImageID(image) {
			return fmt.Errorf("%s %q: %w", what, image, err)
		}
	}
	if r.Plaintext && r.DisableGatewayAuth {
		return errors.New("--plaintext serves without TLS, so there is no client certificate that --disable-gateway-auth could leave out")
	}
	return nil
}

// validHost accepts an IP address or a DNS name of at most 253 characters.
func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range label {
			if !(c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
				return false
			}
		}
	}
	return true
}

func isImageID(ref string) bool {
	hex, ok := strings.CutPrefix(ref, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// apply returns the record with what is asked for put in, and a line for each value
// that this changes.
func (r Record) apply(w Wanted) (Record, []Change) {
	old := r
	set(&r.Port, w.Port)
	set(&r.Bind, w.Bind)
	set(&r.GatewayHost, w.GatewayHost)
	set(&r.Plaintext, w.Plaintext)
	set(&r.SandboxImage, w.SandboxImage)
	set(&r.DisableGatewayAuth, w.DisableGatewayAuth)
	set(&r.GPU, w.GPU)
	if w.Image != "" && w.Image != r.Image {
		r.Image, r.ImageID, r.ImageDigest = w.Image, "", ""
	}
	if w.GatewayImage != "" {
		r.GatewayImage = w.GatewayImage
	}
	return r, old.diff(r)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// Change is one value that differs between what is recorded and what is wanted.
type Change struct {
	What, Old, New string
	// Rebuild says that the container has to be made anew for it.
	Rebuild bool
}

func (c Change) String() string { return fmt.Sprintf("%s %s -> %s", c.What, c.Old, c.New) }

func (r Record) diff(n Record) []Change {
	var changes []Change
	add := func(what, before, after string, rebuild bool) {
		if before != after {
			changes = append(changes, Change{What: what, Old: orNone(before), New: orNone(after), Rebuild: rebuild})
		}
	}
	add("port", strconv.Itoa(r.Port), strconv.Itoa(n.Port), true)
	add("bind", r.Bind, n.Bind, true)
	add("image", r.Image, n.Image, true)
	add("gateway-host", r.GatewayHost, n.GatewayHost, true)
	add("plaintext", strconv.FormatBool(r.Plaintext), strconv.FormatBool(n.Plaintext), true)
	add("gpu", strconv.FormatBool(r.GPU), strconv.FormatBool(n.GPU), true)
	add("disable-gateway-auth", strconv.FormatBool(r.DisableGatewayAuth), strconv.FormatBool(n.DisableGatewayAuth), false)
	add("gateway-image", r.GatewayImage, n.GatewayImage, false)
	add("sandbox-image", r.SandboxImage, n.SandboxImage, false)
	return changes
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// auth is the word that status shows and metadata.json uses.
func (r Record) auth() string {
	switch {
	case r.Plaintext:
		return "plaintext"
	case r.DisableGatewayAuth:
		return "tls"
	default:
		return "mtls"
	}
}

// endpoint is the URL under which clients on this machine reach the gateway.
func (r Record) endpoint(daemonHost string) string {
	scheme := "https"
	if r.Plaintext {
		scheme = "http"
	}
	return scheme + "://" + net.JoinHostPort(r.host(daemonHost), strconv.Itoa(r.Port))
}

// host is the name or address under which clients reach the gateway. daemonHost is
// that of a daemon elsewhere, or "".
func (r Record) host(daemonHost string) string {
	if r.GatewayHost != "" {
		return r.GatewayHost
	}
	addr, err := netip.ParseAddr(r.Bind)
	switch {
	case daemonHost != "":
		return daemonHost
	case err != nil || addr.IsUnspecified():
		return DefaultBind
	default:
		return r.Bind
	}
}

// certificateHosts are the names that the server's certificate must carry beyond
// those that it always has.
func (r Record) certificateHosts(daemonHost string) []string {
	host := r.host(daemonHost)
	if host == DefaultBind {
		return nil
	}
	return []string{host}
}
