package gateway

import (
	"strings"

	"github.com/docker-openshell/docker-openshell/internal/clientdir"
)

// Labels of everything that we create. They are what makes an object ours.
const (
	labelGateway = "io.github.docker-openshell.gateway" // the gateway's name
	labelVersion = "io.github.docker-openshell.version" // the plugin that made it
	labelImage   = "io.github.docker-openshell.image"   // on volumes: the first node image
	labelHelper  = "io.github.docker-openshell.helper"  // on short-lived containers: their purpose
	// labelRecreate is on the container of a gateway that was recreated: the snapshot
	// into which the state before it was set aside.
	labelRecreate = "io.github.docker-openshell.recreate"
)

// Paths inside the container. dataPath is the volume.
const (
	dataPath       = "/var/lib/rancher/k3s"
	statePath      = dataPath + "/openshell"
	recordPath     = statePath + "/gateway.json"
	registriesPath = statePath + "/registries.yaml"
	// snapshotsPath holds states that were set aside, and pendingPath says how far a
	// set-aside has come.
	snapshotsPath   = dataPath + "/.openshell/snapshots"
	pendingPath     = dataPath + "/.openshell/pending"
	entrypointPath  = "/usr/local/bin/cluster-entrypoint.sh"
	healthcheckPath = "/usr/local/bin/cluster-healthcheck.sh"
	helmChartPath   = "/opt/openshell/manifests/openshell-helmchart.yaml"
	// autoDeployPath is where k3s reads manifests from while it runs.
	autoDeployPath = dataPath + "/server/manifests/openshell-helmchart.yaml"
	// filesPath holds one empty file, named for the hash of all the files that we
	// wrote into the container.
	filesPath = "/opt/openshell/files"
)

// nodePort is the port in the container on which the OpenShell server is reached.
const nodePort = "30051/tcp"

// objectName is the name of a gateway's container, volume and network. They are
// the ones that the openshell CLI uses.
func objectName(name string) string { return "openshell-cluster-" + name }

// oldName is what the old container is called while a recreate builds the new one. No
// gateway's objects have such a name.
func oldName(name string) string { return "openshell-old-" + name }

// nodeName is the Kubernetes node name and the container's host name: it stays the
// same whatever happens to the container, because volumes are bound to it.
func nodeName(name string) string {
	var b strings.Builder
	dash := false
	for _, r := range strings.ToLower(name) {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') {
			if dash && b.Len() > 0 {
				b.WriteByte('-')
			}
			dash = false
			b.WriteRune(r)
			continue
		}
		dash = true
	}
	if b.Len() == 0 {
		return "openshell-gateway"
	}
	return "openshell-" + b.String()
}

func validateName(name string) error {
	if err := clientdir.ValidateName(name); err != nil {
		return &Error{Cause: CauseInvalid, Err: err}
	}
	return nil
}

func labels(name, version string) map[string]string {
	return map[string]string{labelGateway: name, labelVersion: version}
}
