package gateway

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/moby/client"

	"github.com/docker-openshell/docker-openshell/deploy"
	"github.com/docker-openshell/docker-openshell/internal/manifest"
	"github.com/docker-openshell/docker-openshell/scripts"
)

// file is one file that we write into a container.
type file struct {
	path string
	mode int64
	data []byte
}

// containerFiles are the files of a gateway with the given configuration, the
// marker last: it is named for the hash of the others, so that its presence says
// that all of them are there. They are written between create and start, so what
// this plugin knows of booting a node comes with the plugin and not with the image.
func containerFiles(r Record, daemonHost string) (files []file, hash string, err error) {
	chart, err := helmChart(r, daemonHost)
	if err != nil {
		return nil, "", err
	}
	record, err := r.encode()
	if err != nil {
		return nil, "", err
	}
	files = []file{
		{entrypointPath, 0o755, scripts.Entrypoint},
		{healthcheckPath, 0o755, scripts.Healthcheck},
		{helmChartPath, 0o644, chart},
		{recordPath, 0o644, record},
	}
	sum := sha256.New()
	for _, f := range files {
		fmt.Fprintf(sum, "%s %o %d\n", f.path, f.mode, len(f.data))
		sum.Write(f.data)
	}
	hash = hex.EncodeToString(sum.Sum(nil))
	return append(files, file{filesPath + "/" + hash, 0o444, nil}), hash, nil
}

// helmChart is the object from which the node's Helm controller installs the
// OpenShell server.
func helmChart(r Record, daemonHost string) ([]byte, error) {
	repository, tag, digest, err := manifest.SplitImage(r.GatewayImage)
	if err != nil {
		return nil, err
	}
	chart, err := manifest.PackChart(deploy.Chart, deploy.ChartRoot)
	if err != nil {
		return nil, err
	}
	scheme := "https"
	if r.Plaintext {
		scheme = "http"
	}
	v := manifest.Values{
		Image: manifest.ImageValues{Repository: repository, Tag: tag, Digest: digest, PullPolicy: "IfNotPresent"},
		Server: manifest.ServerValues{
			GrpcEndpoint:       scheme + "://openshell.openshell.svc.cluster.local:8080",
			DisableTLS:         r.Plaintext,
			DisableGatewayAuth: r.DisableGatewayAuth,
			SandboxImage:       r.SandboxImage,
		},
	}
	if host := r.host(daemonHost); host != DefaultBind {
		// A loopback address needs no words: clients put the endpoint's port in.
		v.Server.SSHGatewayHost, v.Server.SSHGatewayPort = host, r.Port
	}
	return manifest.HelmChart(deploy.HelmChart, chart, v)
}

// registriesFile is k3s' file of registry credentials. It goes to the volume, for
// root alone, because an environment variable would show in every inspection.
func registriesFile(w Wanted, gatewayImage string) (file, error) {
	hosts := map[string]bool{"ghcr.io": true}
	if named, err := reference.ParseNormalizedNamed(gatewayImage); err == nil {
		hosts[reference.Domain(named)] = true
	}
	user := w.RegistryUsername
	if user == "" {
		user = "__token__"
	}
	configs := map[string]any{}
	for host := range hosts {
		configs[host] = map[string]any{"auth": map[string]string{"username": user, "password": w.RegistryToken}}
	}
	data, err := json.MarshalIndent(map[string]any{"configs": configs}, "", "  ")
	return file{registriesPath, 0o600, append(data, '\n')}, err
}

// archive packs files for the daemon to unpack at the root of a container, which
// also makes the directories that are missing.
func archive(files []file) (*bytes.Buffer, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		name := strings.TrimPrefix(path.Clean(f.path), "/")
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: f.mode, Size: int64(len(f.data)), Format: tar.FormatPAX}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	return &buf, w.Close()
}

func (m *Manager) copyFiles(ctx context.Context, id string, files []file) error {
	content, err := archive(files)
	if err != nil {
		return err
	}
	_, err = m.docker.CopyToContainer(ctx, id, client.CopyToContainerOptions{DestinationPath: "/", Content: content})
	if err != nil {
		return daemonError(fmt.Errorf("write files into the container: %w", err))
	}
	return nil
}

func (r *run) writeFiles(ctx context.Context) error {
	files, _, err := containerFiles(r.plan.Target, r.m.daemonHost())
	if err != nil {
		return err
	}
	if r.opts.RegistryToken != "" {
		reg, err := registriesFile(r.opts.Wanted, r.plan.Target.GatewayImage)
		if err != nil {
			return err
		}
		files = append([]file{reg}, files...)
	}
	return r.m.copyFiles(ctx, r.container, files)
}

// updateChart puts changed values where a running node picks them up, besides where
// the next boot takes them from.
func (r *run) updateChart(ctx context.Context) error {
	chart, err := helmChart(r.plan.Target, r.m.daemonHost())
	if err != nil {
		return err
	}
	if err := r.writeFiles(ctx); err != nil {
		return err
	}
	return r.m.copyFiles(ctx, r.container, []file{{autoDeployPath, 0o600, chart}})
}
