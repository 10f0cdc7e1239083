package main

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

const (
	sandboxGroup     = "agents.x-k8s.io/v1alpha1"
	idLabel          = "openshell.ai/sandbox-id"
	managedByLabel   = "openshell.ai/managed-by"
	managedBy        = "openshell"
	supervisorDir    = "/opt/openshell/bin"
	clientTLSDir     = "/etc/openshell-tls/client"
	workspaceDir     = "/sandbox"
	workspaceNewDir  = "/workspace-pvc"
	workspaceVolume  = "workspace"
	supervisorVolume = "openshell-supervisor-bin"
	clientTLSVolume  = "openshell-client-tls"
	gpuResource      = "nvidia.com/gpu"

	// sshPort is where a sandbox of this generation listens.
	sshPort       = 2222
	sshListenAddr = "0.0.0.0:2222"
	sshSocketPath = "/run/openshell/ssh.sock"

	// defaultSandboxImage is what the real server runs if it is told nothing.
	defaultSandboxImage = "ghcr.io/nvidia/openshell-community/sandboxes/base:latest"
)

// copyWorkspace fills a new workspace with what the image has in /sandbox, once. The
// mark of a complete archive comes from the side that reads, because a pipe's status
// is only that of its last command.
const copyWorkspace = `set -e
cd ` + workspaceNewDir + `
[ ! -e .workspace-initialized ] || exit 0
rm -f .workspace-read
if [ -d ` + workspaceDir + ` ]; then
	{ tar -C ` + workspaceDir + ` -cf - . && : >.workspace-read; } | tar -xpf -
else
	: >.workspace-read
fi
mv .workspace-read .workspace-initialized
`

// sandboxResource is the Kubernetes object of a sandbox; its controller makes the
// pod, the volume and the service of it.
func (o options) sandboxResource(s *pb.Sandbox) object {
	template := s.GetSpec().GetTemplate()
	spec := object{"podTemplate": o.podTemplate(s)}
	if claims := template.GetVolumeClaimTemplates(); claims != nil {
		spec["volumeClaimTemplates"] = claims.AsMap()
	} else {
		spec["volumeClaimTemplates"] = []any{object{
			"metadata": object{"name": workspaceVolume},
			"spec": object{
				"accessModes": []any{"ReadWriteOnce"},
				"resources":   object{"requests": object{"storage": "2Gi"}},
			},
		}}
	}
	// These three are not in the schema of the resource, which prunes them.
	if level := s.GetSpec().GetLogLevel(); level != "" {
		spec["logLevel"] = level
	}
	if env := s.GetSpec().GetEnvironment(); len(env) > 0 {
		spec["environment"] = env
	}
	if socket := template.GetAgentSocket(); socket != "" {
		spec["agentSocket"] = socket
	}
	return object{
		"apiVersion": sandboxGroup,
		"kind":       "Sandbox",
		"metadata": object{
			"name":      string(s.GetName()),
			"namespace": string(s.GetNamespace()),
			"labels":    object{idLabel: string(s.GetId()), managedByLabel: managedBy},
		},
		"spec": spec,
	}
}

