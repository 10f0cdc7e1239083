package gateway

import (
	"context"
	"errors"
	"fmt"
)

// curable are the causes of a failed resume that building the gateway from scratch
// cures: its state is broken. All others lie outside of the state (the daemon, the
// port, an image, the network, the disk), or are the user's own (an interruption, a
// stop), or may still resolve themselves (a timeout): for those nothing is rebuilt.
var curable = map[Cause]bool{
	CauseBroken: true,
	CauseCrash:  true,
}

// Bootstrap brings a gateway up for a command that needs one. It resumes from whatever
// is there, and creates where there is nothing. If a resume fails because the state is
// broken, it recreates the gateway and keeps the old state as a snapshot.
func (m *Manager) Bootstrap(ctx context.Context, name string, opts StartOptions) (StartResult, error) {
	res, err := m.Start(ctx, name, opts)
	cause := CauseOf(err)
	if err == nil || ctx.Err() != nil || !curable[cause] {
		return res, err
	}
	o, observeErr := m.observeObjects(ctx, name)
	if observeErr != nil {
		return res, errors.Join(err, observeErr)
	}
	if o.Volume == nil || checkOwnership(o) != nil {
		return res, err
	}
	m.cfg.Events(Event{Kind: Warning, Text: fmt.Sprintf("gateway %q cannot be resumed: %v", name, err)})
	m.cfg.Events(Event{Kind: Warning, Text: "building a new one; the old state is kept as a snapshot"})
	opts.Recreate, opts.KeepOld, opts.Reason = true, true, "could not be resumed: "+firstLine(err.Error())
	res, recreateErr := m.Start(ctx, name, opts)
	if recreateErr != nil {
		return res, fmt.Errorf("%w (and a new gateway could not be built: %w)", err, recreateErr)
	}
	return res, nil
}
