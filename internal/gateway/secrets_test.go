package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker-openshell/docker-openshell/internal/k3sexec"
	"github.com/docker-openshell/docker-openshell/internal/manifest"
)

// cluster is a namespace's Secrets in memory, with errors that can be injected at each
// call.
type cluster struct {
	secrets                       map[string]manifest.Object
	calls                         []string
	getErr, createErr, replaceErr error
	beforeCreate                  func()
	deleted                       []string
	replacedVersions              []string
}

func (c *cluster) list() []byte {
	items := []map[string]any{}
	for name, o := range c.secrets {
		items = append(items, map[string]any{"type": o.Type, "data": o.Data, "metadata": map[string]any{
			"name": name, "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z"}})
	}
	doc, err := json.Marshal(map[string]any{"kind": "SecretList", "items": items})
	if err != nil {
		panic(err)
	}
	return doc
}

func (c *cluster) Get(_ context.Context, path string) ([]byte, k3sexec.Presence, error) {
	if path == sandboxPath {
		return nil, k3sexec.Absent, nil
	}
	c.calls = append(c.calls, "get")
	if c.getErr != nil {
		return nil, k3sexec.Unknown, c.getErr
	}
	return c.list(), k3sexec.Present, nil
}

func (c *cluster) objects(doc []byte) []manifest.Object {
	var list struct{ Items []manifest.Object }
	if err := json.Unmarshal(doc, &list); err != nil {
		panic(err)
	}
	return list.Items
}

func (c *cluster) Create(_ context.Context, doc []byte) error {
	c.calls = append(c.calls, "create")
	if c.createErr != nil {
		return c.createErr
	}
	if c.beforeCreate != nil {
		c.beforeCreate()
	}
	var exists error
	for _, o := range c.objects(doc) {
		if _, there := c.secrets[o.Metadata.Name]; there {
			exists = k3sexec.ErrExists
		} else if o.Kind == "Secret" {
			c.secrets[o.Metadata.Name] = o
		}
	}
	return exists
}

func (c *cluster) Replace(_ context.Context, doc []byte) error {
	c.calls = append(c.calls, "replace")
	if c.replaceErr != nil {
		return c.replaceErr
	}
	for _, o := range c.objects(doc) {
		c.replacedVersions = append(c.replacedVersions, o.Metadata.ResourceVersion)
		c.secrets[o.Metadata.Name] = o
	}
	return nil
}

func (c *cluster) Delete(_ context.Context, _, kind, name string) error {
	c.deleted = append(c.deleted, kind+"/"+name)
	return nil
}

func (c *cluster) Follow(context.Context, string, string, func(k3sexec.Report) error) error {
	return errors.New("not used")
}

// newWaiter is a wait that has read the cluster's Secrets and nothing else.
func newWaiter(t *testing.T, c *cluster) (*waiter, *[]Event) {
	t.Helper()
	events := &[]Event{}
	m := New(Config{Events: func(e Event) { *events = append(*events, e) },
		Now: func() time.Time { return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) }})
	w := &waiter{r: &run{m: m, name: "dev", plan: Plan{Outcome: Resumed, Target: newRecord("dev")}}, kube: c}
	var err error
	if w.secrets, err = manifest.DecodeSecrets(c.list()); err != nil {
		t.Fatal(err)
	}
	return w, events
}

func handshake(c *cluster) string { return string(c.secrets[secretHandshake].Data["secret"]) }

// filled is a cluster with all Secrets in place.
func filled(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{secrets: map[string]manifest.Object{}}
	w, _ := newWaiter(t, c)
	w.apiReady = true
	if err := w.reconcile(t.Context()); err != nil || !w.reconciled {
		t.Fatalf("reconciled %t, %v", w.reconciled, err)
	}
	c.calls = nil
	return c
}

