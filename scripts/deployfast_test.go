package scripts

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// devBox is a developer's machine on which the gateway "x" runs, and runs RUNNING.
func devBox(b *box) {
	b.t.Helper()
	b.env["RUNNING"] = "docker.io/me/gateway:old"
	b.file("generation", "4\n")
	b.file("ready", "1\n")
	b.stub("docker", `
line() { read -r l <"$OPENSHELL_ROOT/$1"; printf '%s' "$l"; }
[ "${FAIL:-}" = "" ] || case "$*" in *"$FAIL"*) exit 1 ;; esac
case "$*" in
"container inspect --format {{.State.Running}} openshell-cluster-"*) echo "${STATE:-true}" ;;
*"-o jsonpath={.metadata.generation}") line generation ;;
*"-o jsonpath={.status.readyReplicas}") line ready ;;
*"-o jsonpath={.spec.template.spec.containers[0].image}") printf '%s' "$RUNNING" ;;
"openshell gateway start "*) [ -z "${UPGRADES:-}" ] || echo 5 >"$OPENSHELL_ROOT/generation" ;;
esac
exit 0`)
}

// steps are the calls that change something, shortened.
func (r result) steps() []string {
	var steps []string
	for _, c := range r.calls {
		c = strings.TrimPrefix(c, "docker ")
		c = strings.Replace(c, "exec openshell-cluster-x env KUBECONFIG=/etc/rancher/k3s/k3s.yaml kubectl -n openshell", "kubectl", 1)
		if strings.Contains(c, "inspect") || strings.Contains(c, "jsonpath") || strings.HasSuffix(c, " version") {
			continue
		}
		steps = append(steps, c)
	}
	return steps
}

func TestDeployFast(t *testing.T) {
	const (
		load   = "openshell --gateway x image push "
		again  = "kubectl rollout restart statefulset/openshell"
		remove = "kubectl delete pod/openshell-0 --ignore-not-found"
		status = "kubectl rollout status statefulset/openshell --timeout=180s"
	)
	for _, c := range []struct {
		name    string
		args    []string
		prepare func(*box)
		want    []string
	}{
		{"new tag", []string{"--image", "me/gateway:new", "x"}, func(b *box) { b.env["UPGRADES"] = "yes" },
			[]string{load + "me/gateway:new", "openshell gateway start x --gateway-image me/gateway:new", status}},
		{"same tag", []string{"x", "--image=me/gateway:old"}, func(*box) {},
			[]string{load + "me/gateway:old", again, "openshell gateway start x --gateway-image me/gateway:old", status}},
		{"same tag, broken pod", []string{"x", "--image=me/gateway:old"}, func(b *box) { b.file("ready", "\n") },
			[]string{load + "me/gateway:old", again, remove, "openshell gateway start x --gateway-image me/gateway:old", status}},
		{"same tag, spelled otherwise", []string{"x"}, func(b *box) {
			b.env["OPENSHELL_GATEWAY_IMAGE"], b.env["RUNNING"] = "index.docker.io/me/gateway", "docker.io/me/gateway:latest"
		}, []string{load + "index.docker.io/me/gateway:latest", "openshell gateway start x --gateway-image index.docker.io/me/gateway:latest", again, status}},
		{"official name", []string{"x", "--image", "gateway"}, func(b *box) { b.env["RUNNING"] = "docker.io/library/gateway:latest" },
			[]string{load + "gateway:latest", again, "openshell gateway start x --gateway-image gateway:latest", status}},
		{"registry with a port", []string{"x", "--image", "localhost:5000/gateway"}, func(b *box) { b.env["UPGRADES"] = "yes" },
			[]string{load + "localhost:5000/gateway:latest", "openshell gateway start x --gateway-image localhost:5000/gateway:latest", status}},
		{"no server yet", []string{"x", "--image", "me/gateway:new"}, func(b *box) {
			b.env["UPGRADES"], b.env["RUNNING"] = "yes", ""
			b.file("generation", "\n")
		}, []string{load + "me/gateway:new", "openshell gateway start x --gateway-image me/gateway:new", status}},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachShell(t, func(b *box) {
				devBox(b)
				c.prepare(b)
				r := b.run("cluster-deploy-fast.sh", c.args...)
				if r.code != 0 || r.stdout != "" || !strings.Contains(r.stderr, "the gateway x runs ") {
					b.t.Errorf("exit %d, said %q %q", r.code, r.stdout, r.stderr)
				}
				if diff := cmp.Diff(c.want, r.steps()); diff != "" {
					b.t.Error(diff)
				}
			})
		})
	}
}

