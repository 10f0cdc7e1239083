package main

import (
	"encoding/json"
	"testing"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

func TestPhase(t *testing.T) {
	for text, want := range map[string]pb.SandboxPhase{
		`{}`:            unknown,
		`{"status":{}}`: unknown,
		`{"status":{"conditions":[{"type":"Other","status":"True"}]}}`:                                                         unknown,
		`{"status":{"conditions":[{"type":"Ready","status":"True","reason":"DependenciesReady"}]}}`:                            ready,
		`{"status":{"conditions":[{"type":"Ready","status":"False","reason":"DependenciesNotReady"}]}}`:                        provisioning,
		`{"status":{"conditions":[{"type":"Ready","status":"False","reason":"ReconcilerERROR"}]}}`:                             provisioning,
		`{"status":{"conditions":[{"type":"Ready","status":"False","reason":"Starting"}]}}`:                                    provisioning,
		`{"status":{"conditions":[{"type":"Ready","status":"Unknown"}]}}`:                                                      provisioning,
		`{"status":{"conditions":[{"type":"Ready","status":"False","reason":"SandboxExpired"}]}}`:                              failed,
		`{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`:                                                        failed,
		`{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"},"status":{"conditions":[{"type":"Ready","status":"True"}]}}`: deleting,
	} {
		var r resource
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		if got := r.phase(); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	// What is being deleted does not come back.
	x := &pb.Sandbox{Phase: deleting}
	r := resource{}
	if r.apply(x); x.GetPhase() != deleting {
		t.Error(x)
	}
}

// TestRelayDecides shows that with the relay, only a connected supervisor makes READY.
func TestRelayDecides(t *testing.T) {
	r := newRelays()
	sandbox := func(phase pb.SandboxPhase) *pb.Sandbox { return &pb.Sandbox{Id: []byte("1"), Phase: phase} }
	after := func(phase pb.SandboxPhase) pb.SandboxPhase {
		x := sandbox(phase)
		r.decide(x)
		return x.GetPhase()
	}
	if after(ready) != provisioning || after(unknown) != unknown || after(failed) != failed {
		t.Error("without a supervisor")
	}
	v := r.register("1")
	if after(provisioning) != ready || after(unknown) != ready || after(failed) != failed || after(deleting) != deleting {
		t.Error("with a supervisor")
	}
	x := sandbox(ready)
	r.decide(x)
	if c := x.GetStatus().GetConditions(); len(c) != 1 || c[0].GetMessage() != "Supervisor session connected" {
		t.Error(c)
	}
	second := r.register("1")
	r.unregister(v)
	if after(provisioning) != ready {
		t.Error("the first call took the second one down")
	}
	r.unregister(second)
	if after(ready) != provisioning {
		t.Error("after the last supervisor")
	}
}
