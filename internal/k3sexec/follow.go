package k3sexec

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
)

// followScript is what [Kubectl.Follow] runs in the container.
//
//go:embed follow.sh
var followScript string

// maxReportLine bounds one line of a report: a list of Secrets or an object of a
// watch. etcd's own limit for an object is 1.5 MiB.
const maxReportLine = 8 << 20

// ReportKind says what a [Report] is about.
type ReportKind int

// The kinds of reports, in the order in which they come.
const (
	// ReportList carries the answer to the list request.
	ReportList ReportKind = iota
	// ReportReady says that the API server calls itself ready.
	ReportReady
	// ReportEvent carries one watch event.
	ReportEvent
	// ReportProblem carries what kubectl says of a request that did not succeed
	// and will be tried again.
	ReportProblem
)

// Report is one thing that [Kubectl.Follow] saw.
type Report struct {
	Kind ReportKind
	// Data is a JSON document, or for a problem a line of text.
	Data []byte
}

// Follow watches a cluster come up, in one exec: it waits until something listens
// on the API server's port, reads the list at the path list, waits until the server
// is ready, and then watches the path watch. It hands every report to fn until ctx
// ends or fn returns an error, which it then returns. What does not succeed is tried
// again for as long as ctx lasts.
func (k *Kubectl) Follow(ctx context.Context, list, watch string, fn func(Report) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := k.container.Stream(ctx, followScript, []string{kubeconfig, list, watch}, w)
		w.CloseWithError(errors.Join(err, io.EOF)) //nolint:errcheck // always nil
		done <- err
	}()
	err := parseReports(r, fn)
	if err != nil {
		cancel(err)
	}
	r.CloseWithError(io.ErrClosedPipe) //nolint:errcheck // always nil
	streamErr := <-done
	switch {
	case err != nil:
		return err
	case streamErr != nil:
		return streamErr
	default:
		return fmt.Errorf("the watch in the container ended: %w", io.ErrUnexpectedEOF)
	}
}

// parseReports reads what the script prints: lines that begin with "@" name what
// comes next, those that begin with "{" are documents, others are messages.
func parseReports(r io.Reader, fn func(Report) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxReportLine)
	section := ""
	for lines.Scan() {
		line := lines.Text()
		var report Report
		switch {
		case line == "@ready":
			report = Report{Kind: ReportReady}
		case strings.HasPrefix(line, "@"):
			section = line
			continue
		case strings.HasPrefix(line, "{") && section == "@list":
			report = Report{Kind: ReportList, Data: []byte(line)}
		case strings.HasPrefix(line, "{") && section == "@watch":
			report = Report{Kind: ReportEvent, Data: []byte(line)}
		case line == "" || strings.HasPrefix(line, "Warning:"):
			continue
		default:
			report = Report{Kind: ReportProblem, Data: []byte(line)}
		}
		if err := fn(report); err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("an answer of the API server is longer than %d bytes: %w", maxReportLine, err)
	}
	return nil
}
