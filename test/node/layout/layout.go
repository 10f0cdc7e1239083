// Package layout names the files and addresses of the node. Those under
// /var/lib/rancher/k3s, /etc/rancher and /run/k3s are k3s' own, because others
// look for them there.
package layout

const (
	// Executable is the multi-call binary of the node.
	Executable = "/bin/k3s"

	// Data is the volume: all that outlives the container.
	Data = "/var/lib/rancher/k3s"

	// Database is the datastore's file.
	Database = Data + "/server/db/state.db"
	// Certificates holds the authorities and what they signed.
	Certificates = Data + "/server/tls"
	// Credentials holds the kubeconfigs of the components.
	Credentials = Data + "/server/cred"
	// Manifests is watched: what lies there is applied to the cluster.
	Manifests = Data + "/server/manifests"
	// Static is what HelmChart objects refer to as %{KUBERNETES_API}%/static.
	Static = Data + "/server/static"
	// Storage holds the volumes of the local-path class.
	Storage = Data + "/storage"
	// Images holds tars to import into containerd.
	Images = Data + "/agent/images"
	// AgentConfig holds the written configuration of containerd and kubelet.
	AgentConfig = Data + "/agent/etc"
	// ContainerdRoot is containerd's store.
	ContainerdRoot = Data + "/agent/containerd"
	// ContainerdLog is where containerd writes, as under k3s.
	ContainerdLog = ContainerdRoot + "/containerd.log"
	// KubeletRoot is kubelet's; the image declares it as a volume.
	KubeletRoot = "/var/lib/kubelet"

	// OwnImages are the tars that the node itself cannot run without. They
	// are not on the volume, because a volume may come from another image.
	OwnImages = "/usr/share/k3s/images"
	// Kubeconfig is the administrator's.
	Kubeconfig = "/etc/rancher/k3s/k3s.yaml"
	// Registries is the user's configuration of mirrors and credentials.
	Registries = "/etc/rancher/k3s/registries.yaml"
	// NodePassword proves that a node is the one that registered first.
	NodePassword = "/etc/rancher/node/password"

	// Run is where sockets and passing state live.
	Run = "/run/k3s"
	// DatastoreSocket serves etcd's API.
	DatastoreSocket = Run + "/kine.sock"
	// ContainerdState is containerd's passing state.
	ContainerdState = Run + "/containerd"
	// ContainerdSocket serves containerd's API and the CRI.
	ContainerdSocket = ContainerdState + "/containerd.sock"
	// CNIConfig holds the list of the pod network.
	CNIConfig = Run + "/cni/net.d"
	// CNIData holds the pods' addresses, where k3s has it. It stays over a restart of the
	// container: addresses are counted on, so that a pod does not get the one at which
	// the Service of the boot before still looks for another.
	CNIData = "/var/lib/cni/networks"
	// CNIPlugins is where Debian puts them.
	CNIPlugins = "/usr/lib/cni"

	// PodSubnet is the range of the pods' addresses.
	PodSubnet = "10.42.0.0/24"
	// ClusterCIDR is the range that pods' subnets come from.
	ClusterCIDR = "10.42.0.0/16"
	// ServiceCIDR is the range of services' addresses.
	ServiceCIDR = "10.43.0.0/16"
	// APIService is the address of the API server's service.
	APIService = "10.43.0.1"
	// DNSService is the address of the name server's service.
	DNSService = "10.43.0.10"
	// ClusterDomain ends every name in the cluster.
	ClusterDomain = "cluster.local"

	// PauseImage holds the pods' namespaces.
	PauseImage = "docker.io/openshell/test-node-pause:1"
	// CoreDNSImage is the name server.
	CoreDNSImage = "docker.io/openshell/test-node-coredns:1"
)
