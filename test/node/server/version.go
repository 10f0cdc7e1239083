package server

import "k8s.io/component-base/version"

// Version is that of the Kubernetes inside, set when the node is linked.
func Version() string { return version.Get().GitVersion }
