// Package e2e runs the plugin through the docker client against a real Engine and a
// real Kubernetes node, as a user would. "make e2e" brings the ground; without it the
// tests are skipped.
package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestMain skips the whole package where there is no ground.
func TestMain(m *testing.M) {
	if os.Getenv("OPENSHELL_E2E") == "" {
		fmt.Println("skipped: these tests need an Engine and a node; run them with: make e2e")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// ground is one user on one Engine: a home of its own, and the docker client.
type ground struct {
	t *testing.T
	// host is the Engine's address; prefix runs a command where its published ports
	// are.
	host   string
	prefix []string
	home   string
	env    []string
	// stdin is what its commands may read; nil is nothing.
	stdin io.Reader
}

// repository is the root of the checkout.
func repository(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// program is the plugin itself, for where the docker client must not stand before it.
func program(t testing.TB) string {
	t.Helper()
	return filepath.Join(repository(t), "bin", "docker-openshell")
}

// newGround makes a user with no configuration on the Engine of the environment.
func newGround(t *testing.T) *ground {
	t.Helper()
	home := t.TempDir()
	plugins := filepath.Join(home, "docker", "cli-plugins")
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program(t), filepath.Join(plugins, "docker-openshell")); err != nil {
		t.Fatal(err)
	}
	return &ground{t: t, host: os.Getenv("DOCKER_HOST"), home: home}
}

// result is what a command printed and how it ended.
type result struct {
	stdout, stderr string
	code           int
	took           time.Duration
}

// environ is the environment of this user's commands.
func (g *ground) environ() []string {
	env := []string{"HOME=" + g.home, "XDG_CONFIG_HOME=" + g.config(), "DOCKER_CONFIG=" + filepath.Join(g.home, "docker"),
		"DOCKER_HOST=" + g.host, "PATH=" + os.Getenv("PATH"), "NO_COLOR=1", "TZ=UTC",
		"OPENSHELL_CLUSTER_IMAGE=" + os.Getenv("OPENSHELL_CLUSTER_IMAGE"),
		"OPENSHELL_GATEWAY_IMAGE=" + os.Getenv("OPENSHELL_GATEWAY_IMAGE"),
		"OPENSHELL_SANDBOX_IMAGE=" + os.Getenv("OPENSHELL_SANDBOX_IMAGE")}
	return append(env, g.env...)
}

func (g *ground) config() string { return filepath.Join(g.home, "config") }

func (g *ground) command(ctx context.Context, args ...string) *exec.Cmd {
	argv := append(slices.Clone(g.prefix), args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = g.environ()
	return cmd
}

func (g *ground) run(args ...string) result {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := g.command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = g.stdin, &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	res := result{stdout.String(), stderr.String(), 0, time.Since(began)}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		res.code = exit.ExitCode()
	case err != nil:
		g.t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return res
}

// openshell runs "docker openshell …".
func (g *ground) openshell(args ...string) result {
	g.t.Helper()
	return g.run(append([]string{"docker", "openshell"}, args...)...)
}

// must runs "docker openshell …" and fails the test unless it succeeds.
func (g *ground) must(args ...string) result {
	g.t.Helper()
	res := g.openshell(args...)
	if res.code != 0 {
		g.t.Fatalf("docker openshell %s: exit code %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), res.code, res.stdout, res.stderr)
	}
	return res
}

// fails runs "docker openshell …" and fails the test unless it ends with the code
// and says all of the texts.
func (g *ground) fails(code int, texts []string, args ...string) result {
	g.t.Helper()
	res := g.openshell(args...)
	if res.code != code {
		g.t.Fatalf("docker openshell %s: exit code %d, want %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), res.code, code, res.stdout, res.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(res.stdout+res.stderr, text) {
			g.t.Errorf("docker openshell %s: does not say %q\nstdout: %s\nstderr: %s", strings.Join(args, " "), text, res.stdout, res.stderr)
		}
	}
	return res
}

// docker runs a docker command and returns what it printed, trimmed.
func (g *ground) docker(args ...string) string {
	g.t.Helper()
	res := g.run(append([]string{"docker"}, args...)...)
	if res.code != 0 {
		g.t.Fatalf("docker %s: exit code %d: %s", strings.Join(args, " "), res.code, res.stderr)
	}
	return strings.TrimSpace(res.stdout)
}

// inspect evaluates a template on a gateway's container.
func (g *ground) inspect(name, template string) string {
	g.t.Helper()
	return g.docker("container", "inspect", "-f", template, object(name))
}

func object(name string) string { return "openshell-cluster-" + name }

var ports atomic.Int32

// port returns a port that no other test of this run uses.
func port() string { return fmt.Sprint(18100 + ports.Add(1)) }

// gateway names a gateway for the test and destroys it at the end. Where the test
// fails it prints what the gateway's log ends with.
func (g *ground) gateway(name string) string {
	g.t.Helper()
	g.t.Cleanup(func() {
		if g.t.Failed() {
			out := g.run("docker", "logs", "--tail", "15", object(name))
			g.t.Logf("log of %s:\n%s%s", name, out.stdout, out.stderr)
		}
		// Helpers too, that a killed command has left.
		gone := []string{"docker", "rm", "-f", "-v", object(name), "openshell-old-" + name}
		g.run(append(gone, g.helpers(name)...)...)
		if res := g.run("docker", "volume", "rm", "-f", object(name)); res.code != 0 {
			g.t.Errorf("the volume of %s stays behind: %s", name, res.stderr)
		}
		g.run("docker", "network", "rm", object(name))
	})
	return name
}

// kubectl runs kubectl in a gateway's container.
func (g *ground) kubectl(name string, args ...string) string {
	g.t.Helper()
	return g.docker(append([]string{"exec", "-e", "KUBECONFIG=/etc/rancher/k3s/k3s.yaml", object(name), "kubectl", "-n", "openshell"}, args...)...)
}

// secret reads one key of a Secret in a gateway's cluster.
func (g *ground) secret(name, secret, key string) string {
	g.t.Helper()
	data := g.kubectl(name, "get", "secret", secret, "-o", `go-template={{index .data "`+key+`"}}`)
	value, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		g.t.Fatalf("Secret %s: key %s: %v", secret, key, err)
	}
	return string(value)
}

// boot is what the test server records of each of its starts.
type boot struct{ ID, Secret, Certificate string }

const serverProxy = "/api/v1/namespaces/openshell/pods/openshell-0:8081/proxy"

// server asks the test server's health port, through the API server. For a moment after
// a boot that one does not know the pod's address yet.
func (g *ground) server(name string, into any, args ...string) {
	g.t.Helper()
	args = append([]string{"docker", "exec", "-e", "KUBECONFIG=/etc/rancher/k3s/k3s.yaml", object(name), "kubectl"}, args...)
	var res result
	eventually(g.t, 30*time.Second, "the test server's health port answers", func() bool {
		res = g.run(args...)
		return res.code == 0
	})
	if err := json.Unmarshal([]byte(res.stdout), into); err != nil {
		g.t.Fatalf("%v: %s", err, res.stdout)
	}
}

// boots reads the server's own record of its starts.
func (g *ground) boots(name string) []boot {
	g.t.Helper()
	var list []boot
	g.server(name, &list, "get", "--raw", serverProxy+"/boots")
	return list
}

// state is what must survive: it is compared before and after.
type state struct {
	Secret, CA, Volume, Claim string
	Mark                      string
}

// mark writes a row into the server's database.
func (g *ground) mark(name, value string) {
	g.t.Helper()
	var answer string
	g.server(name, &answer, "create", "--raw", serverProxy+"/marks/test/"+value, "-f", "/dev/null")
}

func (g *ground) state(name string) state {
	g.t.Helper()
	var marks map[string]string
	g.server(name, &marks, "get", "--raw", serverProxy+"/marks")
	return state{
		Secret: digest(g.secret(name, "openshell-ssh-handshake", "secret")),
		CA:     digest(g.secret(name, "openshell-ca", "tls.crt")),
		Volume: g.docker("volume", "inspect", "-f", "{{.CreatedAt}}", object(name)),
		Claim:  g.kubectl(name, "get", "pvc", "openshell-data-openshell-0", "-o", "jsonpath={.metadata.uid}"),
		Mark:   marks["test"],
	}
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// eventually waits until fn is true.
func eventually(t *testing.T, within time.Duration, what string, fn func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !fn() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(200 * time.Millisecond)
	}
}
