package scripts

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func inode(b *box, path string) os.FileInfo {
	b.t.Helper()
	info, err := os.Stat(b.path(path))
	if err != nil {
		b.t.Fatal(err)
	}
	return info
}

// TestDeploy: what k3s deploys from holds what this version ships and what others put
// there, and what did not change is not written again.
func TestDeploy(t *testing.T) {
	eachShell(t, func(b *box) {
		nodeBox(b)
		b.file("opt/openshell/manifests/agent-sandbox.yaml", "agent: 1\n")
		b.file("opt/openshell/gpu-manifests/nvidia.yaml", "gpu: 1\n")
		b.file("opt/openshell/charts/openshell-0.1.0.tgz", "tgz\x00\n")
		for _, stale := range []string{"openshell-old.yaml", "envoy-gateway-old.yaml", "agent-old.yaml", "openshell-helmchart.yaml.openshell-tmp"} {
			b.file(manifests+stale, "old\n")
		}
		b.file(manifests+"coredns.yaml", "k3s: 1\n")
		boot(b)
		names := func() []string {
			entries, err := os.ReadDir(b.path(manifests))
			if err != nil {
				b.t.Fatal(err)
			}
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			return names
		}
		want := []string{"agent-sandbox.yaml", "coredns.yaml", "openshell-helmchart.yaml", "openshell-helmchartconfig.yaml"}
		if diff := cmp.Diff(want, names()); diff != "" {
			b.t.Error(diff)
		}
		if got := b.read(data + "server/static/charts/openshell-0.1.0.tgz"); got != "tgz\x00\n" {
			b.t.Errorf("chart %q", got)
		}
		watched := []string{manifests + "agent-sandbox.yaml", manifests + "openshell-helmchart.yaml", config, resolv}
		before := map[string]os.FileInfo{}
		for _, p := range watched {
			before[p] = inode(b, p)
		}
		b.file("opt/openshell/manifests/openshell-helmchart.yaml", "chart: 2\n")
		boot(b)
		for _, p := range watched {
			if same := os.SameFile(before[p], inode(b, p)); same == (p == manifests+"openshell-helmchart.yaml") {
				b.t.Errorf("%s: left alone: %v", p, same)
			}
		}
		if got := b.read(manifests + "openshell-helmchart.yaml"); got != "chart: 2\n" {
			b.t.Errorf("chart %q", got)
		}

		b.env["GPU_ENABLED"] = "true"
		boot(b)
		if got := b.read(manifests + "nvidia.yaml"); got != "gpu: 1\n" {
			b.t.Errorf("GPU manifest %q", got)
		}
		b.env["GPU_ENABLED"] = "false"
		boot(b)
		if slices.Contains(names(), "nvidia.yaml") {
			b.t.Error("the GPU manifest is still there")
		}
	})
}

// TestNodePassword: the password outlives the container.
func TestNodePassword(t *testing.T) {
	eachShell(t, func(b *box) {
		nodeBox(b)
		b.file("etc/rancher/node/password", "from the container\n")
		b.file("etc/rancher/node/other", "of the container\n")
		b.file(data+"openshell/node/other", "kept\n")
		b.dir(data + "server/db")
		b.stub("kubectl", "exit 0")
		r := boot(b)
		if got := b.read(data+"openshell/node/password") + b.read("etc/rancher/node/other"); got != "from the container\nkept\n" {
			b.t.Errorf("kept %q", got)
		}
		if r.count("kubectl") != 0 {
			b.t.Errorf("ran %q", r.calls)
		}
		b.remove("etc/rancher")
		boot(b)
		if got := b.read("etc/rancher/node/password"); got != "from the container\n" {
			b.t.Errorf("a new container has %q", got)
		}
	})
}

// TestLostPassword: a volume of an older setup knows a node whose password is gone.
func TestLostPassword(t *testing.T) {
	const forget = "-n kube-system delete secret --ignore-not-found openshell-x.node-password.k3s"
	for _, c := range []struct {
		name, kubectl string
		calls         int
		gaveUp        bool
	}{
		{"at once", "exit 0", 1, false},
		{"API starts", `[ -e "$OPENSHELL_ROOT/up" ] || { : >"$OPENSHELL_ROOT/up"; exit 1; }`, 2, false},
		{"API never starts", "exit 1", 300, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachShell(t, func(b *box) {
				nodeBox(b)
				b.dir(data + "server/db")
				b.stub("kubectl", c.kubectl)
				b.stub("sleep", ":")
				r := boot(b)
				n := 0
				for _, call := range r.calls {
					if strings.HasPrefix(call, "kubectl ") && strings.HasSuffix(call, forget) {
						n++
					}
				}
				if n != c.calls || !strings.Contains(r.stdout, "openshell: the node's password is lost; asking Kubernetes to forget it\n") {
					b.t.Errorf("asked %d times, said %q", n, r.stdout)
				}
				if got := strings.Contains(r.stderr, "the old password of node openshell-x could not be removed"); got != c.gaveUp {
					b.t.Errorf("said %q", r.stderr)
				}
			})
		})
	}
}

func TestRegistries(t *testing.T) {
	eachShell(t, func(b *box) {
		nodeBox(b)
		link := "etc/rancher/k3s/registries.yaml"
		boot(b)
		if _, err := os.Lstat(b.path(link)); err == nil {
			b.t.Error("linked to nothing")
		}
		b.secrets = []string{"registry-token"}
		b.file(data+"openshell/registries.yaml", "password: registry-token\n")
		b.file(link, "of the image\n")
		boot(b)
		if target, err := os.Readlink(b.path(link)); err != nil || target != b.path(data+"openshell/registries.yaml") {
			b.t.Errorf("%s: %q, %v", link, target, err)
		}
	})
}

