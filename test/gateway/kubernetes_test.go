package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeCluster is as much of the Kubernetes API as the server uses: sandboxes and events
// of one namespace, with watches.
type fakeCluster struct {
	mu        sync.Mutex
	version   int
	sandboxes map[string]object
	events    []object
	history   []fakeChange
	// changed is closed, and replaced, at each change.
	changed chan struct{}
	// refuse is the status of the next requests to change something; 0 is none.
	refuse int
	// cut ends all watches that are open.
	cut chan struct{}
	// tokens are those that came, in order, each once.
	tokens []string
}

type fakeChange struct {
	version int
	list    string
	text    []byte
}

func newFakeCluster(t *testing.T) (*fakeCluster, *cluster) {
	t.Helper()
	f := &fakeCluster{sandboxes: map[string]object{}, changed: make(chan struct{}), cut: make(chan struct{})}
	mux := http.NewServeMux()
	const base = "/apis/agents.x-k8s.io/v1alpha1/namespaces/test/sandboxes"
	mux.HandleFunc("GET "+base, func(w http.ResponseWriter, r *http.Request) { f.read(w, r, "sandboxes") })
	mux.HandleFunc("GET /api/v1/namespaces/test/events", func(w http.ResponseWriter, r *http.Request) { f.read(w, r, "events") })
	mux.HandleFunc("POST "+base, f.create)
	mux.HandleFunc("DELETE "+base+"/{name}", func(w http.ResponseWriter, r *http.Request) { f.delete(w, r.PathValue("name")) })
	mux.HandleFunc("GET /api/v1/nodes", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"items":[{"status":{"allocatable":{"cpu":"2"}}}]}`) //nolint:errcheck // the client says it
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		if token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); len(f.tokens) == 0 || f.tokens[len(f.tokens)-1] != token {
			f.tokens = append(f.tokens, token)
		}
		f.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(f.cutWatches)
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return f, &cluster{base: server.URL, namespace: "test", tokenFile: tokenFile, http: server.Client()}
}

func (f *fakeCluster) cutWatches() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.cut)
	f.cut = make(chan struct{})
}

// change notes a change; the lock is held.
func (f *fakeCluster) change(list, kind string, o object) {
	f.version++
	o["metadata"].(object)["resourceVersion"] = strconv.Itoa(f.version)
	text, err := json.Marshal(object{"type": kind, "object": o})
	if err != nil {
		panic(err)
	}
	f.history = append(f.history, fakeChange{f.version, list, append(text, '\n')})
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeCluster) read(w http.ResponseWriter, r *http.Request, list string) {
	if r.URL.Query().Get("watch") == "" {
		f.mu.Lock()
		defer f.mu.Unlock()
		items := []object{}
		if list == "events" {
			items = append(items, f.events...)
		} else {
			for _, o := range f.sandboxes {
				items = append(items, o)
			}
		}
		json.NewEncoder(w).Encode(object{"metadata": object{"resourceVersion": strconv.Itoa(f.version)}, "items": items}) //nolint:errcheck // the client says it
		return
	}
	version, err := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.(http.Flusher).Flush()
	for {
		f.mu.Lock()
		changed, cut, history := f.changed, f.cut, f.history
		f.mu.Unlock()
		for _, c := range history {
			if c.version > version && c.list == list {
				w.Write(c.text) //nolint:errcheck // the client says it
			}
			version = max(version, c.version)
		}
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-cut:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (f *fakeCluster) create(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var o object
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	meta := o["metadata"].(object)
	name := meta["name"].(string)
	code := f.refuse
	if f.sandboxes[name] != nil {
		code = http.StatusConflict
	}
	if code != 0 {
		w.WriteHeader(code)
		// The real API may quote what it refuses.
		json.NewEncoder(w).Encode(object{"message": "refused: " + fmt.Sprint(o)}) //nolint:errcheck // the client says it
		return
	}
	meta["creationTimestamp"] = time.Now().UTC().Format(time.RFC3339)
	f.sandboxes[name] = o
	f.change("sandboxes", "ADDED", o)
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(o) //nolint:errcheck // the client says it
}

// delete marks an object; gone finishes it, as the garbage collector does later.
func (f *fakeCluster) delete(w http.ResponseWriter, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.sandboxes[name]
	if o == nil || f.refuse != 0 {
		w.WriteHeader(max(f.refuse, http.StatusNotFound))
		return
	}
	o["metadata"].(object)["deletionTimestamp"] = time.Now().UTC().Format(time.RFC3339)
	f.change("sandboxes", "MODIFIED", o)
}

// waitMarked waits until an object was asked to be deleted.
func (f *fakeCluster) waitMarked(t *testing.T, name string) {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		f.mu.Lock()
		marked, changed := f.sandboxes[name]["metadata"].(object)["deletionTimestamp"], f.changed
		f.mu.Unlock()
		if marked != nil {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("the deletion of %q was not finished", name)
		}
	}
}

func (f *fakeCluster) gone(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.sandboxes[name]
	delete(f.sandboxes, name)
	f.change("sandboxes", "DELETED", o)
}

// setReady sets the condition of an object, as its controller does.
func (f *fakeCluster) setReady(name, status, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.sandboxes[name]
	o["status"] = object{"conditions": []any{object{"type": "Ready", "status": status, "reason": reason}}}
	f.change("sandboxes", "MODIFIED", o)
}

func (f *fakeCluster) event(kind, name, uid, reason, message string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := object{
		"metadata": object{"uid": uid}, "type": "Normal", "reason": reason, "message": message,
		"involvedObject": object{"kind": kind, "name": name}, "lastTimestamp": at.UTC().Format(time.RFC3339),
		"source": object{"component": "kubelet"},
	}
	f.change("events", "ADDED", o)
	f.events = append(f.events, o)
}

// TestTokenIsReadAgain shows that a service account's new token is used at once.
func TestTokenIsReadAgain(t *testing.T) {
	fake, kube := newFakeCluster(t)
	for _, token := range []string{"one", "two"} {
		if err := os.WriteFile(kube.tokenFile, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := kube.call(t.Context(), http.MethodGet, "/api/v1/nodes", nil, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(fake.tokens, " "); got != "one two" {
		t.Error(got)
	}
}

func TestOutsideOfACluster(t *testing.T) {
	if _, err := newCluster("x", t.TempDir(), env(nil)); err == nil || !strings.Contains(err.Error(), "KUBERNETES_SERVICE_HOST") {
		t.Error(err)
	}
}
