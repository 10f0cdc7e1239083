package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

func TestCertificates(t *testing.T) {
	d := Directory(t.TempDir())
	now := time.Now()
	for _, name := range []string{"server-ca", "client-ca"} {
		if err := d.Authority(name, now); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(d.Certificate("server-ca"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Authority("server-ca", now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(d.Certificate("server-ca"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("an existing authority was replaced")
	}

	leaves := []Leaf{
		{Name: "serving", Authority: "server-ca", User: "api", Hosts: []string{"localhost", "127.0.0.1"}},
		{Name: "admin", Authority: "client-ca", User: "system:admin", Groups: []string{"system:masters"}},
	}
	for _, leaf := range leaves {
		if err := d.Issue(leaf, now); err != nil {
			t.Fatal(err)
		}
		if _, err := tls.LoadX509KeyPair(d.Certificate(leaf.Name), d.Key(leaf.Name)); err != nil {
			t.Errorf("%s: %v", leaf.Name, err)
		}
		certificate, err := readCertificate(d.Certificate(leaf.Name))
		if err != nil {
			t.Fatal(err)
		}
		authority, err := readCertificate(d.Certificate(leaf.Authority))
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(authority)
		options := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		if len(leaf.Hosts) > 0 {
			options.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			options.DNSName = "127.0.0.1"
		}
		if _, err := certificate.Verify(options); err != nil {
			t.Errorf("%s: %v", leaf.Name, err)
		}
		info, err := os.Stat(d.Key(leaf.Name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("the mode of the key of %s is %o, want 600", leaf.Name, info.Mode().Perm())
		}
	}

	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := d.WriteKubeconfig(path, "https://127.0.0.1:6443", "server-ca", "admin", 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://127.0.0.1:6443" || len(config.CertData) == 0 || len(config.KeyData) == 0 || len(config.CAData) == 0 {
		t.Errorf("the kubeconfig lacks something: %v", config.Host)
	}
}

func TestAuthorityThatLostItsKeyIsMadeAnew(t *testing.T) {
	d := Directory(t.TempDir())
	if err := d.Authority("ca", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(d.Key("ca")); err != nil {
		t.Fatal(err)
	}
	if err := d.Authority("ca", time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := tls.LoadX509KeyPair(d.Certificate("ca"), d.Key("ca")); err != nil {
		t.Error(err)
	}
}
