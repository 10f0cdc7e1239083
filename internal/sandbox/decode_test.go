package sandbox

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// text and number encode one field by hand, as a server does that knows nothing of
// our declarations.
func text(num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, num, protowire.BytesType), s)
}

func number(num protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), n)
}

func join(parts ...[]byte) string { return string(bytes.Join(parts, nil)) }

const id = "3f0f6a57-52d1-4c2e-9d53-0a55d7a3c9a1"

// served is a Sandbox as the servers 0.0.22 to 0.0.36 send it: ID, name, namespace,
// specification (template with image, policy, GPU), status with a condition, phase,
// time, policy version.
func served() string {
	condition := join(text(1, "Ready"), text(2, "False"), text(3, "DependenciesNotReady"), text(4, "Pod is pending"))
	spec := join(text(6, join(text(1, "me/image:1"))), text(7, join(number(1, 1), text(4, "policy"))), number(9, 1))
	return join(text(1, id), text(2, "bold-fox"), text(3, "openshell"), text(4, spec), text(5, join(text(5, condition))),
		number(6, 1), number(7, 1767323045000), number(8, 3))
}

func TestDecode(t *testing.T) {
	var s pb.Sandbox
	if err := proto.Unmarshal([]byte(served()), &s); err != nil {
		t.Fatal(err)
	}
	got, err := decode(&s)
	if err != nil {
		t.Fatal(err)
	}
	want := Sandbox{ID: id, Name: "bold-fox", Namespace: "openshell", Phase: PhaseProvisioning, Image: "me/image:1", GPU: true,
		Created:   time.UnixMilli(1767323045000).UTC(),
		Condition: []Condition{{"Ready", "False", "DependenciesNotReady", "Pod is pending"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.problem() != "DependenciesNotReady Pod is pending" {
		t.Errorf("problem %q", got.problem())
	}
	// What we do not know, such as the policy, survives.
	back, err := proto.MarshalOptions{Deterministic: true}.Marshal(&s)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(back), join(text(7, join(number(1, 1), text(4, "policy"))))) {
		t.Error("the policy was lost")
	}
}

// TestCreateRequest: what we send is what the servers expect, byte for byte.
func TestCreateRequest(t *testing.T) {
	got, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.CreateSandboxRequest{Name: "demo",
		Spec: &pb.SandboxSpec{Gpu: true, Template: &pb.SandboxTemplate{Image: "a/b:1"}}})
	if err != nil {
		t.Fatal(err)
	}
	want := join(text(1, join(text(6, join(text(1, "a/b:1"))), number(9, 1))), text(2, "demo"))
	if string(got) != want {
		t.Errorf("got %x\nwant %x", got, want)
	}
}

// TestLaterGeneration: the renumbered message is recognised, also where its bytes are
// no text: number 1 is then metadata with ID, name and a time.
func TestLaterGeneration(t *testing.T) {
	metadata := join(text(1, id), text(2, "bold-fox"), number(3, 1767323045000))
	raw := join(text(1, metadata), text(2, join(text(6, "x"))), text(3, "\xff\xfe"), number(4, 2))
	var s pb.Sandbox
	if err := proto.Unmarshal([]byte(raw), &s); err != nil {
		t.Fatalf("it must decode to be recognised: %v", err)
	}
	if _, err := decode(&s); CauseOf(err) != CauseGeneration {
		t.Errorf("%s: %v", CauseOf(err), err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, s := range []*pb.Sandbox{
		nil,
		{},
		{Id: []byte("a b"), Name: []byte("x")},
		{Id: []byte(id), Name: []byte("x\x1b[31m")},
		{Id: []byte(id), Name: []byte("x;id")},
		{Id: []byte(id), Name: []byte(strings.Repeat("x", 254))},
		{Id: []byte(strings.Repeat("x", 129)), Name: []byte("x")},
	} {
		_, err := decode(s)
		if CauseOf(err) != CauseReply {
			t.Errorf("%v: %v", s, err)
		}
		if err != nil && strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("a control character reaches the terminal: %q", err)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain text, ä and ✓\nnext line": "plain text, ä and ✓\nnext line",
		"\x1b[2J":                        `"\x1b[2J"`,
		"a\x00b":                         `"a\x00b"`,
		"\u009b31m":                      `"\u009b31m"`,
		"\xff":                           `"\xff"`,
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := clean(strings.Repeat("x", 5000)); len(got) > 2100 {
		t.Errorf("%d bytes", len(got))
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{"a": true, "demo-1": true, strings.Repeat("a", 63): true, strings.Repeat("a", 64): false,
		"": false, "1a": false, "A": false, "a-": false, "-a": false, "a_b": false, "a.b": false, "a b": false, "a;b": false, "openshell": false, "kubernetes": false} {
		if err := ValidateName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for endpoint, ok := range map[string]bool{"http://127.0.0.1:8080": true, "http://[::1]:80/": true, "http://box.example.com": true,
		"": false, "127.0.0.1:8080": false, "ftp://x": false, "http://": false, "http://a b": false, "http://x:0": false, "http://x:99999": false,
		"http://u:p@x": false, "http://x/path": false, "http://x?q": false, "https://x": false /* without certificates */} {
		c, err := Open(Config{Endpoint: endpoint})
		if (err == nil) != ok {
			t.Errorf("%q: %v", endpoint, err)
		}
		if err == nil {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestCauses(t *testing.T) {
	c, err := Open(Config{Endpoint: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // it never connected
	if err := c.Connect(t.Context()); CauseOf(err) != CauseUnreachable {
		t.Errorf("%s: %v", CauseOf(err), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Get(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(served()))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s pb.Sandbox
		if proto.Unmarshal(data, &s) != nil {
			return
		}
		got, err := decode(&s)
		if err != nil {
			return
		}
		if !validID(got.ID) || validateExisting(got.Name) != nil {
			t.Errorf("accepted %+v", got)
		}
	})
}
