package sandbox

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// Session is the right to open tunnels to one sandbox, until it is revoked.
type Session struct {
	client  *Client
	sandbox Sandbox
	token   string
	scheme  string
	host    string // without brackets
	port    int
	path    string
	// fingerprint is the SSH host key's, or "": the servers so far give none.
	fingerprint string
}

// Format prints a session without its token, whatever the verb.
func (s Session) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "a session to sandbox %q", s.sandbox.Name)
}

// NewSession asks for a session. It should be retired when its tunnels are open. A
// sandbox that is coming up, as after a boot of its node, is waited for.
func (c *Client) NewSession(ctx context.Context, s Sandbox) (*Session, error) {
	wait, cancel := context.WithTimeout(ctx, notReadyTimeout)
	defer cancel()
	for {
		session, err := c.newSession(wait, s)
		if CauseOf(err) != CauseNotReady {
			return session, err
		}
		if !c.comesUp(wait, s) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, err
		}
	}
}

// comesUp waits for a sandbox that is not ready. It reports whether it is worth asking
// again.
func (c *Client) comesUp(ctx context.Context, s Sandbox) bool {
	now, err := c.Get(ctx, s.Name)
	if err != nil || now.ID != s.ID || now.Phase == PhaseError || now.Phase == PhaseDeleting {
		return false
	}
	if now.Phase != PhaseReady {
		_, err := c.WaitReady(ctx, now, nil)
		return err == nil
	}
	// It became so in between, or is about to be seen as not ready.
	select {
	case <-ctx.Done():
		return false
	case <-time.After(watchPause):
		return true
	}
}

func (c *Client) newSession(ctx context.Context, s Sandbox) (*Session, error) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.api.CreateSshSession(call, &pb.CreateSshSessionRequest{SandboxId: s.ID})
	if err != nil {
		err = c.callError(call, fmt.Sprintf("open a session to sandbox %q", s.Name), err)
		if CauseOf(err) == CauseNotReady {
			return nil, fail(CauseNotReady, "see 'docker openshell sandbox get "+s.Name+"'", "sandbox %q is not ready", s.Name)
		}
		return nil, err
	}
	session, err := c.checkSession(s, r)
	if err != nil && validToken(r.GetToken()) {
		// What cannot be used must not stay valid.
		unused := &Session{client: c, sandbox: s, token: r.GetToken()}
		if revokeErr := unused.Revoke(ctx); revokeErr != nil {
			return nil, fmt.Errorf("%w (nor could the session be revoked: %w)", err, revokeErr)
		}
	}
	return session, err
}

// checkSession checks every field of a reply: each becomes an address, a header or a
// path.
func (c *Client) checkSession(s Sandbox, r *pb.CreateSshSessionResponse) (*Session, error) {
	bad := func(field, value string) error {
		return fail(CauseReply, "", "the gateway's session has an unusable %s: %q", field, clean(value))
	}
	host := strings.TrimSuffix(strings.TrimPrefix(r.GetGatewayHost(), "["), "]")
	switch {
	case r.GetSandboxId() != s.ID:
		return nil, bad("sandbox ID", r.GetSandboxId())
	case !validToken(r.GetToken()):
		return nil, fail(CauseReply, "", "the gateway's session has an unusable token")
	case !within(host, 253, hostCharacters) || strings.ContainsAny(host, "[]"):
		return nil, bad("host", r.GetGatewayHost())
	case r.GetGatewayScheme() != "http" && r.GetGatewayScheme() != "https":
		return nil, bad("scheme", r.GetGatewayScheme())
	case r.GetGatewayPort() < 1 || r.GetGatewayPort() > 65535:
		return nil, bad("port", fmt.Sprint(r.GetGatewayPort()))
	case !validPath(r.GetConnectPath()):
		return nil, bad("path", r.GetConnectPath())
	case !validFingerprint(r.GetHostKeyFingerprint()):
		return nil, bad("host key fingerprint", r.GetHostKeyFingerprint())
	case r.GetExpiresAtMs() != 0 && time.UnixMilli(r.GetExpiresAtMs()).Before(time.Now().Add(-maxSkew)):
		return nil, fail(CauseReply, "check that the clocks of this machine and of the gateway agree", "the gateway's session had expired when it was made")
	}
	out := &Session{client: c, sandbox: s, token: r.GetToken(), path: r.GetConnectPath(), fingerprint: r.GetHostKeyFingerprint(),
		scheme: r.GetGatewayScheme(), host: host, port: int(r.GetGatewayPort())}
	if loopback(host) {
		// The gateway does not know under which address it is published.
		out.scheme, out.host, out.port = c.scheme, c.host, c.port
	}
	if out.scheme != c.scheme {
		return nil, fail(CauseReply, "", "the gateway's session is for %s, while its endpoint is %s", out.scheme, c.endpoint)
	}
	return out, nil
}

// maxSkew is how far two clocks may differ.
const maxSkew = 5 * time.Minute

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && (addr.IsLoopback() || addr.IsUnspecified())
}

// Sandbox is the sandbox that the session is for.
func (s *Session) Sandbox() Sandbox { return s.sandbox }

// revokeTimeout bounds the revocation of a session at the end of a command.
const revokeTimeout = 5 * time.Second

// Revoke makes the session's token worthless. It also works after ctx has ended.
func (s *Session) Revoke(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTimeout)
	defer cancel()
	_, err := s.client.api.RevokeSshSession(ctx, &pb.RevokeSshSessionRequest{Token: s.token})
	return s.client.callError(ctx, fmt.Sprintf("revoke the session to sandbox %q", s.sandbox.Name), err)
}

// Retire revokes the session beside what follows: a gateway looks at the token when a
// tunnel is opened, and not again, so the tunnels that are open stay, and a process that
// is killed leaves no token that is worth something. The function that is returned waits
// for it, and tries once more what failed.
func (s *Session) Retire(ctx context.Context) (wait func() error) {
	done := make(chan error, 1)
	go func() { done <- s.Revoke(ctx) }()
	return sync.OnceValue(func() error {
		if err := <-done; err != nil {
			return s.Revoke(ctx)
		}
		return nil
	})
}
