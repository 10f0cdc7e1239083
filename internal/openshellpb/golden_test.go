package openshellpb

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// golden are messages as servers and clients 0.0.22 to 0.0.36 encode them, field by
// field: the tag (number * 8 + 0 for a varint, + 2 for what has a length), the length,
// and the value. The letters in quotes are text.
var golden = map[string]struct {
	wire string
	want proto.Message
}{
	"Health": {
		`08 01 | 12 06 "0.0.36"`, // status, version
		&HealthResponse{Status: ServiceStatus_SERVICE_STATUS_HEALTHY, Version: "0.0.36"}},
	"create": {
		`0a 0d | 32 05 0a 03 "a:1" | 42 02 "pr" | 48 01 | 12 04 "demo"`, // spec{template{image}, providers, gpu}, name
		&CreateSandboxRequest{Spec: &SandboxSpec{Template: &SandboxTemplate{Image: "a:1"}, Providers: []string{"pr"}, Gpu: true}, Name: "demo"}},
	"create with nothing": {
		`0a 00`, // the specification is there, if empty
		&CreateSandboxRequest{Spec: &SandboxSpec{}}},
	"get":    {`0a 01 "x"`, &GetSandboxRequest{Name: "x"}},
	"delete": {`0a 01 "x"`, &DeleteSandboxRequest{Name: "x"}},
	"gone":   {`08 01`, &DeleteSandboxResponse{Deleted: true}},
	"list":   {`08 f4 03 | 10 e8 07`, &ListSandboxesRequest{Limit: 500, Offset: 1000}},
	"listed": {
		// sandboxes: id, name, namespace, phase, created_at_ms; id, name
		`0a 13 | 0a 02 "i1" | 12 01 "a" | 1a 02 "ns" | 30 02 | 38 c8 f1 d4 b3 06 | 0a 07 | 0a 02 "i2" | 12 01 "b"`,
		&ListSandboxesResponse{Sandboxes: []*Sandbox{
			{Id: []byte("i1"), Name: []byte("a"), Namespace: []byte("ns"), Phase: SandboxPhase_SANDBOX_PHASE_READY, CreatedAtMs: 1718958280},
			{Id: []byte("i2"), Name: []byte("b")}}}},
	"sandbox": {
		// sandbox{id, spec{log_level, environment}, status{sandbox_name, agent_pod, agent_fd, sandbox_fd, condition}, phase, policy version}
		`0a 37 | 0a 01 "i" | 22 0e | 0a 04 "info" | 2a 06 0a 01 "K" 12 01 "v" |
		 2a 1e | 0a 01 "n" | 12 01 "p" | 1a 01 "3" | 22 01 "4" | 2a 10 | 0a 01 "t" | 12 01 "s" | 1a 01 "r" | 22 02 "mm" | 2a 01 "l" | 30 03 | 40 07`,
		&SandboxResponse{Sandbox: &Sandbox{Id: []byte("i"),
			Spec: &SandboxSpec{LogLevel: "info", Environment: map[string]string{"K": "v"}},
			Status: &SandboxStatus{SandboxName: "n", AgentPod: "p", AgentFd: "3", SandboxFd: "4",
				Conditions: []*SandboxCondition{{Type: "t", Status: "s", Reason: "r", Message: "mm", LastTransitionTime: "l"}}},
			Phase: SandboxPhase_SANDBOX_PHASE_ERROR, CurrentPolicyVersion: 7}}},
	"watch": {
		// id, status, logs, events, tail, event tail, until ready, since, source, level
		`0a 01 "i" | 10 01 | 18 01 | 20 01 | 28 c8 01 | 30 05 | 38 01 | 40 09 | 4a 07 "gateway" | 52 04 "warn"`,
		&WatchSandboxRequest{Id: "i", FollowStatus: true, FollowLogs: true, FollowEvents: true, LogTailLines: 200, EventTail: 5, StopOnTerminal: true,
			LogSinceMs: 9, LogSources: []string{"gateway"}, LogMinLevel: "warn"}},
	"state in a stream": {`0a 03 0a 01 "i"`, &SandboxStreamEvent{Payload: &SandboxStreamEvent_Sandbox{Sandbox: &Sandbox{Id: []byte("i")}}}},
	"log in a stream": {
		// sandbox_id, timestamp_ms, level, target, message, source, fields
		`12 19 | 0a 01 "i" | 10 05 | 1a 01 "l" | 22 01 "t" | 2a 01 "m" | 32 01 "s" | 3a 06 0a 01 "K" 12 01 "v"`,
		&SandboxStreamEvent{Payload: &SandboxStreamEvent_Log{Log: &SandboxLogLine{SandboxId: "i", TimestampMs: 5, Level: "l", Target: "t", Message: "m",
			Source: "s", Fields: map[string]string{"K": "v"}}}}},
	"event in a stream": {
		// timestamp_ms, source, type, reason, message, metadata
		`1a 16 | 08 05 | 12 01 "k" | 1a 01 "N" | 22 01 "r" | 2a 01 "m" | 32 06 0a 01 "K" 12 01 "v"`,
		&SandboxStreamEvent{Payload: &SandboxStreamEvent_Event{Event: &PlatformEvent{TimestampMs: 5, Source: "k", Type: "N", Reason: "r", Message: "m",
			Metadata: map[string]string{"K": "v"}}}}},
	"warning in a stream": {`22 03 0a 01 "w"`, &SandboxStreamEvent{Payload: &SandboxStreamEvent_Warning{Warning: &SandboxStreamWarning{Message: "w"}}}},
	"session":             {`0a 01 "i"`, &CreateSshSessionRequest{SandboxId: "i"}},
	"session's reply": {
		// sandbox_id, token, host, port, scheme, path, fingerprint, expiry
		`0a 01 "i" | 12 01 "t" | 1a 01 "h" | 20 90 3f | 2a 05 "https" | 32 02 "/p" | 3a 01 "f" | 40 05`,
		&CreateSshSessionResponse{SandboxId: "i", Token: "t", GatewayHost: "h", GatewayPort: 8080, GatewayScheme: "https", ConnectPath: "/p",
			HostKeyFingerprint: "f", ExpiresAtMs: 5}},
	"revocation":         {`0a 01 "t"`, &RevokeSshSessionRequest{Token: "t"}},
	"revocation's reply": {`08 01`, &RevokeSshSessionResponse{Revoked: true}},
	"logs":               {`0a 01 "i" | 10 07 | 18 09 | 22 01 "s" | 2a 01 "l"`, &GetSandboxLogsRequest{SandboxId: "i", Lines: 7, SinceMs: 9, Sources: []string{"s"}, MinLevel: "l"}},
	"logs' reply":        {`0a 03 2a 01 "m" | 10 07`, &GetSandboxLogsResponse{Logs: []*SandboxLogLine{{Message: "m"}}, BufferTotal: 7}},
	"hello":              {`0a 06 | 0a 01 "i" | 12 01 "n"`, &SupervisorMessage{Payload: &SupervisorMessage_Hello{Hello: &SupervisorHello{SandboxId: "i", InstanceId: "n"}}}},
	"accepted":           {`0a 05 | 0a 01 "s" | 10 0f`, &GatewayMessage{Payload: &GatewayMessage_SessionAccepted{SessionAccepted: &SessionAccepted{SessionId: "s", HeartbeatIntervalSecs: 15}}}},
	"relay":              {`22 03 0a 01 "c"`, &GatewayMessage{Payload: &GatewayMessage_RelayOpen{RelayOpen: &RelayOpen{ChannelId: "c"}}}},
	"relay begins":       {`0a 03 0a 01 "c"`, &RelayFrame{Payload: &RelayFrame_Init{Init: &RelayInit{ChannelId: "c"}}}},
	"relayed":            {`12 02 "ab"`, &RelayFrame{Payload: &RelayFrame_Data{Data: []byte("ab")}}},
	"exec's exit":        {`1a 02 08 7c`, &ExecSandboxEvent{Payload: &ExecSandboxEvent_Exit{Exit: &ExecSandboxExit{ExitCode: 124}}}},
}

