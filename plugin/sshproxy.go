package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/docker-openshell/docker-openshell/internal/sandbox"
)

// newSSHProxy is the ProxyCommand of "sandbox ssh-config". It makes a session of its
// own, so that no token is ever on a command line.
func newSSHProxy(a *app) *cobra.Command {
	var name, gatewayName string
	cmd := &cobra.Command{
		Use:   "ssh-proxy [OPTIONS]",
		Short: "Connect standard input and output to a sandbox's SSH server",
		Long: `Connect standard input and output to the SSH server of a sandbox: the ProxyCommand of
"sandbox ssh-config". Each connection makes a session of its own, which is revoked as
soon as the connection stands.`,
		Example:           `ssh -o ProxyCommand='docker openshell ssh-proxy --name demo' sandbox@demo`,
		Hidden:            true,
		Args:              cli.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: run(onlyReading, func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			if name == "" {
				return usageError(cmd, errors.New("--name is missing: it names the sandbox"))
			}
			if gatewayName != "" {
				if err := cmd.Flags().Set(flagGateway, gatewayName); err != nil {
					return err
				}
			}
			// ssh ends its ProxyCommand with this signal: the session is to be revoked, even so.
			ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
			defer stop()
			return a.tunnelled(ctx, cmd, func(l *link) error { return a.proxy(ctx, l, name) })
		}),
	}
	cmd.Flags().StringVar(&name, "name", "", "Sandbox to connect to")
	cmd.Flags().StringVar(&gatewayName, "gateway-name", "", "Gateway to work on, the same as --gateway")
	complete(cmd, "name", a.completeSandboxes(anyNumber))
	complete(cmd, "gateway-name", a.completeGateways(anyNumber))
	addEndpoint(cmd)
	return cmd
}

func (a *app) proxy(ctx context.Context, l *link, name string) (err error) {
	s, err := l.Get(ctx, name)
	if err != nil {
		return err
	}
	session, err := l.NewSession(ctx, s)
	if err != nil {
		return err
	}
	tunnel, err := session.Dial(ctx)
	if err != nil {
		return errors.Join(err, session.Revoke(ctx))
	}
	defer tunnel.Close() //nolint:errcheck // both directions have ended
	retired := session.Retire(ctx)
	defer func() { err = errors.Join(err, retired()) }()
	return relay(ctx, tunnel, a.cli.In(), a.cli.Out())
}

// relay copies in both directions until the sandbox has ended the connection. The end
// of the input is passed on.
func relay(ctx context.Context, tunnel *sandbox.Tunnel, in io.Reader, out io.Writer) error {
	stop := context.AfterFunc(ctx, func() { tunnel.Close() }) //nolint:errcheck // an early end
	defer stop()
	// The input may never end, so it is left behind when the sandbox has ended.
	var upward errgroup.Group
	upward.Go(func() error {
		if _, err := io.CopyBuffer(struct{ io.Writer }{tunnel}, in, make([]byte, 256<<10)); err != nil {
			return err
		}
		return tunnel.CloseWrite()
	})
	_, err := tunnel.WriteTo(out)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("the connection was cut: %w", err)
	}
	return nil
}

func newSSHConfig(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ssh-config [NAME]",
		Short: "Print a Host block for ~/.ssh/config",
		Long: `Print a Host block with which ssh, scp, rsync and editors connect to a sandbox under
the name openshell-NAME. It stays valid over restarts of the gateway: each connection
makes a session of its own.`,
		Example: `docker openshell sandbox ssh-config demo >> ~/.ssh/config
ssh openshell-demo`,
		Args:              cli.RequiresMaxArgs(1),
		ValidArgsFunction: a.completeSandboxes(onlyOne),
		RunE: run(onlyReading, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			return a.linked(ctx, cmd, func(l *link) error {
				s, err := l.get(ctx, a, args)
				if err != nil {
					return err
				}
				self, err := os.Executable()
				if err != nil {
					return err
				}
				_, err = io.WriteString(a.cli.Out(), sshConfig(self, l.name, l.Endpoint(), s.Name))
				return err
			})
		}),
	}
	return cmd
}

// sshConfig is a Host block. The names were validated; the path of the plugin is quoted
// for the shell that runs the ProxyCommand, and for ssh, to which "%" means something.
func sshConfig(self, gatewayName, endpoint, name string) string {
	via := "--gateway-name " + gatewayName
	if gatewayName == "" {
		via = "--gateway-endpoint " + endpoint
	}
	quoted := strings.ReplaceAll("'"+strings.ReplaceAll(self, "'", `'"'"'`)+"'", "%", "%%")
	return fmt.Sprintf(`Host openshell-%[1]s
    HostName %[1]s
    User %[2]s
    ProxyCommand %[3]s ssh-proxy %[4]s --name %[1]s
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    GlobalKnownHostsFile /dev/null
    LogLevel ERROR
    ServerAliveInterval 15
    ServerAliveCountMax 3
`, name, sandbox.User, quoted, via)
}
