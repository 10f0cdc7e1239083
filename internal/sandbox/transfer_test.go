package sandbox

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func listing(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, _ := filepath.Rel(root, path)
		info, err := e.Info()
		if err != nil {
			return err
		}
		text := info.Mode().Perm().String()
		switch {
		case e.Type() == fs.ModeSymlink:
			text, err = os.Readlink(path)
		case !e.IsDir():
			data, readErr := os.ReadFile(path)
			text, err = text+" "+string(data), readErr
		}
		found[name] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestPackUnpack(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for name, mode := range map[string]fs.FileMode{"a file": 0o640, "-dash": 0o600, "new\nline": 0o644, "sub/ä": 0o755} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(from, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(from, name), []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(from, "empty"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sub/ä", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	files, err := Files(from)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := pack(&archive, from, append(files, "deleted meanwhile")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time in the place of the first
		root, err := os.OpenRoot(to)
		if err != nil {
			t.Fatal(err)
		}
		if err := unpack(root, bytes.NewReader(archive.Bytes())); err != nil {
			t.Fatal(err)
		}
		root.Close()
	}
	if diff := cmp.Diff(listing(t, from), listing(t, to)); diff != "" {
		t.Error(diff)
	}
}

// hostile archives: none may write outside of its directory.
func hostile() map[string][]tar.Header {
	file := func(name string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: 4}
	}
	return map[string][]tar.Header{
		"parent":            {file("../out/file")},
		"absolute":          {file("/tmp/openshell-hostile")},
		"inner parent":      {file("a/../../out/file")},
		"through a link":    {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../out"}, file("l/file")},
		"link over a link":  {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../out/kept"}, file("l")},
		"hard link outside": {{Name: "h", Typeflag: tar.TypeLink, Linkname: "../out/kept"}},
		"device":            {{Name: "d", Typeflag: tar.TypeChar, Mode: 0o666}},
	}
}

func TestUnpackStaysInside(t *testing.T) {
	for name, headers := range hostile() {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			for _, dir := range []string{"in", "out"} {
				if err := os.Mkdir(filepath.Join(parent, dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(parent, "out", "kept"), []byte("kept"), 0o644); err != nil {
				t.Fatal(err)
			}
			var archive bytes.Buffer
			w := tar.NewWriter(&archive)
			for _, h := range headers {
				if err := w.WriteHeader(&h); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size))); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			root, err := os.OpenRoot(filepath.Join(parent, "in"))
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			unpackErr := unpack(root, &archive)
			if diff := cmp.Diff(map[string]string{"kept": "-rw-r--r-- kept"}, listing(t, filepath.Join(parent, "out"))); diff != "" {
				t.Errorf("%v: %s", unpackErr, diff)
			}
			for path, text := range listing(t, filepath.Join(parent, "in")) {
				if strings.HasSuffix(text, " kept") {
					t.Errorf("%s leads to a file outside", path)
				}
			}
			if _, err := os.Lstat("/tmp/openshell-hostile"); err == nil {
				t.Error("an absolute name was written")
			}
		})
	}
}

func TestTail(t *testing.T) {
	var b tail
	for _, s := range []string{"begin", strings.Repeat("x", 5000), "end"} {
		if n, err := b.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	if got := b.String(); len(got) != 4096 || !strings.HasSuffix(got, "xend") || slices.Contains([]byte(got), 'b') {
		t.Errorf("%d bytes, %q", len(got), got[len(got)-10:])
	}
}
