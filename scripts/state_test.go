package scripts

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// volumeBox has a gateway's state on a volume, and an image that ships something.
func volumeBox(b *box) {
	for _, tool := range []string{"cp", "du", "sync"} {
		b.tool(tool)
	}
	b.env["OPENSHELL_STATE"] = b.path("state")
	b.env["OPENSHELL_SHIPPED"] = b.path("shipped")
	b.file("state/server/db/state.db", "old\n")
	b.file("state/agent/images/node.tar", "old image\n")
	b.file("state/openshell/gateway.json", "{}\n")
	b.file("state/storage/pvc-1_openshell_workspace-bold-fox/file", "work\n")
	b.file("state/.hidden", "dot\n")
	b.link("server", "state/link")
	b.file("shipped/agent/images/node.tar", "new image\n")
}

// tree is everything on the volume that a node would see, or what is below our own
// directory.
func tree(b *box, root string) map[string]string {
	b.t.Helper()
	found := map[string]string{}
	if _, err := os.Lstat(b.path(root)); err != nil {
		return found
	}
	err := filepath.WalkDir(b.path(root), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(b.path(root), path)
		switch {
		case err != nil:
			return err
		case name == ".openshell":
			return filepath.SkipDir
		case e.Type() == fs.ModeSymlink:
			found[name], err = os.Readlink(path)
		case !e.IsDir():
			found[name] = b.read(filepath.Join(root, name))
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

func (b *box) state(want int, args ...string) result {
	b.t.Helper()
	r := b.run("cluster-state.sh", args...)
	if r.code != want {
		b.t.Fatalf("%s: exit code %d, want %d: %s%s", strings.Join(args, " "), r.code, want, r.stdout, r.stderr)
	}
	return r
}

// TestStateAside: set aside, the volume is as new but for the registries' credentials;
// back, it is as it was.
func TestStateAside(t *testing.T) {
	eachShell(t, func(b *box) {
		volumeBox(b)
		b.file("state/openshell/registries.yaml", "token\n")
		if err := os.Chmod(b.path("state/openshell/registries.yaml"), 0o600); err != nil {
			b.t.Fatal(err)
		}
		before := tree(b, "state")
		b.state(0, "aside", "one")
		if diff := cmp.Diff(map[string]string{"agent/images/node.tar": "new image\n", "openshell/registries.yaml": "token\n"}, tree(b, "state")); diff != "" {
			b.t.Error(diff)
		}
		if info, err := os.Stat(b.path("state/openshell/registries.yaml")); err != nil || info.Mode().Perm() != 0o600 {
			b.t.Errorf("credentials: %v, %v", info, err)
		}
		if diff := cmp.Diff(before, tree(b, "state/.openshell/snapshots/one/state")); diff != "" {
			b.t.Error(diff)
		}
		if got := b.read("state/.openshell/pending"); got != "aside one\n" {
			b.t.Errorf("pending: %q", got)
		}
		b.state(1, "aside", "two") // one at a time
		b.file("state/server/db/state.db", "new\n")
		b.state(0, "back")
		if diff := cmp.Diff(before, tree(b, "state")); diff != "" {
			b.t.Error(diff)
		}
		b.state(0, "back") // nothing is pending
	})
}

// TestStateSettle: a set-aside that is settled leaves a snapshot, or nothing.
func TestStateSettle(t *testing.T) {
	eachShell(t, func(b *box) {
		volumeBox(b)
		b.file("state/.openshell/snapshots/one/info.json", `{"id":"one"}`)
		b.state(0, "aside", "one")
		b.state(0, "settle")
		rows := strings.Split(strings.TrimSpace(b.state(0, "ls").stdout), "\n")
		if len(rows) != 2 || !strings.HasPrefix(rows[0], ".\t") {
			b.t.Fatalf("rows: %q", rows)
		}
		fields := strings.Split(rows[1], "\t")
		if len(fields) != 4 || fields[0] != "one" || fields[2] != "bold-fox" || fields[3] != `{"id":"one"}` {
			b.t.Errorf("row: %q", fields)
		}
		b.state(0, "aside", "two")
		b.state(0, "drop")
		b.state(0, "rm", "one")
		b.state(1, "rm", "one")
		b.state(1, "rm", "../../state")
		if left := tree(b, "state/.openshell/snapshots"); len(left) != 0 {
			b.t.Errorf("left: %v", left)
		}
	})
}

// TestStateSwap: a snapshot takes the place of the present state, which becomes one.
func TestStateSwap(t *testing.T) {
	eachShell(t, func(b *box) {
		volumeBox(b)
		old := tree(b, "state")
		b.state(0, "aside", "old")
		b.state(0, "settle")
		b.file("state/server/db/state.db", "new\n")
		now := tree(b, "state")
		b.state(0, "swap", "now", "old")
		if diff := cmp.Diff(old, tree(b, "state")); diff != "" {
			b.t.Error(diff)
		}
		if diff := cmp.Diff(now, tree(b, "state/.openshell/snapshots/now/state")); diff != "" {
			b.t.Error(diff)
		}
		b.state(1, "swap", "then", "old") // it is no snapshot any more
	})
}

// killed runs a command of the script and kills it when it is about to call one of the
// tools for the nth time. It reports whether it came to that.
func (b *box) killed(n int, args ...string) bool {
	b.t.Helper()
	for _, tool := range []string{"mv", "rm", "cp", "mkdir", "chmod"} {
		target, err := os.Readlink(b.path("stubs/" + tool))
		if err != nil {
			b.t.Fatal(err)
		}
		name := tool
		if filepath.Base(target) != "busybox" {
			name = ""
		}
		b.executable("stubs/"+tool, fmt.Sprintf(`echo x >>%[1]q
if [ "$(/usr/bin/wc -l <%[1]q)" -eq %[2]d ]; then kill -9 $PPID; exit 1; fi
exec %[3]q %[4]s "$@"
`, b.path("count"), n, target, name))
	}
	b.remove("count")
	r := b.run("cluster-state.sh", args...)
	for _, tool := range []string{"mv", "rm", "cp", "mkdir", "chmod"} {
		b.tool(tool)
	}
	return r.code != 0
}

// TestStateKilled: whenever a set-aside is cut off, "back" gives the state as it was;
// and so does "back" after a "back" that was cut off.
func TestStateKilled(t *testing.T) {
	eachShell(t, func(b *box) {
		volumeBox(b)
		before := tree(b, "state")
		cuts := 0
		for n := 1; b.killed(n, "aside", "one"); n++ {
			cuts++
			for m := 1; b.killed(m, "back"); m++ {
				cuts++
			}
			if diff := cmp.Diff(before, tree(b, "state")); diff != "" {
				b.t.Fatalf("cut off at %d: %s", n, diff)
			}
			b.remove("state/.openshell")
		}
		b.file("state/server/db/state.db", "new\n")
		for m := 1; b.killed(m, "back"); m++ {
			cuts++
		}
		if diff := cmp.Diff(before, tree(b, "state")); diff != "" {
			b.t.Fatal(diff)
		}
		if cuts < 20 {
			b.t.Errorf("only %d cuts", cuts)
		}
	})
}

// TestStateSwapKilled: a swap that is cut off anywhere, also again and again, goes on
// to the same end.
func TestStateSwapKilled(t *testing.T) {
	eachShell(t, func(b *box) {
		for n := 1; ; n++ {
			b.remove("state")
			volumeBox(b)
			old := tree(b, "state")
			b.state(0, "aside", "old")
			b.state(0, "settle")
			b.file("state/server/extra", "new\n")
			now := tree(b, "state")
			if !b.killed(n, "swap", "now", "old") {
				if n < 5 {
					b.t.Errorf("only %d cuts", n)
				}
				return
			}
			for m := 1; b.killed(m, "swap"); m++ {
			}
			if len(tree(b, "state/.openshell/snapshots/old/state")) > 0 {
				b.state(0, "swap", "now", "old") // it was cut off before it began
			}
			if diff := cmp.Diff(old, tree(b, "state")); diff != "" {
				b.t.Fatalf("cut off at %d: %s", n, diff)
			}
			if diff := cmp.Diff(now, tree(b, "state/.openshell/snapshots/now/state")); diff != "" {
				b.t.Fatalf("cut off at %d: %s", n, diff)
			}
		}
	})
}
