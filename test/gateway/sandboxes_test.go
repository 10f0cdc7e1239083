package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

var update = flag.Bool("update", false, "write the golden files")

// TestResource compares the Kubernetes object of a sandbox with a file.
func TestResource(t *testing.T) {
	resources, err := structpb.NewStruct(map[string]any{"limits": map[string]any{"memory": "1Gi"}})
	if err != nil {
		t.Fatal(err)
	}
	sandbox := &pb.Sandbox{Id: []byte("id-1"), Name: []byte("box"), Namespace: []byte("openshell"), Spec: &pb.SandboxSpec{
		Environment: map[string]string{"A": "spec", "OPENSHELL_SANDBOX": "mine"},
		Template:    &pb.SandboxTemplate{Image: "image:1", Environment: map[string]string{"A": "template", "B": "b"}, Resources: resources},
		Gpu:         true,
	}}
	for name, o := range map[string]options{
		"tls": {clientTLSSecret: "openshell-client-tls", grpcEndpoint: "https://server:8080", handshakeSecret: "hidden", skew: 300,
			sandboxPullPolicy: "IfNotPresent", hostGatewayIP: "172.17.0.1"},
		"plain": {disableTLS: true, relay: true, grpcEndpoint: "http://server:8080", handshakeSecret: "hidden", skew: 300},
	} {
		s := sandbox
		if name == "plain" {
			s = &pb.Sandbox{Id: []byte("id-2"), Name: []byte("bare"), Namespace: []byte("openshell"), Spec: &pb.SandboxSpec{Template: &pb.SandboxTemplate{Image: "image:2"}}}
		}
		var got bytes.Buffer
		encoder := json.NewEncoder(&got)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(o.sandboxResource(s)); err != nil {
			t.Fatal(err)
		}
		file := "testdata/" + name + ".json"
		if *update {
			if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
	}
}

// TestSandboxLife creates a sandbox, watches it get ready, restarts the server, and
// deletes the sandbox.
func TestSandboxLife(t *testing.T) {
	w := newWorld(t, false)
	sandbox := w.create("")
	name, id := string(sandbox.GetName()), string(sandbox.GetId())
	if !regexp.MustCompile(`^[a-z]+-[a-z]+$`).MatchString(name) || len(id) != 36 || sandbox.GetPhase() != provisioning ||
		sandbox.GetSpec().GetTemplate().GetImage() != "default:1" || string(sandbox.GetNamespace()) != "test" || sandbox.GetCreatedAtMs() != 0 {
		t.Errorf("created %v", sandbox)
	}
	w.wait(id, unknown)
	w.fake.setReady(name, "False", "DependenciesNotReady")
	w.wait(id, provisioning)
	w.fake.cutWatches()
	w.fake.setReady(name, "True", "DependenciesReady")
	w.wait(id, ready)

	w.restart(false)
	got, err := w.client.GetSandbox(t.Context(), &pb.GetSandboxRequest{Name: name})
	w.check(err)
	if string(got.GetSandbox().GetId()) != id || got.GetSandbox().GetPhase() != ready || got.GetSandbox().GetCreatedAtMs() != 0 {
		t.Errorf("after a restart %v", got)
	}
	list, err := w.client.ListSandboxes(t.Context(), &pb.ListSandboxesRequest{})
	w.check(err)
	if len(list.GetSandboxes()) != 1 || list.GetSandboxes()[0].GetCreatedAtMs() == 0 {
		t.Errorf("list %v", list)
	}

	deleted, err := w.client.DeleteSandbox(t.Context(), &pb.DeleteSandboxRequest{Name: name})
	w.check(err)
	if !deleted.GetDeleted() {
		t.Error("the object was not there")
	}
	w.wait(id, deleting)
	w.fake.gone(name)
	w.waitGone(id)
	if _, err := w.client.GetSandbox(t.Context(), &pb.GetSandboxRequest{Name: name}); status.Code(err) != codes.NotFound {
		t.Errorf("get: %v", err)
	}
}

// TestReconcile changes objects while the server is down.
func TestReconcile(t *testing.T) {
	w := newWorld(t, false)
	vanished, stays, cut := w.ready("vanished"), w.ready("stays"), w.ready("cut")
	w.stop()
	w.fake.gone("vanished")
	w.fake.setReady("stays", "False", "PodFailed")
	// The server died between the mark and the deletion.
	store, err := openStore(t.Context(), "sqlite:"+w.db)
	w.check(err)
	_, err = store.updateSandbox(t.Context(), string(cut.GetId()), func(x *pb.Sandbox) { x.Phase = deleting })
	w.check(err)
	store.close()

	w.start(w.service.cluster, false)
	w.waitGone(string(vanished.GetId()))
	w.wait(string(stays.GetId()), failed)
	w.fake.waitMarked(t, "cut")

	// Without its database the server finds what the cluster has.
	w.stop()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(w.db + suffix); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	w.start(w.service.cluster, false)
	w.fake.setReady("stays", "True", "DependenciesReady")
	for {
		got, err := w.client.GetSandbox(t.Context(), &pb.GetSandboxRequest{Name: "stays"})
		if status.Code(err) == codes.NotFound {
			continue
		}
		w.check(err)
		if !bytes.Equal(got.GetSandbox().GetId(), stays.GetId()) || got.GetSandbox().GetSpec().GetTemplate().GetImage() != "default:1" {
			t.Errorf("adopted %v", got)
		}
		break
	}
}

func TestCreateRefusals(t *testing.T) {
	w := newWorld(t, false)
	w.create("taken")
	long := strings.Repeat("x", 10000)
	for _, tt := range []struct {
		req  *pb.CreateSandboxRequest
		code codes.Code
	}{
		{&pb.CreateSandboxRequest{Name: "a"}, codes.InvalidArgument},
		{&pb.CreateSandboxRequest{Name: long[:254], Spec: &pb.SandboxSpec{}}, codes.InvalidArgument},
		{&pb.CreateSandboxRequest{Spec: &pb.SandboxSpec{LogLevel: long[:33]}}, codes.InvalidArgument},
		{&pb.CreateSandboxRequest{Spec: &pb.SandboxSpec{Environment: map[string]string{"A": long[:8193]}}}, codes.InvalidArgument},
		{&pb.CreateSandboxRequest{Spec: &pb.SandboxSpec{Environment: map[string]string{long[:257]: ""}}}, codes.InvalidArgument},
		{&pb.CreateSandboxRequest{Spec: &pb.SandboxSpec{Template: &pb.SandboxTemplate{Image: long[:1025]}}}, codes.InvalidArgument},
		{&pb.CreateSandboxRequest{Spec: &pb.SandboxSpec{Providers: make([]string, 33)}}, codes.InvalidArgument},
		{&pb.CreateSandboxRequest{Spec: &pb.SandboxSpec{Providers: []string{"p"}}}, codes.FailedPrecondition},
		{&pb.CreateSandboxRequest{Spec: &pb.SandboxSpec{Gpu: true}}, codes.FailedPrecondition},
		{&pb.CreateSandboxRequest{Name: "taken", Spec: &pb.SandboxSpec{}}, codes.AlreadyExists},
	} {
		if _, err := w.client.CreateSandbox(t.Context(), tt.req); status.Code(err) != tt.code {
			t.Errorf("%.80v: %v, want %v", tt.req, err, tt.code)
		}
	}
	// Kubernetes refuses: the row goes, and the secret stays out of the message.
	w.fake.mu.Lock()
	w.fake.refuse = http.StatusUnprocessableEntity
	w.fake.mu.Unlock()
	_, err := w.client.CreateSandbox(t.Context(), &pb.CreateSandboxRequest{Name: "Bad", Spec: &pb.SandboxSpec{}})
	if status.Code(err) != codes.Internal || !strings.HasPrefix(status.Convert(err).Message(), "create sandbox failed: ") || strings.Contains(err.Error(), testSecret) {
		t.Errorf("refused by Kubernetes: %v", err)
	}
	list, err := w.client.ListSandboxes(t.Context(), &pb.ListSandboxesRequest{})
	w.check(err)
	if len(list.GetSandboxes()) != 1 {
		t.Errorf("left %v", list)
	}
	// A deletion that Kubernetes refuses leaves the sandbox as it was.
	if _, err := w.client.DeleteSandbox(t.Context(), &pb.DeleteSandboxRequest{Name: "taken"}); status.Code(err) != codes.Internal {
		t.Errorf("delete: %v", err)
	}
	if got, err := w.client.GetSandbox(t.Context(), &pb.GetSandboxRequest{Name: "taken"}); err != nil || got.GetSandbox().GetPhase() == deleting {
		t.Errorf("after a failed deletion %v, %v", got, err)
	}
}

func TestDeleteWithoutObject(t *testing.T) {
	_, kube := newFakeCluster(t)
	s := newTestStore(t)
	// Nothing follows the cluster here, so that only the call can drop the row.
	calls := newTestService(t, options{}, s, kube)
	if _, err := s.insertSandbox(t.Context(), &pb.Sandbox{Id: []byte("1"), Name: []byte("bare")}, 1); err != nil {
		t.Fatal(err)
	}
	if res, err := calls.DeleteSandbox(t.Context(), &pb.DeleteSandboxRequest{Name: "bare"}); err != nil || res.GetDeleted() {
		t.Errorf("%v, %v", res, err)
	}
	for name, want := range map[string]codes.Code{"bare": codes.NotFound, "": codes.InvalidArgument} {
		if _, err := calls.DeleteSandbox(t.Context(), &pb.DeleteSandboxRequest{Name: name}); status.Code(err) != want {
			t.Errorf("delete %q: %v", name, err)
		}
	}
}

func TestListBounds(t *testing.T) {
	s := newTestStore(t)
	for i := range 1003 {
		if ok, err := s.insertSandbox(t.Context(), &pb.Sandbox{Id: fmt.Append(nil, i), Name: fmt.Appendf(nil, "box-%d", i)}, int64(i+1)); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	calls := newTestService(t, options{}, s, nil)
	for _, tt := range []struct {
		limit, offset uint32
		n             int
		first         string
	}{{0, 0, 100, "box-0"}, {5000, 0, 1000, "box-0"}, {10, 1000, 3, "box-1000"}, {1, 5, 1, "box-5"}, {1, 4000, 0, ""}} {
		res, err := calls.ListSandboxes(t.Context(), &pb.ListSandboxesRequest{Limit: tt.limit, Offset: tt.offset})
		if err != nil || len(res.GetSandboxes()) != tt.n || tt.n > 0 && string(res.GetSandboxes()[0].GetName()) != tt.first {
			t.Errorf("%+v: %d, %v", tt, len(res.GetSandboxes()), err)
		}
	}
}
