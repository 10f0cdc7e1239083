package sandbox

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// User is who commands run as in a sandbox.
const User = "sandbox"

// handshakeTimeouts bound the SSH handshake, attempt by attempt. The gateway grants a
// tunnel before it has reached the sandbox, and tries that again with growing pauses:
// after a boot of the node, another attempt finds what is there by then.
var handshakeTimeouts = []time.Duration{5 * time.Second, 15 * time.Second, 40 * time.Second}

const (
	// aliveInterval and aliveMissed detect a peer that is gone without a word.
	aliveInterval = 15 * time.Second
	aliveMissed   = 3
)

// Shell is an SSH connection into a sandbox.
type Shell struct {
	client  *ssh.Client
	sandbox Sandbox
	stop    context.CancelFunc
	// retired waits for the end of the session's token.
	retired func() error
	// silent says that the peer stopped answering.
	silent atomic.Bool
}

// Shell opens an SSH connection into a sandbox, in a session of its own that is good for
// nothing else. The connection ends with ctx.
func (c *Client) Shell(ctx context.Context, s Sandbox) (shell *Shell, err error) {
	for _, timeout := range handshakeTimeouts {
		session, sessionErr := c.NewSession(ctx, s)
		if sessionErr != nil {
			return nil, sessionErr
		}
		shell, err = session.shell(ctx, timeout)
		if slow, ok := errors.AsType[net.Error](err); !ok || !slow.Timeout() {
			return shell, err
		}
	}
	return nil, err
}

// shell makes one attempt, and uses the session up.
func (s *Session) shell(ctx context.Context, timeout time.Duration) (*Shell, error) {
	tunnel, err := s.Dial(ctx)
	if err != nil {
		return nil, errors.Join(err, s.Revoke(ctx))
	}
	// The handshake leaves time for it.
	retired := s.Retire(ctx)
	shell, err := s.handshake(ctx, tunnel, timeout)
	if err != nil {
		return nil, errors.Join(err, retired())
	}
	shell.retired = retired
	return shell, nil
}

func (s *Session) handshake(ctx context.Context, tunnel *Tunnel, timeout time.Duration) (*Shell, error) {
	stop := context.AfterFunc(ctx, func() { tunnel.Close() }) //nolint:errcheck // an early end
	peer := &heard{Tunnel: tunnel}
	fail := func(err error) (*Shell, error) {
		stop()
		tunnel.Close() //nolint:errcheck // there is an error already
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, s.handshakeError(err, peer.any.Load())
	}
	if err := tunnel.SetDeadline(time.Now().Add(timeout)); err != nil {
		return fail(err)
	}
	conn, channels, requests, err := ssh.NewClientConn(peer, s.sandbox.Name, &ssh.ClientConfig{
		Config: ssh.Config{KeyExchanges: s.keyExchanges()},
		User:   User, HostKeyCallback: s.checkHostKey, ClientVersion: "SSH-2.0-docker-openshell"})
	if err != nil {
		return fail(err)
	}
	if err := tunnel.SetDeadline(time.Time{}); err != nil {
		return fail(err)
	}
	alive, cancel := context.WithCancel(ctx)
	sh := &Shell{client: ssh.NewClient(conn, channels, requests), sandbox: s.sandbox,
		stop: func() { cancel(); stop() }}
	go sh.keepAlive(alive)
	return sh, nil
}

// keyExchanges are those of the library. Where the tunnel itself is TLS, which has agreed
// on a key that holds against quantum computers too, the quick one comes first.
func (s *Session) keyExchanges() []string {
	all := ssh.SupportedAlgorithms().KeyExchanges
	if s.scheme == "https" {
		all = append([]string{ssh.KeyExchangeCurve25519}, slices.DeleteFunc(all, func(k string) bool { return k == ssh.KeyExchangeCurve25519 })...)
	}
	return all
}

// heard is a tunnel that knows whether anything has come out of it.
type heard struct {
	*Tunnel
	any atomic.Bool
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.Tunnel.Read(p)
	if n > 0 {
		h.any.Store(true)
	}
	return n, err
}

// handshakeError explains a connection that ends before SSH has begun: then it was the
// sandbox that refused the gateway, and the one thing that it checks is the secret. How
// it ends depends on whether our first words were read before: with its end, or a reset.
func (s *Session) handshakeError(err error, begun bool) error {
	slow, ok := errors.AsType[net.Error](err)
	if late := ok && slow.Timeout(); !begun && !late {
		return fail(CauseRefused, "it may hold an older SSH handshake secret than the gateway: 'docker openshell status' names such sandboxes; they have to be made anew",
			"sandbox %q refused the gateway's connection", s.sandbox.Name)
	}
	return fail(CauseCut, "", "open an SSH connection to sandbox %q: %w", s.sandbox.Name, cleaned{err})
}

// checkHostKey compares with the fingerprint that the gateway gave. The present
// servers give none: a sandbox makes a new key at each start, and the tunnel itself is
// what authenticates it.
func (s *Session) checkHostKey(_ string, _ net.Addr, key ssh.PublicKey) error {
	if s.fingerprint == "" || ssh.FingerprintSHA256(key) == s.fingerprint {
		return nil
	}
	return errors.New("the host key is not the one that the gateway names")
}

// Close ends the connection, and tells if its session is not revoked.
func (s *Shell) Close() error {
	s.stop()
	err := s.client.Close()
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, s.retired())
}

// keepAlive closes a connection whose peer does not answer any more.
func (s *Shell) keepAlive(ctx context.Context) {
	answers := make(chan struct{}, 1)
	missed := 0
	ticker := time.NewTicker(aliveInterval)
	defer ticker.Stop()
	asked := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-answers:
			missed, asked = 0, false
		case <-ticker.C:
			if asked {
				missed++
			}
			if missed >= aliveMissed {
				s.silent.Store(true)
				s.client.Close() //nolint:errcheck // what waits for it gets the error
				return
			}
			if !asked {
				asked = true
				go func() {
					if _, _, err := s.client.SendRequest("keepalive@openssh.com", true, nil); err == nil {
						answers <- struct{}{}
					}
				}()
			}
		}
	}
}
