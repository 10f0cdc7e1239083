package scripts

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
)

const (
	handshake = "5ec4e70123456789abcdef0123456789abcdef0123456789abcdef0123456789"
	listTable = "  sl  local_address rem_address   st\n   0: 00000000:192B 00000000:0000 0A 00000000:00000000\n"
)

// kubectl stands in for kubectl: it answers from files under OPENSHELL_ROOT, with the
// objects that it is asked for and through the template that it is given.
func kubectl() int {
	root := os.Getenv("OPENSHELL_ROOT")
	complain := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	calls, err := os.OpenFile(filepath.Join(root, "calls"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return complain(err)
	}
	args := os.Args[1:]
	fmt.Fprintln(calls, "kubectl", strings.Join(strings.Fields(strings.Join(args, " ")), " "))
	if err := calls.Close(); err != nil {
		return complain(err)
	}
	if os.Getenv("KUBECONFIG") != filepath.Join(root, "etc/rancher/k3s/k3s.yaml") {
		return complain(errors.New("KUBECONFIG is not k3s'"))
	}
	if slices.Contains(args, "--raw") {
		answer, err := os.ReadFile(filepath.Join(root, "readyz"))
		if err != nil {
			return complain(errors.New("The connection to the server 127.0.0.1:6443 was refused\nsecond line"))
		}
		fmt.Fprint(os.Stderr, string(answer))
		if string(answer) == "ok" {
			return 0
		}
		return 1
	}
	stored, err := os.ReadFile(filepath.Join(root, "objects"))
	if err != nil {
		return complain(err)
	}
	var all, found []map[string]any
	if err := json.Unmarshal(stored, &all); err != nil {
		return complain(err)
	}
	text := ""
	for _, a := range args {
		if t, ok := strings.CutPrefix(a, "go-template="); ok {
			text = t
		}
		kind, name, _ := strings.Cut(a, "/")
		for _, o := range all {
			if strings.EqualFold(o["kind"].(string), kind) && o["metadata"].(map[string]any)["name"] == name {
				found = append(found, o)
			}
		}
	}
	if len(found) == 0 && slices.Contains(args, "--ignore-not-found") {
		return 0
	}
	decode := func(v string) (string, error) {
		b, err := base64.StdEncoding.DecodeString(v)
		return string(b), err
	}
	tmpl, err := template.New("output").Funcs(template.FuncMap{"base64decode": decode}).Parse(text)
	if err == nil {
		err = tmpl.Execute(os.Stdout, map[string]any{"kind": "List", "items": found})
	}
	if err != nil {
		return complain(err)
	}
	return 0
}

// cluster is what the stand-in for kubectl has.
type cluster map[string]map[string]any

func (c cluster) secret(name string, data map[string]string) {
	encoded := map[string]any{}
	for k, v := range data {
		encoded[k] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	c[name] = map[string]any{"kind": "Secret", "metadata": map[string]any{"name": name}, "data": encoded}
}

func (c cluster) server(status map[string]any) {
	c["openshell"] = map[string]any{"kind": "StatefulSet", "metadata": map[string]any{"name": "openshell"}, "status": status}
}

func (c cluster) drop(name string) { delete(c, name) }

// healthy is a cluster in which nothing is missing.
func healthy() cluster {
	c := cluster{}
	c.server(map[string]any{"replicas": 1, "readyReplicas": 1})
	c.secret("openshell-ssh-handshake", map[string]string{"secret": handshake})
	c.secret("openshell-server-tls", map[string]string{"tls.crt": "server-cert", "tls.key": "server-key"})
	c.secret("openshell-server-client-ca", map[string]string{"ca.crt": "ca"})
	c.secret("openshell-client-tls", map[string]string{"tls.crt": "client-cert", "tls.key": "client-key", "ca.crt": "ca"})
	return c
}

// healthBox is a container in which the node port answers on the loopback address.
func healthBox(b *box, c cluster) {
	b.t.Helper()
	objects := []map[string]any{}
	for _, name := range []string{"openshell", "openshell-ssh-handshake", "openshell-server-tls", "openshell-server-client-ca", "openshell-client-tls"} {
		if o, ok := c[name]; ok {
			objects = append(objects, o)
		}
	}
	stored, err := json.Marshal(objects)
	if err != nil {
		b.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	b.secrets = []string{handshake, handshake[:16], "server-key", "client-key"}
	b.link(self, "stubs/kubectl")
	b.file("objects", string(stored))
	b.file("proc/net/tcp", listTable)
	b.file("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n172.17.0.1 host.docker.internal\n172.17.0.1 host.openshell.internal\n172.19.0.2 openshell-x\n")
	b.file("open", "127.0.0.1\n")
	b.stub("nc", `while read -r a; do [ "$a" = "$3" ] && exit 0; done <"$OPENSHELL_ROOT/open"; exit 1`)
}

// TestHealthy wants silence, and one kubectl for all objects: a check runs every few
// seconds for as long as the gateway lives.
func TestHealthy(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(*box)
		calls   string // what the last command line begins with
	}{
		{"loopback", func(*box) {}, "nc -w 2 127.0.0.1 30051"},
		{"own address", func(b *box) { b.file("open", "172.19.0.2\n") }, "nc -w 2 172.19.0.2 30051"},
		{"IPv6 socket", func(b *box) { b.remove("proc/net/tcp"); b.file("proc/net/tcp6", listTable) }, "nc "},
		{"bash instead of nc", func(b *box) {
			b.remove("stubs/nc")
			b.stub("bash", `[ "$1" = -c ] && [ "$4" = 127.0.0.1 ]`)
		}, "bash -c "},
		{"no tool to connect with", func(b *box) { b.remove("stubs/nc") }, "kubectl "},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachShell(t, func(b *box) {
				healthBox(b, healthy())
				c.prepare(b)
				r := b.run("cluster-healthcheck.sh")
				if r.code != 0 || r.stdout+r.stderr != "" {
					b.t.Errorf("exit %d, said %q %q", r.code, r.stdout, r.stderr)
				}
				if n := r.count("kubectl "); n != 1 {
					b.t.Errorf("kubectl ran %d times, want once", n)
				}
				// The template spans lines, so the calls are looked at from their end.
				if !slices.ContainsFunc(r.calls, func(s string) bool { return strings.HasPrefix(s, c.calls) }) {
					b.t.Errorf("no call %q in %q", c.calls, r.calls)
				}
			})
		})
	}
}