func TestReconcileCreatesWhatIsAbsent(t *testing.T) {
	c := &cluster{secrets: map[string]manifest.Object{}}
	w, _ := newWaiter(t, c)

	// The list says "not there", but the server does not call itself ready yet.
	if err := w.reconcile(t.Context()); err != nil || w.reconciled || len(c.calls) != 0 {
		t.Fatalf("before the API server was ready: %v, %v, %t", err, c.calls, w.reconciled)
	}
	w.apiReady = true
	if err := w.reconcile(t.Context()); err != nil || !w.reconciled {
		t.Fatalf("reconciled %t, %v", w.reconciled, err)
	}
	for _, name := range []string{secretHandshake, secretCA, secretServerTLS, secretClientCA, secretClientTLS} {
		if _, there := c.secrets[name]; !there {
			t.Errorf("no Secret %s", name)
		}
	}
	if value := handshake(c); len(value) != 64 || handshakeProblem([]byte(value)) != "" {
		t.Errorf("a handshake secret of %d characters", len(value))
	}
	if w.r.material.serverFingerprint == "" || len(w.r.material.client.Key) == 0 {
		t.Error("this machine's material is incomplete")
	}
}

func TestReconcileKeepsWhatIsThere(t *testing.T) {
	c := filled(t)
	before := string(c.list())
	w, events := newWaiter(t, c)
	w.apiReady = true
	if err := w.reconcile(t.Context()); err != nil || !w.reconciled {
		t.Fatalf("reconciled %t, %v", w.reconciled, err)
	}
	if len(c.calls) != 0 || len(*events) != 0 || w.mustRestart {
		t.Errorf("calls %v, events %v, restart %t", c.calls, *events, w.mustRestart)
	}
	if len(before) != len(string(c.list())) {
		t.Error("the Secrets changed")
	}
}

func TestReconcileWithAnUnknownOutcome(t *testing.T) {
	sick := errors.New("the server is on fire")
	t.Run("create fails", func(t *testing.T) {
		c := &cluster{secrets: map[string]manifest.Object{}, createErr: sick}
		w, _ := newWaiter(t, c)
		w.apiReady = true
		if err := w.reconcile(t.Context()); err != nil || w.reconciled || !w.retry || len(c.secrets) != 0 {
			t.Fatalf("%v, reconciled %t, retry %t, %d Secrets", err, w.reconciled, w.retry, len(c.secrets))
		}
		c.createErr = nil
		if err := w.readSecrets(t.Context()); err != nil || !w.reconciled {
			t.Fatalf("afterwards: %v, reconciled %t", err, w.reconciled)
		}
	})
	t.Run("the Secrets cannot be read again", func(t *testing.T) {
		c := &cluster{secrets: map[string]manifest.Object{}, getErr: sick}
		w, _ := newWaiter(t, c)
		w.apiReady = true
		if err := w.reconcile(t.Context()); err != nil || w.reconciled || !w.retry {
			t.Fatalf("%v, reconciled %t, retry %t", err, w.reconciled, w.retry)
		}
		first := handshake(c)
		c.getErr = nil
		if err := w.readSecrets(t.Context()); err != nil || !w.reconciled || handshake(c) != first {
			t.Fatalf("afterwards: %v, reconciled %t", err, w.reconciled)
		}
	})
	t.Run("what was replaced cannot be read again", func(t *testing.T) {
		c := filled(t)
		c.secrets[secretHandshake].Data["secret"] = []byte("short")
		c.getErr = sick
		w, events := newWaiter(t, c)
		w.apiReady = true
		if err := w.reconcile(t.Context()); err != nil || w.reconciled || !w.retry {
			t.Fatalf("%v, reconciled %t, retry %t", err, w.reconciled, w.retry)
		}
		c.getErr = nil
		if err := w.readSecrets(t.Context()); err != nil || !w.reconciled {
			t.Fatalf("afterwards: %v, reconciled %t", err, w.reconciled)
		}
		said := 0
		for _, e := range *events {
			if strings.Contains(e.Text, "was replaced") {
				said++
			}
		}
		if said != 1 || !w.mustRestart || len(c.replacedVersions) != 1 {
			t.Errorf("said %d times, restart %t, replaced %d times", said, w.mustRestart, len(c.replacedVersions))
		}
	})
	t.Run("somebody else creates them first", func(t *testing.T) {
		other := filled(t)
		c := &cluster{secrets: map[string]manifest.Object{}}
		c.beforeCreate = func() { c.secrets = other.secrets }
		w, _ := newWaiter(t, c)
		w.apiReady = true
		if err := w.reconcile(t.Context()); err != nil || !w.reconciled || handshake(c) != handshake(other) {
			t.Fatalf("%v, reconciled %t", err, w.reconciled)
		}
	})
	t.Run("somebody else changes one first", func(t *testing.T) {
		c := filled(t)
		c.secrets[secretHandshake].Data["secret"] = []byte("short")
		w, _ := newWaiter(t, c)
		w.apiReady = true
		c.replaceErr = sick
		if err := w.reconcile(t.Context()); err != nil || w.reconciled || !w.retry {
			t.Fatalf("%v, reconciled %t, retry %t", err, w.reconciled, w.retry)
		}
	})
}

