package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

// maxToken bounds what is read from standard input as a registry token.
const maxToken = 64 << 10

type startOptions struct {
	output
	format formatFlag

	port               portFlag
	bind               ipFlag
	gatewayHost        string
	image              string
	gatewayImage       string
	sandboxImage       string
	registryUsername   string
	registryToken      string
	plaintext          bool
	disableGatewayAuth bool
	gpu                bool
	recreate           bool
	keepOld            bool
	dryRun             bool
	timeout            timeoutFlag
}

func newStart(a *app) *cobra.Command {
	var o startOptions
	cmd := &cobra.Command{
		Use:   "start [OPTIONS] [NAME]",
		Short: "Start a gateway, or resume it from whatever is left of it",
		Long: `Start a gateway and wait until it is healthy.

What is there decides what happens: a healthy gateway is left alone, a stopped one is
resumed, one whose container was removed is rebuilt around its volume with its recorded
configuration, and where there is nothing a new one is created. Nothing is asked, and
only --recreate deletes anything. A start that fails or is interrupted leaves the
container, its log and the volume in place; the same command goes on from there.

--recreate sets the old data aside in the volume, builds a new gateway, and removes the
old data only when the new gateway is healthy. If it fails or is interrupted, the old
gateway is put back; the next command makes up for one that was killed.

Options apply to an existing gateway too. Where one needs another container, as --port
does, the container is rebuilt around the same volume.`,
		Example: `# Create the gateway, or resume it
docker openshell gateway start

# What would be done, and why?
docker openshell gateway start --dry-run

# A second gateway, on another port
docker openshell gateway start --port 8081 work

# Reachable from other machines, under a name that its certificate then carries
docker openshell gateway start --bind 0.0.0.0 --gateway-host box.example.com

# Read the token for the registry from standard input
pass show registry | docker openshell gateway start --registry-token -

# Throw the gateway's state away and build a new one
docker openshell gateway start --recreate

# The same, but keep the old state as a snapshot
docker openshell gateway start --recreate --keep-old`,
		Args:              cli.RequiresMaxArgs(1),
		ValidArgsFunction: a.completeGateways(onlyOne),
		RunE: run(a.leftByStart, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			return runStart(ctx, a, cmd, args, &o)
		}),
	}
	o.addFlags(cmd)
	addName(a, cmd)
	addRemote(cmd)
	return cmd
}

func (o *startOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Var(&o.port, "port", "Port of the host on which the gateway is published (default 8080)")
	f.Var(&o.bind, "bind", "IP address of the host on which the gateway is published (default 127.0.0.1)")
	f.StringVar(&o.gatewayHost, "gateway-host", "", "Host name or IP address under which clients reach the gateway")
	f.StringVar(&o.image, "image", "", "Image of the node [OPENSHELL_CLUSTER_IMAGE for a new gateway] (default "+strconv.Quote(gateway.DefaultImage)+")")
	f.StringVar(&o.gatewayImage, "gateway-image", "", "Image of the OpenShell server [OPENSHELL_GATEWAY_IMAGE for a new gateway] (default "+strconv.Quote(gateway.DefaultGatewayImage)+")")
	f.StringVar(&o.sandboxImage, "sandbox-image", "", "Image of sandboxes that ask for none [OPENSHELL_SANDBOX_IMAGE for a new gateway] (default: the server's own)")
	f.StringVar(&o.registryUsername, "registry-username", "", "User name for the registry of the images that the node pulls [OPENSHELL_REGISTRY_USERNAME]")
	f.StringVar(&o.registryToken, "registry-token", "", `Token for that registry, "-" to read it from standard input [OPENSHELL_REGISTRY_TOKEN]`)
	f.BoolVar(&o.plaintext, "plaintext", false, "Serve without TLS, for use behind a proxy that does it")
	f.BoolVar(&o.disableGatewayAuth, "disable-gateway-auth", false, "Serve TLS without asking for a client certificate")
	f.BoolVar(&o.gpu, "gpu", false, "Give the gateway all NVIDIA GPUs of the host")
	f.BoolVar(&o.recreate, "recreate", false, "Build a new gateway; the old one's data is removed when the new one is healthy")
	f.BoolVar(&o.keepOld, "keep-old", false, "With --recreate: keep the old data as a snapshot")
	f.BoolVar(&o.dryRun, "dry-run", false, "Show what was found and what would be done, and change nothing")
	o.timeout.add(cmd)
	o.output.add(cmd, "Print only the name of the gateway")
	o.format.add(cmd, "", jsonOrTemplate, "json")
	for _, flag := range []string{"port", "bind", "gateway-host", "image", "gateway-image", "sandbox-image", "registry-username", "registry-token", "timeout"} {
		complete(cmd, flag, cobra.NoFileCompletions)
	}
}

func runStart(ctx context.Context, a *app, cmd *cobra.Command, args []string, o *startOptions) error {
	t, err := a.target(cmd, args)
	if err != nil {
		return err
	}
	if o.dryRun && (o.quiet || o.format != "") {
		return usageError(cmd, errors.New("--dry-run shows a plan, which --quiet and --format have no part in"))
	}
	if cmd.Flags().Changed("registry-token") && o.registryToken != "-" {
		warn(a.cli.Err(), "a token on the command line can be read by other users of this machine; use OPENSHELL_REGISTRY_TOKEN or --registry-token -")
	}
	opts, err := o.build(cmd, a.cli.In())
	if err != nil {
		return err
	}
	opts.NameImplied = t.implied
	if o.dryRun {
		return a.planStart(ctx, t.name, opts)
	}
	return a.start(ctx, t.name, opts, &o.output, o.format)
}