// TestPlaintext needs no certificates, but the handshake secret all the same.
func TestPlaintext(t *testing.T) {
	eachShell(t, func(b *box) {
		c := healthy()
		for _, name := range []string{"openshell-server-tls", "openshell-server-client-ca", "openshell-client-tls"} {
			c.drop(name)
		}
		b.env["DISABLE_TLS"] = "true"
		healthBox(b, c)
		if r := b.run("cluster-healthcheck.sh"); r.code != 0 || r.stdout != "" {
			b.t.Errorf("exit %d: %q", r.code, r.stdout)
		}
		c.drop("openshell-ssh-handshake")
		healthBox(b, c)
		if r := b.run("cluster-healthcheck.sh"); r.code != 1 || r.stdout != "Secret openshell/openshell-ssh-handshake is missing\n" {
			b.t.Errorf("exit %d: %q", r.code, r.stdout)
		}
	})
}

// TestUnhealthy wants one line that names what is missing, for each thing there is.
func TestUnhealthy(t *testing.T) {
	secret := func(name string, data map[string]string) func(*box, cluster) {
		return func(_ *box, c cluster) { c.secret(name, data) }
	}
	drop := func(name string) func(*box, cluster) { return func(_ *box, c cluster) { c.drop(name) } }
	hs, tls, ca, client := "openshell-ssh-handshake", "openshell-server-tls", "openshell-server-client-ca", "openshell-client-tls"
	for _, c := range []struct {
		name    string
		prepare func(*box, cluster)
		want    string
	}{
		{"nothing listens", func(b *box, _ cluster) { b.env["CASE"] = "tables" }, "Kubernetes API does not answer: nothing listens on port 6443"},
		{"API refuses", func(b *box, _ cluster) { b.env["CASE"] = "refused" }, "Kubernetes API does not answer: The connection to the server 127.0.0.1:6443 was refused"},
		{"API starts", func(b *box, _ cluster) { b.env["CASE"] = "starting" }, "Kubernetes API is not ready: [-]etcd failed: reason withheld"},
		{"objects unreadable", func(b *box, _ cluster) { b.env["CASE"] = "unreadable" }, "Kubernetes API: the gateway's objects cannot be read"},
		{"empty cluster", func(_ *box, c cluster) { clear(c) }, "Secret openshell/openshell-ssh-handshake is missing"},
		{"no handshake", drop(hs), "Secret openshell/openshell-ssh-handshake is missing"},
		{"no data", secret(hs, nil), "Secret openshell/openshell-ssh-handshake holds no value"},
		{"other key", secret(hs, map[string]string{"other": handshake}), "Secret openshell/openshell-ssh-handshake holds no value"},
		{"empty handshake", secret(hs, map[string]string{"secret": ""}), "Secret openshell/openshell-ssh-handshake holds no value"},
		{"short handshake", secret(hs, map[string]string{"secret": handshake[:63]}), "Secret openshell/openshell-ssh-handshake holds a value that is too short"},
		{"not hexadecimal", secret(hs, map[string]string{"secret": handshake + "x"}), "Secret openshell/openshell-ssh-handshake holds a value that is not hexadecimal"},
		{"two words", secret(hs, map[string]string{"secret": handshake + " " + handshake}), "Secret openshell/openshell-ssh-handshake holds a value that is not hexadecimal"},
		{"shell text", secret(hs, map[string]string{"secret": "$(echo x >injected)`echo x >injected`"}), "Secret openshell/openshell-ssh-handshake holds a value that is not hexadecimal"},
		{"no server certificate", drop(tls), "Secret openshell/openshell-server-tls is missing or incomplete"},
		{"no server key", secret(tls, map[string]string{"tls.crt": "c", "tls.key": ""}), "Secret openshell/openshell-server-tls is missing or incomplete"},
		{"no client CA", drop(ca), "Secret openshell/openshell-server-client-ca is missing or incomplete"},
		{"empty client CA", secret(ca, map[string]string{"ca.crt": ""}), "Secret openshell/openshell-server-client-ca is missing or incomplete"},
		{"no client certificate", drop(client), "Secret openshell/openshell-client-tls is missing or incomplete"},
		{"no client key", secret(client, map[string]string{"tls.crt": "c"}), "Secret openshell/openshell-client-tls is missing or incomplete"},
		{"no server", drop("openshell"), "StatefulSet openshell/openshell is missing"},
		{"server starts", func(_ *box, c cluster) { c.server(map[string]any{"replicas": 1}) }, "StatefulSet openshell/openshell is not ready"},
		{"none ready", func(_ *box, c cluster) { c.server(map[string]any{"readyReplicas": 0}) }, "StatefulSet openshell/openshell is not ready"},
		{"port closed", func(b *box, _ cluster) { b.env["CASE"] = "closed" }, "node port 30051 accepts no connection"},
		{"only the host answers", func(b *box, _ cluster) { b.env["CASE"] = "host" }, "node port 30051 accepts no connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachShell(t, func(b *box) {
				state := healthy()
				c.prepare(b, state)
				healthBox(b, state)
				breakBox(b)
				r := b.run("cluster-healthcheck.sh")
				if r.code != 1 || r.stdout != c.want+"\n" || r.stderr != "" {
					b.t.Errorf("exit %d, said %q %q, want %q", r.code, r.stdout, r.stderr, c.want)
				}
				if b.read("injected") != "" {
					b.t.Error("a value was run")
				}
			})
		})
	}
}

// breakBox breaks what is not an object of the cluster, as the environment says.
func breakBox(b *box) {
	switch b.env["CASE"] {
	case "tables":
		b.file("proc/net/tcp", strings.Replace(listTable, " 0A ", " 01 ", 1))
	case "refused":
		b.remove("objects")
	case "starting":
		b.remove("objects")
		b.file("readyz", "[+]ping ok\n[-]etcd failed: reason withheld\n[-]other failed\nreadyz check failed\n")
	case "unreadable":
		b.remove("objects")
		b.file("readyz", "ok")
	case "closed":
		b.file("open", "")
	case "host":
		b.file("open", "172.17.0.1\n")
	}
}
