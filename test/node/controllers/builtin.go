package controllers

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/template"

	"github.com/docker-openshell/docker-openshell/test/node/layout"
)

//go:embed manifests/crds.yaml
var definitions []byte

//go:embed manifests/coredns.yaml
var corednsTemplate string

//go:embed manifests/local-storage.yaml
var localStorage []byte

// CoreDNSManifest is the file of the name server below the manifests directory.
const CoreDNSManifest = "coredns.yaml"

// StageBuiltin writes the node's own manifests into the directory, as k3s
// does at each boot. A disabled part's file is removed.
func StageBuiltin(directory, nodeName, nodeIP string, disabled []string) error {
	coredns, err := renderCoreDNS(nodeName, nodeIP)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	for part, content := range map[string][]byte{
		"coredns":       coredns,
		"local-storage": localStorage,
	} {
		path := filepath.Join(directory, part+".yaml")
		if slices.Contains(disabled, part) {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			continue
		}
		if existing, err := os.ReadFile(path); err == nil && bytes.Equal(existing, content) {
			continue
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func renderCoreDNS(nodeName, nodeIP string) ([]byte, error) {
	parsed, err := template.New("coredns").Parse(corednsTemplate)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = parsed.Execute(&b, map[string]string{
		"Image":     layout.CoreDNSImage,
		"Domain":    layout.ClusterDomain,
		"ServiceIP": layout.DNSService,
		"NodeIP":    nodeIP,
		"NodeName":  nodeName,
	})
	if err != nil {
		return nil, fmt.Errorf("render the name server's manifest: %w", err)
	}
	return b.Bytes(), nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
