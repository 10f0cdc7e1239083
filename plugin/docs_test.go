package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clidocstool "github.com/docker/cli-docs-tool"
	"github.com/docker/cli-docs-tool/annotation"
	"github.com/docker/cli/cli/command"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

const (
	referenceDir = "../docs/reference"
	// byHand is the page of the reference that is not generated.
	byHand = "README.md"
)

// TestReference compares docs/reference with what the commands say of themselves, and
// writes it anew with -update.
func TestReference(t *testing.T) {
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	want := generateReference(t)
	if *update {
		writeReference(t, want)
	}
	got := readPages(t, referenceDir)
	if _, ok := got[byHand]; !ok {
		t.Errorf("%s is missing", filepath.Join(referenceDir, byHand))
	}
	delete(got, byHand)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/reference is stale; run: go test ./plugin -run TestReference -update\n%s", diff)
	}
}

func generateReference(t *testing.T) map[string]string {
	t.Helper()
	dockerCLI, err := command.NewDockerCli()
	if err != nil {
		t.Fatal(err)
	}
	root := &cobra.Command{Use: "docker", Annotations: map[string]string{annotation.CodeDelimiter: `"`}}
	root.AddCommand(newRoot(dockerCLI))
	withoutRefused(root)
	dir := t.TempDir()
	writeFrames(t, dir, root.Commands()[0])
	tool, err := clidocstool.New(clidocstool.Options{Root: root, SourceDir: dir, Plugin: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := tool.GenMarkdownTree(root); err != nil {
		t.Fatal(err)
	}
	return readPages(t, dir)
}

// withoutRefused takes away the commands that only say what takes their place.
func withoutRefused(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		if _, refused := otherCommands[cmd.Name()][sub.Name()]; refused {
			cmd.RemoveCommand(sub)
		}
		withoutRefused(sub)
	}
}

// writeFrames writes for each command the page into which the tool puts description
// and options: the tool itself leaves usage and examples out.
func writeFrames(t *testing.T, dir string, cmd *cobra.Command) {
	t.Helper()
	cmd.DisableFlagsInUseLine = true
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n```\n%s\n```\n\n<!---MARKER_GEN_START-->\n<!---MARKER_GEN_END-->\n", cmd.CommandPath(), cmd.UseLine())
	if cmd.Example != "" {
		fmt.Fprintf(&b, "\n## Examples\n\n```sh\n%s\n```\n", cmd.Example)
	}
	path, _ := strings.CutPrefix(cmd.CommandPath(), "docker ")
	path = filepath.Join(dir, strings.ReplaceAll(path, " ", "_")+".md")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, sub := range cmd.Commands() {
		writeFrames(t, dir, sub)
	}
}

func readPages(t *testing.T, dir string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.Base(path)] = string(data)
	}
	return pages
}

// writeReference replaces the generated pages, also those of commands that are gone.
func writeReference(t *testing.T, pages map[string]string) {
	t.Helper()
	for name := range readPages(t, referenceDir) {
		if _, ok := pages[name]; !ok && name != byHand {
			if err := os.Remove(filepath.Join(referenceDir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.MkdirAll(referenceDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, page := range pages {
		if err := os.WriteFile(filepath.Join(referenceDir, name), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryCommandIsDocumented looks at what the reference is made of.
func TestEveryCommandIsDocumented(t *testing.T) {
	dockerCLI, err := command.NewDockerCli()
	if err != nil {
		t.Fatal(err)
	}
	var check func(*cobra.Command)
	check = func(cmd *cobra.Command) {
		for what, text := range map[string]string{"Short": cmd.Short, "Long": cmd.Long, "Example": cmd.Example} {
			if text == "" {
				t.Errorf("%s has no %s", cmd.CommandPath(), what)
			}
		}
		if strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: Short ends with a full stop, unlike Docker's: %q", cmd.CommandPath(), cmd.Short)
		}
		if !strings.Contains(cmd.Example, cmd.CommandPath()) && !cmd.HasSubCommands() && cmd.Name() != "status" {
			t.Errorf("%s: its example shows another command", cmd.CommandPath())
		}
		if cmd.Args == nil && cmd.Name() != "inspect" {
			t.Errorf("%s accepts any arguments", cmd.CommandPath())
		}
		if cmd.ValidArgsFunction == nil && !cmd.HasSubCommands() {
			t.Errorf("%s does not complete its arguments", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			check(sub)
		}
	}
	root := &cobra.Command{Use: "docker"}
	root.AddCommand(newRoot(dockerCLI))
	withoutRefused(root)
	check(root.Commands()[0])
}
