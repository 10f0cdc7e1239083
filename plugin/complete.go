package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// completionTime bounds a completion: a shell waits for it at every key press.
const completionTime = time.Second

const (
	anyNumber = -1
	onlyOne   = 1
)

// completeGateways completes the names of gateways, up to limit of them as
// arguments. It says nothing about what fails, because the shell would print that
// into the line that is being typed.
func (a *app) completeGateways(limit int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if limit != anyNumber && len(args) >= limit {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := a.names(cmd.Context())
		names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(args, n) })
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// names lists the gateways that the daemon knows or, if it does not answer in time,
// those that this machine's files know.
func (a *app) names(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	// Connecting to a daemon that hangs cannot be cancelled, so it is left behind:
	// the process ends in a moment.
	answer := make(chan []string, 1)
	go func() {
		m, err := a.manager(nil)
		if err != nil {
			answer <- nil
			return
		}
		names, err := m.Names(ctx)
		if err != nil {
			names = nil
		}
		answer <- names
	}()
	select {
	case names := <-answer:
		if names != nil {
			return names
		}
	case <-ctx.Done():
	}
	dir, err := a.dir()
	if err != nil {
		return nil
	}
	names, _, err := dir.List()
	if err != nil {
		return nil
	}
	return names
}

// complete registers a completion for a flag.
func complete(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	// The only errors are a flag that is unknown or registered twice: both are
	// mistakes in the calling code.
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err)
	}
}

// fixed completes a closed set of words.
func fixed(words ...cobra.Completion) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}
