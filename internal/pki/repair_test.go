package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func fresh(t *testing.T) Bundle {
	t.Helper()
	b, err := New([]string{"box.example.com", "10.0.0.5"}, now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// issued is a server certificate of the bundle's CA, of another time.
func issued(t *testing.T, b Bundle, at time.Time) Pair {
	t.Helper()
	p, err := issueServer(b.CA, []string{"box.example.com", "10.0.0.5"}, at)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRepair(t *testing.T) {
	hosts := []string{"box.example.com", "10.0.0.5"}
	other := fresh(t)
	const day = 24 * time.Hour
	tests := []struct {
		name   string
		spoil  func(t *testing.T, b *Bundle)
		now    time.Time
		hosts  []string
		parts  []Part // what is made anew
		reason string
		warns  bool
	}{
		{name: "good", spoil: func(*testing.T, *Bundle) {}},
		{name: "nothing yet", spoil: func(_ *testing.T, b *Bundle) { *b = Bundle{} }, parts: []Part{PartCA}, reason: "none yet"},
		{name: "server missing", spoil: func(_ *testing.T, b *Bundle) { b.Server = Pair{} }, parts: []Part{PartServer}, reason: "missing"},
		{name: "client missing", spoil: func(_ *testing.T, b *Bundle) { b.Client = Pair{} }, parts: []Part{PartClient}, reason: "missing"},
		{name: "server expired", spoil: func(t *testing.T, b *Bundle) { b.Server = issued(t, *b, now.Add(-900*day)) }, parts: []Part{PartServer}, reason: "expired"},
		{name: "server expires soon", spoil: func(t *testing.T, b *Bundle) { b.Server = issued(t, *b, now.Add(-800*day)) }, parts: []Part{PartServer}, reason: "expires"},
		{name: "key of another", spoil: func(_ *testing.T, b *Bundle) { b.Server.Key = other.Server.Key }, parts: []Part{PartServer}, reason: "does not belong"},
		{name: "of another CA", spoil: func(_ *testing.T, b *Bundle) { b.Client = other.Client }, parts: []Part{PartClient}, reason: "not issued by this CA"},
		{name: "for another purpose", spoil: func(_ *testing.T, b *Bundle) { b.Client = b.Server }, parts: []Part{PartClient}, reason: "for its purpose"},
		{name: "garbage", spoil: func(_ *testing.T, b *Bundle) { b.Server.Cert = []byte("-----BEGIN ") }, parts: []Part{PartServer}, reason: "not a PEM certificate"},
		{name: "a name more", spoil: func(*testing.T, *Bundle) {}, hosts: []string{"new.example.com"}, parts: []Part{PartServer}, reason: `"new.example.com"`},
		{name: "copy missing", spoil: func(_ *testing.T, b *Bundle) { b.ServerCA = nil }, parts: []Part{PartServerCA}, reason: "missing"},
		{name: "copy of another", spoil: func(_ *testing.T, b *Bundle) { b.ClientCA = other.ClientCA }, parts: []Part{PartClientCA}, reason: "another CA"},
		{name: "CA key gone, leaves good", spoil: func(_ *testing.T, b *Bundle) { b.CA.Key = nil }},
		{name: "CA pair gone, leaves good", spoil: func(_ *testing.T, b *Bundle) { b.CA = Pair{} }},
		{name: "CA key gone, a leaf bad", spoil: func(_ *testing.T, b *Bundle) { b.CA.Key, b.Server = nil, Pair{} }, parts: []Part{PartCA}, reason: "key is gone"},
		{name: "CA expired", spoil: func(*testing.T, *Bundle) {}, now: now.Add(CALifetime + day), parts: []Part{PartCA}, reason: "expired"},
		{name: "not valid yet", spoil: func(*testing.T, *Bundle) {}, now: now.Add(-30 * day), warns: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := fresh(t)
			tt.spoil(t, &b)
			at := now
			if !tt.now.IsZero() {
				at = tt.now
			}
			if tt.hosts == nil {
				tt.hosts = hosts
			}
			got, changes, warnings, err := Repair(b, tt.hosts, at)
			if err != nil {
				t.Fatal(err)
			}
			if len(changes) != len(tt.parts) {
				t.Fatalf("changes %v, want %v", changes, tt.parts)
			}
			for i, c := range changes {
				if c.Part != tt.parts[i] || !strings.Contains(c.Reason, tt.reason) {
					t.Errorf("change %v, want %s because %q", c, tt.parts[i], tt.reason)
				}
			}
			if tt.warns != (len(warnings) > 0) {
				t.Errorf("warnings %q", warnings)
			}
			if sameCA := bytes.Equal(got.CA.Cert, b.CA.Cert) || len(b.CA.Cert) == 0; len(tt.parts) > 0 && tt.parts[0] != PartCA && !sameCA {
				t.Error("the CA is another")
			}
			if _, again, _, err := Repair(got, tt.hosts, at); err != nil || len(again) != 0 {
				t.Errorf("repaired twice: %v, %v", again, err)
			}
		})
	}
}

// upstream makes a bundle as the openshell CLI does: no usage in the certificates, a
// validity from 1975 to 4096, and no CA key.
func upstream(t *testing.T) Bundle {
	t.Helper()
	begin, end := time.Date(1975, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(4096, 1, 1, 0, 0, 0, 0, time.UTC)
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	caKey := key()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "openshell-ca"}, NotBefore: begin, NotAfter: end, IsCA: true, BasicConstraintsValid: true}
	issue := func(tmpl *x509.Certificate, k *ecdsa.PrivateKey) Pair {
		der, err := x509.CreateCertificate(rand.Reader, tmpl, ca, k.Public(), caKey)
		if err != nil {
			t.Fatal(err)
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return Pair{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})}
	}
	caPair := issue(ca, caKey)
	server := issue(&x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: begin, NotAfter: end, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames: []string{"openshell", "openshell.openshell.svc", "openshell.openshell.svc.cluster.local", "localhost", "host.docker.internal"}}, key())
	client := issue(&x509.Certificate{SerialNumber: big.NewInt(3), NotBefore: begin, NotAfter: end}, key())
	return Bundle{ServerCA: caPair.Cert, ClientCA: caPair.Cert, Server: server, Client: client}
}

