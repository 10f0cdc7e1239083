package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

// confirm asks whether something may be removed for good; kept says that it is not.
// Only a yes is a yes: an empty line, the end of the input and anything else are a no,
// which is an error, so that a script can tell. Without a terminal nobody can be asked.
func (a *app) confirm(ctx context.Context, kept string) error {
	if !a.cli.In().IsTerminal() || !a.cli.Err().IsTerminal() {
		return &gateway.Error{Cause: gateway.CauseInvalid, Err: fmt.Errorf("%s: there is no terminal to ask on", kept),
			Hint: "add --force to go on without being asked"}
	}
	fmt.Fprint(a.cli.Err(), "Are you sure? [y/N] ")
	yes, err := readYes(ctx, a.cli.In())
	if err != nil {
		fmt.Fprintln(a.cli.Err())
		return err
	}
	if !yes {
		return fmt.Errorf("%s: not confirmed", kept)
	}
	return nil
}

// readYes reads one line. Reading a terminal cannot be cancelled, so the reader is
// left behind when the context ends: the process ends then.
func readYes(ctx context.Context, in io.Reader) (bool, error) {
	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		line, err := bufio.NewReader(in).ReadString('\n')
		answers <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case a := <-answers:
		if a.err != nil && !errors.Is(a.err, io.EOF) {
			return false, fmt.Errorf("read the answer: %w", a.err)
		}
		switch strings.ToLower(strings.TrimSpace(a.line)) {
		case "y", "yes":
			return true, nil
		default:
			return false, nil
		}
	}
}
