package container

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRegistries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registries.yaml")
	content := `
mirrors:
  docker.io:
    endpoint: ["http://10.0.0.1:5000", "mirror.example.com"]
  "*":
    endpoint: ["https://all.example.com"]
configs:
  mirror.example.com:
    auth: {username: u, password: 'p"w'}
    tls: {insecure_skip_verify: true, ca_file: /ca.crt}
`
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := readRegistries(path)
	if err != nil {
		t.Fatal(err)
	}
	hosts := r.hosts()
	want := map[string]string{
		"docker.io": `[host."http://10.0.0.1:5000"]
capabilities = ["pull", "resolve"]
[host."https://mirror.example.com"]
capabilities = ["pull", "resolve"]
ca = ["/ca.crt"]
skip_verify = true
`,
		"_default": `[host."https://all.example.com"]
capabilities = ["pull", "resolve"]
`,
		"mirror.example.com": `[host."https://mirror.example.com"]
capabilities = ["pull", "resolve"]
ca = ["/ca.crt"]
skip_verify = true
`,
	}
	for name, text := range want {
		if hosts[name] != text {
			t.Errorf("hosts.toml of %s:\n%s\nwant:\n%s", name, hosts[name], text)
		}
	}
	if len(hosts) != len(want) {
		t.Errorf("%d registries, want %d", len(hosts), len(want))
	}
	credentials := `
[plugins.'io.containerd.cri.v1.images'.registry.configs."mirror.example.com".auth]
username = "u"
password = "p\"w"
`
	if got := r.credentials(); got != credentials {
		t.Errorf("credentials:\n%s\nwant:\n%s", got, credentials)
	}
}

func TestRegistriesThatCannotBeReadAreNotQuoted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registries.yaml")
	if err := os.WriteFile(path, []byte("configs: [hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := readRegistries(path)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error is %v", err)
	}
}

func TestCovers(t *testing.T) {
	now := time.Now()
	record := imported{Size: 10, Modified: now, Images: []string{"a", "b"}}
	both := map[string]bool{"a": true, "b": true}
	for name, test := range map[string]struct {
		file     imported
		existing map[string]bool
		want     bool
	}{
		"same":          {imported{Size: 10, Modified: now}, both, true},
		"other size":    {imported{Size: 11, Modified: now}, both, false},
		"other time":    {imported{Size: 10, Modified: now.Add(time.Second)}, both, false},
		"image removed": {imported{Size: 10, Modified: now}, map[string]bool{"a": true}, false},
	} {
		if got := record.covers(test.file, test.existing); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}
