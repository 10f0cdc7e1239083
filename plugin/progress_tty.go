package main

import (
	"io"
	"strings"
	"sync"
	"time"

	"github.com/morikuni/aec"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

const (
	redrawEvery  = 100 * time.Millisecond
	defaultWidth = 80
)

// style is what a terminal can show.
type style struct{ unicode, color bool }

// ttyProgress shows the step that runs in a line at the bottom that is drawn anew,
// and everything that is finished above it. The cursor is never hidden, so that a
// process that is killed leaves a usable terminal.
type ttyProgress struct {
	w     io.Writer
	style style
	width func() int
	now   func() time.Time

	mu sync.Mutex
	// step is the one that runs, or nil; drawn says that its line is on the terminal.
	step   *ttyStep
	drawn  bool
	frame  int
	closed bool
	// stop ends the goroutine that redraws, stopped is closed when it has ended. No
	// event passes through a channel, so there is nothing that could block.
	stop, stopped chan struct{}
}

type ttyStep struct {
	// text is what the step does, live what it does at this moment.
	name, text, live string
	began            time.Time
}

func newTTYProgress(w io.Writer, s style, width func() int) *ttyProgress {
	p := &ttyProgress{w: w, style: s, width: width, now: time.Now, stop: make(chan struct{}), stopped: make(chan struct{})}
	go p.animate()
	return p
}

func (p *ttyProgress) animate() {
	defer close(p.stopped)
	t := time.NewTicker(redrawEvery)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
			p.mu.Lock()
			if !p.closed && p.step != nil {
				p.frame++
				p.draw("")
			}
			p.mu.Unlock()
		}
	}
}

func (p *ttyProgress) event(e gateway.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	switch e.Kind {
	case gateway.StepStarted:
		// A step that never said how it ended was overtaken by another command.
		left := p.end(p.mark("-", "-", aec.YellowF))
		p.step = &ttyStep{name: e.Step, text: e.Text, live: e.Text, began: p.now()}
		p.draw(left)
	case gateway.StepDone:
		p.draw(p.end(p.mark("✓", "+", aec.GreenF)))
	case gateway.StepFailed:
		p.draw(p.end(p.mark("✗", "x", aec.RedF)))
	case gateway.Progress:
		if p.step != nil && p.step.name == e.Step {
			p.step.live = strings.TrimSpace(e.Text + " " + amount(e))
			p.draw("")
		}
	case gateway.Warning:
		p.draw(p.mark("!", "!", aec.YellowF) + " " + e.Text + "\n")
	default:
		p.draw("  " + e.Text + "\n")
	}
}

// end takes away the live line, and returns the line that stays of its step.
func (p *ttyProgress) end(mark string) string {
	s := p.step
	if s == nil {
		return ""
	}
	p.step = nil
	return mark + " " + s.text + "  " + p.faint(seconds(p.now().Sub(s.began))) + "\n"
}

// draw replaces the live line: by what is finished, and the live line again. All of
// it is one write, so that nothing flickers.
func (p *ttyProgress) draw(finished string) {
	var b strings.Builder
	if p.drawn {
		b.WriteString(aec.EmptyBuilder.Up(1).Column(0).EraseDisplay(aec.EraseModes.Tail).ANSI.String())
	}
	b.WriteString(finished)
	p.drawn = p.step != nil
	if p.drawn {
		b.WriteString(p.line(p.step))
	}
	io.WriteString(p.w, b.String()) //nolint:errcheck // there is nowhere to report a broken terminal
}

// line is that of the running step, cut so that it fills one line of the terminal: a
// wrapped one could not be erased.
func (p *ttyProgress) line(s *ttyStep) string {
	took := seconds(p.now().Sub(s.began))
	width := p.width()
	if width <= 0 {
		width = defaultWidth
	}
	text := s.live
	room := width - len("x ") - len("  ") - len(took) - 1
	if r := []rune(text); len(r) > room {
		text = string(r[:max(room, 0)])
	}
	return p.spinner() + " " + text + "  " + p.faint(took) + "\n"
}

func (p *ttyProgress) spinner() string {
	frames := []rune(`|/-\`)
	if p.style.unicode {
		frames = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	}
	return p.paint(string(frames[p.frame%len(frames)]), aec.CyanF)
}

func (p *ttyProgress) mark(unicode, ascii string, color aec.ANSI) string {
	if p.style.unicode {
		return p.paint(unicode, color)
	}
	return p.paint(ascii, color)
}

func (p *ttyProgress) faint(s string) string { return p.paint(s, aec.Faint) }

func (p *ttyProgress) paint(s string, color aec.ANSI) string {
	if !p.style.color {
		return s
	}
	return color.Apply(s)
}

func (p *ttyProgress) close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.draw(p.end(p.mark("-", "-", aec.YellowF)))
	p.closed = true
	close(p.stop)
	p.mu.Unlock()
	<-p.stopped
}
