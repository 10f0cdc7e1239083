package sandbox

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

const secretToken = "0b6c7e4e-5a39-4a53-8a58-2f3ad6c3b111"

func reply(change ...func(*pb.CreateSshSessionResponse)) *pb.CreateSshSessionResponse {
	r := &pb.CreateSshSessionResponse{SandboxId: id, Token: secretToken, GatewayHost: "127.0.0.1", GatewayPort: 8080,
		GatewayScheme: "https", ConnectPath: "/connect/ssh"}
	for _, c := range change {
		c(r)
	}
	return r
}

// client is one at https://box.example.com:9443, which never connects.
func client() *Client {
	return &Client{endpoint: "https://box.example.com:9443", scheme: "https", host: "box.example.com", port: 9443}
}

func TestSessionAddress(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*pb.CreateSshSessionResponse)
		want   string
	}{
		"loopback becomes the endpoint":     {func(*pb.CreateSshSessionResponse) {}, "https box.example.com 9443"},
		"so do a name and IPv6":             {func(r *pb.CreateSshSessionResponse) { r.GatewayHost = "[::1]" }, "https box.example.com 9443"},
		"and its scheme":                    {func(r *pb.CreateSshSessionResponse) { r.GatewayScheme, r.GatewayHost = "http", "localhost" }, "https box.example.com 9443"},
		"another address is taken as it is": {func(r *pb.CreateSshSessionResponse) { r.GatewayHost, r.GatewayPort = "10.0.0.5", 8443 }, "https 10.0.0.5 8443"},
	} {
		s, err := client().checkSession(Sandbox{ID: id}, reply(c.change))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := fmt.Sprintf("%s %s %d", s.scheme, s.host, s.port); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestHostileSession: every field of a reply is checked, and no error repeats the
// token.
func TestHostileSession(t *testing.T) {
	for name, change := range map[string]func(*pb.CreateSshSessionResponse){
		"another sandbox":        func(r *pb.CreateSshSessionResponse) { r.SandboxId = "other" },
		"token with a line":      func(r *pb.CreateSshSessionResponse) { r.Token = secretToken + "\r\nX: y" },
		"token with a space":     func(r *pb.CreateSshSessionResponse) { r.Token = secretToken + " x" },
		"token with a command":   func(r *pb.CreateSshSessionResponse) { r.Token = secretToken + "$(id)" },
		"no token":               func(r *pb.CreateSshSessionResponse) { r.Token = "" },
		"long token":             func(r *pb.CreateSshSessionResponse) { r.Token = strings.Repeat("x", 4097) },
		"no host":                func(r *pb.CreateSshSessionResponse) { r.GatewayHost = "" },
		"host with a command":    func(r *pb.CreateSshSessionResponse) { r.GatewayHost = "x;id" },
		"host with a space":      func(r *pb.CreateSshSessionResponse) { r.GatewayHost = "x y" },
		"host with a path":       func(r *pb.CreateSshSessionResponse) { r.GatewayHost = "x/y" },
		"host in odd brackets":   func(r *pb.CreateSshSessionResponse) { r.GatewayHost = "[[::1]]" },
		"scheme":                 func(r *pb.CreateSshSessionResponse) { r.GatewayScheme = "ftp" },
		"a weaker scheme":        func(r *pb.CreateSshSessionResponse) { r.GatewayScheme, r.GatewayHost = "http", "10.0.0.5" },
		"port 0":                 func(r *pb.CreateSshSessionResponse) { r.GatewayPort = 0 },
		"port 65536":             func(r *pb.CreateSshSessionResponse) { r.GatewayPort = 65536 },
		"path with a line":       func(r *pb.CreateSshSessionResponse) { r.ConnectPath = "/x\r\nA: b" },
		"path with a query":      func(r *pb.CreateSshSessionResponse) { r.ConnectPath = "/x?y" },
		"path with a fragment":   func(r *pb.CreateSshSessionResponse) { r.ConnectPath = "/x#y" },
		"path with a bad escape": func(r *pb.CreateSshSessionResponse) { r.ConnectPath = "/%zz" },
		"relative path":          func(r *pb.CreateSshSessionResponse) { r.ConnectPath = "x" },
		"long path":              func(r *pb.CreateSshSessionResponse) { r.ConnectPath = "/" + strings.Repeat("x", 2048) },
		"fingerprint":            func(r *pb.CreateSshSessionResponse) { r.HostKeyFingerprint = "a b" },
		"expired":                func(r *pb.CreateSshSessionResponse) { r.ExpiresAtMs = time.Now().Add(-time.Hour).UnixMilli() },
	} {
		s, err := client().checkSession(Sandbox{ID: id}, reply(change))
		if CauseOf(err) != CauseReply {
			t.Errorf("%s: accepted as %v: %v", name, s, err)
			continue
		}
		if strings.Contains(err.Error(), secretToken) || strings.ContainsAny(err.Error(), "\r\x1b") {
			t.Errorf("%s: %q", name, err)
		}
	}
}

func TestSessionHidesToken(t *testing.T) {
	s, err := client().checkSession(Sandbox{ID: id}, reply())
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, *s); strings.Contains(text, secretToken) {
			t.Errorf("%s shows the token", format)
		}
	}
	want := "CONNECT /connect/ssh HTTP/1.1\r\nHost: box.example.com\r\nX-Sandbox-Id: " + id + "\r\nX-Sandbox-Token: " + secretToken + "\r\n\r\n"
	if s.request() != want {
		t.Errorf("request %q", s.request())
	}
}

// FuzzSession: whatever a gateway answers, what comes of it is one request of five
// lines.
func FuzzSession(f *testing.F) {
	seed, err := proto.Marshal(reply())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		var r pb.CreateSshSessionResponse
		if proto.Unmarshal(data, &r) != nil {
			return
		}
		s, err := client().checkSession(Sandbox{ID: r.GetSandboxId()}, &r)
		if err != nil || !validID(r.GetSandboxId()) {
			return
		}
		if request := s.request(); strings.Count(request, "\r\n") != 5 || strings.Count(request, "\n") != 5 || strings.Count(request, " ") != 5 {
			t.Errorf("request %q", request)
		}
	})
}
