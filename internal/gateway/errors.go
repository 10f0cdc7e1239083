package gateway

import (
	"errors"
	"fmt"
)

// Cause classifies a failure, so that a caller can act on it without reading text.
type Cause string

// The causes.
const (
	CauseUnknown   Cause = ""
	CauseInvalid   Cause = "invalid"   // bad input
	CauseForeign   Cause = "foreign"   // an object of our name is not ours
	CauseDaemon    Cause = "daemon"    // the Docker daemon cannot be used
	CausePort      Cause = "port"      // the port is taken
	CauseImage     Cause = "image"     // an image is missing or cannot be run
	CauseNetwork   Cause = "network"   // no network could be made
	CauseDisk      Cause = "disk"      // no space left, or read-only
	CauseCrash     Cause = "crash"     // the container exits again and again
	CauseStopped   Cause = "stopped"   // somebody else stopped, paused or removed the container
	CauseBroken    Cause = "broken"    // the state on the volume is damaged
	CauseTimeout   Cause = "timeout"   // not ready in time
	CauseAbsent    Cause = "absent"    // there is no such gateway
	CauseLocked    Cause = "locked"    // another command works on this gateway
	CauseCanceled  Cause = "canceled"  // interrupted by the user
	CauseUnhealthy Cause = "unhealthy" // Kubernetes or the server says why it cannot work
)

// Error is a failure that the user can do something about.
type Error struct {
	Cause Cause
	// Err says what is wrong.
	Err error
	// Detail holds further lines, such as the end of the container's log.
	Detail []string
	// Hint says what to do, in one or two sentences or commands.
	Hint string
	// Undone says that the command left nothing behind: all is as before.
	Undone bool
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// CauseOf returns the cause of the first [*Error] in err's chain.
func CauseOf(err error) Cause {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Cause
	}
	return CauseUnknown
}

func invalidf(hint, format string, args ...any) *Error {
	return &Error{Cause: CauseInvalid, Err: fmt.Errorf(format, args...), Hint: hint}
}
