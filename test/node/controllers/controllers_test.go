package controllers

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestParseSortsWhatOthersNeedFirst(t *testing.T) {
	objects, err := parse([]byte(`
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: n}
---
# nothing
---
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: c}}
  - {apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: d}}
---
apiVersion: v1
kind: Namespace
metadata: {name: n}
`))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, object := range objects {
		kinds = append(kinds, object.GetKind())
	}
	want := []string{"Namespace", "CustomResourceDefinition", "Secret", "ConfigMap"}
	if !slices.Equal(kinds, want) {
		t.Errorf("order is %q, want %q", kinds, want)
	}
}

func TestParseReadsJSON(t *testing.T) {
	objects, err := parse([]byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"n":"1"}}`))
	if err != nil || len(objects) != 1 || objects[0].GetName() != "c" {
		t.Errorf("got %v, %v", objects, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, content := range []string{"a: [", "metadata: {name: c}", "just text"} {
		if objects, err := parse([]byte(content)); err == nil {
			t.Errorf("%q was read as %v", content, objects)
		}
	}
}

func TestBuiltinManifestsAreValid(t *testing.T) {
	coredns, err := renderCoreDNS("node", "10.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(coredns, []byte("10.0.0.2 node")) {
		t.Error("the name server does not know the node")
	}
	for name, content := range map[string][]byte{"coredns": coredns, "local-storage": localStorage, "definitions": definitions} {
		objects, err := parse(content)
		if err != nil || len(objects) == 0 {
			t.Errorf("%s: %d objects, %v", name, len(objects), err)
		}
	}
}

func TestStageBuiltin(t *testing.T) {
	directory := t.TempDir()
	list := func() []string {
		found, err := listManifests(directory)
		if err != nil {
			t.Fatal(err)
		}
		return sortedKeys(found)
	}
	if err := StageBuiltin(directory, "n", "10.0.0.2", nil); err != nil {
		t.Fatal(err)
	}
	if want := []string{"coredns.yaml", "local-storage.yaml"}; !slices.Equal(list(), want) {
		t.Errorf("staged are %q, want %q", list(), want)
	}
	if err := StageBuiltin(directory, "n", "10.0.0.2", []string{"traefik", "coredns"}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"local-storage.yaml"}; !slices.Equal(list(), want) {
		t.Errorf("with one disabled, staged are %q, want %q", list(), want)
	}
}

func TestListManifests(t *testing.T) {
	directory := t.TempDir()
	for _, name := range []string{"a.yaml", "b.yml", "c.json", "d.txt", "skipped.yaml", "skipped.yaml.skip", "below/e.yaml"} {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(directory, "dangling.yaml")); err != nil {
		t.Fatal(err)
	}
	found, err := listManifests(directory)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := sortedKeys(found), []string{"a.yaml", "b.yml", "below/e.yaml", "c.json"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

func helmObject(kind string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "helm.cattle.io/v1",
		"kind":       kind,
		"metadata":   map[string]any{"name": "web", "namespace": "kube-system"},
		"spec":       spec,
	}}
}

func TestValuesMerge(t *testing.T) {
	chart := helmObject("HelmChart", map[string]any{
		"targetNamespace": "web",
		"valuesContent":   `{"server":{"port":1,"name":"chart"},"kept":true}`,
		"set":             map[string]any{"server.tag": "7"},
	})
	config := helmObject("HelmChartConfig", map[string]any{"valuesContent": `{"server":{"name":"config"}}`})
	wanted, err := readWanted(chart, config)
	if err != nil {
		t.Fatal(err)
	}
	if wanted.name != "web" || wanted.namespace != "web" {
		t.Errorf("the release is %s/%s, want web/web", wanted.namespace, wanted.name)
	}
	values, err := wanted.values()
	if err != nil {
		t.Fatal(err)
	}
	server, ok := values["server"].(map[string]any)
	if !ok || server["name"] != "config" || server["port"] != float64(1) || server["tag"] != int64(7) || values["kept"] != true {
		t.Errorf("values are %v", values)
	}
}

func TestHashFollowsSpecAndConfigOnly(t *testing.T) {
	spec := map[string]any{"chartContent": "x", "valuesContent": "{}"}
	hash := func(chart, config *unstructured.Unstructured) string {
		wanted, err := readWanted(chart, config)
		if err != nil {
			t.Fatal(err)
		}
		return wanted.hash
	}
	base := hash(helmObject("HelmChart", spec), nil)
	annotated := helmObject("HelmChart", spec)
	annotated.SetAnnotations(map[string]string{hashAnnotation: "x"})
	annotated.SetGeneration(7)
	if hash(annotated, nil) != base {
		t.Error("an annotation changes the hash")
	}
	config := helmObject("HelmChartConfig", map[string]any{"valuesContent": "{}"})
	if hash(helmObject("HelmChart", spec), config) == base {
		t.Error("a config does not change the hash")
	}
	other := helmObject("HelmChart", map[string]any{"chartContent": "y", "valuesContent": "{}"})
	if hash(other, nil) == base {
		t.Error("another chart does not change the hash")
	}
}

func TestUnreadableValuesAreNotQuoted(t *testing.T) {
	chart := helmObject("HelmChart", map[string]any{"valuesContent": "password: [hunter2"})
	wanted, err := readWanted(chart, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wanted.values(); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error is %v", err)
	}
}

func TestChartConditions(t *testing.T) {
	for name, test := range map[string]struct {
		failure error
		want    string
	}{
		"success": {nil, "Deployed=True Failed=False"},
		"failure": {errors.New("no chart"), "Deployed=False Failed=True"},
	} {
		var states []string
		for _, condition := range chartConditions(test.failure, time.Unix(0, 0)) {
			states = append(states, condition["type"].(string)+"="+condition["status"].(string))
			if test.failure != nil && condition["message"] != test.failure.Error() {
				t.Errorf("%s: the message is %v", name, condition["message"])
			}
		}
		if got := strings.Join(states, " "); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestNodePasswordHash(t *testing.T) {
	hash, err := hashPassword("secret")
	if err != nil {
		t.Fatal(err)
	}
	again, err := hashPassword("secret")
	if err != nil {
		t.Fatal(err)
	}
	if hash == again {
		t.Error("two hashes of one password are equal: the salt is missing")
	}
	if strings.Contains(hash, "secret") {
		t.Error("the hash shows the password")
	}
	if !verifyPassword(hash, "secret") {
		t.Error("the right password is refused")
	}
	for _, bad := range []string{"", "secret ", "Secret"} {
		if verifyPassword(hash, bad) {
			t.Errorf("the password %q is accepted", bad)
		}
	}
	for _, broken := range []string{"", "$1:x", "$1:!!:4096:x", hash[:len(hash)-1]} {
		if verifyPassword(broken, "secret") {
			t.Errorf("the broken hash %q matches", broken)
		}
	}
}

func TestLoadNodePassword(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node", "password")
	made, err := LoadNodePassword(nil, "n", path)
	if err != nil {
		t.Fatal(err)
	}
	if len(made.password) != 32 {
		t.Errorf("the password has %d characters, want 32", len(made.password))
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %o, want 600", info.Mode().Perm())
	}
	read, err := LoadNodePassword(nil, "n", path)
	if err != nil || read.password != made.password {
		t.Errorf("the second read differs (error %v)", err)
	}
	if err := os.WriteFile(path, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadNodePassword(nil, "n", path); err == nil {
		t.Error("an empty password is accepted")
	}
}
