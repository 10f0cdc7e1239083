package server

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseOptions(t *testing.T) {
	o, err := ParseOptions([]string{
		"--disable=traefik", "--disable", "servicelb,coredns",
		"--tls-san=127.0.0.1", "--tls-san=localhost",
		"--node-name=Openshell-A",
		"--kubelet-arg=resolv-conf=/etc/rancher/k3s/resolv.conf", "--kubelet-arg=fail-cgroupv1=false",
		"--kube-apiserver-arg=v=2",
		"--write-kubeconfig-mode=644",
	}, "host")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"traefik", "servicelb", "coredns"}; !slices.Equal(o.Disable, want) {
		t.Errorf("disabled are %q, want %q", o.Disable, want)
	}
	if want := []string{"127.0.0.1", "localhost"}; !slices.Equal(o.TLSSANs, want) {
		t.Errorf("SANs are %q, want %q", o.TLSSANs, want)
	}
	if o.NodeName != "openshell-a" {
		t.Errorf("the node's name is %q, want it in lower case", o.NodeName)
	}
	if want := []string{"resolv-conf=/etc/rancher/k3s/resolv.conf", "fail-cgroupv1=false"}; !slices.Equal(o.Arguments["kubelet"], want) {
		t.Errorf("kubelet's arguments are %q, want %q", o.Arguments["kubelet"], want)
	}
	if o.KubeconfigMode != 0o644 {
		t.Errorf("the kubeconfig's mode is %o, want 644", o.KubeconfigMode)
	}
}

func TestParseOptionsDefaults(t *testing.T) {
	o, err := ParseOptions(nil, "Host-1")
	if err != nil {
		t.Fatal(err)
	}
	if o.NodeName != "host-1" || o.Port != 6443 || o.KubeconfigMode != 0o600 {
		t.Errorf("defaults are %+v", o)
	}
}

func TestParseOptionsRefuses(t *testing.T) {
	for argument, want := range map[string]string{
		"--no-such-flag=1":            "flag provided but not defined: -no-such-flag",
		"--disable=nothing":           `invalid value "nothing" for flag -disable`,
		"--node-ip=here":              `invalid value "here" for flag -node-ip`,
		"--https-listen-port=70000":   "invalid value 70000",
		"--write-kubeconfig-mode=rw-": `invalid value "rw-"`,
		"positional":                  `unexpected argument "positional"`,
	} {
		_, err := ParseOptions([]string{argument}, "host")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want one with %q", argument, err, want)
		}
	}
}

func TestUserArgumentsComeLast(t *testing.T) {
	s := &server{nodeIP: "10.0.0.2", options: &Options{NodeName: "n", Port: 6443, Arguments: map[string][]string{
		"kube-proxy": {"proxy-mode=nftables", "--v=4"},
	}}}
	arguments := s.arguments("kube-proxy")
	if want := []string{"--proxy-mode=nftables", "--v=4"}; !slices.Equal(arguments[len(arguments)-2:], want) {
		t.Errorf("the last arguments are %q, want %q", arguments[len(arguments)-2:], want)
	}
}

func TestHasUsableNameserver(t *testing.T) {
	for content, want := range map[string]bool{
		"nameserver 192.168.1.1\n":                         true,
		"search x\nnameserver 127.0.0.11\noptions ndots:0": false,
		"nameserver 127.0.0.53\nnameserver 10.0.0.1":       true,
		"nameserver ::1\n":                                 false,
		"":                                                 false,
		"# nameserver 10.0.0.1\n":                          false,
	} {
		if got := hasUsableNameserver(content); got != want {
			t.Errorf("%q: %t, want %t", content, got, want)
		}
	}
}

func TestOwnCgroup(t *testing.T) {
	const versionOneOwn = "30 29 0:26 /docker/abc /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n"
	const versionOneHost = "30 29 0:26 / /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n"
	const versionTwoHost = "30 29 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n"
	for name, test := range map[string]struct{ membership, mounts, want string }{
		"version 1, own group is the root":     {"8:pids:/docker/abc\n", versionOneOwn, "/"},
		"version 1, the machine's is the root": {"8:pids:/docker/abc\n", versionOneHost, "/docker/abc"},
		"version 1, an outer root":             {"8:pids:/docker\n", versionOneOwn, "/"},
		"version 2, the machine's is the root": {"0::/docker/abc\n", versionTwoHost, "/docker/abc"},
		"version 2, own namespace":             {"0::/\n", versionTwoHost, "/"},
		"version 1 with a unified part":        {"8:pids:/docker/abc\n0::/docker/abc\n", versionOneOwn, "/"},
		"nothing mounted":                      {"8:pids:/docker/abc\n", "", "/"},
	} {
		directory := t.TempDir()
		membership, mounts := filepath.Join(directory, "cgroup"), filepath.Join(directory, "mountinfo")
		for path, content := range map[string]string{membership: test.membership, mounts: test.mounts} {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := ownCgroup(membership, mounts)
		if err != nil || got != test.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, test.want)
		}
	}
}
