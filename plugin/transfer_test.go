package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseUploads(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, file := range []string{"repo/kept", "repo/sub/too", "repo/made.o", "repo/.gitignore", "plain/a", "plain/b/c"} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("*.o\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("plain", "link"); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("git", "init", "-q", "repo").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, tt := range []struct {
		value string
		all   bool
		root  string
		dest  string
		files []string
		err   string
	}{
		{value: "repo", root: "repo", dest: workspace, files: []string{".gitignore", "kept", "sub/too"}},
		{value: "repo/sub:/in", root: "repo/sub", dest: "/in", files: []string{"too"}},
		{value: "plain", root: "plain", dest: workspace, files: []string{"a", "b", "b/c"}},
		{value: "link", root: "plain", dest: workspace, files: []string{"a", "b", "b/c"}},
		{value: "plain/a:/x:y", err: "no such file"},
		{value: "plain/a:y", root: "plain", dest: "y", files: []string{"a"}},
		{value: "plain/a:", err: "the destination is empty"},
		{value: "nowhere", err: "no such file"},
	} {
		got, err := parseUploads(t.Context(), []string{tt.value}, tt.all)
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: error %v, want %q", tt.value, err, tt.err)
			}
		case err != nil:
			t.Errorf("%q: %v", tt.value, err)
		case got[0].root != tt.root || got[0].dest != tt.dest || !slices.Equal(got[0].files, tt.files):
			t.Errorf("%q: %+v", tt.value, got[0])
		}
	}
	all, err := parseUploads(t.Context(), []string{"repo"}, true)
	if err != nil || !slices.Contains(all[0].files, "made.o") {
		t.Errorf("with ignored files: %+v, %v", all, err)
	}
}
