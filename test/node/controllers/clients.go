// Package controllers does what k3s does beside Kubernetes' own components: it
// applies manifests from a directory, reconciles HelmChart objects, makes and
// deletes local volumes, and keeps node passwords.
package controllers

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// Clients are the ways to talk to the API server.
type Clients struct {
	Kubeconfig string
	Config     *rest.Config
	Typed      kubernetes.Interface
	Dynamic    dynamic.Interface
	Discovery  discovery.CachedDiscoveryInterface
	Mapper     meta.ResettableRESTMapper
}

// NewClients makes clients for a kubeconfig. They are not throttled: the API
// server is in the same container.
func NewClients(kubeconfig string) (*Clients, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig %s: %w", kubeconfig, err)
	}
	config.QPS = -1
	config.UserAgent = "k3s"
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	cached := memory.NewMemCacheClient(typed.Discovery())
	return &Clients{
		Kubeconfig: kubeconfig,
		Config:     config,
		Typed:      typed,
		Dynamic:    untyped,
		Discovery:  cached,
		Mapper:     restmapper.NewDeferredDiscoveryRESTMapper(cached),
	}, nil
}
