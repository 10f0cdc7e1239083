package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newImage(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "image COMMAND",
		Short:   "Manage the images of a gateway",
		Long:    `Manage the images from which a gateway makes sandboxes.`,
		Example: `docker openshell image push my/agent:1`,
		Args:    cli.NoArgs,
		RunE:    command.ShowHelp(a.cli.Err()),
	}
	cmd.AddCommand(newImagePush(a))
	return cmd
}

// completeImages completes the names of images of the daemon.
func (a *app) completeImages(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	if _, err := a.endpoint(); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, err := a.cli.Client().ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, image := range list.Items {
		for _, tag := range image.RepoTags {
			if !slices.Contains(args, tag) {
				names = append(names, tag)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func newImagePush(a *app) *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:   "push [OPTIONS] IMAGE [IMAGE...]",
		Short: "Bring images of this daemon into a gateway",
		Long: `Bring images of the daemon into a gateway, so that sandboxes can be made from them
without a registry. The images stay when the gateway is restarted and when its container
is rebuilt.`,
		Example: `docker build -t my/agent:1 .
docker openshell image push my/agent:1
docker openshell sandbox create --from my/agent:1`,
		Args:              cli.RequiresMinArgs(1),
		ValidArgsFunction: a.completeImages,
		RunE: run(func(*cobra.Command, []string) interruption {
			return interruption{text: "interrupted; what did not arrive in whole is not used", hint: "the same command begins anew"}
		}, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			show := o.renderer(a.cli.Err())
			defer show.close()
			t, m, err := a.on(cmd, nil, show.event)
			if err != nil {
				return err
			}
			names, err := m.PushImages(ctx, t.name, args)
			show.close()
			if err != nil {
				return err
			}
			for _, name := range names {
				fmt.Fprintln(a.cli.Out(), name)
			}
			return nil
		}),
	}
	o.add(cmd, "Show no progress")
	return cmd
}