func TestUpstreamBundleIsAccepted(t *testing.T) {
	_, changes, warnings, err := Repair(upstream(t), nil, now)
	if err != nil || len(changes)+len(warnings) != 0 {
		t.Errorf("%v, %v, %v", changes, warnings, err)
	}
}

// TestHandshake has a server and a client of one bundle talk, and a stranger refused.
func TestHandshake(t *testing.T) {
	b := fresh(t)
	stranger := fresh(t)
	serverPair, err := tls.X509KeyPair(b.Server.Cert, b.Server.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b.ServerCA)
	serverConfig := &tls.Config{Certificates: []tls.Certificate{serverPair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	talk := func(ca []byte, client Pair, name string) error {
		config, err := ClientConfig(ca, client, name)
		if err != nil {
			return err
		}
		near, far := net.Pipe()
		served := make(chan error, 1)
		go func() {
			s := tls.Server(far, serverConfig)
			err := s.Handshake()
			if err == nil {
				_, err = s.Write([]byte("x"))
			}
			served <- err
			far.Close() //nolint:errcheck // the test is over
		}()
		c := tls.Client(near, config)
		err = c.Handshake()
		if err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		near.Close() //nolint:errcheck // the test is over
		<-served
		return err
	}
	for _, name := range []string{"127.0.0.1", "localhost", "box.example.com", "10.0.0.5", "host.openshell.internal"} {
		if err := talk(b.ClientCA, b.Client, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if talk(b.ClientCA, stranger.Client, "127.0.0.1") == nil {
		t.Error("a stranger's certificate is let in")
	}
	if talk(stranger.ClientCA, b.Client, "127.0.0.1") == nil {
		t.Error("a stranger's server is trusted")
	}
	if talk(b.ClientCA, b.Client, "other.example.com") == nil {
		t.Error("another name is accepted")
	}
}

// FuzzParse feeds anything to the parsers: an error or a result, no panic, and no
// part of a key in the error.
func FuzzParse(f *testing.F) {
	b, err := New(nil, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b.CA.Cert, b.CA.Key)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte(nil), []byte("key"))
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		if _, err := parsePair(Pair{cert, key}); err != nil && len(key) > 40 && strings.Contains(err.Error(), string(key)) {
			t.Errorf("the error repeats the key: %v", err)
		}
	})
}
