package sandbox

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Cause classifies a failure, so that a caller can act on it without reading text.
type Cause string

// The causes.
const (
	CauseUnknown     Cause = ""
	CauseInvalid     Cause = "invalid"     // bad input
	CauseUnreachable Cause = "unreachable" // nothing serves at the endpoint, or not with these certificates
	CauseAbsent      Cause = "absent"      // there is no such sandbox
	CauseExists      Cause = "exists"      // the name is taken
	CauseNotReady    Cause = "not ready"   // the sandbox is not ready, or no longer
	CauseFailed      Cause = "failed"      // the sandbox cannot be provisioned
	CauseTimeout     Cause = "timeout"     // no answer, or not ready in time
	CauseBusy        Cause = "busy"        // too many connections
	CauseRefused     Cause = "refused"     // the gateway refused
	CauseReply       Cause = "reply"       // the gateway's reply is not what it should be
	CauseGeneration  Cause = "generation"  // the gateway speaks a later API
	CauseCut         Cause = "cut"         // an open connection broke
)

// Error is a failure that the user can do something about.
type Error struct {
	Cause Cause
	// Err says what is wrong.
	Err error
	// Hint says what to do; it may be empty.
	Hint string
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

func fail(cause Cause, hint, format string, args ...any) *Error {
	return &Error{Cause: cause, Err: fmt.Errorf(format, args...), Hint: hint}
}

// causes maps what a gateway answers; what is missing is CauseRefused.
var causes = map[codes.Code]Cause{
	codes.InvalidArgument:    CauseInvalid,
	codes.OutOfRange:         CauseInvalid,
	codes.NotFound:           CauseAbsent,
	codes.AlreadyExists:      CauseExists,
	codes.FailedPrecondition: CauseNotReady,
	codes.Unavailable:        CauseUnreachable,
	codes.DeadlineExceeded:   CauseTimeout,
	codes.ResourceExhausted:  CauseBusy,
}

// callError turns the error of a call into ours. An interruption by the user stays
// what it is.
func (c *Client) callError(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return ctx.Err()
	}
	s := status.Convert(err)
	cause, known := causes[s.Code()]
	if !known {
		cause = CauseRefused
	}
	switch cause {
	case CauseUnreachable:
		return fail(cause, "", "%s: the gateway at %s cannot be reached: %s", what, c.endpoint, clean(s.Message()))
	case CauseTimeout:
		return fail(cause, "", "%s: the gateway at %s did not answer in time", what, c.endpoint)
	}
	if s.Code() == codes.Unimplemented {
		return fail(cause, "the server may be too old for this", "%s: the gateway does not know this call", what)
	}
	return fail(cause, "", "%s: %s", what, clean(s.Message()))
}

// clean makes text of a peer fit for a terminal: control characters are shown, not
// obeyed, and its length is bounded.
func clean(s string) string {
	const limit = 2000
	if len(s) > limit {
		end := limit
		for end > limit-utf8.UTFMax && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + "…"
	}
	quoted := fmt.Sprintf("%q", s)
	out := make([]rune, 0, len(s))
	for _, r := range s {
		if r < ' ' && r != '\n' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\ufffd' {
			return quoted
		}
		out = append(out, r)
	}
	return string(out)
}

// cleaned is an error whose text comes from a peer in part.
type cleaned struct{ error }

func (e cleaned) Error() string { return clean(e.error.Error()) }
func (e cleaned) Unwrap() error { return e.error }