// TestDeployFastFails: each failure ends the script with a line that says what to do
// or what broke, and nothing is done after it.
func TestDeployFastFails(t *testing.T) {
	for _, c := range []struct {
		name, fail string
		want       string
		last       string // the last step that may be tried
	}{
		{"no plugin", "openshell version", "docker has no openshell plugin: install it with 'make install'", ""},
		{"no gateway", "container inspect", "there is no gateway x: make one with 'docker openshell gateway start x'", ""},
		{"no image", "image inspect", "there is no image me/gateway:old on this machine: build it first", ""},
		{"push breaks", "image push", "the image me/gateway:old could not be loaded into the gateway x", "image push me/gateway:old"},
		{"API is down", "jsonpath", "the Kubernetes API of the gateway x does not answer", "image push me/gateway:old"},
		{"restart breaks", "rollout restart", "the server could not be restarted", "rollout restart statefulset/openshell"},
		{"start breaks", "gateway start", "the gateway x did not start with the image me/gateway:old", "--gateway-image me/gateway:old"},
		{"never ready", "rollout status", "the server does not become ready with the image me/gateway:old", "--timeout=180s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachShell(t, func(b *box) {
				devBox(b)
				b.env["FAIL"] = c.fail
				r := b.run("cluster-deploy-fast.sh", "--image", "me/gateway:old", "x")
				if r.code != 1 || r.stdout != "" || !strings.HasSuffix(r.stderr, "error: "+c.want+"\n") {
					b.t.Errorf("exit %d, said %q %q, want %q", r.code, r.stdout, r.stderr, c.want)
				}
				steps := r.steps()
				if c.last == "" && len(steps) > 0 {
					b.t.Errorf("went on: %q", steps)
				}
				at := slices.IndexFunc(steps, func(s string) bool { return strings.HasSuffix(s, c.last) })
				if c.last != "" && (at < 0 || slices.ContainsFunc(steps[at:], func(s string) bool { return !strings.HasSuffix(s, c.last) })) {
					b.t.Errorf("steps %q, want %q last", steps, c.last)
				}
			})
		})
	}
	t.Run("stopped", func(t *testing.T) {
		eachShell(t, func(b *box) {
			devBox(b)
			b.env["STATE"] = "false"
			r := b.run("cluster-deploy-fast.sh", "--image", "me/gateway:old", "x")
			if r.code != 1 || r.stderr != "error: the gateway x does not run: start it with 'docker openshell gateway start x'\n" {
				b.t.Errorf("exit %d, said %q", r.code, r.stderr)
			}
		})
	})
	t.Run("no docker", func(t *testing.T) {
		eachShell(t, func(b *box) {
			r := b.run("cluster-deploy-fast.sh", "--image", "me/gateway:old")
			if r.code != 1 || r.stderr != "error: docker is not installed\n" {
				b.t.Errorf("exit %d, said %q", r.code, r.stderr)
			}
		})
	})
}

// TestDeployFastUsage: what is wrong on the command line reaches no other program.
func TestDeployFastUsage(t *testing.T) {
	long := strings.Repeat("a", 41)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"x"}, "no image: give --image, or set OPENSHELL_GATEWAY_IMAGE"},
		{[]string{"--image"}, "--image needs a value"},
		{[]string{"--image", "-rf", "x"}, "invalid image: -rf"},
		{[]string{"--image", "a b"}, "invalid image: a b"},
		{[]string{"--image", "a@sha256:00"}, "the image must be named by a tag, not by a digest: a@sha256:00"},
		{[]string{"--force"}, "unknown option: --force"},
		{[]string{""}, "the gateway's name is empty"},
		{[]string{"a", "b"}, "more than one gateway is named: a, b"},
		{[]string{"a/b"}, "invalid name of a gateway: a/b"},
		{[]string{".a"}, "invalid name of a gateway: .a"},
		{[]string{"a-"}, "invalid name of a gateway: a-"},
		{[]string{"$(id)"}, "invalid name of a gateway: $(id)"},
		{[]string{long}, "the gateway's name is longer than 40 characters: " + long},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			eachShell(t, func(b *box) {
				devBox(b)
				r := b.run("cluster-deploy-fast.sh", c.args...)
				if r.code != 2 || r.stdout != "" || !strings.HasPrefix(r.stderr, "error: "+c.want+"\nUsage: cluster-deploy-fast.sh ") {
					b.t.Errorf("exit %d, said %q %q", r.code, r.stdout, r.stderr)
				}
				if len(r.calls) > 0 {
					b.t.Errorf("ran %q", r.calls)
				}
			})
		})
	}
	t.Run("help", func(t *testing.T) {
		eachShell(t, func(b *box) {
			r := b.run("cluster-deploy-fast.sh", "--help")
			if r.code != 0 || !strings.HasPrefix(r.stdout, "Usage: ") || r.stderr != "" {
				b.t.Errorf("exit %d, said %q %q", r.code, r.stdout, r.stderr)
			}
		})
	})
}
