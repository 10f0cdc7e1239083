package main

import (
	"context"
	"time"

	"github.com/docker/cli/cli/streams"

	"github.com/docker-openshell/docker-openshell/internal/sandbox"
)

// resizes reports the size of the terminal whenever it changes. Windows has no signal
// for it, so it is looked at.
func resizes(ctx context.Context, out *streams.Out) <-chan sandbox.Size {
	sizes := make(chan sandbox.Size)
	go func() {
		ticker := time.NewTicker(250 * time.Millisecond)
		defer ticker.Stop()
		var last sandbox.Size
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			height, width := out.GetTtySize()
			size := sandbox.Size{Width: int(width), Height: int(height)}
			if size == last {
				continue
			}
			last = size
			select {
			case <-ctx.Done():
				return
			case sizes <- size:
			}
		}
	}()
	return sizes
}
