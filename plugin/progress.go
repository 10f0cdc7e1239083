package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/docker/cli/cli/streams"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

// The values of --progress.
const (
	progressAuto  = "auto"
	progressTTY   = "tty"
	progressPlain = "plain"
	progressJSON  = "json"
	progressQuiet = "quiet"
)

func progressModes() []string {
	return []string{progressAuto, progressTTY, progressPlain, progressJSON, progressQuiet}
}

// renderer shows events. It is called from one goroutine at a time.
type renderer interface {
	event(gateway.Event)
	// close leaves the terminal as a following line of output expects it. It never
	// waits for an event, and can be called again.
	close()
}

// progressMode is the value of --progress.
type progressMode string

func (m *progressMode) String() string { return string(*m) }
func (*progressMode) Type() string     { return "string" }
func (m *progressMode) Set(s string) error {
	if !slices.Contains(progressModes(), s) {
		return fmt.Errorf("must be one of %s", strings.Join(progressModes(), ", "))
	}
	*m = progressMode(s)
	return nil
}

// output are the flags of commands that change something.
type output struct {
	progress progressMode
	quiet    bool
}

func (o *output) add(cmd *cobra.Command, quiet string) {
	o.progress = progressAuto
	cmd.Flags().Var(&o.progress, "progress", `How to show progress ("auto", "tty", "plain", "json", "quiet")`)
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, quiet)
	complete(cmd, "progress", fixed(progressModes()...))
}

// renderer chooses how progress is shown. Standard output is left to the result.
func (o *output) renderer(err *streams.Out) renderer {
	mode := string(o.progress)
	if mode == progressAuto {
		switch {
		case o.quiet:
			mode = progressQuiet
		case err.IsTerminal() && os.Getenv("TERM") != "dumb":
			mode = progressTTY
		default:
			mode = progressPlain
		}
	}
	switch mode {
	case progressTTY:
		return newTTYProgress(err, style{unicode: canUnicode(os.Getenv, runtime.GOOS), color: os.Getenv("NO_COLOR") == ""}, func() int {
			_, width := err.GetTtySize()
			return int(width)
		})
	case progressJSON:
		return jsonProgress{err}
	case progressQuiet:
		return quietProgress{}
	default:
		return newPlainProgress(err)
	}
}

// canUnicode says whether the terminal shows more than ASCII, as far as the
// environment tells.
func canUnicode(getenv func(string) string, goos string) bool {
	if goos == "windows" {
		return getenv("WT_SESSION") != ""
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// seconds is how long something took, for people.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

// amount is how far a transfer has come, or "".
func amount(e gateway.Event) string {
	switch {
	case e.Total > 0:
		return units.HumanSize(float64(e.Current)) + " / " + units.HumanSize(float64(e.Total))
	case e.Current > 0:
		return units.HumanSize(float64(e.Current))
	default:
		return ""
	}
}

// quietProgress shows nothing; errors are printed by the framework.
type quietProgress struct{}

func (quietProgress) event(gateway.Event) {}
func (quietProgress) close()              {}

// warn prints a warning outside of any progress.
func warn(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, "warning: "+format+"\n", args...)
}
