package clientdir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestValidateName(t *testing.T) {
	for _, good := range []string{"a", "openshell", "Prod_US", "a.b-c_d", strings.Repeat("x", MaxName)} {
		if err := ValidateName(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", ".", "..", "a/b", `a\b`, "../x", "-a", "a-", "_a", "a.", "a b", "a\n", "ä", "a\x00", strings.Repeat("x", MaxName+1)} {
		if err := ValidateName(bad); err == nil || !strings.Contains(err.Error(), "letters, digits") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestDefaultRoot(t *testing.T) {
	env := func(m map[string]string) func(string) string { return func(k string) string { return m[k] } }
	for _, tt := range []struct {
		env        map[string]string
		goos, want string
	}{
		{map[string]string{"XDG_CONFIG_HOME": "/x", "HOME": "/h"}, "linux", "/x/openshell"},
		{map[string]string{"HOME": "/h"}, "darwin", "/h/.config/openshell"},
		{map[string]string{"APPDATA": "/a", "HOME": "/h"}, "windows", "/a/openshell"},
		{nil, "linux", ""},
		{nil, "windows", ""},
	} {
		got, err := DefaultRoot(env(tt.env), tt.goos)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%v on %s: %q, %v", tt.env, tt.goos, got, err)
		}
	}
}

func TestActive(t *testing.T) {
	d := Open(filepath.Join(t.TempDir(), "openshell"))
	if name, err := d.Active(); name != "" || err != nil {
		t.Errorf("without a file: %q, %v", name, err)
	}
	if err := d.SetActive("dev"); err != nil {
		t.Fatal(err)
	}
	if name, err := d.Active(); name != "dev" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
	write(t, filepath.Join(d.Root(), "active_gateway"), " prod\n")
	if name, err := d.Active(); name != "prod" || err != nil {
		t.Errorf("with white space: %q, %v", name, err)
	}
	write(t, filepath.Join(d.Root(), "active_gateway"), "../../etc/passwd")
	if _, err := d.Active(); err == nil || !strings.Contains(err.Error(), "active_gateway") {
		t.Errorf("a hostile name: %v", err)
	}
	if err := d.SetActive("../x"); err == nil {
		t.Error("a hostile name was written")
	}
}

func TestMetadata(t *testing.T) {
	d := Open(t.TempDir())
	if _, err := d.Metadata("dev"); !errors.Is(err, fs.ErrNotExist) || d.Registered("dev") {
		t.Errorf("without a file: %v", err)
	}
	m := Metadata{Name: "dev", Endpoint: "https://127.0.0.1:8080", Port: 8080}
	if err := d.WriteMetadata(m); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(d.Root(), "gateways", "dev", "metadata.json")
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "name": "dev",
  "gateway_endpoint": "https://127.0.0.1:8080",
  "is_remote": false,
  "gateway_port": 8080
}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("metadata.json (-want +got):\n%s", diff)
	}
	// What a newer tool has written stays, in its order.
	write(t, path, `{"name":"dev","zeta":{"a":[1, 2]},"gateway_endpoint":"https://h:1","is_remote":false,"gateway_port":1,"alpha":null}`)
	if m, err = d.Metadata("dev"); err != nil {
		t.Fatal(err)
	}
	m.Port = 2
	if err := d.WriteMetadata(m); err != nil {
		t.Fatal(err)
	}
	got, err = os.ReadFile(path)
	if err != nil || !strings.Contains(string(got), `"gateway_port": 2`) || strings.Index(string(got), "zeta") > strings.Index(string(got), "alpha") {
		t.Errorf("%s, %v", got, err)
	}
	for _, bad := range []string{"", "{", "[]", `{"name":"dev"}`, `{"name":1}`} {
		write(t, path, bad)
		if _, err := d.Metadata("dev"); !errors.Is(err, ErrCorrupt) || !d.Registered("dev") {
			t.Errorf("%q: %v", bad, err)
		}
		if names, broken, err := d.List(); len(names) != 0 || len(broken) != 1 || err != nil {
			t.Errorf("%q: list %v, %v, %v", bad, names, broken, err)
		}
	}
	if _, err := d.Metadata("../dev"); err == nil {
		t.Error("a hostile name was read")
	}
}

