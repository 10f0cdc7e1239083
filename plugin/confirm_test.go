package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/docker/cli/cli/command"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

func TestReadYes(t *testing.T) {
	for input, want := range map[string]bool{
		"y\n": true, "Yes\r\n": true, " YES \n": true, "y": true,
		"": false, "\n": false, "n\n": false, "yup\n": false, "no\ny\n": false,
	} {
		got, err := readYes(t.Context(), strings.NewReader(input))
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v", input, got, err)
		}
	}
}

// An interrupt ends the question, although nothing is read.
func TestReadYesInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	silent, writer := io.Pipe()
	t.Cleanup(func() {
		if err := writer.Close(); err != nil {
			t.Error(err)
		}
	})
	cancel()
	if got, err := readYes(ctx, silent); got || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestConfirmOnTerminal(t *testing.T) {
	for keys, confirmed := range map[string]bool{"y\n": true, "\n": false} {
		ours, theirs, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		dockerCLI, err := command.NewDockerCli(command.WithInputStream(theirs), command.WithErrorStream(theirs))
		if err != nil {
			t.Fatal(err)
		}
		press(t, ours, keys)
		err = (&app{cli: dockerCLI}).confirm(t.Context(), "work")
		if (err == nil) != confirmed {
			t.Errorf("%q: %v", keys, err)
		}
		if err := errors.Join(ours.Close(), theirs.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestConfirmWithoutTerminal(t *testing.T) {
	var out strings.Builder
	dockerCLI, err := command.NewDockerCli(command.WithInputStream(io.NopCloser(strings.NewReader("y\n"))), command.WithErrorStream(&out))
	if err != nil {
		t.Fatal(err)
	}
	err = (&app{cli: dockerCLI}).confirm(t.Context(), "work")
	var e *gateway.Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "--force") {
		t.Errorf("got %v, want an error that names --force", err)
	}
	if out.Len() > 0 {
		t.Errorf("it asked: %q", out.String())
	}
}
