package manifest

import (
	"encoding/json"
	"fmt"
	"time"
)

// Object is a Kubernetes object that we send.
type Object struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	// Type and Data are for Secrets; encoding/json writes bytes as base64.
	Type string            `json:"type,omitempty"`
	Data map[string][]byte `json:"data,omitempty"`
}

// Metadata is what names an object.
type Metadata struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	// ResourceVersion makes a replacement fail when the object has changed since it
	// was read.
	ResourceVersion string `json:"resourceVersion,omitempty"`
}

// Namespace is a namespace.
func Namespace(name string) Object {
	return Object{APIVersion: "v1", Kind: "Namespace", Metadata: Metadata{Name: name}}
}

// Secret is a Secret of the given type, such as Opaque.
func Secret(namespace, name, typ string, data map[string][]byte) Object {
	return Object{APIVersion: "v1", Kind: "Secret", Type: typ, Data: data,
		Metadata: Metadata{Name: name, Namespace: namespace,
			Labels: map[string]string{"app.kubernetes.io/managed-by": "docker-openshell"}}}
}

// List is the document for several objects at once. kubectl sends them in order.
func List(objects ...Object) ([]byte, error) {
	return json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": objects})
}

// SecretData is a Secret as it was read.
type SecretData struct {
	Type            string
	Data            map[string][]byte
	ResourceVersion string
	// ChangedAt is when its content was last written, by the API server's clock, in
	// whole seconds.
	ChangedAt time.Time
}

// DecodeSecrets reads a list of Secrets of one namespace, by name.
func DecodeSecrets(list []byte) (map[string]SecretData, error) {
	var doc struct {
		Kind  string
		Items []struct {
			Metadata struct {
				Name              string
				ResourceVersion   string
				CreationTimestamp time.Time
				ManagedFields     []struct {
					Time     time.Time
					FieldsV1 struct {
						Data json.RawMessage `json:"f:data"`
					}
				}
			}
			Type string
			Data map[string][]byte
		}
	}
	if err := json.Unmarshal(list, &doc); err != nil {
		// The text of the decoder's error names a field and never quotes a value.
		return nil, fmt.Errorf("list of Secrets: %w", err)
	}
	if doc.Kind != "SecretList" {
		return nil, fmt.Errorf("list of Secrets: the API server sent a %q", doc.Kind)
	}
	secrets := make(map[string]SecretData, len(doc.Items))
	for _, item := range doc.Items {
		s := SecretData{Type: item.Type, Data: item.Data, ResourceVersion: item.Metadata.ResourceVersion,
			ChangedAt: item.Metadata.CreationTimestamp}
		for _, f := range item.Metadata.ManagedFields {
			// Labels and annotations are nothing that a server reads.
			if len(f.FieldsV1.Data) > 0 && f.Time.After(s.ChangedAt) {
				s.ChangedAt = f.Time
			}
		}
		secrets[item.Metadata.Name] = s
	}
	return secrets, nil
}