func (o options) podTemplate(s *pb.Sandbox) object {
	template := s.GetSpec().GetTemplate()
	agent := o.container("agent", template.GetImage())
	agent["command"] = []any{supervisorDir + "/openshell-sandbox"}
	agent["env"] = o.sandboxEnv(s)
	agent["securityContext"] = object{
		"runAsUser":    0,
		"capabilities": object{"add": []any{"SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYSLOG"}},
	}
	mounts := []any{object{"name": supervisorVolume, "mountPath": supervisorDir, "readOnly": true}}
	volumes := []any{object{"name": supervisorVolume, "hostPath": object{"path": supervisorDir, "type": "DirectoryOrCreate"}}}
	if o.givesClientTLS() {
		mounts = append(mounts, object{"name": clientTLSVolume, "mountPath": clientTLSDir, "readOnly": true})
		volumes = append(volumes, object{"name": clientTLSVolume, "secret": object{"secretName": o.clientTLSSecret, "defaultMode": 0o400}})
	}
	pod := object{"containers": []any{agent}, "volumes": volumes}
	if template.GetVolumeClaimTemplates() == nil {
		// The controller adds the volume of this name.
		mounts = append(mounts, object{"name": workspaceVolume, "mountPath": workspaceDir})
		start := o.container("workspace-init", template.GetImage())
		start["command"] = []any{"sh", "-c", copyWorkspace}
		start["securityContext"] = object{"runAsUser": 0}
		start["volumeMounts"] = []any{object{"name": workspaceVolume, "mountPath": workspaceNewDir}}
		pod["initContainers"] = []any{start}
	}
	agent["volumeMounts"] = mounts
	if resources := podResources(s.GetSpec()); len(resources) > 0 {
		agent["resources"] = resources
	}
	if class := template.GetRuntimeClassName(); class != "" {
		pod["runtimeClassName"] = class
	}
	if o.hostGatewayIP != "" {
		pod["hostAliases"] = []any{object{"ip": o.hostGatewayIP, "hostnames": []any{"host.docker.internal", "host.openshell.internal"}}}
	}
	result := object{"spec": pod}
	metadata := object{}
	if labels := template.GetLabels(); len(labels) > 0 {
		metadata["labels"] = labels
	}
	if annotations := template.GetAnnotations(); len(annotations) > 0 {
		metadata["annotations"] = annotations
	}
	if len(metadata) > 0 {
		result["metadata"] = metadata
	}
	return result
}

func (o options) container(name, image string) object {
	c := object{"name": name, "image": cmp.Or(image, o.sandboxImage)}
	if o.sandboxPullPolicy != "" {
		c["imagePullPolicy"] = o.sandboxPullPolicy
	}
	return c
}

// givesClientTLS tells whether sandboxes get a certificate to call the server with.
func (o options) givesClientTLS() bool { return !o.disableTLS && o.clientTLSSecret != "" }

// sandboxEnv is the environment of a sandbox: what was asked for, then what nobody may
// set otherwise. The handshake secret is the literal value, as the real server has it.
func (o options) sandboxEnv(s *pb.Sandbox) []any {
	asked := maps.Clone(s.GetSpec().GetTemplate().GetEnvironment())
	if asked == nil {
		asked = map[string]string{}
	}
	maps.Copy(asked, s.GetSpec().GetEnvironment())
	forced := [][2]string{
		{"OPENSHELL_SANDBOX_ID", string(s.GetId())},
		{"OPENSHELL_SANDBOX", string(s.GetName())},
		{"OPENSHELL_ENDPOINT", o.grpcEndpoint},
		{"OPENSHELL_SANDBOX_COMMAND", "sleep infinity"},
	}
	if o.relay {
		forced = append(forced, [2]string{"OPENSHELL_SSH_SOCKET_PATH", sshSocketPath})
	} else {
		forced = append(forced, [2]string{"OPENSHELL_SSH_LISTEN_ADDR", sshListenAddr})
	}
	forced = append(forced,
		[2]string{"OPENSHELL_SSH_HANDSHAKE_SECRET", o.handshakeSecret},
		[2]string{"OPENSHELL_SSH_HANDSHAKE_SKEW_SECS", strconv.Itoa(o.skew)})
	if o.givesClientTLS() {
		forced = append(forced,
			[2]string{"OPENSHELL_TLS_CA", clientTLSDir + "/ca.crt"},
			[2]string{"OPENSHELL_TLS_CERT", clientTLSDir + "/tls.crt"},
			[2]string{"OPENSHELL_TLS_KEY", clientTLSDir + "/tls.key"})
	}
	for _, pair := range forced {
		delete(asked, pair[0])
	}
	var env []any
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		env = append(env, object{"name": name, "value": asked[name]})
	}
	for _, pair := range forced {
		env = append(env, object{"name": pair[0], "value": pair[1]})
	}
	return env
}

// podResources are the resources that were asked for, with a GPU if one was.
func podResources(spec *pb.SandboxSpec) object {
	resources := spec.GetTemplate().GetResources().AsMap()
	if spec.GetGpu() {
		limits, ok := resources["limits"].(object)
		if !ok {
			limits = object{}
		}
		limits[gpuResource] = "1"
		resources["limits"] = limits
	}
	return resources
}
