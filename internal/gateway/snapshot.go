package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// snapshotVersion is the layout of a snapshot's description.
const snapshotVersion = 1

// Snapshot is a state of a gateway that was set aside in its volume.
type Snapshot struct {
	ID      string    `json:"id"`
	Gateway string    `json:"gateway"`
	Created time.Time `json:"created"`
	// Reason says what replaced it.
	Reason string `json:"reason"`
	// Size is what it takes on the disk, in bytes.
	Size int64 `json:"size"`
	// Sandboxes are those whose workspaces are in it.
	Sandboxes []string `json:"sandboxes"`
	// Image is the node image that it ran with, GatewayImage the server's.
	Image        string `json:"image"`
	GatewayImage string `json:"gatewayImage"`

	// record is the configuration to rebuild the container with.
	record *Record
}

// snapshotInfo is what lies in the volume beside the state itself.
type snapshotInfo struct {
	Version int             `json:"version"`
	ID      string          `json:"id"`
	Gateway string          `json:"gateway"`
	Created time.Time       `json:"created"`
	Reason  string          `json:"reason"`
	Keep    bool            `json:"keep"`
	Record  json.RawMessage `json:"record,omitempty"`
}

// snapshotID names a snapshot by the time at which it is made.
func snapshotID(t time.Time) string { return t.UTC().Format("20060102-150405") }

// snapshotInfo describes the present state, which becomes a snapshot. It is one line.
func (r *run) snapshotInfo() ([]byte, error) {
	info := snapshotInfo{Version: snapshotVersion, ID: r.snapshot, Gateway: r.name, Created: r.m.cfg.Now().UTC().Truncate(time.Second),
		Reason: r.opts.Reason, Keep: r.opts.KeepOld}
	if info.Reason == "" {
		info.Reason = "gateway start --recreate"
	}
	if r.o.Record != nil {
		record, err := json.Marshal(r.o.Record)
		if err != nil {
			return nil, err
		}
		info.Record = record
	}
	data, err := json.Marshal(info)
	return append(data, '\n'), err
}

// stateList is what the script says of a volume.
type stateList struct {
	size      int64
	sandboxes []string
	snapshots []Snapshot
}

// parseStateList reads the script's lines: ID, kilobytes, sandboxes, description.
func parseStateList(name, out string) (stateList, error) {
	var list stateList
	for line := range strings.Lines(out) {
		fields := strings.SplitN(strings.TrimRight(line, "\n"), "\t", 4)
		if len(fields) != 4 {
			return list, fmt.Errorf("the list of snapshots has the line %.200q", line)
		}
		kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return list, fmt.Errorf("the list of snapshots has the size %q", fields[1])
		}
		sandboxes := []string{}
		if fields[2] != "" {
			sandboxes = strings.Split(fields[2], ",")
			slices.Sort(sandboxes)
		}
		if fields[0] == "." {
			list.size, list.sandboxes = kilobytes<<10, sandboxes
			continue
		}
		s := Snapshot{ID: fields[0], Gateway: name, Size: kilobytes << 10, Sandboxes: sandboxes}
		s.describe(fields[3])
		list.snapshots = append(list.snapshots, s)
	}
	slices.SortFunc(list.snapshots, func(a, b Snapshot) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// describe takes over what lies beside the state. A description that cannot be read
// leaves the snapshot listed, so that its user can see and remove it.
func (s *Snapshot) describe(data string) {
	var info snapshotInfo
	if err := json.Unmarshal([]byte(data), &info); err != nil || info.Version != snapshotVersion || info.Gateway != s.Gateway {
		s.Reason = "(its description cannot be read)"
		return
	}
	s.Created, s.Reason = info.Created, info.Reason
	if r, err := parseRecord(s.Gateway, info.Record); err == nil {
		s.record, s.Image, s.GatewayImage = &r, r.Image, r.GatewayImage
	}
}

// listState looks into a gateway's volume.
func (m *Manager) listState(ctx context.Context, o Observed) (stateList, error) {
	r := &run{m: m, name: o.Name, o: o}
	image, err := r.helperImage(ctx)
	if err != nil {
		return stateList{}, err
	}
	out, err := m.runState(ctx, o.Name, image, nil, "ls")
	if err != nil {
		return stateList{}, err
	}
	return parseStateList(o.Name, out)
}

// Snapshots lists the states of a gateway that were set aside, the oldest first.
func (m *Manager) Snapshots(ctx context.Context, name string) ([]Snapshot, error) {
	o, err := m.withVolume(ctx, name)
	if err != nil {
		return nil, err
	}
	list, err := m.listState(ctx, o)
	if err != nil {
		return nil, m.interrupted(err, name)
	}
	return slices.DeleteFunc(list.snapshots, func(s Snapshot) bool { return o.Pending != nil && o.Pending.ID == s.ID }), nil
}

// withVolume observes a gateway that must have a volume.
func (m *Manager) withVolume(ctx context.Context, name string) (Observed, error) {
	if err := validateName(name); err != nil {
		return Observed{}, err
	}
	o, err := m.observe(ctx, name, DefaultImage)
	if err != nil {
		return o, m.interrupted(err, name)
	}
	if o.Volume == nil {
		return o, absent(name)
	}
	return o, checkOwnership(o)
}

func findSnapshot(name string, list []Snapshot, id string) (Snapshot, error) {
	for _, s := range list {
		if s.ID == id {
			return s, nil
		}
	}
	e := &Error{Cause: CauseAbsent, Err: fmt.Errorf("gateway %q has no snapshot %q", name, id), Hint: "see 'docker openshell gateway snapshot ls " + name + "'"}
	if len(list) == 0 {
		e.Err = fmt.Errorf("gateway %q has no snapshots", name)
		e.Hint = "one is made by 'docker openshell gateway start --recreate --keep-old'"
	}
	return Snapshot{}, e
}

// RemoveSnapshots frees snapshots. It removes none unless all of them are there.
func (m *Manager) RemoveSnapshots(ctx context.Context, name string, ids []string) error {
	if err := validateName(name); err != nil {
		return err
	}
	unlock, err := m.lock(ctx, name)
	if err != nil {
		return err
	}
	return m.interrupted(errors.Join(m.removeSnapshots(ctx, name, ids), unlock()), name)
}

func (m *Manager) removeSnapshots(ctx context.Context, name string, ids []string) error {
	if err := m.recovery(ctx, name, true); err != nil {
		return err
	}
	o, err := m.withVolume(ctx, name)
	if err != nil {
		return err
	}
	list, err := m.listState(ctx, o)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := findSnapshot(name, list.snapshots, id); err != nil {
			return err
		}
	}
	r := &run{m: m, name: name, o: o}
	for _, id := range ids {
		if err := r.state(ctx, nil, "rm", id); err != nil {
			return err
		}
	}
	return nil
}

