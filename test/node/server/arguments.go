package server

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/docker-openshell/docker-openshell/test/node/layout"
)

// arguments returns what a component is started with: what the node needs, and
// then what the user said, because the last one counts.
func (s *server) arguments(component string) []string {
	var own []string
	switch component {
	case "kube-apiserver":
		own = s.apiserverArguments()
	case "kube-controller-manager":
		own = managerArguments()
	case "kube-scheduler":
		own = schedulerArguments()
	case "kube-proxy":
		own = s.proxyArguments()
	case "kubelet":
		own = s.kubeletArguments()
	}
	for _, argument := range s.options.Arguments[component] {
		own = append(own, "--"+strings.TrimLeft(argument, "-"))
	}
	return own
}

func (s *server) apiserverArguments() []string {
	return []string{
		"--advertise-address=" + s.nodeIP,
		"--allow-privileged=true",
		"--anonymous-auth=false",
		"--api-audiences=https://kubernetes.default.svc." + layout.ClusterDomain + ",k3s",
		"--authorization-mode=Node,RBAC",
		"--client-ca-file=" + tls.Certificate(clientAuthority),
		"--enable-admission-plugins=NodeRestriction",
		"--enable-priority-and-fairness=false",
		// There is one server. With leases, the address of an earlier boot
		// would stay in the service until its lease ends.
		"--endpoint-reconciler-type=master-count",
		"--etcd-servers=unix://" + layout.DatastoreSocket,
		"--kubelet-certificate-authority=" + tls.Certificate(serverAuthority),
		"--kubelet-client-certificate=" + tls.Certificate(apiToKubelet),
		"--kubelet-client-key=" + tls.Key(apiToKubelet),
		"--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
		"--profiling=false",
		"--proxy-client-cert-file=" + tls.Certificate(authProxy),
		"--proxy-client-key-file=" + tls.Key(authProxy),
		"--requestheader-allowed-names=system:auth-proxy",
		"--requestheader-client-ca-file=" + tls.Certificate(headerAuthority),
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--secure-port=" + strconv.Itoa(s.options.Port),
		"--service-account-issuer=https://kubernetes.default.svc." + layout.ClusterDomain,
		"--service-account-key-file=" + tls.Key(serviceKey),
		"--service-account-signing-key-file=" + tls.Key(serviceKey),
		"--service-cluster-ip-range=" + layout.ServiceCIDR,
		"--service-node-port-range=30000-32767",
		"--storage-backend=etcd3",
		"--tls-cert-file=" + tls.Certificate(apiServing),
		"--tls-private-key-file=" + tls.Key(apiServing),
	}
}

// clientArguments are those of a component that only talks to the API server.
func clientArguments(component string) []string {
	path := kubeconfig(component)
	return []string{
		"--authentication-kubeconfig=" + path,
		"--authorization-kubeconfig=" + path,
		"--bind-address=127.0.0.1",
		"--kubeconfig=" + path,
		// The defaults are for big clusters; with them, starting the
		// controllers alone takes seconds of waiting.
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--leader-elect=false",
		"--profiling=false",
	}
}

func managerArguments() []string {
	return append(clientArguments("controller"),
		"--cluster-signing-cert-file="+tls.Certificate(clientAuthority),
		"--cluster-signing-key-file="+tls.Key(clientAuthority),
		"--root-ca-file="+tls.Certificate(serverAuthority),
		"--service-account-private-key-file="+tls.Key(serviceKey),
		"--use-service-account-credentials=true",
	)
}

func schedulerArguments() []string { return clientArguments("scheduler") }

func (s *server) proxyArguments() []string {
	return []string{
		"--cluster-cidr=" + layout.ClusterCIDR,
		// No sysctl of connection tracking is written: they are the host's.
		"--conntrack-max-per-core=0",
		"--conntrack-tcp-timeout-close-wait=0s",
		"--conntrack-tcp-timeout-established=0s",
		"--healthz-bind-address=127.0.0.1",
		"--hostname-override=" + s.options.NodeName,
		// The default of a second is a second of every boot.
		"--iptables-min-sync-period=100ms",
		"--kubeconfig=" + kubeconfig("kubeproxy"),
		"--proxy-mode=iptables",
	}
}

// kubeletConfig is the file that kubelet reads.
var kubeletConfig = filepath.Join(layout.AgentConfig, "kubelet.json")

func (s *server) kubeletArguments() []string {
	arguments := []string{
		"--config=" + kubeletConfig,
		// For statistics, which still look for the socket here.
		"--containerd=" + layout.ContainerdSocket,
		"--hostname-override=" + s.options.NodeName,
		"--kubeconfig=" + kubeconfig("kubelet"),
		"--node-ip=" + s.nodeIP,
		"--root-dir=" + layout.KubeletRoot,
	}
	if len(s.options.NodeLabels) > 0 {
		arguments = append(arguments, "--node-labels="+strings.Join(s.options.NodeLabels, ","))
	}
	if len(s.options.NodeTaints) > 0 {
		arguments = append(arguments, "--register-with-taints="+strings.Join(s.options.NodeTaints, ","))
	}
	return arguments
}

// writeKubeletConfig writes what kubelet has no flags for, or deprecated ones.
func (s *server) writeKubeletConfig(resolvConf string) error {
	content, err := json.MarshalIndent(map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
			"x509":      map[string]any{"clientCAFile": tls.Certificate(clientAuthority)},
		},
		"authorization":            map[string]any{"mode": "Webhook"},
		"cgroupDriver":             "cgroupfs",
		"cgroupRoot":               s.cgroup,
		"clusterDNS":               []string{layout.DNSService},
		"clusterDomain":            layout.ClusterDomain,
		"containerRuntimeEndpoint": "unix://" + layout.ContainerdSocket,
		"enforceNodeAllocatable":   []string{},
		// k3s' limits. The defaults would evict on any well filled disk.
		"evictionHard":           map[string]string{"imagefs.available": "5%", "nodefs.available": "5%"},
		"evictionMinimumReclaim": map[string]string{"imagefs.available": "10%", "nodefs.available": "10%"},
		"failCgroupV1":           false,
		"failSwapOn":             false,
		// No image is ever collected: no registry could give it back.
		"imageGCHighThresholdPercent": 100,
		"resolvConf":                  resolvConf,
		"serializeImagePulls":         false,
		"tlsCertFile":                 tls.Certificate(kubeletServing),
		"tlsPrivateKeyFile":           tls.Key(kubeletServing),
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode kubelet's configuration: %w", err)
	}
	return os.WriteFile(kubeletConfig, content, 0o600)
}
