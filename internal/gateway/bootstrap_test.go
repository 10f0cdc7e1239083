package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

// TestCurable (W13): what a recreate cures is decided by the class of a failure, never
// by its words. The state must be broken; every other cause lies outside of it, or is
// the user's own.
func TestCurable(t *testing.T) {
	for cause, want := range map[Cause]bool{
		CauseBroken: true, CauseCrash: true,
		CauseUnknown: false, CauseInvalid: false, CauseForeign: false, CauseDaemon: false, CausePort: false, CauseImage: false,
		CauseNetwork: false, CauseDisk: false, CauseTimeout: false, CauseAbsent: false, CauseStopped: false, CauseLocked: false, CauseCanceled: false, CauseUnhealthy: false,
	} {
		if curable[cause] != want {
			t.Errorf("%q: %t", cause, !want)
		}
	}
}

// TestRecogniseCause: the texts of a node's log that say that its state is broken, and
// those that say something else.
func TestRecogniseCause(t *testing.T) {
	for line, want := range map[string]Cause{
		`level=fatal msg="database disk image is malformed"`:                                CauseBroken,
		`level=error msg="Failed to ping database connection: file is not a database (26)"`: CauseBroken,
		`write /var/lib/rancher/k3s/x: no space left on device`:                             CauseDisk,
		`dial tcp 10.43.0.1:443: connect: connection refused`:                               CauseUnknown,
		`secrets "x" is forbidden: User "system:node"`:                                      CauseUnknown,
		`lookup registry-1.docker.io: no such host`:                                         CauseUnknown,
		`open /etc/rancher/k3s/registries.yaml: no such file or directory`:                  CauseUnknown,
	} {
		if s, _ := recognise([]string{"noise", line}); s.cause != want {
			t.Errorf("%q: %q, want %q", line, s.cause, want)
		}
	}
}

// TestDaemonErrorCause: errors of the Engine keep their class, and an interruption
// stays one.
func TestDaemonErrorCause(t *testing.T) {
	if err := daemonError(fmt.Errorf("x: %w", context.Canceled)); !errors.Is(err, context.Canceled) || CauseOf(err) != CauseUnknown {
		t.Errorf("%v", err)
	}
	if err := daemonError(errors.New("write /x: no space left on device")); CauseOf(err) != CauseDisk {
		t.Errorf("%v", err)
	}
	if err := daemonError(fs.ErrClosed); CauseOf(err) != CauseUnknown {
		t.Errorf("%v", err)
	}
}