// defaultStart is a start of which nothing is asked: the environment says what images
// a new gateway gets.
func defaultStart() gateway.StartOptions {
	return gateway.StartOptions{
		DefaultImage:        os.Getenv("OPENSHELL_CLUSTER_IMAGE"),
		DefaultGatewayImage: os.Getenv("OPENSHELL_GATEWAY_IMAGE"),
		DefaultSandboxImage: os.Getenv("OPENSHELL_SANDBOX_IMAGE"),
	}
}

// build makes the engine's options of the flags. A flag that was not given is nothing
// that is wanted, whatever its default.
func (o *startOptions) build(cmd *cobra.Command, in io.Reader) (gateway.StartOptions, error) {
	changed := cmd.Flags().Changed
	opts := defaultStart()
	opts.Recreate, opts.KeepOld = o.recreate, o.keepOld
	opts.Timeout = time.Duration(o.timeout)
	w := &opts.Wanted
	w.Image, w.GatewayImage = o.image, o.gatewayImage
	if changed("port") {
		port := int(o.port)
		w.Port = &port
	}
	if changed("bind") {
		bind := string(o.bind)
		w.Bind = &bind
	}
	if changed("gateway-host") {
		w.GatewayHost = &o.gatewayHost
	}
	if changed("plaintext") {
		w.Plaintext = &o.plaintext
	}
	if changed("disable-gateway-auth") {
		w.DisableGatewayAuth = &o.disableGatewayAuth
	}
	if changed("gpu") {
		w.GPU = &o.gpu
	}
	if changed("sandbox-image") {
		w.SandboxImage = &o.sandboxImage
	}
	var err error
	w.RegistryUsername, w.RegistryToken, err = o.registry(cmd, in)
	return opts, err
}

// registry takes the credentials for a registry from the flags, from standard input
// and from the environment. They never become a flag's default, which help prints.
func (o *startOptions) registry(cmd *cobra.Command, in io.Reader) (username, token string, err error) {
	username, token = o.registryUsername, o.registryToken
	if !cmd.Flags().Changed("registry-username") {
		username = os.Getenv("OPENSHELL_REGISTRY_USERNAME")
	}
	if !cmd.Flags().Changed("registry-token") {
		token = os.Getenv("OPENSHELL_REGISTRY_TOKEN")
	}
	if token != "-" {
		return username, token, nil
	}
	data, err := io.ReadAll(io.LimitReader(in, maxToken+1))
	if err != nil {
		return "", "", fmt.Errorf("read the registry token from standard input: %w", err)
	}
	data = bytes.TrimSpace(data)
	switch {
	case len(data) == 0:
		return "", "", errors.New("standard input holds no registry token")
	case len(data) > maxToken:
		return "", "", fmt.Errorf("standard input holds more than the %d bytes of the longest registry token", maxToken)
	}
	return username, string(data), nil
}

func (a *app) planStart(ctx context.Context, name string, opts gateway.StartOptions) error {
	m, err := a.manager(nil)
	if err != nil {
		return err
	}
	plan, err := m.PlanStart(ctx, name, opts)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.cli.Out(), strings.TrimRight(plan, "\n"))
	return nil
}

// start runs a start and shows its result.
func (a *app) start(ctx context.Context, name string, opts gateway.StartOptions, o *output, format formatFlag) error {
	show := o.renderer(a.cli.Err())
	defer show.close()
	m, err := a.manager(show.event)
	if err != nil {
		return err
	}
	res, err := m.Start(ctx, name, opts)
	show.close()
	if err != nil {
		return err
	}
	return a.showStart(res, o.quiet, format)
}

func (a *app) showStart(res gateway.StartResult, quiet bool, format formatFlag) error {
	out := a.cli.Out()
	switch {
	case quiet:
		fmt.Fprintln(out, res.Name)
	case format != "":
		return writeRows(out, format, "", []*startRow{{StartResult: res}})
	case res.Outcome == gateway.AlreadyRunning:
		fmt.Fprintf(out, "Gateway %q is already running at %s\n", res.Name, res.Endpoint)
	default:
		fmt.Fprintf(out, "Gateway %q is ready at %s (%s)\n", res.Name, res.Endpoint, res.Outcome)
		if res.Snapshot != "" {
			fmt.Fprintf(a.cli.Err(), "The state before is kept as snapshot %[2]s; to get it back: docker openshell gateway restore %[1]s %[2]s\n", res.Name, res.Snapshot)
		}
	}
	return nil
}

// leftByStart is what an interrupted start says.
func (a *app) leftByStart(cmd *cobra.Command, args []string) interruption {
	i := interruption{text: "interrupted; the gateway's container and volume are left as they are",
		hint: "the same command goes on from there"}
	if t, err := a.target(cmd, args); err == nil {
		i.text = fmt.Sprintf("interrupted; the container and the volume of gateway %q are left as they are", t.name)
	}
	return i
}