// bytes reads hexadecimal digits, with text in quotes.
func bytes(t *testing.T, s string) []byte {
	t.Helper()
	var out []byte
	for i, part := range strings.Split(s, `"`) {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.NewReplacer(" ", "", "|", "", "\n", "", "\t", "").Replace(part))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
	}
	return out
}

func TestGolden(t *testing.T) {
	for name, tt := range golden {
		t.Run(name, func(t *testing.T) {
			wire := bytes(t, tt.wire)
			got := tt.want.ProtoReflect().New().Interface()
			if err := proto.Unmarshal(wire, got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, protocmp.Transform()); diff != "" {
				t.Errorf("decoded: %s", diff)
			}
			back, err := proto.MarshalOptions{Deterministic: true}.Marshal(tt.want)
			if err != nil || string(back) != string(wire) {
				t.Errorf("encoded\n%x, want\n%x, %v", back, wire, err)
			}
		})
	}
}

// TestUnknownFields: what these declarations leave out survives, such as the policy,
// number 7 of a specification, and the GPU's device of later servers, number 10.
func TestUnknownFields(t *testing.T) {
	wire := bytes(t, `0a 03 "dbg" | 3a 09 | 08 01 | 22 05 0a 03 "sbx" | 52 04 "gpu0"`)
	var s SandboxSpec
	if err := proto.Unmarshal(wire, &s); err != nil {
		t.Fatal(err)
	}
	if s.GetLogLevel() != "dbg" {
		t.Errorf("log level %q", s.GetLogLevel())
	}
	back, err := proto.MarshalOptions{Deterministic: true}.Marshal(&s)
	if err != nil || string(back) != string(wire) {
		t.Errorf("%x, want %x, %v", back, wire, err)
	}
	// An event of a kind that is not declared is an event without a payload.
	var e SandboxStreamEvent
	if err := proto.Unmarshal(bytes(t, `2a 02 08 01`), &e); err != nil || e.GetPayload() != nil {
		t.Errorf("%v, %v", &e, err)
	}
}

// TestTextBytes: the three texts of a sandbox are bytes here, because they are messages
// in later servers, which need not be UTF-8; all others must be.
func TestTextBytes(t *testing.T) {
	var s SandboxResponse
	if err := proto.Unmarshal(bytes(t, `0a 0c | 0a 02 ff fe | 12 02 ff fe | 1a 02 ff fe`), &s); err != nil {
		t.Error(err)
	}
	if err := proto.Unmarshal(bytes(t, `0a 02 ff fe`), &GetSandboxRequest{}); err == nil {
		t.Error("a text that is none was accepted")
	}
}
