package scripts

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	data      = "var/lib/rancher/k3s/"
	manifests = data + "server/manifests/"
	config    = manifests + "openshell-helmchartconfig.yaml"
	resolv    = "etc/rancher/k3s/resolv.conf"
)

// nodeBox is a container at its first start, on Docker's usual network.
func nodeBox(b *box) {
	b.t.Helper()
	b.env["OPENSHELL_NODE_NAME"] = "openshell-x"
	b.executable("bin/k3s", `printf 'k3s\n' >>"$OPENSHELL_ROOT/calls"; for a in "$@"; do printf 'arg %s\n' "$a" >>"$OPENSHELL_ROOT/calls"; done`)
	b.stub("iptables", `case "$*" in
*"-S DOCKER_OUTPUT")
	echo "-N DOCKER_OUTPUT"
	echo "-A DOCKER_OUTPUT -d 127.0.0.11/32 -p tcp -m tcp --dport 53 -j DNAT --to-destination 127.0.0.11:40001"
	echo "-A DOCKER_OUTPUT -d 127.0.0.11/32 -p udp -m udp --dport 53 -j DNAT --to-destination 127.0.0.11:40002" ;;
*"-C "*) exit 1 ;;
esac`)
	b.stub("ip", `case "$*" in
*"addr show"*) echo "7: eth0    inet 172.19.0.2/16 brd 172.19.255.255 scope global eth0" ;;
*"route show default") echo "default via 172.19.0.1 dev eth0" ;;
esac`)
	b.dir(data)
	b.file("etc/hosts", "127.0.0.1 localhost\n172.17.0.1 host.docker.internal\n172.19.0.2 openshell-x\n")
	b.file("etc/resolv.conf", "# by Docker\nnameserver 127.0.0.11\noptions ndots:0\n")
	b.file("opt/openshell/manifests/openshell-helmchart.yaml", "chart: 1\n")
	b.file("proc/sys/net/bridge/bridge-nf-call-iptables", "1\n")
	b.file("proc/sys/net/ipv4/conf/all/route_localnet", "0\n")
	b.file("sys/fs/cgroup/cgroup.controllers", "cpu\n")
}

// boot runs the entrypoint, which must become k3s.
func boot(b *box, args ...string) result {
	b.t.Helper()
	r := b.run("cluster-entrypoint.sh", args...)
	if r.code != 0 || !slices.Contains(r.calls, "k3s") {
		b.t.Fatalf("exit %d, said %q %q, ran %q", r.code, r.stdout, r.stderr, r.calls)
	}
	return r
}

// gatewayIP is what the written HelmChartConfig says, which must be one JSON document
// in another.
func gatewayIP(b *box) string {
	b.t.Helper()
	var object struct {
		APIVersion, Kind string
		Metadata         struct{ Name, Namespace string }
		Spec             struct{ ValuesContent string }
	}
	var values struct {
		Server struct{ HostGatewayIP *string }
	}
	if err := json.Unmarshal([]byte(b.read(config)), &object); err != nil {
		b.t.Fatalf("%v in %q", err, b.read(config))
	}
	if object.APIVersion != "helm.cattle.io/v1" || object.Kind != "HelmChartConfig" || object.Metadata.Name != "openshell" || object.Metadata.Namespace != "kube-system" {
		b.t.Errorf("HelmChartConfig: %+v", object)
	}
	if err := json.Unmarshal([]byte(object.Spec.ValuesContent), &values); err != nil || values.Server.HostGatewayIP == nil {
		b.t.Fatalf("%v in %q", err, object.Spec.ValuesContent)
	}
	return *values.Server.HostGatewayIP
}

