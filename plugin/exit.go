package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
	"github.com/docker-openshell/docker-openshell/internal/sandbox"
)

// Exit codes beside 0 and docker's own 125 for a wrong command line.
const (
	exitFailure     = 1
	exitInterrupted = 130
)

// interruption is what a command says when it is interrupted: what state is left,
// and how to go on.
type interruption struct{ text, hint string }

// reading is the interruption of a command that changes nothing.
var reading = interruption{text: "interrupted"}

// run makes a command's function into what cobra calls: it is the one place where
// errors become messages and exit codes.
func run(left func(*cobra.Command, []string) interruption, f func(context.Context, *cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd.Context(), cmd, args)
		if err == nil {
			return nil
		}
		if code, ok := err.(remoteExit); ok {
			// The framework would print a line, if an empty one.
			os.Exit(int(code))
		}
		return exitError(err, cmd.Context().Err() != nil, left(cmd, args))
	}
}

func onlyReading(*cobra.Command, []string) interruption { return reading }

// exitError turns an error into the one that docker's plugin framework prints and
// exits with. A [cli.StatusError] is passed on as it is: the framework would print
// only what is inside of a wrapped one.
func exitError(err error, canceled bool, left interruption) error {
	if status, ok := errors.AsType[cli.StatusError](err); ok {
		return status
	}
	if gateway.CauseOf(err) == gateway.CauseCanceled || canceled && errors.Is(err, context.Canceled) {
		if e, ok := errors.AsType[*gateway.Error](err); ok && e.Undone {
			left = interruption{text: "interrupted", hint: e.Hint}
		}
		return cli.StatusError{StatusCode: exitInterrupted, Status: message(left.text, nil, left.hint), Cause: err}
	}
	var detail []string
	var hint string
	if e, ok := errors.AsType[*gateway.Error](err); ok {
		detail, hint = e.Detail, e.Hint
	} else if e, ok := errors.AsType[*sandbox.Error](err); ok {
		hint = e.Hint
	}
	return cli.StatusError{StatusCode: exitFailure, Status: message(err.Error(), detail, hint), Cause: err}
}

// message puts details under an error, and below them what to do about it.
func message(text string, detail []string, hint string) string {
	var b strings.Builder
	b.WriteString(text)
	for _, line := range detail {
		b.WriteString("\n  ")
		b.WriteString(line)
	}
	for i, line := range strings.Split(hint, "\n") {
		switch {
		case hint == "":
		case i == 0:
			b.WriteString("\nhint: " + line)
		default:
			b.WriteString("\n      " + line)
		}
	}
	return b.String()
}

// usageError is for a command line that cannot be meant, where the flags alone are
// well-formed; it exits as docker does for a wrong flag.
func usageError(cmd *cobra.Command, err error) error { return cli.FlagErrorFunc(cmd, err) }
