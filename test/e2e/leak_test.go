package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// watchArguments collects the argument lists of all processes of the machine until
// the function that it returns is called.
func watchArguments(t *testing.T) (stop func() string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	seen := map[string]bool{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			files, err := filepath.Glob("/proc/[0-9]*/cmdline")
			if err != nil {
				return
			}
			for _, f := range files {
				// A process may be gone before it is read.
				if data, err := os.ReadFile(f); err == nil {
					seen[string(data)] = true
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return func() string {
		cancel()
		<-done
		var all strings.Builder
		for s := range seen {
			all.WriteString(s + "\n")
		}
		return all.String()
	}
}

// TestNoSecretLeaks looks for the secret and the keys of a gateway everywhere where
// they must not be (W15, W20): argument lists of all processes, the container's
// configuration, the Engine's events, logs, and what we print.
func TestNoSecretLeaks(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	name := g.gateway("leak")
	events := g.command(t.Context(), "docker", "events", "--format", "{{json .}}")
	var seen bytes.Buffer
	events.Stdout = &seen
	if err := events.Start(); err != nil {
		t.Fatal(err)
	}
	arguments := watchArguments(t)
	var printed strings.Builder
	say := func(res result) { printed.WriteString(res.stdout + res.stderr) }

	g.env = []string{"OPENSHELL_REGISTRY_TOKEN=registry-token-3141592653"}
	say(g.must("gateway", "start", name, "--port", port(), "--progress", "json"))
	g.must("gateway", "stop", name)
	say(g.must("gateway", "start", name, "--progress", "plain"))
	secrets := map[string]string{
		"handshake secret": g.secret(name, "openshell-ssh-handshake", "secret"),
		"registry token":   "registry-token-3141592653",
	}
	// A Secret that is replaced goes the longest way.
	g.setSecret(name, "openshell-ssh-handshake", "secret", "short")
	g.forget()
	say(g.must("gateway", "start", name))
	secrets["second handshake secret"] = g.secret(name, "openshell-ssh-handshake", "secret")
	for _, s := range []string{"openshell-ca", "openshell-server-tls", "openshell-client-tls"} {
		block, _ := pem.Decode([]byte(g.secret(name, s, "tls.key")))
		if block == nil {
			t.Fatalf("Secret %s holds no key", s)
		}
		// The longest run of the key's text that a line of PEM holds.
		secrets["key of "+s] = base64.StdEncoding.EncodeToString(block.Bytes)[:60]
	}
	for what, value := range maps.Clone(secrets) {
		secrets[what+", base64"] = strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(value)), "=")
	}
	say(g.must("gateway", "inspect", name))
	say(g.must("status", "-g", name, "--format", "json"))
	say(g.must("gateway", "ls", "--format", "json"))
	g.must("gateway", "stop", name)
	if err := events.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := events.Wait(); err == nil {
		t.Error("the event stream ended early")
	}
	logs := g.run("docker", "logs", object(name))
	places := map[string]string{
		"an argument list":            arguments(),
		"the container":               g.docker("container", "inspect", object(name)),
		"the volume and network":      g.docker("volume", "inspect", object(name)) + g.docker("network", "inspect", object(name)),
		"the Engine's events":         seen.String(),
		"the node's log":              logs.stdout + logs.stderr,
		"what was printed":            printed.String(),
		"metadata":                    readFile(t, filepath.Join(g.config(), "openshell", "gateways", name, "metadata.json")),
		"the recorded configuration":  g.copied(name, "/var/lib/rancher/k3s/openshell/gateway.json"),
		"the values of the HelmChart": g.copied(name, "/var/lib/rancher/k3s/server/manifests/openshell-helmchart.yaml"),
	}
	for place, text := range places {
		if text == "" {
			t.Errorf("nothing was seen of %s", place)
		}
		for what, value := range secrets {
			if strings.Contains(text, value) {
				t.Errorf("%s stands in %s", what, place)
			}
		}
	}
	if !strings.Contains(g.copied(name, "/var/lib/rancher/k3s/openshell/registries.yaml"), "registry-token-3141592653") {
		t.Error("the registry token is not where the node reads it")
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// copied reads a file of a gateway's container.
func (g *ground) copied(name, path string) string {
	g.t.Helper()
	file := filepath.Join(g.t.TempDir(), "copy")
	g.docker("cp", "-L", object(name)+":"+path, file)
	return readFile(g.t, file)
}

// TestStatusOfEveryState shows what status says, and that it never is a bare
// transport error (W38).
func TestStatusOfEveryState(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	name := g.gateway("state")
	g.fails(1, []string{"there is no gateway \"state\"", "docker openshell gateway start state"}, "status", "-g", name)
	g.must("gateway", "start", name, "--port", port())
	g.must("status", "-g", name)
	g.docker("pause", object(name))
	g.fails(1, []string{"paused"}, "status", "-g", name)
	g.docker("unpause", object(name))
	g.must("gateway", "stop", name)
	g.fails(1, []string{"it is stopped"}, "status", "-g", name)
	dry := g.must("gateway", "start", name, "--dry-run")
	if !strings.Contains(dry.stdout, "start-container") || g.inspect(name, "{{.State.Status}}") != "exited" {
		t.Errorf("--dry-run: %s", dry.stdout)
	}
	g.docker("rm", "-f", "-v", object(name))
	g.fails(1, []string{"the container is gone; the volume with all data is there"}, "status", "-g", name)
	if volume := g.must("gateway", "start", name, "--dry-run"); !strings.Contains(volume.stdout, "volume and its recorded configuration") {
		t.Errorf("--dry-run: %s", volume.stdout)
	}
	if left := g.helpers(name); len(left) > 0 {
		t.Errorf("helpers are left: %s", left)
	}
	g.docker("volume", "rm", object(name))
	g.fails(1, []string{"registered on this machine"}, "status", "-g", name)
	g.fails(1, []string{"registered on this machine", "--recreate"}, "gateway", "start", name)
	g.must("gateway", "start", name, "--recreate", "--port", port())
	g.must("gateway", "logs", "--tail", "5", name)
	if server := g.must("gateway", "logs", "--server", name); !strings.Contains(server.stdout, "listens on port 8080") {
		t.Errorf("logs --server: %q", server.stdout)
	}
}
