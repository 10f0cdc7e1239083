package main

import (
	"errors"
	"sync"
)

const (
	tunnelsPerToken   = 3
	tunnelsPerSandbox = 20
)

var errTooMany = errors.New("too many concurrent connections")

// tunnels counts the open tunnels, to bound them.
type tunnels struct {
	mu sync.Mutex
	// byToken is keyed by the token's sum, bySandbox by the sandbox's ID.
	byToken, bySandbox map[string]int
	names              map[string]string
}

func newTunnels() *tunnels {
	return &tunnels{byToken: map[string]int{}, bySandbox: map[string]int{}, names: map[string]string{}}
}

// enter counts a tunnel in, if there is room; leave counts it out.
func (t *tunnels) enter(n session) (leave func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byToken[n.TokenSHA256] >= tunnelsPerToken || t.bySandbox[n.SandboxID] >= tunnelsPerSandbox {
		return nil, errTooMany
	}
	t.byToken[n.TokenSHA256]++
	t.bySandbox[n.SandboxID]++
	t.names[n.SandboxID] = n.Sandbox
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.byToken[n.TokenSHA256]--; t.byToken[n.TokenSHA256] == 0 {
			delete(t.byToken, n.TokenSHA256)
		}
		if t.bySandbox[n.SandboxID]--; t.bySandbox[n.SandboxID] == 0 {
			delete(t.bySandbox, n.SandboxID)
			delete(t.names, n.SandboxID)
		}
	}), nil
}

// open returns the number of open tunnels by the name of their sandbox.
func (t *tunnels) open() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := map[string]int{}
	for id, n := range t.bySandbox {
		counts[t.names[id]] += n
	}
	return counts
}
