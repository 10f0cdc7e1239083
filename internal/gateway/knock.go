package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The attempts on the published port. One costs little: while nothing serves, it is
// refused or cut at once. For some time after a boot, one may lead to a pod of the boot
// before and hang: others are made beside it.
const (
	knockEvery   = 25 * time.Millisecond
	knockAgain   = 75 * time.Millisecond // after the last one, while it hangs
	knockTimeout = 2 * time.Second
)

// knock is the outcome of one attempt on the published port.
type knock struct {
	ok bool
	// certificate is the SHA-256 of the certificate that the server showed, hex;
	// empty where it serves plaintext.
	certificate string
}

// knock tries the published port until ctx ends, and keeps the latest outcome in
// the channel, which holds one.
func (m *Manager) knock(ctx context.Context, r Record, latest chan knock) {
	if !m.reachable(r) {
		return
	}
	tick := time.NewTicker(knockEvery)
	defer tick.Stop()
	ended := make(chan knock)
	var last time.Time
	for waiting := 0; ctx.Err() == nil || waiting > 0; {
		if ctx.Err() == nil && (waiting == 0 || time.Since(last) >= knockAgain) {
			waiting, last = waiting+1, time.Now()
			go func() { ended <- m.knockOnce(ctx, r) }()
		}
		select {
		case k := <-ended:
			waiting--
			if k.ok {
				select {
				case <-latest:
				default:
				}
				latest <- k
			}
			// The next one is due with the next tick.
			if ctx.Err() == nil {
				<-tick.C
			}
		case <-tick.C:
		}
	}
}

func (m *Manager) knockOnce(ctx context.Context, r Record) knock {
	ctx, cancel := context.WithTimeout(ctx, knockTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.dialAddress(r))
	if err != nil {
		return knock{}
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	if r.Plaintext {
		return knock{ok: true}
	}
	k := knock{}
	// Who answers is compared with the Secrets later; that anybody does is all that
	// is asked here, so the chain is not verified.
	client := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, //nolint:gosec // see above
		MinVersion: tls.VersionTLS12})
	if err := client.HandshakeContext(ctx); err != nil {
		return knock{}
	}
	if certs := client.ConnectionState().PeerCertificates; len(certs) > 0 {
		sum := sha256.Sum256(certs[0].Raw)
		k = knock{ok: true, certificate: hex.EncodeToString(sum[:])}
	}
	return k
}

// answers says whether it was the server of this gateway that answered.
func (k knock) answers(material keyMaterial, r Record) bool {
	return k.ok && (r.Plaintext || k.certificate == material.serverFingerprint)
}

// daemonHost is the host of a daemon elsewhere, or "" for one whose published ports
// are reached on this machine.
func (m *Manager) daemonHost() string { return daemonHost(m.cfg.Endpoint) }

func daemonHost(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil || (u.Scheme != "ssh" && u.Scheme != "tcp" && u.Scheme != "http" && u.Scheme != "https") {
		return ""
	}
	host := u.Hostname()
	if addr, err := netip.ParseAddr(host); host == "localhost" || err == nil && (addr.IsLoopback() || addr.IsUnspecified()) {
		return ""
	}
	return host
}

// sshDestination is the user and host of an ssh context, in the form that the
// openshell CLI records, or "".
func sshDestination(endpoint string) string {
	rest, ok := strings.CutPrefix(endpoint, "ssh://")
	if !ok {
		return ""
	}
	rest, _, _ = strings.Cut(rest, "/")
	return rest
}

// reachable says whether the published port can be reached from this machine at
// all: another machine's loopback address cannot.
func (m *Manager) reachable(r Record) bool {
	if m.daemonHost() == "" {
		return true
	}
	addr, err := netip.ParseAddr(r.Bind)
	return err == nil && !addr.IsLoopback()
}

// dialAddress is where this machine reaches the published port. For a daemon on
// this machine it is the bound address itself, whatever name clients use.
func (m *Manager) dialAddress(r Record) string {
	host := m.daemonHost()
	if host == "" {
		host = r.Bind
		if addr, err := netip.ParseAddr(host); err == nil && addr.IsUnspecified() {
			host = DefaultBind
			if addr.Is6() {
				host = "::1"
			}
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(r.Port))
}
