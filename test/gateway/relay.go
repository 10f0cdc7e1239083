package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

const (
	heartbeat = 15 * time.Second
	// silence is how long a supervisor may say nothing before it counts as gone.
	silence = 3 * heartbeat
	// openTimeout bounds the wait for a supervisor to open its end of a relay.
	openTimeout       = 10 * time.Second
	pendingTotal      = 256
	pendingPerSandbox = 32
)

// relays is the hop of servers from 0.0.35: the supervisor of each sandbox has called
// the server, and calls again for every connection that the server asks it for.
type relays struct {
	mu          sync.Mutex
	supervisors map[string]*supervisor
	pending     map[string]*pendingRelay
	// changed is closed, and replaced, whenever a supervisor comes.
	changed chan struct{}
}

// supervisor is the control call of one sandbox.
type supervisor struct {
	sandboxID string
	messages  chan *pb.GatewayMessage
	// gone is closed when the call has ended or another has taken its place.
	gone func()
	done <-chan struct{}
}

// pendingRelay waits for the supervisor's call. Whoever takes it out of the map settles
// it, so that it is settled once; a call that comes at the last moment wins.
type pendingRelay struct {
	sandboxID string
	// settled is closed once one of the others is set.
	settled chan struct{}
	conn    *relayConn
	err     error
}

func newRelays() *relays {
	return &relays{supervisors: map[string]*supervisor{}, pending: map[string]*pendingRelay{}, changed: make(chan struct{})}
}

// register makes a control call the one of its sandbox; one that was there ends.
func (r *relays) register(sandboxID string) *supervisor {
	done := make(chan struct{})
	v := &supervisor{sandboxID: sandboxID, messages: make(chan *pb.GatewayMessage), done: done, gone: sync.OnceFunc(func() { close(done) })}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.supervisors[sandboxID]; old != nil {
		old.gone()
	}
	r.supervisors[sandboxID] = v
	close(r.changed)
	r.changed = make(chan struct{})
	return v
}

func (r *relays) unregister(v *supervisor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v.gone()
	if r.supervisors[v.sandboxID] == v {
		delete(r.supervisors, v.sandboxID)
	}
}

// lookup returns a sandbox's supervisor, or nil and what to wait for.
func (r *relays) lookup(sandboxID string) (*supervisor, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.supervisors[sandboxID], r.changed
}

// present waits for the sandbox's supervisor to call.
func (r *relays) present(ctx context.Context, sandbox *pb.Sandbox) error {
	for {
		v, changed := r.lookup(string(sandbox.GetId()))
		if v != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("the sandbox's supervisor is not connected")
		case <-changed:
		}
	}
}

// dial asks the supervisor to open a relay, and waits for its call.
func (r *relays) dial(ctx context.Context, sandbox *pb.Sandbox, _ string) (stream, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	channel := newUUID()
	v, p, err := r.expect(string(sandbox.GetId()), channel)
	if err != nil {
		return nil, err
	}
	select {
	case v.messages <- &pb.GatewayMessage{Payload: &pb.GatewayMessage_RelayOpen{RelayOpen: &pb.RelayOpen{ChannelId: channel}}}:
	case <-v.done:
		r.fail(channel, status.Error(codes.Unavailable, "the sandbox's supervisor is gone"))
	case <-ctx.Done():
	}
	select {
	case <-ctx.Done():
		r.fail(channel, status.Error(codes.DeadlineExceeded, "the sandbox did not open the relay"))
	case <-v.done:
		r.fail(channel, status.Error(codes.Unavailable, "the sandbox's supervisor is gone"))
	case <-p.settled:
	}
	<-p.settled
	if p.err != nil {
		return nil, p.err
	}
	return p.conn, nil
}

// expect notes that a supervisor is about to be asked for a relay.
func (r *relays) expect(sandboxID, channel string) (*supervisor, *pendingRelay, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.supervisors[sandboxID]
	if v == nil {
		return nil, nil, status.Error(codes.Unavailable, "the sandbox's supervisor is not connected")
	}
	same := 0
	for _, p := range r.pending {
		if p.sandboxID == sandboxID {
			same++
		}
	}
	if len(r.pending) >= pendingTotal || same >= pendingPerSandbox {
		return nil, nil, status.Error(codes.ResourceExhausted, "too many relays are being opened")
	}
	p := &pendingRelay{sandboxID: sandboxID, settled: make(chan struct{})}
	r.pending[channel] = p
	return v, p, nil
}

// take removes a relay that is waited for; nil means that nobody waits.
func (r *relays) take(channel string) *pendingRelay {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pending[channel]
	delete(r.pending, channel)
	return p
}

func (r *relays) fail(channel string, err error) {
	if p := r.take(channel); p != nil {
		p.err = err
		close(p.settled)
	}
}

// decide sets the phase of a row by whether its supervisor is connected.
func (r *relays) decide(x *pb.Sandbox) {
	v, _ := r.lookup(string(x.GetId()))
	now := time.Now().UTC().Format(time.RFC3339)
	switch phase := x.GetPhase(); {
	case phase == deleting || phase == failed:
	case v != nil:
		x.Phase = ready
		setReady(x, true, "DependenciesReady", "Supervisor session connected", now)
	case phase == ready:
		x.Phase = provisioning
		setReady(x, false, "DependenciesNotReady", "Supervisor session not connected", now)
	}
}
