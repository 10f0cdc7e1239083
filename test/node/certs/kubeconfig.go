package certs

import (
	"encoding/base64"
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

// WriteKubeconfig writes a kubeconfig whose user is the named client certificate. Certificates and key are inside, so the file can be
// copied elsewhere, as people do with k3s'.
func (d Directory) WriteKubeconfig(path, server, authority, client string, mode os.FileMode) error {
	inline := map[string]string{}
	for name, source := range map[string]string{
		"authority": d.Certificate(authority),
		"cert":      d.Certificate(client),
		"key":       d.Key(client),
	} {
		content, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		inline[name] = base64.StdEncoding.EncodeToString(content)
	}
	content, err := yaml.Marshal(map[string]any{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": "default",
		"clusters": []any{map[string]any{
			"name": "default",
			"cluster": map[string]any{
				"server":                     server,
				"certificate-authority-data": inline["authority"],
			},
		}},
		"users": []any{map[string]any{
			"name": "default",
			"user": map[string]any{
				"client-certificate-data": inline["cert"],
				"client-key-data":         inline["key"],
			},
		}},
		"contexts": []any{map[string]any{
			"name":    "default",
			"context": map[string]any{"cluster": "default", "user": "default"},
		}},
	})
	if err != nil {
		return fmt.Errorf("encode the kubeconfig %s: %w", path, err)
	}
	return writeFile(path, content, mode)
}