// RestoreOptions are the options of [Manager.Restore].
type RestoreOptions struct {
	// Timeout bounds the wait for readiness; 0 means [DefaultTimeout].
	Timeout time.Duration
}

// Restore swaps a snapshot with the present state, which becomes a snapshot, and
// starts the gateway with the configuration that it had.
func (m *Manager) Restore(ctx context.Context, name, id string, opts RestoreOptions) (StartResult, error) {
	if err := validateName(name); err != nil {
		return StartResult{}, err
	}
	unlock, err := m.lock(ctx, name)
	if err != nil {
		return StartResult{}, err
	}
	res, err := m.restoreLocked(ctx, name, id, opts)
	return res, m.interrupted(errors.Join(err, unlock()), name)
}

func (m *Manager) restoreLocked(ctx context.Context, name, id string, opts RestoreOptions) (StartResult, error) {
	if err := m.recovery(ctx, name, true); err != nil {
		return StartResult{}, err
	}
	o, err := m.withVolume(ctx, name)
	if err != nil {
		return StartResult{}, err
	}
	list, err := m.listState(ctx, o)
	if err != nil {
		return StartResult{}, err
	}
	s, err := findSnapshot(name, list.snapshots, id)
	if err != nil {
		return StartResult{}, err
	}
	if s.record == nil {
		return StartResult{}, &Error{Cause: CauseBroken, Err: fmt.Errorf("the configuration of snapshot %q cannot be read", id),
			Hint: "its files lie below .openshell/snapshots on volume " + objectName(name)}
	}
	r := &run{m: m, name: name, o: o, snapshot: snapshotID(m.cfg.Now()),
		opts: StartOptions{Timeout: opts.Timeout, KeepOld: true, Reason: "replaced by snapshot " + id}, restore: &s}
	if o.Container != nil {
		r.container = o.Container.ID
	}
	r.plan = planRestore(o, s)
	if err := r.execute(ctx); err != nil {
		return StartResult{}, err
	}
	return r.result(), nil
}

// planRestore puts a snapshot in the place of the present state.
func planRestore(o Observed, s Snapshot) Plan {
	p := Plan{Outcome: Restored, Target: *s.record}
	why := "snapshot " + s.ID + " takes its place"
	p.add(StepEnsureImage, "checked before anything is changed")
	if portMoves(o, p.Target) {
		p.add(StepCheckPort, "checked before anything is changed")
	}
	if o.Container != nil {
		p.add(StepStop, why)
		p.add(StepRemoveContainer, why)
	}
	p.add(StepSwapState, "the present state becomes a snapshot in turn")
	p.makeContainer("built for the state of snapshot " + s.ID)
	return p
}
