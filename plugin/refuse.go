package main

import (
	"fmt"

	"github.com/spf13/cobra"
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

func (*refusedFlag) Type() string   { return "string" }
func (*refusedFlag) String() string { return "" }
func (r *refusedFlag) Set(string) error {
	return fmt.Errorf("--%s is not supported: %s", r.name, refusals[r.name])
}
