package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

func summaries() []*summaryRow {
	created := time.Now().Add(-49 * time.Hour)
	return []*summaryRow{
		{Summary: gateway.Summary{Name: "openshell", State: gateway.StateHealthy, Active: true, Endpoint: "https://127.0.0.1:8080",
			Image: "img:1", Origin: "docker-openshell", Created: created}},
		{Summary: gateway.Summary{Name: "work", State: gateway.StateVolume, Endpoint: "https://127.0.0.1:8081", Origin: "openshell", Created: created}},
	}
}

func TestLsFormats(t *testing.T) {
	for _, tt := range []struct {
		name   string
		format formatFlag
		rows   []*summaryRow
		want   string
	}{
		{"table", "table", summaries(), `NAME          STATE         ENDPOINT                 IMAGE     CREATED
openshell *   healthy       https://127.0.0.1:8080   img:1     2 days ago
work          volume only   https://127.0.0.1:8081             2 days ago
`},
		{"an empty table has its heading", "table", nil, "NAME      STATE     ENDPOINT   IMAGE     CREATED\n"},
		{"a table of one's own", `table {{.Name}}\t{{.Active}}\t{{.Origin}}`, summaries(), `NAME        ACTIVE    ORIGIN
openshell   true      docker-openshell
work        false     openshell
`},
		{"a template", "{{.Name}}={{.State}}", summaries(), "openshell=healthy\nwork=volume only\n"},
		{"functions of docker's", "{{upper .Name}}", summaries()[1:], "WORK\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := writeRows(&b, tt.format, lsTable, tt.rows); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The JSON of every command has the engine's own names, with nothing of the formatter
// in it.
func TestJSON(t *testing.T) {
	var b bytes.Buffer
	list := []*summaryRow{{Summary: gateway.Summary{Name: "a", State: gateway.StateStopped, Endpoint: "e", Image: "i", Origin: "o"}}}
	if err := writeRows(&b, "json", "", list); err != nil {
		t.Fatal(err)
	}
	if err := writeRows(&b, "json", "", []*statusRow{{Status: gateway.Status{Name: "a", State: gateway.StateAbsent, Context: "default"}}}); err != nil {
		t.Fatal(err)
	}
	if err := writeRows(&b, "json", "", []*startRow{{StartResult: gateway.StartResult{Name: "a", Outcome: gateway.Resumed, Endpoint: "e", Container: "c"}}}); err != nil {
		t.Fatal(err)
	}
	want := `{"name":"a","state":"stopped","active":false,"endpoint":"e","image":"i","origin":"o"}
{"name":"a","state":"absent","healthy":false,"active":false,"context":"default"}
{"name":"a","outcome":"resumed","endpoint":"e","container":"c","active":false}
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestDescribe(t *testing.T) {
	started := time.Now().Add(-3 * time.Hour)
	for _, tt := range []struct {
		name string
		st   gateway.Status
		want string
	}{
		{"healthy", gateway.Status{Name: "openshell", State: gateway.StateHealthy, Healthy: true, Active: true, Origin: "docker-openshell",
			Endpoint: "https://127.0.0.1:8080", Bind: "127.0.0.1", Port: 8080, Auth: "mtls", ServerVersion: "0.0.34",
			Container: &gateway.ContainerStatus{ID: "0123456789abcdef", Name: "openshell-cluster-openshell", Status: "running", Image: "img:1", StartedAt: started, RestartCount: 2},
			Volume:    &gateway.VolumeStatus{Name: "openshell-cluster-openshell"}, Network: "openshell-cluster-openshell", Context: "default", Daemon: "box"},
			`Gateway:    openshell (active)
State:      healthy
Endpoint:   https://127.0.0.1:8080
Auth:       mtls
Server:     0.0.34
Published:  127.0.0.1:8080
Container:  openshell-cluster-openshell (0123456789ab), running, started 3 hours ago, restarted 2 times
Image:      img:1
Volume:     openshell-cluster-openshell
Network:    openshell-cluster-openshell
Context:    default (box)
`},
		{"stopped, of the openshell CLI, on IPv6", gateway.Status{Name: "a", State: gateway.StateStopped, Origin: "openshell", Bind: "::1", Port: 9000,
			Container: &gateway.ContainerStatus{ID: "c", Name: "openshell-cluster-a", Status: "exited", ExitCode: 143, Image: "img:1", FinishedAt: started}, Context: "box"},
			`Gateway:    a
State:      stopped
Published:  [::1]:9000
Container:  openshell-cluster-a (c), exited, exit code 143, 3 hours ago
Image:      img:1
Origin:     made by the openshell CLI
Context:    box
`},
		{"absent", gateway.Status{Name: "a", State: gateway.StateAbsent, Context: "default"}, "Gateway:    a\nState:      absent\nContext:    default\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			describe(&b, tt.st)
			if diff := cmp.Diff(tt.want, b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnhealthy(t *testing.T) {
	implied := target{name: "a", implied: true, source: "the active gateway"}
	for _, tt := range []struct {
		t    target
		st   gateway.Status
		want string
	}{
		{implied, gateway.Status{Name: "a", State: gateway.StateAbsent, Hint: "start it"}, "there is no gateway \"a\" (named by the active gateway)\nhint: start it"},
		{target{name: "a"}, gateway.Status{Name: "a", State: gateway.StateAbsent}, `there is no gateway "a"`},
		{target{name: "a"}, gateway.Status{Name: "a", State: gateway.StateUnhealthy, Problem: "the health check fails"}, `gateway "a" is unhealthy: the health check fails`},
	} {
		if got := exitError(unhealthy(tt.t, tt.st), false, reading).Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
