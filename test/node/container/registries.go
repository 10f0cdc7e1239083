package container

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// registries is k3s' registries.yaml.
type registries struct {
	Mirrors map[string]struct {
		Endpoints []string `json:"endpoint"`
	} `json:"mirrors"`
	Configs map[string]registryConfig `json:"configs"`
}

type registryConfig struct {
	Auth *struct {
		Username      string `json:"username"`
		Password      string `json:"password"`
		Auth          string `json:"auth"`
		IdentityToken string `json:"identity_token"`
	} `json:"auth"`
	TLS *struct {
		CAFile             string `json:"ca_file"`
		CertFile           string `json:"cert_file"`
		KeyFile            string `json:"key_file"`
		InsecureSkipVerify bool   `json:"insecure_skip_verify"`
	} `json:"tls"`
}

// readRegistries reads the file at path; without one there is nothing to say.
func readRegistries(path string) (registries, error) {
	var r registries
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := yaml.Unmarshal(content, &r); err != nil {
		// The parser may quote the file, which holds passwords.
		return r, fmt.Errorf("%s is not a valid registry configuration", path)
	}
	return r, nil
}

// writeHosts writes a hosts.toml for each mirror and configured registry, in
// place of whatever an earlier boot wrote.
func writeHosts(directory string, r registries) error {
	if err := os.RemoveAll(directory); err != nil {
		return err
	}
	for name, content := range r.hosts() {
		if err := write(filepath.Join(directory, name, "hosts.toml"), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// hosts renders the hosts.toml of each registry, by containerd's directory
// name for it.
func (r registries) hosts() map[string]string {
	names := map[string]bool{}
	for name := range r.Mirrors {
		names[name] = true
	}
	for name := range r.Configs {
		names[name] = true
	}
	files := map[string]string{}
	for name := range names {
		endpoints := r.Mirrors[name].Endpoints
		if len(endpoints) == 0 && name != "*" {
			endpoints = []string{"https://" + name}
		}
		var b strings.Builder
		for _, endpoint := range endpoints {
			address := endpoint
			if !strings.Contains(address, "://") {
				address = "https://" + address
			}
			parsed, err := url.Parse(address)
			if err != nil || parsed.Host == "" {
				continue
			}
			fmt.Fprintf(&b, "[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\n", address)
			b.WriteString(r.Configs[parsed.Host].transport(parsed.Scheme))
		}
		directory := name
		if name == "*" {
			directory = "_default"
		}
		files[directory] = b.String()
	}
	return files
}

// transport renders the TLS lines of a host.
func (c registryConfig) transport(scheme string) string {
	if c.TLS == nil || scheme != "https" {
		return ""
	}
	var b strings.Builder
	if c.TLS.CAFile != "" {
		fmt.Fprintf(&b, "ca = [%q]\n", c.TLS.CAFile)
	}
	if c.TLS.CertFile != "" {
		fmt.Fprintf(&b, "client = [[%q, %q]]\n", c.TLS.CertFile, c.TLS.KeyFile)
	}
	if c.TLS.InsecureSkipVerify {
		b.WriteString("skip_verify = true\n")
	}
	return b.String()
}

// credentials renders the part of containerd's own configuration that holds
// what hosts.toml has no place for.
func (r registries) credentials() string {
	var b strings.Builder
	for _, host := range slices.Sorted(maps.Keys(r.Configs)) {
		auth := r.Configs[host].Auth
		if auth == nil {
			continue
		}
		fmt.Fprintf(&b, "\n[plugins.'io.containerd.cri.v1.images'.registry.configs.%q.auth]\n", host)
		for _, field := range []struct{ name, value string }{
			{"username", auth.Username},
			{"password", auth.Password},
			{"auth", auth.Auth},
			{"identitytoken", auth.IdentityToken},
		} {
			if field.value != "" {
				fmt.Fprintf(&b, "%s = %q\n", field.name, field.value)
			}
		}
	}
	return b.String()
}
