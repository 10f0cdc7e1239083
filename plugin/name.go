package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/clientdir"
	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

const (
	flagGateway = "gateway"
	flagName    = "name"
	envGateway  = "OPENSHELL_GATEWAY"

	// ofGateway marks a flag --name that names a gateway, and not a sandbox.
	ofGateway = "openshell-gateway"

	// sourceDefault is the source of a name that nothing gives.
	sourceDefault = "the default"
)

// target is the gateway that a command works on.
type target struct {
	name string
	// implied says that the command line does not name it; source says what does.
	implied bool
	source  string
}

// given is a name with the place where the user put it.
type given struct{ name, source string }

// nameSources are the places that can name a gateway, the strongest first.
type nameSources struct {
	// line holds what the command line says: the argument and the flags that were
	// set, which agree.
	line []given
	// env is OPENSHELL_GATEWAY; an empty one counts as unset.
	env string
	// active reads the active gateway; "" means that there is none.
	active func() (string, error)
}

// resolve decides which gateway is meant. A name that cannot be one is refused
// together with the place that it came from, because nobody looks for a mistake in a
// file or a variable that the message does not mention.
func (s nameSources) resolve() (target, error) {
	if len(s.line) > 0 {
		return checkName(target{name: s.line[0].name, source: s.line[0].source})
	}
	if s.env != "" {
		return checkName(target{name: s.env, implied: true, source: "the environment variable " + envGateway})
	}
	active, err := s.active()
	if err != nil {
		return target{}, fmt.Errorf("read the active gateway: %w", err)
	}
	if active != "" {
		return checkName(target{name: active, implied: true, source: "the active gateway"})
	}
	return target{name: gateway.DefaultName, implied: true, source: sourceDefault}, nil
}

func checkName(t target) (target, error) {
	if err := clientdir.ValidateName(t.name); err != nil {
		return target{}, fmt.Errorf("%s: %w", t.source, err)
	}
	return t, nil
}

// onLine collects the names that a command line gives; they have to agree.
func onLine(cmd *cobra.Command, args []string) ([]given, error) {
	var names []given
	if len(args) > 0 {
		names = append(names, given{args[0], "the argument"})
	}
	for _, flag := range []string{flagName, flagGateway} {
		f := cmd.Flags().Lookup(flag)
		if f != nil && f.Changed && (flag != flagName || f.Annotations[ofGateway] != nil) {
			names = append(names, given{f.Value.String(), "--" + flag})
		}
	}
	for _, n := range names {
		if first := names[0]; n.name != first.name {
			return nil, usageError(cmd, fmt.Errorf("%s names gateway %q, but %s names %q: give only one", first.source, first.name, n.source, n.name))
		}
	}
	return names, nil
}

// target decides which gateway a command means.
func (a *app) target(cmd *cobra.Command, args []string) (target, error) {
	line, err := onLine(cmd, args)
	if err != nil {
		return target{}, err
	}
	dir, err := a.dir()
	if err != nil {
		return target{}, err
	}
	t, err := nameSources{line: line, env: os.Getenv(envGateway), active: dir.Active}.resolve()
	if err != nil {
		return target{}, &gateway.Error{Cause: gateway.CauseInvalid, Err: err}
	}
	return t, nil
}

// addName adds --name to a command for which the openshell CLI has it.
func addName(a *app, cmd *cobra.Command) {
	cmd.Flags().String(flagName, "", "Gateway to work on, the same as NAME")
	cmd.Flags().Lookup(flagName).Annotations = map[string][]string{ofGateway: {}}
	complete(cmd, flagName, a.completeGateways(anyNumber))
}
