package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func (b *bench) firstStart() (time.Duration, error) {
	took, err := b.timed("openshell", "gateway", "start", freshGateway, "--port", freshPort)
	if err != nil {
		return 0, err
	}
	if err := b.keepParts(); err != nil {
		return 0, err
	}
	_, err = b.docker("openshell", "gateway", "destroy", "--force", freshGateway)
	return took, err
}

// ourFiles are what the plugin writes into a container; parts of the same kind of
// container are made from them by docker alone.
var ourFiles = []string{
	"/usr/local/bin/cluster-entrypoint.sh", "/usr/local/bin/cluster-healthcheck.sh",
	"/opt/openshell/manifests/openshell-helmchart.yaml",
}

// keepParts takes the files out of a gateway's container, and its Secrets as a
// manifest that the node deploys by itself.
func (b *bench) keepParts() error {
	if _, err := os.Stat(b.part("secrets.yaml")); err == nil {
		return nil
	}
	for _, f := range ourFiles {
		if _, err := b.docker("cp", object(freshGateway)+":"+f, b.part(filepath.Base(f))); err != nil {
			return err
		}
	}
	list, err := b.docker("exec", "-e", "KUBECONFIG=/etc/rancher/k3s/k3s.yaml", object(freshGateway),
		"kubectl", "get", "secrets", "-n", "openshell", "--field-selector", "type!=helm.sh/release.v1", "-o", "json")
	if err != nil {
		return err
	}
	var secrets struct{ Items []map[string]any }
	if err := json.Unmarshal([]byte(list), &secrets); err != nil {
		return err
	}
	docs := []string{`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"openshell"}}`}
	for _, s := range secrets.Items {
		name := s["metadata"].(map[string]any)["name"]
		s["metadata"] = map[string]any{"name": name, "namespace": "openshell"}
		doc, err := json.Marshal(s)
		if err != nil {
			return err
		}
		docs = append(docs, string(doc))
	}
	return os.WriteFile(b.part("secrets.yaml"), []byte(strings.Join(docs, "\n---\n")), 0o600)
}

func (b *bench) part(name string) string { return filepath.Join(b.dir, name) }

// bareFirstStart makes the same container with docker alone.
func (b *bench) bareFirstStart() (time.Duration, error) {
	o := object(freshGateway)
	image := os.Getenv("OPENSHELL_CLUSTER_IMAGE")
	if image == "" {
		return 0, fmt.Errorf("OPENSHELL_CLUSTER_IMAGE is not set")
	}
	commands := [][]string{
		{"network", "create", "--attachable", o},
		{"volume", "create", o},
		{"create", "--name", o, "--hostname", "openshell-" + freshGateway, "--privileged", "--cgroupns=host", "--restart", "unless-stopped",
			"--network", o, "-v", o + ":/var/lib/rancher/k3s", "-p", "127.0.0.1:" + freshPort + ":30051", "--tmpfs", "/run", "--tmpfs", "/var/run",
			"--add-host", "host.docker.internal:host-gateway", "--add-host", "host.openshell.internal:host-gateway",
			"-e", "OPENSHELL_NODE_NAME=openshell-" + freshGateway, "--entrypoint", "/usr/local/bin/cluster-entrypoint.sh",
			"--health-cmd", "/usr/local/bin/cluster-healthcheck.sh", "--health-interval", "15s", "--health-start-period", "10m", "--health-start-interval", "2s",
			image, "server", "--disable=traefik", "--tls-san=127.0.0.1", "--tls-san=localhost", "--tls-san=host.docker.internal"},
	}
	// The directories that "docker cp" does not make.
	for _, dir := range []string{"opt/openshell/manifests", "var/lib/rancher/k3s/server/manifests"} {
		if err := os.MkdirAll(b.part(filepath.Join("root", dir)), 0o755); err != nil {
			return 0, err
		}
	}
	if err := os.MkdirAll(b.part("root/usr/local/bin"), 0o755); err != nil {
		return 0, err
	}
	files := map[string]string{"secrets.yaml": "/var/lib/rancher/k3s/server/manifests/bench-secrets.yaml"}
	for _, f := range ourFiles {
		files[filepath.Base(f)] = f
	}
	for part, path := range files {
		data, err := os.ReadFile(b.part(part))
		if err != nil {
			return 0, err
		}
		if err := os.WriteFile(b.part("root"+path), data, 0o755); err != nil {
			return 0, err
		}
	}
	commands = append(commands, []string{"cp", b.part("root") + "/.", o + ":/"}, []string{"start", o})
	began := time.Now()
	for _, c := range commands {
		if _, err := b.docker(c...); err != nil {
			return 0, err
		}
	}
	if err := b.serves(freshPort); err != nil {
		return 0, err
	}
	took := time.Since(began)
	for _, c := range [][]string{{"rm", "-f", "-v", o}, {"volume", "rm", o}, {"network", "rm", o}} {
		if _, err := b.docker(c...); err != nil {
			return 0, err
		}
	}
	return took, nil
}
