package clientdir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestDaemon(t *testing.T) {
	d := Open(filepath.Join(t.TempDir(), "openshell"))
	if _, err := d.Daemon("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a gateway without one: %v", err)
	}
	want := Daemon{ID: "i", Name: "box", Context: "default", Endpoint: "unix:///run/x.sock"}
	if err := d.WriteDaemon("a", want); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Daemon("a"); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"{", `{"name":"box"}`} {
		if err := os.WriteFile(filepath.Join(d.Root(), "gateways", "a", daemonFile), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Daemon("a"); err == nil {
			t.Errorf("%s: %+v", bad, got)
		}
	}
}

func TestDaemonDocker(t *testing.T) {
	for want, d := range map[string]Daemon{
		"docker --context box":             {Context: "box", Endpoint: "ssh://me@box"},
		"docker --host unix:///run/x.sock": {Context: "default", Endpoint: "unix:///run/x.sock"},
		"docker --context default":         {Context: "default"},
	} {
		if got := d.Docker(); got != want {
			t.Errorf("%+v: %q, want %q", d, got, want)
		}
	}
}