func bundle(s string) Bundle {
	return Bundle{[]byte("ca " + s), []byte("cert " + s), []byte("key " + s)}
}

func TestBundle(t *testing.T) {
	d := Open(t.TempDir())
	if _, err := d.Bundle("dev"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without files: %v", err)
	}
	if err := d.WriteBundle("dev", bundle("1")); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(d.Root(), "gateways", "dev")
	for path, mode := range map[string]fs.FileMode{"mtls": 0o700, "mtls/tls.key": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	// What a writer left that was killed between its two renames.
	if err := os.Rename(filepath.Join(dir, "mtls"), filepath.Join(dir, retired+"killed")); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteBundle("dev", bundle("2")); err != nil {
		t.Fatal(err)
	}
	if b, err := d.Bundle("dev"); err != nil || !b.Equal(bundle("2")) {
		t.Errorf("%v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left over: %v, %v", entries, err)
	}
	write(t, filepath.Join(dir, "mtls", "tls.key"), "")
	if _, err := d.Bundle("dev"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("with an empty key: %v", err)
	}
}

// TestBundleIsNeverMixed (W21, W33) has readers look while a writer replaces.
func TestBundleIsNeverMixed(t *testing.T) {
	d := Open(t.TempDir())
	if err := d.WriteBundle("dev", bundle("0")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Add(1)
		go func() {
			defer readers.Done()
			for ctx.Err() == nil {
				b, err := d.Bundle("dev")
				if err != nil {
					continue // between two renames there is none
				}
				if n := strings.TrimPrefix(string(b.CA), "ca "); !b.Equal(bundle(n)) {
					t.Errorf("parts of two bundles: %s, %s, %s", b.CA, b.Cert, b.Key)
				}
			}
		}()
	}
	for i := range 100 {
		if err := d.WriteBundle("dev", bundle(strings.Repeat("x", i%7+1))); err != nil {
			t.Error(err)
		}
	}
	cancel()
	readers.Wait()
}

func TestRemove(t *testing.T) {
	d := Open(t.TempDir())
	for _, name := range []string{"one", "two"} {
		if err := d.WriteMetadata(Metadata{Name: name, Endpoint: "https://h:1"}); err != nil {
			t.Fatal(err)
		}
		if err := d.WriteBundle(name, bundle(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.SetActive("one"); err != nil {
		t.Fatal(err)
	}
	if removed, err := d.Remove("two"); !removed || err != nil {
		t.Errorf("%t, %v", removed, err)
	}
	if active, err := d.Active(); active != "one" || err != nil {
		t.Errorf("another gateway's removal changed the active one: %q, %v", active, err)
	}
	if removed, err := d.Remove("one"); !removed || err != nil {
		t.Errorf("%t, %v", removed, err)
	}
	if active, err := d.Active(); active != "" || err != nil {
		t.Errorf("active: %q, %v", active, err)
	}
	if files, err := d.Files("one"); len(files) != 0 || err != nil {
		t.Errorf("left: %v, %v", files, err)
	}
	if removed, err := d.Remove("one"); removed || err != nil {
		t.Errorf("twice: %t, %v", removed, err)
	}
}

func TestLock(t *testing.T) {
	root := t.TempDir()
	one, two := Open(root), Open(root)
	unlock, err := one.TryLock("dev")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.TryLock("dev"); !errors.Is(err, ErrLocked) {
		t.Errorf("taken twice: %v", err)
	}
	if holder := two.LockHolder("dev"); !strings.Contains(holder, "process ") {
		t.Errorf("holder %q", holder)
	}
	other, err := two.TryLock("prod")
	if err != nil {
		t.Errorf("another gateway's lock: %v", err)
	} else if err := other(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := two.Lock(ctx, "dev"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waited: %v", err)
	}
	got := make(chan error, 1)
	go func() {
		again, err := two.Lock(context.Background(), "dev")
		if err == nil {
			err = again()
		}
		got <- err
	}()
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("after the release: %v", err)
	}
	blocked := Open(filepath.Join(root, "file"))
	write(t, filepath.Join(root, "file"), "")
	if _, err := blocked.TryLock("dev"); err == nil {
		t.Error("locked where no directory can be made")
	}
}
