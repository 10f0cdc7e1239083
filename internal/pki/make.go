// Package pki makes, parses, judges and reissues the certificates of a gateway. It
// takes bytes and returns bytes: it knows no Docker, no Kubernetes and no files, and
// the time is a parameter. Its errors never hold key material.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"time"
)

// Lifetimes. A leaf is reissued at the first start in its last [RenewBefore]; a CA
// outlives many leaves.
const (
	CALifetime   = 10 * 365 * 24 * time.Hour
	LeafLifetime = 825 * 24 * time.Hour
	RenewBefore  = 90 * 24 * time.Hour
	// skew dates certificates back, for peers whose clock is behind.
	skew = time.Hour
)

// Pair is a certificate with its key, both PEM, the key as PKCS #8.
type Pair struct{ Cert, Key []byte }

// Bundle is all that a gateway's TLS needs, as its parts are stored. A part that is
// not there is empty.
type Bundle struct {
	// CA is the certificate authority; CA.Key may be missing for one that was made
	// by the openshell CLI, which throws it away.
	CA Pair
	// ServerCA is the copy of the CA's certificate by which the server judges
	// clients; ClientCA is the one by which clients judge the server.
	ServerCA, ClientCA []byte
	Server, Client     Pair
}

// serverNames are in every server certificate: the names under which sandboxes,
// containers and this machine reach the server.
func serverNames() []string {
	return []string{"openshell", "openshell.openshell.svc", "openshell.openshell.svc.cluster.local", "localhost",
		"host.docker.internal", "host.openshell.internal", "127.0.0.1", "::1"}
}

// New makes a whole new bundle. hosts are further names or addresses of the server.
func New(hosts []string, now time.Time) (Bundle, error) {
	var b Bundle
	var err error
	if b.CA, err = newCA(now); err != nil {
		return Bundle{}, err
	}
	b.ServerCA, b.ClientCA = b.CA.Cert, b.CA.Cert
	if b.Server, err = issueServer(b.CA, hosts, now); err != nil {
		return Bundle{}, err
	}
	b.Client, err = issueClient(b.CA, now)
	return b, err
}

func newCA(now time.Time) (Pair, error) {
	return sign(x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"openshell"}, CommonName: "openshell-ca"},
		NotAfter:              now.Add(CALifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil, now)
}

func issueServer(ca Pair, hosts []string, now time.Time) (Pair, error) {
	t := x509.Certificate{
		Subject:     pkix.Name{CommonName: "openshell-server"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range append(serverNames(), hosts...) {
		if addr, err := netip.ParseAddr(h); err == nil {
			t.IPAddresses = append(t.IPAddresses, addr.AsSlice())
		} else if !slices.Contains(t.DNSNames, h) {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return leaf(t, ca, now)
}

func issueClient(ca Pair, now time.Time) (Pair, error) {
	return leaf(x509.Certificate{
		Subject:     pkix.Name{CommonName: "openshell-client"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca, now)
}

func leaf(t x509.Certificate, ca Pair, now time.Time) (Pair, error) {
	issuer, err := parsePair(ca)
	if err != nil {
		return Pair{}, fmt.Errorf("certificate authority: %w", err)
	}
	t.BasicConstraintsValid = true
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.NotAfter = now.Add(LeafLifetime)
	if t.NotAfter.After(issuer.cert.NotAfter) {
		// A leaf that outlives its CA would look valid when it is not.
		t.NotAfter = issuer.cert.NotAfter
	}
	return sign(t, issuer, now)
}

// sign makes a key and a certificate for it; without an issuer it signs itself.
func sign(t x509.Certificate, issuer *parsedPair, now time.Time) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	serial := make([]byte, 16)
	if _, err := rand.Read(serial); err != nil {
		return Pair{}, err
	}
	serial[0] &= 0x7f // positive in DER without a padding byte
	t.SerialNumber = new(big.Int).SetBytes(serial)
	t.NotBefore = now.Add(-skew)
	parent, signer := &t, any(key)
	if issuer != nil {
		parent, signer = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, &t, parent, key.Public(), signer)
	if err != nil {
		return Pair{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}, nil
}
