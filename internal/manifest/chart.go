// Package manifest holds every Kubernetes object that we send to a cluster or read
// from one, as values and JSON, and packs the chart of the OpenShell server. It talks
// to nobody. The structs are our own: k8s.io/api would add 7 MB to the plugin for
// the few fields that are used.
package manifest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/distribution/reference"
	"go.yaml.in/yaml/v3"
)

// PackChart packs the chart under root as "helm package" would. The same files give
// the same bytes: names are in order, and there are no times and owners.
func PackChart(fsys fs.FS, root string) ([]byte, error) {
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	archive := tar.NewWriter(zip)
	// WalkDir goes in lexical order.
	err := fs.WalkDir(fsys, root, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		inside := path.Join(path.Base(root), name[len(root):])
		if err := archive.WriteHeader(&tar.Header{Name: inside, Mode: 0o644, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err = archive.Write(data)
		return err
	})
	if err := errors.Join(err, archive.Close(), zip.Close()); err != nil {
		return nil, fmt.Errorf("pack chart: %w", err)
	}
	return buf.Bytes(), nil
}

// Values are the values of the chart that we set. What is left out keeps the chart's
// default.
type Values struct {
	Image  ImageValues  `json:"image"`
	Server ServerValues `json:"server"`
}

// ImageValues choose the server's image. A digest wins over a tag.
type ImageValues struct {
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
	Digest     string `json:"digest"`
	PullPolicy string `json:"pullPolicy,omitempty"`
}

// ServerValues configure the server.
type ServerValues struct {
	GrpcEndpoint       string `json:"grpcEndpoint,omitempty"`
	SandboxImage       string `json:"sandboxImage,omitempty"`
	SSHGatewayHost     string `json:"sshGatewayHost,omitempty"`
	SSHGatewayPort     int    `json:"sshGatewayPort,omitempty"`
	DisableTLS         bool   `json:"disableTls,omitempty"`
	DisableGatewayAuth bool   `json:"disableGatewayAuth,omitempty"`
}

// HelmChart completes the HelmChart object of a manifest with the packed chart and
// its values, which go in as one JSON document: nothing is substituted into text.
// The result is JSON, which is YAML too.
func HelmChart(manifest, chart []byte, v Values) ([]byte, error) {
	var object map[string]any
	if err := yaml.Unmarshal(manifest, &object); err != nil {
		return nil, fmt.Errorf("HelmChart manifest: %w", err)
	}
	spec, ok := object["spec"].(map[string]any)
	if !ok {
		return nil, errors.New("HelmChart manifest: no spec")
	}
	values, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	spec["chartContent"] = base64.StdEncoding.EncodeToString(chart)
	spec["valuesContent"] = string(values)
	return json.MarshalIndent(object, "", "  ")
}

// SplitImage splits an image name into what the chart takes. A name without tag and
// digest means the tag latest.
func SplitImage(ref string) (repository, tag, digest string, err error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", "", "", fmt.Errorf("image %q: %w", ref, err)
	}
	if d, ok := named.(reference.Digested); ok {
		digest = d.Digest().String()
	}
	if t, ok := named.(reference.Tagged); ok {
		tag = t.Tag()
	}
	if tag == "" && digest == "" {
		tag = "latest"
	}
	return named.Name(), tag, digest, nil
}

// ImageName is the image of a pod for which the chart was given these values.
func ImageName(repository, tag, digest string) string {
	if digest != "" {
		return repository + "@" + digest
	}
	return repository + ":" + tag
}
