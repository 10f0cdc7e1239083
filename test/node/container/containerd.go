// Package container configures containerd and fills its image store.
package container

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker-openshell/docker-openshell/test/node/layout"
)

// hostsDirectory is where containerd finds the mirrors of each registry.
const hostsDirectory = layout.AgentConfig + "/containerd/certs.d"

// ConfigFile is containerd's configuration.
const ConfigFile = layout.AgentConfig + "/containerd/config.toml"

// WriteConfig writes containerd's configuration, that of the pod network, and
// what registries.yaml, if there is one, says of registries.
func WriteConfig() error {
	registries, err := readRegistries(layout.Registries)
	if err != nil {
		return err
	}
	if err := writeHosts(hostsDirectory, registries); err != nil {
		return err
	}
	// The mode is strict because credentials of registries may be inside.
	if err := write(ConfigFile, daemonConfig(registries), 0o600); err != nil {
		return err
	}
	return write(layout.CNIConfig+"/10-k3s.conflist", networkConfig, 0o644)
}

// daemonConfig is containerd's configuration, version 3.
func daemonConfig(registries registries) string {
	var b strings.Builder
	fmt.Fprintf(&b, `version = 3
root = %q
state = %q

[grpc]
address = %q

[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = %q

[plugins.'io.containerd.cri.v1.images'.registry]
config_path = %q

[plugins.'io.containerd.cri.v1.runtime']
# Without CAP_SYS_RESOURCE nobody may lower a score.
restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = [%q]
conf_dir = %q

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
`, layout.ContainerdRoot, layout.ContainerdState, layout.ContainerdSocket, layout.PauseImage,
		hostsDirectory, layout.CNIPlugins, layout.CNIConfig)
	b.WriteString(registries.credentials())
	return b.String()
}

// networkConfig is the pod network: a bridge, addresses counted up from the
// start of the subnet, and host ports.
const networkConfig = `{
  "cniVersion": "1.0.0",
  "name": "cbr0",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "ipMasq": true,
      "hairpinMode": true,
      "forceAddress": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "` + layout.PodSubnet + `"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "` + layout.CNIData + `"
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`

func write(path, content string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		return err
	}
	// WriteFile leaves the mode of an existing file as it was.
	return os.Chmod(path, mode)
}
