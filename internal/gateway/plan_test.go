package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
)

// The plans as people read them: what was found, and what is done about it.

func found(status container.ContainerState, change ...func(*Observed)) Observed {
	r := newRecord("dev")
	o := Observed{
		Name: "dev",
		Container: &ObservedContainer{ID: "c1", Name: "openshell-cluster-dev", Origin: OriginOurs, Status: status,
			Bind: "127.0.0.1", Port: 8080, NetworkID: "n1", Volume: "openshell-cluster-dev"},
		Volume:       &ObservedVolume{Name: "openshell-cluster-dev", Origin: OriginOurs},
		Networks:     []ObservedNetwork{{ID: "n1", Origin: OriginOurs}},
		Record:       &r,
		RecordFrom:   "volume",
		FilesCurrent: true,
		Registered:   true,
	}
	if status == container.StateRunning {
		o.Container.Health = container.Healthy
	}
	for _, c := range change {
		c(&o)
	}
	return o
}

func gone(o *Observed)    { o.Container = nil }
func nothing(o *Observed) { *o = Observed{Name: "dev"} }

func TestPlan(t *testing.T) {
	port := 9000
	gatewayImage := Wanted{GatewayImage: "example.com/server:2"}
	complete := planOptions{LocalComplete: true}
	tests := []struct {
		name   string
		o      Observed
		wanted Wanted
		opts   planOptions
		want   string
	}{
		{name: "nothing", o: found("", nothing), want: `
1. ensure-image      a container is made from ghcr.io/nvidia/openshell/cluster:0.0.34
2. ensure-network    the container needs its network
3. ensure-volume     everything worth keeping is on the volume
4. create-container  there is nothing yet
5. write-files       the new container holds nothing of ours yet
6. start-container   the container is new
7. wait-ready        the gateway boots
8. update-files      clients find the gateway through them
outcome: created`},
		{name: "running and healthy", o: found(container.StateRunning), opts: complete, want: `
nothing to do
outcome: already running`},
		{name: "running, files on the client missing", o: found(container.StateRunning), want: `
1. wait-ready        files on this machine are missing, or are not this gateway's
2. update-files      clients find the gateway through them
outcome: already running`},
		{name: "running, not checked yet", o: found(container.StateRunning, func(o *Observed) { o.Container.Health = container.Starting }), opts: complete, want: `
1. wait-ready        the server answers, and the daemon's first health check has not passed yet
2. update-files      clients find the gateway through them
outcome: already running`},
		{name: "booting", o: found(container.StateRunning, func(o *Observed) { o.Container.Health = container.Starting }), want: `
1. wait-ready        the container runs but is not healthy yet
2. update-files      clients find the gateway through them
outcome: resumed`},
		{name: "running, not healthy", o: found(container.StateRunning, func(o *Observed) { o.Container.Health = container.Unhealthy }), opts: complete, want: `
1. wait-ready        the container runs but is not healthy yet
2. update-files      clients find the gateway through them
outcome: resumed`},
		{name: "running, restart asked for", o: found(container.StateRunning), opts: planOptions{LocalComplete: true, Restart: true}, want: `
1. stop-container    restart
2. start-container   restart
3. wait-ready        the gateway boots
4. update-files      clients find the gateway through them
outcome: resumed`},
		{name: "running, a stop was cut off", o: found(container.StateRunning, func(o *Observed) { o.Stopping = true }), opts: complete, want: `
1. stop-container    an earlier stop was cut off, and may be under way
2. start-container   an earlier stop was cut off, and may be under way
3. wait-ready        the gateway boots
4. update-files      clients find the gateway through them
outcome: resumed`},
		{name: "running, disconnected", o: found(container.StateRunning, func(o *Observed) { o.Container.NetworkID = "" }), opts: complete, want: `
1. stop-container    the container was disconnected from its network
2. attach-network    the container's network is gone
3. start-container   the container was disconnected from its network
4. wait-ready        the gateway boots
5. update-files      clients find the gateway through them
outcome: resumed`},
		{name: "running, another server image", o: found(container.StateRunning), opts: complete, wanted: gatewayImage, want: `
note: changed: gateway-image ghcr.io/nvidia/openshell/gateway:0.0.34 -> example.com/server:2; the server is rolled out anew
1. update-chart      changed: gateway-image ghcr.io/nvidia/openshell/gateway:0.0.34 -> example.com/server:2
2. wait-ready        the server is rolled out anew
3. update-files      clients find the gateway through them
outcome: resumed`},
		{name: "running, another port", o: found(container.StateRunning), opts: complete, wanted: Wanted{Port: &port}, want: `
note: changed: port 8080 -> 9000; the container is made anew around the same volume
1. ensure-image      checked before the container is removed
2. check-port        checked before the container is removed
3. stop-container    changed: port 8080 -> 9000
4. remove-container  changed: port 8080 -> 9000; the volume is kept
5. ensure-network    the container needs its network
6. ensure-volume     everything worth keeping is on the volume
7. create-container  changed: port 8080 -> 9000
8. write-files       the new container holds nothing of ours yet
9. start-container   the container is new
10. wait-ready        the gateway boots
11. update-files      clients find the gateway through them
outcome: rebuilt`},
		{name: "exited", o: found(container.StateExited), want: `
1. start-container   the container is stopped
2. wait-ready        the gateway boots
3. update-files      clients find the gateway through them
outcome: resumed`},
		{name: "exited, older files", o: found(container.StateExited, func(o *Observed) { o.FilesCurrent = false }), want: `
1. write-files       the container does not hold this version's files
2. start-container   the container is stopped
3. wait-ready        the gateway boots
4. update-files      clients find the gateway through them
outcome: resumed`},
		{name: "exited, made by the openshell CLI", o: found(container.StateExited, func(o *Observed) {
			o.Container.Origin, o.Volume.Origin, o.Networks[0].Origin, o.FilesCurrent = OriginUpstream, OriginUpstream, OriginUpstream, false
		}), want: `
1. start-container   the container is stopped
2. wait-ready        the gateway boots
3. update-files      clients find the gateway through them
outcome: resumed`},
		{name: "exited, open to the network, made by the openshell CLI", o: found(container.StateExited, func(o *Observed) {
			o.Container.Origin, o.Volume.Origin, o.Container.Bind = OriginUpstream, OriginUpstream, "0.0.0.0"
		}), want: `
note: the gateway listens on all addresses of the daemon's host, as the openshell CLI made it; to change that: --bind 127.0.0.1
1. start-container   the container is stopped
2. wait-ready        the gateway boots
3. update-files      clients find the gateway through them
outcome: resumed`},
		{name: "exited, network pruned", o: found(container.StateExited, func(o *Observed) { o.Networks = nil }), want: `
1. attach-network    the container's network is gone
2. start-container   the container is stopped
3. wait-ready        the gateway boots
4. update-files      clients find the gateway through them
outcome: resumed`},
		{name: "created, never started, files not written", o: found(container.StateCreated, func(o *Observed) { o.FilesCurrent = false }), want: `
1. write-files       the container does not hold this version's files
2. start-container   the container was never started
3. wait-ready        the gateway boots
4. update-files      clients find the gateway through them
outcome: resumed`},
		{name: "paused", o: found(container.StatePaused), want: `
1. unpause-container the container is paused
2. wait-ready        a paused gateway has missed everything
3. update-files      clients find the gateway through them
outcome: resumed`},
		{name: "restarting", o: found(container.StateRestarting), want: `
1. wait-ready        the container exits again and again
2. update-files      clients find the gateway through them
outcome: resumed`},
		{name: "restarting with older files", o: found(container.StateRestarting, func(o *Observed) { o.FilesCurrent = false }), want: `
1. stop-container    the container exits again and again
2. write-files       the container does not hold this version's files
3. start-container   tried again with this version's files
4. wait-ready        the container exits again and again
5. update-files      clients find the gateway through them
outcome: resumed`},
		{name: "dead", o: found(container.StateDead), want: `
1. remove-container  the daemon reports the container as dead; the volume is kept
2. ensure-image      a container is made from ghcr.io/nvidia/openshell/cluster:0.0.34
3. ensure-network    the container needs its network
4. ensure-volume     everything worth keeping is on the volume
5. create-container  a dead container cannot be started
6. write-files       the new container holds nothing of ours yet
7. start-container   the container is new
8. wait-ready        the gateway boots
9. update-files      clients find the gateway through them
outcome: resumed`},
		{name: "volume only", o: found("", gone), want: `
1. ensure-image      a container is made from ghcr.io/nvidia/openshell/cluster:0.0.34
2. ensure-network    the container needs its network
3. ensure-volume     everything worth keeping is on the volume
4. create-container  the container is gone; the volume and its recorded configuration are there
5. write-files       the new container holds nothing of ours yet
6. start-container   the container is new
7. wait-ready        the gateway boots
8. update-files      clients find the gateway through them
outcome: resumed`},
		{name: "recreate", o: found(container.StateRunning), opts: planOptions{Recreate: true}, want: `
1. ensure-image      checked before anything is changed
2. stop-container    --recreate
3. keep-container    it comes back if the new gateway fails
4. set-aside         it comes back if the new gateway fails
5. ensure-network    the container needs its network
6. ensure-volume     everything worth keeping is on the volume
7. create-container  built from scratch
8. write-files       the new container holds nothing of ours yet
9. start-container   the container is new
10. wait-ready        the old state is kept until the new gateway is healthy
11. settle            the old state is no longer needed
12. remove-old        the new gateway is healthy
13. update-files      clients find the gateway through them
outcome: recreated`},
		{name: "recreate from the volume alone, and keep it", o: found("", gone), opts: planOptions{Recreate: true, KeepOld: true}, want: `
1. ensure-image      checked before anything is changed
2. check-port        checked before anything is changed
3. set-aside         it comes back if the new gateway fails
4. ensure-network    the container needs its network
5. ensure-volume     everything worth keeping is on the volume
6. create-container  built from scratch
7. write-files       the new container holds nothing of ours yet
8. start-container   the container is new
9. wait-ready        the old state is kept until the new gateway is healthy
10. settle            the old state stays as a snapshot
11. update-files      clients find the gateway through them
outcome: recreated`},
		{name: "an implied name beside another gateway", o: found("", nothing, func(o *Observed) { o.Others = []string{"prod"} }),
			opts: planOptions{NameImplied: true}, want: `
note: there is no gateway "dev" yet, but there is "prod"; to start that one, name it
1. ensure-image      a container is made from ghcr.io/nvidia/openshell/cluster:0.0.34
2. ensure-network    the container needs its network
3. ensure-volume     everything worth keeping is on the volume
4. create-container  there is nothing yet
5. write-files       the new container holds nothing of ours yet
6. start-container   the container is new
7. wait-ready        the gateway boots
8. update-files      clients find the gateway through them
outcome: created`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			base := newRecord("dev")
			target, changes := base.apply(tt.wanted)
			plan, err := makePlan(tt.o, target, changes, tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimSpace(tt.want), strings.TrimSpace(plan.String())); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlanRefuses(t *testing.T) {
	tests := []struct {
		name  string
		o     Observed
		cause Cause
		want  string
	}{
		{"a foreign container", found(container.StateExited, func(o *Observed) {
			o.Container.Origin, o.Container.Image, o.Container.Created = OriginForeign, "alpine", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		}), CauseForeign, `container "openshell-cluster-dev" is not a gateway: it was made from image "alpine" on 2026-01-02 03:04:05 by something else`},
		{"a foreign volume", found("", gone, func(o *Observed) { o.Volume.Origin = OriginForeign }),
			CauseForeign, `volume "openshell-cluster-dev", made on 0001-01-01 00:00:00, is not a gateway's`},
		{"a foreign network", found("", nothing, func(o *Observed) { o.Networks = []ObservedNetwork{{ID: "x", Origin: OriginUpstream}} }),
			CauseForeign, `network "openshell-cluster-dev" is not a gateway's`},
		{"somebody on the volume", found(container.StateExited, func(o *Observed) { o.VolumeUsers = []string{"backup"} }),
			CauseForeign, `volume "openshell-cluster-dev" is mounted by "backup" too; two writers would damage the gateway's data`},
		{"a container on another volume", found(container.StateExited, func(o *Observed) { o.Container.Volume = "other" }),
			CauseBroken, `container "openshell-cluster-dev" does not keep its state on volume "openshell-cluster-dev"`},
		{"a registered gateway that is gone", found("", nothing, func(o *Observed) { o.Registered, o.RegisteredEndpoint = true, "https://127.0.0.1:8080" }),
			CauseAbsent, `gateway "dev" is registered on this machine (https://127.0.0.1:8080), but this daemon has neither its container nor its volume`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := makePlan(tt.o, newRecord("dev"), nil, planOptions{})
			if err == nil {
				t.Fatal("planned")
			}
			if CauseOf(err) != tt.cause || err.Error() != tt.want {
				t.Errorf("got %s: %v\nwant %s: %s", CauseOf(err), err, tt.cause, tt.want)
			}
		})
	}
}

func TestNodeName(t *testing.T) {
	for name, want := range map[string]string{
		"dev": "openshell-dev", "Prod_US": "openshell-prod-us", "a..b": "openshell-a-b", "9": "openshell-9",
	} {
		if got := nodeName(name); got != want {
			t.Errorf("nodeName(%q) = %q, want %q", name, got, want)
		}
	}
}
