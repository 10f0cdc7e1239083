package gateway

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
)

// TestPlanRecovery: what becomes of a recreate or a restore, by where it was cut off.
func TestPlanRecovery(t *testing.T) {
	old := func(o *Observed) { o.Old = &ObservedContainer{ID: "c0", Name: "openshell-old-dev", Origin: OriginOurs} }
	cut := func(phase string) func(*Observed) {
		return func(o *Observed) { o.Pending = &pending{Phase: phase, ID: "s1", Other: "s0"} }
	}
	fresh := func(o *Observed) { o.Container.Recreate = "s1" }
	sick := func(o *Observed) { o.Container.Health = container.Unhealthy }
	tests := []struct {
		name string
		o    Observed
		want string
	}{
		{"after the old container was renamed", found("", gone, old), `
return-container the recreate was cut off
put back`},
		{"while the state was moved", found("", gone, old, cut(phaseMoving)), `
put-back the old state is in the volume
return-container the old container is there
put back`},
		{"the same without a container", found("", gone, cut(phaseMoving)), `
put-back the old state is in the volume
put back`},
		{"before the new container was made", found("", gone, old, cut(phaseAside)), `
put-back the old state is in the volume
return-container the old container is there
put back`},
		{"before the new container was started", found(container.StateCreated, old, fresh, cut(phaseAside)), `
remove-container the new gateway never became healthy
put-back the old state is in the volume
return-container the old container is there
put back`},
		{"while the new gateway was waited for", found(container.StateRunning, old, fresh, sick, cut(phaseAside)), `
remove-container the new gateway never became healthy
put-back the old state is in the volume
return-container the old container is there
put back`},
		{"when the new gateway was healthy", found(container.StateRunning, old, fresh, cut(phaseAside)), `
settle the new gateway is healthy
remove-old the new gateway is complete
finished`},
		{"on the way back", found("", gone, old, cut(phaseClearing)), `
put-back the old state is in the volume
return-container the old container is there
put back`},
		{"before the old container was removed", found(container.StateRunning, old, fresh), `
remove-old the new gateway is complete
finished`},
		{"in the middle of a restore", found("", gone, cut(phaseEntering)), `
swap-state the restore was cut off
finished`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := planRecovery(tt.o)
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, s := range p.Steps {
				lines = append(lines, string(s.Name)+" "+s.Reason)
			}
			lines = append(lines, string(p.Outcome))
			if diff := cmp.Diff(strings.TrimSpace(tt.want), strings.Join(lines, "\n")); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if !p.Recovery || len(p.Notices) == 0 {
				t.Error("it does not say what it does")
			}
		})
	}
}

// TestPlanRecoveryRefuses: a container that somebody else put in the old one's place
// is not removed.
func TestPlanRecoveryRefuses(t *testing.T) {
	for _, phase := range []string{phaseAside, phaseMoving, phaseLeaving} {
		o := found(container.StateRunning)
		o.Pending = &pending{Phase: phase, ID: "s1"}
		if _, err := planRecovery(o); CauseOf(err) != CauseForeign {
			t.Errorf("%s: %v", phase, err)
		}
	}
}

func TestParsePending(t *testing.T) {
	for text, want := range map[string]*pending{
		"aside 1\n":        {Phase: "aside", ID: "1"},
		"moving 1\n":       {Phase: "moving", ID: "1"},
		"clearing 1\n":     {Phase: "clearing", ID: "1"},
		"leaving 2 1\n":    {Phase: "leaving", ID: "2", Other: "1"},
		"entering 2 1\n":   {Phase: "entering", ID: "2", Other: "1"},
		"":                 nil,
		"aside\n":          nil,
		"entering 2\n":     nil,
		"sideways 1 2 3\n": nil,
	} {
		got, err := parsePending([]byte(text))
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (want != nil) {
			t.Errorf("%q: %v %s", text, err, diff)
		}
	}
}

func TestParseStateList(t *testing.T) {
	record, err := newRecord("dev").encode()
	if err != nil {
		t.Fatal(err)
	}
	info := `{"version":1,"id":"s1","gateway":"dev","created":"2026-01-02T03:04:05Z","reason":"test","record":` + strings.ReplaceAll(string(record), "\n", "") + `}`
	list, err := parseStateList("dev", ".\t12\tb,a\t\ns1\t2048\t\t"+info+"\ns0\t1\t\tgarbage\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, list.sandboxes); diff != "" || list.size != 12<<10 {
		t.Errorf("present state: %d %s", list.size, diff)
	}
	if len(list.snapshots) != 2 || list.snapshots[0].record != nil || list.snapshots[1].record == nil {
		t.Fatalf("snapshots: %+v", list.snapshots)
	}
	if s := list.snapshots[1]; s.Size != 2<<20 || s.Reason != "test" || s.Image != DefaultImage || s.Created.Year() != 2026 {
		t.Errorf("snapshot: %+v", s)
	}
	for _, bad := range []string{"s1\t1\n", "s1\tx\t\t\n"} {
		if _, err := parseStateList("dev", bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