func TestBoot(t *testing.T) {
	eachShell(t, func(b *box) {
		nodeBox(b)
		r := boot(b, "server", "--tls-san=a b", "--disable=traefik")
		if r.stdout+r.stderr != "" {
			b.t.Errorf("said %q %q", r.stdout, r.stderr)
		}
		want := []string{"k3s", "arg server", "arg --tls-san=a b", "arg --disable=traefik", "arg --node-name=openshell-x",
			"arg --kubelet-arg=resolv-conf=" + b.path(resolv)}
		if diff := cmp.Diff(want, r.calls[len(r.calls)-len(want):]); diff != "" {
			b.t.Error(diff)
		}
		for path, want := range map[string]string{
			manifests + "openshell-helmchart.yaml": "chart: 1\n",
			resolv:                                 "nameserver 172.19.0.2\n",
			"proc/sys/net/ipv4/conf/all/route_localnet": "1\n",
		} {
			if got := b.read(path); got != want {
				b.t.Errorf("%s: %q, want %q", path, got, want)
			}
		}
		if got := gatewayIP(b); got != "172.17.0.1" {
			b.t.Errorf("host gateway %q", got)
		}
		node, err := os.Stat(b.path(data + "openshell/node"))
		if err != nil || node.Mode().Perm() != 0o700 {
			b.t.Errorf("node directory: %v, %v", node, err)
		}
		if target, err := os.Readlink(b.path("etc/rancher/node")); err != nil || target != b.path(data+"openshell/node") {
			b.t.Errorf("/etc/rancher/node: %q, %v", target, err)
		}
		for _, rule := range []string{"PREROUTING -d 172.19.0.2 -p udp --dport 53 -j DNAT --to-destination 127.0.0.11:40002",
			"OUTPUT -d 172.19.0.2 -p tcp --dport 53 -j DNAT --to-destination 127.0.0.11:40001"} {
			if r.count("iptables -t nat -A "+rule) != 1 {
				b.t.Errorf("rule %q is not set in %q", rule, r.calls)
			}
		}
		if r.count("iptables -A FORWARD -d 10.43.0.0/16 -j REJECT") != 1 {
			b.t.Errorf("packets for Services that are not served are not refused: %q", r.calls)
		}
		if _, err := os.Stat(b.path("run/flannel")); err != nil {
			b.t.Error(err)
		}
		if left, err := filepath.Glob(b.path(manifests + "*tmp")); err != nil || len(left) > 0 {
			b.t.Errorf("left: %v, %v", left, err)
		}
		if _, err := os.Lstat(b.path(data + "openshell/.write-probe")); err == nil {
			b.t.Error("the probe is left")
		}
	})
}

// TestRefused are the states in which k3s could not work; each has one line.
// A path holds its test's name, so that must not hold what is looked for.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(*box)
		code    int
		want    string
	}{
		{"no k3s", func(b *box) { b.remove("bin/k3s") }, 127, "openshell: /bin/k3s: not found: this image holds no k3s\n"},
		{"no node name", func(b *box) { delete(b.env, "OPENSHELL_NODE_NAME") }, 1, "openshell: error: OPENSHELL_NODE_NAME is not set\n"},
		{"disk full", func(b *box) { b.link("/dev/full", data+"openshell/.write-probe") }, 1,
			"openshell: error: no space left on device: the disk that holds the volume is full\n"},
		{"frozen, empty", func(b *box) {
			b.stub("mkdir", `echo "mkdir: can't create directory 'x': Read-only file system" >&2; exit 1`)
		}, 1, "is read-only: attempt to write a readonly database\n"},
		{"frozen, used", func(b *box) {
			b.dir(data + "openshell")
			b.stub("cat", `echo "cat: Read-only file system" >&2; exit 1`)
		}, 1, "is read-only: attempt to write a readonly database\n"},
		{"state is half moved", func(b *box) { pend(b, "moving one", "one") }, 1, cutOff},
		{"state of another container", func(b *box) { pend(b, "aside one", "two") }, 1, cutOff},
		{"state set aside for none", func(b *box) { pend(b, "aside one", "") }, 1, cutOff},
		{"a restore", func(b *box) { pend(b, "entering two one", "two") }, 1, cutOff},
		{"unreadable", func(b *box) { pend(b, "", "") }, 1, cutOff},
		{"not writable otherwise", func(b *box) { b.file(data+"openshell", "a file\n") }, 1, "cannot be written: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachShell(t, func(b *box) {
				nodeBox(b)
				c.prepare(b)
				r := b.run("cluster-entrypoint.sh", "server")
				if r.code != c.code || r.stdout != "" || !strings.Contains(r.stderr, c.want) || strings.Count(r.stderr, "\n") != 1 {
					b.t.Errorf("exit %d, said %q %q, want %q", r.code, r.stdout, r.stderr, c.want)
				}
				if slices.Contains(r.calls, "k3s") {
					b.t.Error("k3s was started")
				}
			})
		})
	}
}

const cutOff = "openshell: error: a recreate or a restore was cut off: run 'docker openshell gateway start'\n"

