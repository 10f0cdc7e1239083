package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/docker/cli/cli/command/formatter"
	"github.com/docker/cli/templates"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

// formatFlag is the value of --format. It is parsed with the flags, so that a
// template that cannot be right fails before anything is done.
type formatFlag string

func (f *formatFlag) String() string { return string(*f) }
func (*formatFlag) Type() string     { return "string" }
func (f *formatFlag) Set(s string) error {
	if _, err := templates.Parse(s); err != nil {
		return err
	}
	*f = formatFlag(s)
	return nil
}

// add defines --format. others are the words that it knows beside a template.
func (f *formatFlag) add(cmd *cobra.Command, shorthand, usage string, others ...string) {
	cmd.Flags().VarP(f, "format", shorthand, usage)
	complete(cmd, "format", fixed(others...))
}

func (f formatFlag) isTable() bool { return formatter.Format(f).IsTable() }

const (
	tableOrTemplate = `Format output: "table", "table TEMPLATE", "json", or a Go template`
	jsonOrTemplate  = `Format output: "json" or a Go template`
)

// writeRows writes objects in a format that is not empty.
func writeRows[T formatter.SubContext](w io.Writer, format formatFlag, table string, rows []T) error {
	if format == formatter.TableFormatKey {
		format = formatFlag(table)
	}
	ctx := formatter.Context{Output: w, Format: formatter.Format(format)}
	return ctx.Write(&formatter.HeaderContext{Header: headers}, func(write func(formatter.SubContext) error) error {
		for _, r := range rows {
			if err := write(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// headers are those of all fields that a table can show.
var headers = formatter.SubHeaderContext{
	"Name": "NAME", "Mark": "", "State": "STATE", "Active": "ACTIVE", "Healthy": "HEALTHY", "Endpoint": "ENDPOINT",
	"Image": "IMAGE", "Origin": "ORIGIN", "CreatedSince": "CREATED", "Created": "CREATED AT", "Auth": "AUTH", "Bind": "BIND",
	"Port": "PORT", "ServerVersion": "SERVER", "Problem": "PROBLEM", "Hint": "HINT", "Network": "NETWORK", "Context": "CONTEXT",
	"Phase": "PHASE", "Namespace": "NAMESPACE", "SandboxID": "ID", "GPU": "GPU",
	"ID": "SNAPSHOT", "Size": "SIZE", "Sandboxes": "SANDBOXES", "Reason": "REASON", "GatewayImage": "SERVER IMAGE", "Gateway": "GATEWAY",
	"Snapshot": "SNAPSHOT", "Daemon": "DAEMON", "Outcome": "OUTCOME", "Container": "CONTAINER", "Warnings": "WARNINGS",
}

// A row is what docker's formatter writes: templates see the fields of the value
// in it, and JSON is that value's own.
type summaryRow struct {
	formatter.HeaderContext
	gateway.Summary
}

// MarshalJSON encodes the summary alone.
func (r *summaryRow) MarshalJSON() ([]byte, error) { return json.Marshal(r.Summary) }

// Mark is " *" for the active gateway.
func (r *summaryRow) Mark() string { return mark(r.Active) }

// CreatedSince is the age, for people.
func (r *summaryRow) CreatedSince() string { return ago(r.Created) }

type statusRow struct {
	formatter.HeaderContext
	gateway.Status
}

// MarshalJSON encodes the status alone.
func (r *statusRow) MarshalJSON() ([]byte, error) { return json.Marshal(r.Status) }

// Mark is " *" for the active gateway.
func (r *statusRow) Mark() string { return mark(r.Active) }

type startRow struct {
	formatter.HeaderContext
	gateway.StartResult
}

// MarshalJSON encodes the result alone.
func (r *startRow) MarshalJSON() ([]byte, error) { return json.Marshal(r.StartResult) }

func mark(active bool) string {
	if active {
		return " *"
	}
	return ""
}

func ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return units.HumanDuration(time.Since(t)) + " ago"
}

// field writes one line of a description; nothing for an empty value.
func field(w io.Writer, name, value string) {
	if value != "" {
		fmt.Fprintf(w, "%-11s %s\n", name+":", value)
	}
}
