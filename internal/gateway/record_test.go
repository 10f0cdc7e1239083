package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
)

func ptr[T any](v T) *T { return &v }

func TestRecordApply(t *testing.T) {
	base := newRecord("dev")
	base.ImageID = "sha256:" + strings.Repeat("a", 64)
	got, changes := base.apply(Wanted{Port: ptr(9000), Image: "example.com/node:2", Plaintext: ptr(true), GatewayHost: ptr("box.example.com")})
	want := []Change{
		{"port", "8080", "9000", true},
		{"image", DefaultImage, "example.com/node:2", true},
		{"gateway-host", "(none)", "box.example.com", true},
		{"plaintext", "false", "true", true},
	}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if got.ImageID != "" {
		t.Error("the ID of the old image stays with the new image")
	}
	if same, none := base.apply(Wanted{Port: ptr(8080), Image: DefaultImage}); len(none) != 0 || same != base {
		t.Errorf("what is recorded already counts as a change: %v", none)
	}
}

func TestRecordSurvivesTheVolume(t *testing.T) {
	r := newRecord("dev")
	r.Port, r.GPU, r.Bind = 9000, true, "::1"
	data, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseRecord("dev", data)
	if err != nil || got != r {
		t.Errorf("%+v, %v", got, err)
	}
	for says, bad := range map[string]string{
		"layout version 2":     strings.Replace(string(data), `"version": 1`, `"version": 2`, 1),
		"no layout version":    "{}",
		`gateway "dev"`:        string(data),
		"port 70000":           strings.Replace(string(data), "9000", "70000", 1),
		"is not an IP address": strings.Replace(string(data), "::1", "$(reboot)", 1),
		"invalid character":    "nonsense",
	} {
		name := "dev"
		if says == `gateway "dev"` {
			name = "other"
		}
		if _, err := parseRecord(name, []byte(bad)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want an error that says %q, got %v", says, err)
		}
	}
}

func TestEndpoint(t *testing.T) {
	for _, tt := range []struct {
		record   Record
		endpoint string
		want     string
	}{
		{Record{Bind: "127.0.0.1", Port: 8080}, "unix:///var/run/docker.sock", "https://127.0.0.1:8080"},
		{Record{Bind: "0.0.0.0", Port: 8080, Plaintext: true}, "", "http://127.0.0.1:8080"},
		{Record{Bind: "192.168.1.5", Port: 1}, "", "https://192.168.1.5:1"},
		{Record{Bind: "::1", Port: 1}, "", "https://[::1]:1"},
		{Record{Bind: "0.0.0.0", Port: 1}, "ssh://me@box:2222", "https://box:1"},
		{Record{Bind: "0.0.0.0", Port: 1}, "tcp://10.0.0.5:2375", "https://10.0.0.5:1"},
		{Record{Bind: "0.0.0.0", Port: 1}, "tcp://localhost:2375", "https://127.0.0.1:1"},
		{Record{Bind: "0.0.0.0", Port: 1, GatewayHost: "gw.example.com"}, "ssh://box", "https://gw.example.com:1"},
	} {
		if got := tt.record.endpoint(daemonHost(tt.endpoint)); got != tt.want {
			t.Errorf("%+v on %q: %s, want %s", tt.record, tt.endpoint, got, tt.want)
		}
	}
}

func TestReachable(t *testing.T) {
	for endpoint, want := range map[string]bool{"unix:///x": true, "ssh://box": false, "tcp://127.0.0.1:1": true, "": true} {
		m := New(Config{Endpoint: endpoint})
		if got := m.reachable(Record{Bind: "127.0.0.1"}); got != want {
			t.Errorf("a loopback address of %q: reachable %t", endpoint, got)
		}
		if !m.reachable(Record{Bind: "0.0.0.0"}) {
			t.Errorf("all addresses of %q: not reachable", endpoint)
		}
	}
}

func TestContainerOptions(t *testing.T) {
	r := newRecord("Prod_US")
	r.Plaintext, r.GPU = true, true
	opts, err := containerOptions(r, "node:1", "1.0", daemonFacts{apiVersion: "1.41", loggingDriver: "journald", cdi: true})
	if err != nil {
		t.Fatal(err)
	}
	c, h := opts.Config, opts.HostConfig
	if opts.Name != "openshell-cluster-Prod_US" || c.Hostname != "openshell-prod-us" {
		t.Errorf("name %s, host name %s", opts.Name, c.Hostname)
	}
	if c.Healthcheck.StartInterval != 0 {
		t.Error("an option of API 1.44 is sent to an Engine of API 1.41")
	}
	if h.LogConfig.Type != "" {
		t.Error("options of a log driver are sent to another one")
	}
	if diff := cmp.Diff([]string{"OPENSHELL_NODE_NAME=openshell-prod-us", "DISABLE_TLS=true", "GPU_ENABLED=true"}, c.Env); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if h.DeviceRequests[0].Driver != "cdi" || !h.Privileged || h.RestartPolicy.Name != container.RestartPolicyUnlessStopped {
		t.Errorf("host configuration: %+v", h)
	}
	opts, err = containerOptions(newRecord("dev"), "node:1", "1.0", daemonFacts{apiVersion: "1.51", loggingDriver: "json-file"})
	if err != nil {
		t.Fatal(err)
	}
	check := opts.Config.Healthcheck
	if check.StartInterval != 2*time.Second || check.Interval != 15*time.Second || check.Retries != 2 || check.StartPeriod != 10*time.Minute {
		t.Errorf("health check: %+v", check)
	}
	if opts.HostConfig.LogConfig.Config["max-size"] != "10m" {
		t.Errorf("log: %+v", opts.HostConfig.LogConfig)
	}
}

// TestFilesOfAContainer shows that the marker follows from the content, and that no
// file holds a secret's place.
func TestFilesOfAContainer(t *testing.T) {
	r := newRecord("dev")
	files, hash, err := containerFiles(r, "")
	if err != nil {
		t.Fatal(err)
	}
	if last := files[len(files)-1]; last.path != filesPath+"/"+hash || len(last.data) != 0 {
		t.Errorf("the last file is %s", last.path)
	}
	_, again, err := containerFiles(r, "")
	if err != nil || again != hash {
		t.Errorf("the same configuration has hashes %s and %s, %v", hash, again, err)
	}
	r.DisableGatewayAuth = true
	if _, other, err := containerFiles(r, ""); err != nil || other == hash {
		t.Errorf("another configuration has the same hash, %v", err)
	}
}

func TestRecognise(t *testing.T) {
	for line, want := range map[string]Cause{
		`level=fatal msg="... failed to find interface with specified node ip"`: CauseNetwork,
		"write /var/lib/x: no space left on device":                             CauseDisk,
		"exec /usr/local/bin/cluster-entrypoint.sh: no such file or directory":  CauseImage,
		"database disk image is malformed":                                      CauseBroken,
		// What a boot that goes well says: no cause (W37).
		`User "system:node" is forbidden: cannot list`:            CauseUnknown,
		"dial tcp 127.0.0.1:6443: connect: connection refused":    CauseUnknown,
		"open /run/flannel/subnet.env: no such file or directory": CauseUnknown,
	} {
		s, _ := recognise([]string{"noise", line})
		if s.cause != want {
			t.Errorf("%q: %q, want %q", line, s.cause, want)
		}
	}
}
