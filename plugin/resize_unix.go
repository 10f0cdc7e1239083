//go:build !windows

package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/docker/cli/cli/streams"

	"github.com/docker-openshell/docker-openshell/internal/sandbox"
)

// resizes reports the size of the terminal whenever it changes.
func resizes(ctx context.Context, out *streams.Out) <-chan sandbox.Size {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	sizes := make(chan sandbox.Size)
	go func() {
		defer signal.Stop(changed)
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
			height, width := out.GetTtySize()
			select {
			case <-ctx.Done():
				return
			case sizes <- sandbox.Size{Width: int(width), Height: int(height)}:
			}
		}
	}()
	return sizes
}
