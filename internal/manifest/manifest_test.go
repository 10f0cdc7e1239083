package manifest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker-openshell/docker-openshell/deploy"
)

func names(t *testing.T, chart []byte) []string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(chart))
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(zip)
	var out []string
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Mode != 0o644 || !h.ModTime.IsZero() && h.ModTime.Unix() != 0 {
			t.Errorf("%s: mode %o, time %s", h.Name, h.Mode, h.ModTime)
		}
		out = append(out, h.Name)
	}
}

func TestHelmChart(t *testing.T) {
	chart, err := PackChart(deploy.Chart, deploy.ChartRoot)
	if err != nil {
		t.Fatal(err)
	}
	again, err := PackChart(deploy.Chart, deploy.ChartRoot)
	if err != nil || !bytes.Equal(chart, again) {
		t.Errorf("packed twice, not the same bytes, %v", err)
	}
	files := names(t, chart)
	for _, want := range []string{"openshell/Chart.yaml", "openshell/values.yaml", "openshell/templates/_helpers.tpl", "openshell/templates/statefulset.yaml"} {
		if !slices.Contains(files, want) {
			t.Errorf("the chart has no %s: %q", want, files)
		}
	}
	doc, err := HelmChart(deploy.HelmChart, chart, Values{Image: ImageValues{Repository: "r", Tag: "t"}, Server: ServerValues{DisableTLS: true}})
	if err != nil {
		t.Fatal(err)
	}
	var object struct {
		Kind     string
		Metadata struct{ Name, Namespace string }
		Spec     struct {
			ChartContent, ValuesContent, TargetNamespace string
			CreateNamespace                              bool
		}
	}
	if err := json.Unmarshal(doc, &object); err != nil {
		t.Fatal(err)
	}
	content, err := base64.StdEncoding.DecodeString(object.Spec.ChartContent)
	if err != nil || !bytes.Equal(content, chart) {
		t.Errorf("the chart does not come out as it went in, %v", err)
	}
	if object.Kind != "HelmChart" || object.Metadata.Name != "openshell" || object.Metadata.Namespace != "kube-system" ||
		object.Spec.TargetNamespace != "openshell" || !object.Spec.CreateNamespace {
		t.Errorf("%+v", object)
	}
	if want := `{"image":{"repository":"r","tag":"t","digest":""},"server":{"disableTls":true}}`; object.Spec.ValuesContent != want {
		t.Errorf("values %s, want %s", object.Spec.ValuesContent, want)
	}
	// No secret passes through Helm: the chart refers to it by name.
	if values, err := deploy.Chart.ReadFile(deploy.ChartRoot + "/values.yaml"); err != nil || bytes.Contains(values, []byte("sshHandshakeSecret:")) {
		t.Errorf("the chart takes a secret as a value, %v", err)
	}
	for _, bad := range []string{"", "kind: [", "kind: HelmChart"} {
		if _, err := HelmChart([]byte(bad), chart, Values{}); err == nil {
			t.Errorf("manifest %q is accepted", bad)
		}
	}
}

func TestSplitImage(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	for ref, want := range map[string]string{
		"alpine":                  "docker.io/library/alpine:latest",
		"ghcr.io/x/y:1":           "ghcr.io/x/y:1",
		"localhost:5000/y":        "localhost:5000/y:latest",
		"ghcr.io/x/y@" + digest:   "ghcr.io/x/y@" + digest,
		"ghcr.io/x/y:1@" + digest: "ghcr.io/x/y@" + digest,
	} {
		repository, tag, sum, err := SplitImage(ref)
		if got := ImageName(repository, tag, sum); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", ref, got, err, want)
		}
	}
	if _, _, _, err := SplitImage("UPPER:case"); err == nil || !strings.Contains(err.Error(), "UPPER:case") {
		t.Errorf("%v", err)
	}
}

func TestDecodeSecrets(t *testing.T) {
	secrets, err := DecodeSecrets([]byte(`{"kind":"SecretList","items":[{"type":"Opaque","data":{"secret":"YWJj"},"metadata":{
		"name":"a","resourceVersion":"5","creationTimestamp":"2026-01-01T00:00:00Z","managedFields":[
		{"time":"2026-03-01T00:00:00Z","fieldsV1":{"f:metadata":{}}},
		{"time":"2026-02-01T00:00:00Z","fieldsV1":{"f:data":{".":{}}}}]}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	a := secrets["a"]
	if string(a.Data["secret"]) != "abc" || a.ResourceVersion != "5" || !a.ChangedAt.Equal(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", a)
	}
	for _, bad := range []string{"", "{}", `{"kind":"Status","message":"no"}`, `{"kind":"SecretList","items":[{"data":{"secret":"c2VjcmV0!"}}]}`} {
		if _, err := DecodeSecrets([]byte(bad)); err == nil || strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestSecretRoundTrip(t *testing.T) {
	doc, err := List(Namespace("n"), Secret("n", "s", "Opaque", map[string][]byte{"k": []byte("v")}))
	if err != nil || !strings.Contains(string(doc), `"data":{"k":"dg=="}`) || !strings.Contains(string(doc), `"kind":"List"`) {
		t.Errorf("%s, %v", doc, err)
	}
}

func TestPod(t *testing.T) {
	for _, tt := range []struct {
		name, pod, summary string
		ready              bool
	}{
		{"nothing yet", `{}`, "pending", false},
		{"ready", `{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`, "ready", true},
		{"going", `{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"},"status":{"conditions":[{"type":"Ready","status":"True"}]}}`, "terminating", false},
		{"running", `{"status":{"containerStatuses":[{"state":{"running":{"startedAt":"2026-01-01T00:00:00Z"}}}]}}`, "running, not ready", false},
		{"pulling", `{"status":{"containerStatuses":[{"state":{"waiting":{"reason":"ImagePullBackOff","message":"no route"}}}]}}`, "ImagePullBackOff: no route", false},
		{"nowhere", `{"status":{"conditions":[{"type":"PodScheduled","status":"False","message":"disk-pressure"}]}}`, "not scheduled: disk-pressure", false},
	} {
		event, err := DecodePodEvent([]byte(`{"type":"MODIFIED","object":` + tt.pod + `}`))
		if err != nil || event.Pod.Summary() != tt.summary || event.Pod.Ready() != tt.ready {
			t.Errorf("%s: %q, ready %t, %v", tt.name, event.Pod.Summary(), event.Pod.Ready(), err)
		}
	}
	event, err := DecodePodEvent([]byte(`{"type":"ERROR","object":{"kind":"Status","status":"Failure"}}`))
	if err != nil || event.Type != "ERROR" {
		t.Errorf("%+v, %v", event, err)
	}
}
