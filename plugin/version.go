package main

import (
	"context"
	"fmt"
	"runtime"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command/formatter"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

// versionInfo is what "version" shows.
type versionInfo struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	// Image and GatewayImage are those of a new gateway.
	Image        string `json:"image"`
	GatewayImage string `json:"gatewayImage"`
}

func newVersion(a *app) *cobra.Command {
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "version [OPTIONS]",
		Short: "Show the version of this plugin",
		Long: `Show the version of this plugin and the images that a new gateway gets. No daemon is
asked.`,
		Example: `docker openshell version

docker openshell version --format '{{.Version}}'`,
		Args:              cli.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: run(onlyReading, func(context.Context, *cobra.Command, []string) error {
			return showVersion(a, format)
		}),
	}
	format.add(cmd, "f", jsonOrTemplate, "json")
	return cmd
}

type versionRow struct {
	formatter.HeaderContext `json:"-"`
	versionInfo
}

func showVersion(a *app, format formatFlag) error {
	v := versionInfo{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Image: gateway.DefaultImage, GatewayImage: gateway.DefaultGatewayImage}
	if format != "" {
		return writeRows(a.cli.Out(), format, "", []*versionRow{{versionInfo: v}})
	}
	out := a.cli.Out()
	fmt.Fprintf(out, "docker-openshell %s\n", v.Version)
	field(out, "Go", v.Go)
	field(out, "OS/Arch", v.OS+"/"+v.Arch)
	field(out, "Node", v.Image)
	field(out, "Server", v.GatewayImage)
	return nil
}
