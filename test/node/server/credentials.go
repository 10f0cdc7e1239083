package server

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/docker-openshell/docker-openshell/test/node/certs"
	"github.com/docker-openshell/docker-openshell/test/node/layout"
)

// tls is where the node's certificates and keys lie.
const tls = certs.Directory(layout.Certificates)

// Names of certificates, which are k3s' own.
const (
	serverAuthority  = "server-ca"
	clientAuthority  = "client-ca"
	headerAuthority  = "request-header-ca"
	serviceKey       = "service"
	apiServing       = "serving-kube-apiserver"
	kubeletServing   = "serving-kubelet"
	apiToKubelet     = "client-kube-apiserver"
	authProxy        = "client-auth-proxy"
	adminClient      = "client-admin"
	supervisorClient = "client-supervisor"
	managerClient    = "client-controller"
	schedulerClient  = "client-scheduler"
	proxyClient      = "client-kube-proxy"
	kubeletClient    = "client-kubelet"
)

// makeCredentials makes certificates and kubeconfigs for every component.
func makeCredentials(o *Options, nodeIP string) error {
	now := time.Now()
	for _, name := range []string{serverAuthority, clientAuthority, headerAuthority} {
		if err := tls.Authority(name, now); err != nil {
			return fmt.Errorf("make the authority %s: %w", name, err)
		}
	}
	if err := tls.SigningKey(serviceKey); err != nil {
		return fmt.Errorf("make the key of service accounts: %w", err)
	}
	for _, leaf := range leaves(o, nodeIP) {
		if err := tls.Issue(leaf, now); err != nil {
			return fmt.Errorf("issue the certificate %s: %w", leaf.Name, err)
		}
	}
	local := fmt.Sprintf("https://127.0.0.1:%d", o.Port)
	for client, path := range map[string]string{
		supervisorClient: kubeconfig("supervisor"),
		managerClient:    kubeconfig("controller"),
		schedulerClient:  kubeconfig("scheduler"),
		proxyClient:      kubeconfig("kubeproxy"),
		kubeletClient:    kubeconfig("kubelet"),
	} {
		if err := tls.WriteKubeconfig(path, local, serverAuthority, client, 0o600); err != nil {
			return err
		}
	}
	return tls.WriteKubeconfig(o.Kubeconfig, local, serverAuthority, adminClient, o.KubeconfigMode)
}

func kubeconfig(component string) string {
	return filepath.Join(layout.Credentials, component+".kubeconfig")
}

// leaves are all certificates below the authorities.
func leaves(o *Options, nodeIP string) []certs.Leaf {
	masters := []string{"system:masters"}
	hosts := slices.Concat([]string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + layout.ClusterDomain,
		"localhost", "127.0.0.1", "::1", layout.APIService, o.NodeName, nodeIP,
	}, o.TLSSANs)
	slices.Sort(hosts)
	return []certs.Leaf{
		{Name: apiServing, Authority: serverAuthority, User: "kube-apiserver", Hosts: slices.Compact(hosts)},
		{Name: kubeletServing, Authority: serverAuthority, User: o.NodeName, Hosts: []string{o.NodeName, "127.0.0.1", "localhost", nodeIP}},
		{Name: apiToKubelet, Authority: clientAuthority, User: "system:apiserver", Groups: masters},
		{Name: authProxy, Authority: headerAuthority, User: "system:auth-proxy"},
		{Name: adminClient, Authority: clientAuthority, User: "system:admin", Groups: masters},
		{Name: supervisorClient, Authority: clientAuthority, User: "system:k3s-supervisor", Groups: masters},
		{Name: managerClient, Authority: clientAuthority, User: "system:kube-controller-manager"},
		{Name: schedulerClient, Authority: clientAuthority, User: "system:kube-scheduler"},
		{Name: proxyClient, Authority: clientAuthority, User: "system:kube-proxy"},
		{Name: kubeletClient, Authority: clientAuthority, User: "system:node:" + o.NodeName, Groups: []string{"system:nodes"}},
	}
}

// makeDirectories makes what the components expect to exist.
func makeDirectories() error {
	for path, mode := range map[string]os.FileMode{
		layout.Credentials:    0o700,
		layout.Certificates:   0o700,
		layout.Manifests:      0o700,
		layout.Storage:        0o711,
		layout.Images:         0o755,
		layout.AgentConfig:    0o755,
		layout.ContainerdRoot: 0o711,
		layout.Run:            0o711,
		layout.KubeletRoot:    0o755,
	} {
		if err := os.MkdirAll(path, mode); err != nil {
			return err
		}
	}
	return nil
}
