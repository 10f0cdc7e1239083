package pki

import (
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"time"
)

// parsedPair is a certificate with the key that belongs to it.
type parsedPair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

var (
	errNoCertificate = errors.New("not a PEM certificate")
	errNoKey         = errors.New("not a PEM private key")
	errMismatch      = errors.New("the key does not belong to the certificate")
)

func parseCert(data []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errNoCertificate
	}
	return x509.ParseCertificate(block.Bytes)
}

// parsePair reads a certificate and its key, in any of the usual forms of a key.
func parsePair(p Pair) (*parsedPair, error) {
	cert, err := parseCert(p.Cert)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(p.Key)
	if block == nil {
		return nil, errNoKey
	}
	var key any
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, errNoKey
	}
	if err != nil {
		return nil, errNoKey // the parser's text could quote what it read
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errNoKey
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(cert.PublicKey) {
		return nil, errMismatch
	}
	return &parsedPair{cert, signer}, nil
}

// Fingerprint is the SHA-256 of a PEM certificate's DER form, in hex.
func Fingerprint(cert []byte) (string, error) {
	c, err := parseCert(cert)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:]), nil
}

// NotAfter is the end of a PEM certificate's validity.
func NotAfter(cert []byte) (time.Time, error) {
	c, err := parseCert(cert)
	if err != nil {
		return time.Time{}, err
	}
	return c.NotAfter, nil
}

// ClientConfig is for a client that trusts the given CA alone, shows the given
// certificate, and expects the server to be serverName.
func ClientConfig(ca []byte, client Pair, serverName string) (*tls.Config, error) {
	root, err := parseCert(ca)
	if err != nil {
		return nil, err
	}
	pair, err := parsePair(client)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	return &tls.Config{
		RootCAs:      roots,
		Certificates: []tls.Certificate{{Certificate: [][]byte{pair.cert.Raw}, PrivateKey: pair.key}},
		ServerName:   serverName,
		MinVersion:   tls.VersionTLS12,
	}, nil
}
