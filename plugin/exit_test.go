package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/docker/cli/cli"
	"github.com/google/go-cmp/cmp"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

func TestExitError(t *testing.T) {
	left := interruption{text: "interrupted; all is left", hint: "run it again"}
	for _, tt := range []struct {
		name     string
		err      error
		canceled bool
		code     int
		want     string
	}{
		{"any error", errors.New("no"), false, 1, "no"},
		{"an error with details and a hint",
			&gateway.Error{Err: errors.New("it crashes"), Detail: []string{"log line 1", "log line 2"}, Hint: "look at the logs"}, false, 1,
			"it crashes\n  log line 1\n  log line 2\nhint: look at the logs"},
		{"one that was wrapped keeps its context",
			fmt.Errorf("start: %w", &gateway.Error{Err: errors.New("port taken"), Hint: "one\ntwo"}), false, 1,
			"start: port taken\nhint: one\n      two"},
		{"one of docker's is passed on", cli.StatusError{StatusCode: 125, Status: "unknown flag"}, true, 125, "unknown flag"},
		{"interrupted, as the engine says it", &gateway.Error{Cause: gateway.CauseCanceled, Err: context.Canceled}, true, 130,
			"interrupted; all is left\nhint: run it again"},
		{"interrupted, as the client says it", fmt.Errorf("get: %w", context.Canceled), true, 130,
			"interrupted; all is left\nhint: run it again"},
		{"a context that the engine cancelled by itself is a failure", fmt.Errorf("get: %w", context.Canceled), false, 1, "get: context canceled"},
		{"a failure that happens to come after Ctrl-C", errors.New("disk full"), true, 1, "disk full"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// The framework finds the outermost StatusError in the chain.
			status, ok := errors.AsType[cli.StatusError](exitError(tt.err, tt.canceled, left))
			if !ok {
				t.Fatal("not a StatusError")
			}
			if diff := cmp.Diff(tt.want, status.Error()); diff != "" || status.StatusCode != tt.code {
				t.Errorf("exit code %d, want %d; message:\n%s", status.StatusCode, tt.code, diff)
			}
		})
	}
}
