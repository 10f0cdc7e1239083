package main

import (
	"fmt"
	"io"
	"time"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

// transferEvery is how often a log gets a line about a transfer that goes on.
const transferEvery = 5 * time.Second

// plainProgress writes a line when a step begins and one when it ends, for logs and
// for terminals that cannot move the cursor.
type plainProgress struct {
	w     io.Writer
	now   func() time.Time
	count int
	steps map[string]*plainStep
}

type plainStep struct {
	number   int
	began    time.Time
	text     string
	transfer time.Time
}

func newPlainProgress(w io.Writer) *plainProgress {
	return &plainProgress{w: w, now: time.Now, steps: map[string]*plainStep{}}
}

func (p *plainProgress) event(e gateway.Event) {
	s := p.steps[e.Step]
	switch e.Kind {
	case gateway.StepStarted:
		p.count++
		p.steps[e.Step] = &plainStep{number: p.count, began: p.now(), text: e.Text}
		fmt.Fprintf(p.w, "#%d %s\n", p.count, e.Text)
	case gateway.StepDone, gateway.StepFailed:
		if s == nil {
			return
		}
		delete(p.steps, e.Step)
		word := "done"
		if e.Kind == gateway.StepFailed {
			word = "failed"
		}
		fmt.Fprintf(p.w, "#%d %s %s\n", s.number, word, seconds(p.now().Sub(s.began)))
	case gateway.Progress:
		if s != nil {
			p.progress(s, e)
		}
	case gateway.Warning:
		warn(p.w, "%s", e.Text)
	default:
		fmt.Fprintln(p.w, e.Text)
	}
}

// progress tells each new text once, and how far a transfer is now and then.
func (p *plainProgress) progress(s *plainStep, e gateway.Event) {
	size := amount(e)
	if size == "" {
		if e.Text != "" && e.Text != s.text {
			s.text = e.Text
			fmt.Fprintf(p.w, "#%d %s\n", s.number, e.Text)
		}
		return
	}
	if now := p.now(); now.Sub(s.transfer) >= transferEvery {
		s.transfer = now
		fmt.Fprintf(p.w, "#%d %s: %s\n", s.number, e.Text, size)
	}
}

func (*plainProgress) close() {}
