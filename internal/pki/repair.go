package pki

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"time"
)

// Change names a part of a bundle that [Repair] made anew, and why.
type Change struct {
	Part   Part
	Reason string
}

// Part is a part of a bundle.
type Part string

// The parts of a bundle.
const (
	PartCA       Part = "certificate authority"
	PartServerCA Part = "server's copy of the CA certificate"
	PartClientCA Part = "clients' copy of the CA certificate"
	PartServer   Part = "server certificate"
	PartClient   Part = "client certificate"
)

// Repair judges a bundle and returns one that is good, with as little changed as
// that takes: a copy of the CA's certificate is restored, a leaf is reissued under
// the same CA, and only where the CA cannot be used any more, or has to sign and its
// key is gone, is everything made anew. A certificate that is not valid yet is
// reported in warnings and never replaced for it: then a clock is wrong.
func Repair(b Bundle, hosts []string, now time.Time) (repaired Bundle, changes []Change, warnings []string, err error) {
	ca, reason := usableCA(&b, now)
	if reason != "" {
		repaired, err = New(hosts, now)
		return repaired, []Change{{PartCA, reason}}, nil, err
	}
	serverReason := leafProblem(b.Server, ca, x509.ExtKeyUsageServerAuth, append(serverNames(), hosts...), now)
	clientReason := leafProblem(b.Client, ca, x509.ExtKeyUsageClientAuth, nil, now)
	if (serverReason != "" || clientReason != "") && len(b.CA.Key) == 0 {
		repaired, err = New(hosts, now)
		why := "the CA's key is gone and the server certificate must be reissued: " + serverReason
		if serverReason == "" {
			why = "the CA's key is gone and the client certificate must be reissued: " + clientReason
		}
		return repaired, []Change{{PartCA, why}}, nil, err
	}
	for _, c := range []struct {
		part Part
		copy *[]byte
	}{{PartServerCA, &b.ServerCA}, {PartClientCA, &b.ClientCA}} {
		if why := copyProblem(*c.copy, ca); why != "" {
			*c.copy = b.CA.Cert
			changes = append(changes, Change{c.part, why})
		}
	}
	if serverReason != "" {
		if b.Server, err = issueServer(b.CA, hosts, now); err != nil {
			return Bundle{}, nil, nil, err
		}
		changes = append(changes, Change{PartServer, serverReason})
	}
	if clientReason != "" {
		if b.Client, err = issueClient(b.CA, now); err != nil {
			return Bundle{}, nil, nil, err
		}
		changes = append(changes, Change{PartClient, clientReason})
	}
	return b, changes, clockWarnings(b, ca, now), nil
}

// usableCA finds the CA's certificate among its copies and says why it cannot be
// used, if it cannot. Where the CA's own pair is missing or damaged, as it is for
// gateways of the openshell CLI, the two copies stand for it, without a key.
func usableCA(b *Bundle, now time.Time) (*x509.Certificate, string) {
	if len(b.CA.Cert)+len(b.ServerCA)+len(b.ClientCA)+len(b.Server.Cert)+len(b.Client.Cert) == 0 {
		return nil, "there is none yet"
	}
	if _, err := parsePair(b.CA); err != nil {
		b.CA.Key = nil
		if _, err := parseCert(b.CA.Cert); err != nil {
			b.CA.Cert = b.ServerCA
			if _, err := parseCert(b.CA.Cert); err != nil {
				b.CA.Cert = b.ClientCA
			}
		}
	}
	ca, err := parseCert(b.CA.Cert)
	switch {
	case err != nil:
		return nil, "no copy of the CA's certificate can be read"
	case !ca.IsCA:
		return nil, "the CA's certificate is not one of a CA"
	case now.After(ca.NotAfter):
		return nil, fmt.Sprintf("the CA expired on %s", ca.NotAfter.Format(time.DateOnly))
	}
	return ca, ""
}

// leafProblem says why a leaf has to be reissued, or "".
func leafProblem(p Pair, ca *x509.Certificate, usage x509.ExtKeyUsage, hosts []string, now time.Time) string {
	if len(p.Cert) == 0 && len(p.Key) == 0 {
		return "it is missing"
	}
	pair, err := parsePair(p)
	if err != nil {
		return err.Error()
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	at := now
	if at.Before(pair.cert.NotBefore) {
		at = pair.cert.NotBefore // a clock is wrong; the chain is judged without it
	}
	if at.Before(ca.NotBefore) {
		at = ca.NotBefore
	}
	if now.After(pair.cert.NotAfter) {
		return fmt.Sprintf("it expired on %s", pair.cert.NotAfter.Format(time.DateOnly))
	}
	// A leaf never outlives its CA, so near the CA's end a new leaf would gain nothing.
	if left := pair.cert.NotAfter.Sub(now); left < RenewBefore && ca.NotAfter.Sub(now) > RenewBefore {
		return fmt.Sprintf("it expires on %s", pair.cert.NotAfter.Format(time.DateOnly))
	}
	if pair.cert.IsCA {
		return "it is a CA's certificate"
	}
	if _, err := pair.cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
		return "it was not issued by this CA for its purpose"
	}
	for _, h := range hosts {
		// Names that only newer gateways carry are no reason to reissue; those that
		// clients use are.
		if optionalName(h) {
			continue
		}
		if err := pair.cert.VerifyHostname(h); err != nil {
			return fmt.Sprintf("it does not name %q", h)
		}
	}
	return ""
}

// optionalName is for names that the openshell CLI's certificates do not carry and
// that nothing of it needs.
func optionalName(host string) bool { return host == "::1" || host == "host.openshell.internal" }

func copyProblem(data []byte, ca *x509.Certificate) string {
	if len(data) == 0 {
		return "it is missing"
	}
	c, err := parseCert(data)
	if err != nil {
		return err.Error()
	}
	if !bytes.Equal(c.Raw, ca.Raw) {
		return "it is another CA's"
	}
	return ""
}

func clockWarnings(b Bundle, ca *x509.Certificate, now time.Time) []string {
	var out []string
	warn := func(part Part, c *x509.Certificate) {
		if now.Before(c.NotBefore) {
			out = append(out, fmt.Sprintf("the %s is not valid before %s: a clock is wrong, here or where it was made", part, c.NotBefore.Format(time.DateTime)))
		}
	}
	warn(PartCA, ca)
	for part, data := range map[Part][]byte{PartServer: b.Server.Cert, PartClient: b.Client.Cert} {
		if c, err := parseCert(data); err == nil {
			warn(part, c)
		}
	}
	return out
}
