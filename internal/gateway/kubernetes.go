package gateway

import (
	"context"

	"github.com/docker-openshell/docker-openshell/internal/k3sexec"
)

// kubernetes is all that the engine needs of a cluster. It does not know that
// kubectl runs in a container.
type kubernetes interface {
	// Get reads a path of the API server. The error is nil unless the outcome is
	// unknown.
	Get(ctx context.Context, path string) ([]byte, k3sexec.Presence, error)
	// Create creates objects and overwrites none: [k3sexec.ErrExists].
	Create(ctx context.Context, document []byte) error
	// Replace overwrites objects that have not changed since they were read.
	Replace(ctx context.Context, document []byte) error
	// Delete asks for the deletion of an object and does not wait for it.
	Delete(ctx context.Context, namespace, kind, name string) error
	// Follow reports how the cluster comes up, and then the changes of a path.
	Follow(ctx context.Context, list, watch string, fn func(k3sexec.Report) error) error
}

// Where things are in the cluster.
const (
	namespace   = "openshell"
	serverPod   = "openshell-0"
	secretsPath = "/api/v1/namespaces/" + namespace + "/secrets?fieldSelector=type%21%3Dhelm.sh%2Frelease.v1"
	podPath     = "/api/v1/namespaces/" + namespace + "/pods?fieldSelector=metadata.name%3D" + serverPod
	podWatch    = podPath + "&watch=true"
	chartPath   = "/apis/helm.cattle.io/v1/namespaces/kube-system/helmcharts/openshell"
	sandboxPath = "/apis/agents.x-k8s.io/v1alpha1/namespaces/" + namespace + "/sandboxes"
)

func (m *Manager) kubernetes(container string) kubernetes {
	return k3sexec.NewKubectl(k3sexec.New(m.docker, container))
}
