// Smallest is the smallest Docker CLI plugin that pings the daemon and inspects a
// container: what the plugin's own speed is measured against.
package main

import (
	"fmt"

	"github.com/docker/cli/cli-plugins/metadata"
	"github.com/docker/cli/cli-plugins/plugin"
	"github.com/docker/cli/cli/command"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func main() {
	plugin.Run(func(cli command.Cli) *cobra.Command {
		return &cobra.Command{
			Use:  "smallest CONTAINER",
			Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				if _, err := cli.Client().Ping(cmd.Context(), client.PingOptions{}); err != nil {
					return err
				}
				in, err := cli.Client().ContainerInspect(cmd.Context(), args[0], client.ContainerInspectOptions{})
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(cli.Out(), in.Container.State.Status)
				return err
			},
		}
	}, metadata.Metadata{SchemaVersion: "0.1.0", Vendor: "docker-openshell", Version: "1"})
}