// pend leaves the journal of a recreate, in a container that was made by one.
func pend(b *box, journal, recreate string) {
	b.file(data+".openshell/pending", journal+"\n")
	b.env["OPENSHELL_RECREATE"] = recreate
}

// TestStopWhileItPrepares: a stop is heard before there is a k3s.
func TestStopWhileItPrepares(t *testing.T) {
	eachShell(t, func(b *box) {
		nodeBox(b)
		b.stub("iptables", `kill -TERM "$PPID"`)
		if r := b.run("cluster-entrypoint.sh"); r.code != 0 || slices.Contains(r.calls, "k3s") {
			b.t.Errorf("exit %d, ran %q", r.code, r.calls)
		}
	})
}

// TestBootOfARecreate: the container that a recreate has made is the one that may boot.
func TestBootOfARecreate(t *testing.T) {
	eachShell(t, func(b *box) {
		nodeBox(b)
		pend(b, "aside one", "one")
		if r := boot(b); r.stdout+r.stderr != "" {
			b.t.Errorf("said %q %q", r.stdout, r.stderr)
		}
	})
}

// TestHostGateway: only an IP address may reach the chart.
func TestHostGateway(t *testing.T) {
	const unknown = "openshell: warning: the Docker host's address is not known: host.openshell.internal will not resolve in sandboxes\n"
	for _, c := range []struct{ name, hosts, route, want string }{
		{"among names", "192.168.65.254\tgateway.docker.internal host.docker.internal\n", "", "192.168.65.254"},
		{"IPv6", "fd00::1 host.docker.internal\n", "", "fd00::1"},
		{"default route", "127.0.0.1 localhost\n", "default via 10.0.0.1 dev eth0\n", "10.0.0.1"},
		{"route without a gateway", "127.0.0.1 localhost\n", "default dev ppp0 scope link\n", ""},
		{"similar name", "1.2.3.4 xhost.docker.internal\n", "default via 10.0.0.1 dev eth0\n", "10.0.0.1"},
		{"nothing", "127.0.0.1 localhost\n", "", ""},
		{"a word", "dead host.docker.internal\n", "", ""},
		{"a word with a colon", "dead:beef host.docker.internal\n", "", ""},
		{"three parts", "1.2.3 host.docker.internal\n", "", ""},
		{"five parts", "1.2.3.4.5 host.docker.internal\n", "", ""},
		{"too large", "1.2.3.256 host.docker.internal\n", "", ""},
		{"octal", "1.2.3.010 host.docker.internal\n", "", ""},
		{"quotes after an address", "::1\",\"x\":\" host.docker.internal\n", "", ""},
		{"quotes", `"}}\",\"x\":\"$(reboot) host.docker.internal` + "\n", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachShell(t, func(b *box) {
				nodeBox(b)
				b.file("etc/hosts", c.hosts)
				b.file("route", c.route)
				b.stub("ip", `case "$*" in
"-4 route show default") while read -r l; do echo "$l"; done <"$OPENSHELL_ROOT/route" ;;
"route show default") echo "default via 10.0.0.1 dev eth0" ;;
esac`)
				r := boot(b)
				if got := gatewayIP(b); got != c.want {
					b.t.Errorf("host gateway %q, want %q", got, c.want)
				}
				if warned := strings.Contains(r.stderr, unknown); warned != (c.want == "") {
					b.t.Errorf("said %q", r.stderr)
				}
			})
		})
	}
}

// TestRoute: a network may come a moment late, and may never come.
func TestRoute(t *testing.T) {
	for name, late := range map[string]bool{"late": true, "never": false} {
		t.Run(name, func(t *testing.T) {
			eachShell(t, func(b *box) {
				nodeBox(b)
				b.stub("ip", `if [ -e "$OPENSHELL_ROOT/connected" ]; then case "$*" in "route show default") echo default ;; esac; fi`)
				b.stub("sleep", ":")
				if late {
					b.stub("sleep", `: >"$OPENSHELL_ROOT/connected"`)
				}
				r := boot(b)
				warned := strings.Contains(r.stderr, "openshell: warning: there is no default route; going on without\n")
				if strings.Count(r.stdout, "openshell: waiting for a default route\n") != 1 || warned == late {
					b.t.Errorf("said %q %q", r.stdout, r.stderr)
				}
				if n := r.count("sleep 0.1"); late && n != 1 || !late && n != 300 {
					b.t.Errorf("waited %d times", n)
				}
			})
		})
	}
}
