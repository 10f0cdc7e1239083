package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

// refusals say what takes the place of flags that the openshell CLI has and that this
// plugin does not support.
var refusals = map[string]string{
	"policy":            "create the sandbox, then set its policy with the openshell CLI: openshell policy set",
	"provider":          "create the sandbox with the openshell CLI, which manages providers",
	"auto-providers":    "create the sandbox with the openshell CLI, which manages providers",
	"no-auto-providers": "nothing is inferred here, so it can be left out",
	"editor":            "give the editor the output of 'docker openshell sandbox ssh-config'",
	"forward":           "use ssh: docker openshell sandbox ssh-config NAME >> ~/.ssh/config, then ssh -N -L PORT:127.0.0.1:PORT openshell-NAME",
}

// refuse gives a command flags that answer with what replaces them.
func refuse(cmd *cobra.Command, flags ...string) *cobra.Command {
	for _, name := range flags {
		f := cmd.Flags().VarPF(&refusedFlag{name}, name, "", "Not supported")
		f.NoOptDefVal = " "
		f.Hidden = true
	}
	return cmd
}

// refusedFlag is a flag that cannot be set.
type refusedFlag struct{ name string }

func (*refusedFlag) Type() string       { return "string" }
func (*refusedFlag) String() string     { return "" }
func (r *refusedFlag) Set(string) error { return &refusal{r.name} }

// refusal is the answer to such a flag.
type refusal struct{ name string }

func (r *refusal) Error() string {
	return fmt.Sprintf("--%s is not supported: %s", r.name, refusals[r.name])
}

// flagError is docker's own, which leaves out what pflag says of a value where the flag
// as a whole is refused.
func flagError(cmd *cobra.Command, err error) error {
	if r, ok := errors.AsType[*refusal](err); ok {
		err = r
	}
	return cli.FlagErrorFunc(cmd, err)
}

// otherCommands are those of the openshell CLI that have no counterpart of their name
// here, by the command that they are below. The openshell CLI has them for the same
// gateway.
var otherCommands = map[string]map[string]string{
	"openshell": {
		"forward":   refusals["forward"],
		"logs":      "see a sandbox' log with 'docker openshell sandbox logs NAME', a gateway's with 'docker openshell gateway logs'",
		"doctor":    "see what is wrong, and what to do, with 'docker openshell status'; a gateway's log with 'docker openshell gateway logs'",
		"policy":    "use the openshell CLI with the same gateway: openshell policy",
		"provider":  "use the openshell CLI with the same gateway: openshell provider",
		"settings":  "use the openshell CLI with the same gateway: openshell settings",
		"inference": "use the openshell CLI with the same gateway: openshell inference",
		"term":      "use the openshell CLI with the same gateway: openshell term",
	},
	"gateway": {
		"add":   "a gateway that runs elsewhere is reached through a Docker context: docker --context NAME openshell gateway start; or register it with the openshell CLI: openshell gateway add",
		"login": "use the openshell CLI: openshell gateway login",
	},
}

// refuseCommands gives a group commands that answer with what replaces them.
func refuseCommands(group *cobra.Command) {
	for name, instead := range otherCommands[group.Name()] {
		group.AddCommand(&cobra.Command{
			Use:                name,
			Hidden:             true,
			DisableFlagParsing: true,
			ValidArgsFunction:  cobra.NoFileCompletions,
			RunE: run(onlyReading, func(_ context.Context, cmd *cobra.Command, _ []string) error {
				return &gateway.Error{Cause: gateway.CauseInvalid, Err: fmt.Errorf("'%s' is not a command of this plugin", cmd.CommandPath()), Hint: instead}
			}),
		})
	}
}
