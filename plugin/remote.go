package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

const (
	flagRemote = "remote"
	flagSSHKey = "ssh-key"
)

// addRemote adds the two flags of the openshell CLI that Docker contexts replace, so
// that their users are told by what.
func addRemote(cmd *cobra.Command) {
	cmd.Flags().String(flagRemote, "", "")
	cmd.Flags().String(flagSSHKey, "", "")
	for _, name := range []string{flagRemote, flagSSHKey} {
		// The only error is an unknown flag, and both were added above.
		if err := cmd.Flags().MarkHidden(name); err != nil {
			panic(err)
		}
	}
	checked := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := refuseRemote(cmd); err != nil {
			return exitError(err, false, reading)
		}
		return checked(cmd, args)
	}
}

func refuseRemote(cmd *cobra.Command) error {
	remote, key := cmd.Flags().Lookup(flagRemote), cmd.Flags().Lookup(flagSSHKey)
	if !remote.Changed && !key.Changed {
		return nil
	}
	dest := remote.Value.String()
	if dest == "" {
		dest = "DEST"
	}
	if !strings.HasPrefix(dest, "ssh://") {
		dest = "ssh://" + dest
	}
	hint := fmt.Sprintf("docker context create box --docker host=%s\ndocker --context box openshell %s",
		dest, strings.TrimPrefix(cmd.CommandPath(), "docker openshell "))
	err := errors.New("--remote is replaced by a Docker context, which every command of docker understands")
	if !remote.Changed {
		err = errors.New("--ssh-key is replaced by your SSH configuration, which a Docker context uses")
	}
	if key.Changed {
		hint = fmt.Sprintf("name the key in ~/.ssh/config ('IdentityFile %s' under the host), then:\n", key.Value) + hint
	}
	return &gateway.Error{Cause: gateway.CauseInvalid, Err: err, Hint: hint}
}