func TestReconcileReplacesTheUnusable(t *testing.T) {
	c := filled(t)
	c.secrets[secretHandshake].Data["secret"] = []byte("abc123")
	w, events := newWaiter(t, c)
	w.apiReady = true
	if err := w.reconcile(t.Context()); err != nil || !w.reconciled {
		t.Fatalf("reconciled %t, %v", w.reconciled, err)
	}
	if !slices.Equal(c.replacedVersions, []string{"7"}) {
		t.Errorf("replaced against resource versions %q, want that which was read", c.replacedVersions)
	}
	if handshakeProblem([]byte(handshake(c))) != "" || !w.mustRestart {
		t.Errorf("restart %t", w.mustRestart)
	}
	said := ""
	for _, e := range *events {
		said += e.Text
	}
	if !strings.Contains(said, "6 characters") || strings.Contains(said, "abc123") || strings.Contains(said, handshake(c)) {
		t.Errorf("said %q", said)
	}
}

// TestServerThatIsOlderThanItsSecrets is for a command that was cut off between writing
// a Secret and restarting the server: the next one sees it from the times.
func TestServerThatIsOlderThanItsSecrets(t *testing.T) {
	for _, test := range []struct {
		started           string
		replaced, created bool // by this command
		want              int
	}{
		{"2025-12-31T23:59:59Z", false, false, 1}, {"2026-01-01T00:00:00Z", false, false, 0}, {"2026-01-02T00:00:00Z", false, false, 0},
		// Which of the two came first within a second is not known.
		{"2025-12-31T23:59:59Z", false, true, 1}, {"2026-01-01T00:00:00Z", false, true, 1}, {"2026-01-01T00:00:01Z", false, true, 0},
		// A volume may have been mounted long before the server starts.
		{"2026-01-02T00:00:00Z", true, true, 1},
	} {
		c := filled(t)
		w, _ := newWaiter(t, c)
		w.apiReady = true
		if err := w.reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		event, err := manifest.DecodePodEvent([]byte(`{"type":"ADDED","object":{"metadata":{"uid":"u1"},"status":{
			"containerStatuses":[{"state":{"running":{"startedAt":"` + test.started + `"}}}]}}}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.podEvent(t.Context(), event); err != nil {
			t.Fatal(err)
		}
		w.mustRestart, w.mayRestart = test.replaced, test.created
		w.refreshServer(t.Context())
		w.refreshServer(t.Context())
		if len(c.deleted) != test.want || w.mustRestart {
			t.Errorf("%+v: deleted %v, must still restart: %t", test, c.deleted, w.mustRestart)
		}
	}
}
