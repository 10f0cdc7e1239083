package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker-openshell/docker-openshell/internal/pki"
)

// pair reads a certificate and its key out of a Secret.
func (g *ground) pair(name, secret string) pki.Pair {
	g.t.Helper()
	return pki.Pair{Cert: []byte(g.secret(name, secret, "tls.crt")), Key: []byte(g.secret(name, secret, "tls.key"))}
}

func (g *ground) setPair(name, secret string, p pki.Pair) {
	g.t.Helper()
	g.setSecret(name, secret, "tls.crt", string(p.Cert))
	g.setSecret(name, secret, "tls.key", string(p.Key))
}

// leaf is a server certificate of the CA, issued at another time or with other names.
func leaf(t *testing.T, ca pki.Pair, hosts []string, at time.Time) pki.Pair {
	t.Helper()
	b, _, _, err := pki.Repair(pki.Bundle{CA: ca}, hosts, at)
	if err != nil {
		t.Fatal(err)
	}
	return b.Server
}

// TestCertificates breaks the certificates in every way and starts the gateway: what
// is good stays, a leaf is reissued under the same CA, and a new CA is made only where
// the old one cannot sign. Each start ends with a real handshake.
func TestCertificates(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	name := g.gateway("certs")
	g.must("gateway", "start", name, "--port", port())
	ca := g.pair(name, "openshell-ca")
	stranger, err := pki.New(nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	const (
		same = "same CA, same server certificate"
		next = "same CA, new server certificate"
		anew = "new CA"
	)
	tests := []struct {
		what  string
		spoil func()
		want  string
		says  string
	}{
		{"W19: nothing is wrong", func() {}, same, ""},
		{"W20: the server's copy of the CA is missing", func() { g.kubectl(name, "delete", "secret", "openshell-server-client-ca") }, same, "server's copy of the CA certificate"},
		{"W19: the copies of the CA differ", func() { g.setSecret(name, "openshell-client-tls", "ca.crt", string(stranger.CA.Cert)) }, same, "another CA's"},
		{"W18: one key of a Secret is missing", func() {
			g.kubectl(name, "patch", "secret", "openshell-client-tls", "--type=json", "-p", `[{"op":"remove","path":"/data/tls.crt"}]`)
		}, same, "client certificate"},
		{"W19: expired", func() { g.setPair(name, "openshell-server-tls", leaf(t, ca, nil, time.Now().Add(-900*24*time.Hour))) }, next, "it expired on"},
		{"W19: expires soon", func() { g.setPair(name, "openshell-server-tls", leaf(t, ca, nil, time.Now().Add(-800*24*time.Hour))) }, next, "it expires on"},
		{"W19: key and certificate do not match", func() { g.setSecret(name, "openshell-server-tls", "tls.key", string(stranger.Server.Key)) }, next, "does not belong"},
		{"W19: of another CA", func() { g.setPair(name, "openshell-server-tls", stranger.Server) }, next, "not issued by this CA"},
		{"W19: garbage", func() {
			g.setSecret(name, "openshell-server-tls", "tls.crt", "-----BEGIN CERTIFICATE-----\nnonsense\n")
		}, next, "not a PEM certificate"},
		{"W16: the handshake secret is missing and the certificate has expired", func() {
			g.kubectl(name, "delete", "secret", "openshell-ssh-handshake")
			g.setPair(name, "openshell-server-tls", leaf(t, ca, nil, time.Now().Add(-900*24*time.Hour)))
			g.kubectl(name, "delete", "pod", "openshell-0", "--wait=false")
		}, next, "it expired on"},
		{"W19: expired, and the CA's key is gone", func() {
			g.setPair(name, "openshell-server-tls", leaf(t, ca, nil, time.Now().Add(-900*24*time.Hour)))
			g.kubectl(name, "delete", "secret", "openshell-ca")
		}, anew, "the CA's key is gone"},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			oldCA, oldServer := g.secret(name, "openshell-ca", "tls.crt"), g.secret(name, "openshell-server-tls", "tls.crt")
			tt.spoil()
			g.forget()
			res := g.must("gateway", "start", name)
			if !strings.Contains(res.stderr, tt.says) {
				t.Errorf("does not say %q: %s", tt.says, res.stderr)
			}
			newCA, newServer := g.secret(name, "openshell-ca", "tls.crt"), g.secret(name, "openshell-server-tls", "tls.crt")
			got := anew
			if newCA == oldCA {
				got = next
				if newServer == oldServer {
					got = same
				}
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			g.must("status", "-g", name) // a call over mutual TLS with this machine's files
		})
	}
	t.Run("W21: this machine's files are damaged", func(t *testing.T) {
		for _, file := range []string{"ca.crt", "tls.crt", "tls.key"} {
			path := filepath.Join(g.config(), "openshell", "gateways", name, "mtls", file)
			if err := os.WriteFile(path, stranger.Client.Cert, 0o600); err != nil {
				t.Fatal(err)
			}
			g.must("gateway", "start", name)
			g.must("status", "-g", name)
		}
		key, err := os.Stat(filepath.Join(g.config(), "openshell", "gateways", name, "mtls", "tls.key"))
		if err != nil || key.Mode().Perm() != 0o600 {
			t.Errorf("tls.key: %v, %v", key.Mode(), err)
		}
	})
	t.Run("W3 W19: a new host name reissues under the same CA", func(t *testing.T) {
		oldCA := g.secret(name, "openshell-ca", "tls.crt")
		res := g.must("gateway", "start", name, "--gateway-host", "localhost.localdomain")
		if !strings.Contains(res.stderr+res.stdout, "localhost.localdomain") || g.secret(name, "openshell-ca", "tls.crt") != oldCA {
			t.Errorf("said %s", res.stderr)
		}
	})
}
