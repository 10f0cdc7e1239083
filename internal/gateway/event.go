package gateway

import "fmt"

// EventKind says what an [Event] is about.
type EventKind int

// The kinds of events.
const (
	// StepStarted and StepDone enclose one step of a plan. A step that fails emits
	// StepFailed in place of StepDone.
	StepStarted EventKind = iota
	StepDone
	StepFailed
	// Progress reports on the step that runs; Current and Total are in bytes, or 0.
	Progress
	// Notice is worth knowing whatever the outcome; Warning more so.
	Notice
	Warning
)

// String returns the kind's name as it stands in JSON output.
func (k EventKind) String() string {
	switch k {
	case StepStarted:
		return "started"
	case StepDone:
		return "done"
	case StepFailed:
		return "failed"
	case Progress:
		return "progress"
	case Notice:
		return "notice"
	case Warning:
		return "warning"
	default:
		return fmt.Sprintf("kind(%d)", int(k))
	}
}

// MarshalText makes a kind readable in JSON.
func (k EventKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Event is one thing that happened. Events carry no secrets.
type Event struct {
	Kind EventKind `json:"kind"`
	// Step is the stable name of the step, such as "start-container". It is empty
	// for a Notice or Warning that belongs to no step.
	Step string `json:"step,omitempty"`
	// Text is for people: for a step what it does ("Starting container …").
	Text string `json:"text,omitempty"`
	// Current and Total count bytes where that is known.
	Current int64 `json:"current,omitempty"`
	Total   int64 `json:"total,omitempty"`
}