// TestResolver: pods get name servers that they can reach.
func TestResolver(t *testing.T) {
	const unshared = "openshell: warning: Docker's resolver cannot be shared with pods\n"
	noRules := func(b *box) { b.stub("iptables", `case "$*" in *"-S "*) exit 1 ;; esac`) }
	for _, c := range []struct {
		name, conf string
		prepare    func(*box)
		want, said string
	}{
		{"Docker's and another", "nameserver 127.0.0.11\nnameserver 10.0.0.53\n", func(*box) {}, "172.19.0.2 10.0.0.53", ""},
		{"others", "search x\nnameserver 10.0.0.53\nnameserver 127.0.0.53\nnameserver fd00::53\nnameserver ::1\n", func(*box) {}, "10.0.0.53 fd00::53", ""},
		{"loopback only", "nameserver 127.0.0.53\n", func(*box) {}, "8.8.8.8 8.8.4.4", ""},
		{"empty", "", func(*box) {}, "8.8.8.8 8.8.4.4", ""},
		{"no rules of Docker", "nameserver 127.0.0.11\nnameserver 10.0.0.53\n", noRules, "10.0.0.53", unshared},
		{"no address", "nameserver 127.0.0.11\n", func(b *box) {
			b.stub("ip", `case "$*" in *route*) echo "default via 172.19.0.1 dev eth0" ;; esac`)
		}, "8.8.8.8 8.8.4.4", unshared},
		{"kernel refuses", "nameserver 127.0.0.11\n", func(b *box) { b.remove("proc/sys/net/ipv4") }, "8.8.8.8 8.8.4.4", unshared},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachShell(t, func(b *box) {
				nodeBox(b)
				b.file("etc/resolv.conf", c.conf)
				c.prepare(b)
				r := boot(b)
				want := "nameserver " + strings.ReplaceAll(c.want, " ", "\nnameserver ") + "\n"
				if got := b.read(resolv); got != want {
					b.t.Errorf("%q, want %q", got, want)
				}
				if !strings.Contains(r.stderr, c.said) || (c.said == "") != (r.stderr == "") {
					b.t.Errorf("said %q, want %q", r.stderr, c.said)
				}
			})
		})
	}
}

// TestIptables: the backend is one that knows comments.
func TestIptables(t *testing.T) {
	failing := func(what string) func(*box) {
		return func(b *box) { b.stub("iptables", `case "$*" in *"`+what+`"*) exit 1 ;; esac`) }
	}
	const none = "iptables does not work, and there is no legacy backend"
	for _, c := range []struct {
		name, choice string
		legacy       bool // it is installed
		prepare      func(*box)
		switched     bool
		probed       bool
		said         string
	}{
		{"works", "", true, func(*box) {}, false, true, ""},
		{"no tables", "", true, failing("-N "), true, true, ""},
		{"no comments", "", true, failing("--comment"), true, true, ""},
		{"forced", "1", true, func(*box) {}, true, false, ""},
		{"forbidden", "0", true, failing("--comment"), false, false, ""},
		{"none works", "", false, failing("-N "), false, true, none},
		{"no iptables", "", true, func(b *box) { b.remove("stubs/iptables") }, false, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachShell(t, func(b *box) {
				nodeBox(b)
				b.file("etc/resolv.conf", "nameserver 10.0.0.53\n")
				if c.choice != "" {
					b.env["USE_IPTABLES_LEGACY"] = c.choice
				}
				if c.legacy {
					b.stub("iptables-legacy", "exit 0")
					b.stub("iptables-legacy-save", "exit 0")
				}
				c.prepare(b)
				r := boot(b)
				links, err := filepath.Glob(b.path("usr/local/bin/*"))
				if err != nil || (len(links) == 2) != c.switched || len(links) == 1 {
					b.t.Errorf("links: %v, %v", links, err)
				}
				if c.switched {
					if target, err := os.Readlink(b.path("usr/local/bin/iptables-save")); err != nil || target != b.path("stubs/iptables-legacy-save") {
						b.t.Errorf("iptables-save: %q, %v", target, err)
					}
				}
				if strings.Contains(r.stdout, "using the legacy iptables backend") != c.switched || !strings.Contains(r.stderr, c.said) {
					b.t.Errorf("said %q %q", r.stdout, r.stderr)
				}
				if probed := r.count("iptables -t filter -N OPENSHELL-PROBE") == 1; probed != c.probed {
					b.t.Errorf("probed: %v", probed)
				}
			})
		})
	}
}

// TestKernel: what the host lacks is said or allowed for.
func TestKernel(t *testing.T) {
	eachShell(t, func(b *box) {
		nodeBox(b)
		b.remove("proc/sys/net/bridge")
		b.remove("sys/fs/cgroup/cgroup.controllers")
		r := boot(b)
		if !strings.Contains(r.stderr, "br_netfilter is not loaded on the host") {
			b.t.Errorf("said %q", r.stderr)
		}
		if last := r.calls[len(r.calls)-1]; last != "arg --kubelet-arg=fail-cgroupv1=false" {
			b.t.Errorf("k3s' last argument: %q", last)
		}
	})
}
