// Package certs makes the node's key material: the authorities and the service
// account key once, on the volume; everything that they sign anew at each boot,
// because addresses and names may have changed and a P-256 key costs nothing.
package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
)

// Directory is where the files live; its methods name them.
type Directory string

// Certificate is the path of a certificate.
func (d Directory) Certificate(name string) string { return filepath.Join(string(d), name+".crt") }

// Key is the path of a private key.
func (d Directory) Key(name string) string { return filepath.Join(string(d), name+".key") }

// Leaf describes a certificate for one component.
type Leaf struct {
	// Name is that of its files, Authority that of the signer's.
	Name, Authority string
	// User and Groups are who Kubernetes takes a client for.
	User   string
	Groups []string
	// Hosts are names and addresses of a server; a certificate without any
	// is a client's.
	Hosts []string
}

// Authority makes the named certificate authority unless it exists.
func (d Directory) Authority(name string, now time.Time) error {
	_, certErr := os.Stat(d.Certificate(name))
	_, keyErr := os.Stat(d.Key(name))
	if certErr == nil && keyErr == nil {
		return nil
	}
	if err := errors.Join(certErr, keyErr); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: fmt.Sprintf("k3s-%s@%d", name, now.Unix())},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	return d.write(name, template, nil, nil)
}

// SigningKey makes the named private key unless it exists.
func (d Directory) SigningKey(name string) error {
	if _, err := os.Stat(d.Key(name)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	return writeKey(d.Key(name), key)
}

// Issue signs a leaf with a new key.
func (d Directory) Issue(leaf Leaf, now time.Time) error {
	authority, err := readCertificate(d.Certificate(leaf.Authority))
	if err != nil {
		return err
	}
	signer, err := readKey(d.Key(leaf.Authority))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: leaf.User, Organization: leaf.Groups},
		NotBefore:   now.Add(-time.Hour),
		NotAfter:    now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if len(leaf.Hosts) > 0 {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	for _, host := range leaf.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return d.write(leaf.Name, template, authority, signer)
}

// write makes a key and a certificate; without a parent it signs itself.
func (d Directory) write(name string, template, parent *x509.Certificate, signer crypto.Signer) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if parent == nil {
		parent, signer = template, key
	}
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return fmt.Errorf("sign the certificate %s: %w", name, err)
	}
	// The key is written first: a certificate that exists has its key.
	if err := writeKey(d.Key(name), key); err != nil {
		return err
	}
	return writeFile(d.Certificate(name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writeFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

// writeFile replaces a file in one step, so that a kill leaves no half of it.
func writeFile(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, content, mode); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

func readCertificate(path string) (*x509.Certificate, error) {
	block, err := readBlock(path)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(block.Bytes)
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	block, err := readBlock(path)
	if err != nil {
		return nil, err
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

func readBlock(path string) (*pem.Block, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", path)
	}
	return block, nil
}
