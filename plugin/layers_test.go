package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/docker-openshell/docker-openshell/"

// mayImport says which packages of this module each package may import. A package
// that is missing here may import none.
var mayImport = map[string][]string{
	"plugin":           {"internal/gateway", "internal/sandbox", "internal/clientdir"},
	"internal/gateway": {"internal/k3sexec", "internal/pki", "internal/manifest", "internal/clientdir", "internal/openshellpb", "scripts", "deploy"},
	"internal/sandbox": {"internal/k3sexec", "internal/pki", "internal/manifest", "internal/clientdir", "internal/openshellpb"},
}

// onlyPlugin are the libraries that nothing below plugin may depend on.
var onlyPlugin = []string{"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/docker/cli"}

// TestLayers reads the imports of all packages of this module.
func TestLayers(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "../...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		from, ok := strings.CutPrefix(fields[0], module)
		if !ok || strings.HasPrefix(from, "test/") {
			continue
		}
		seen++
		for _, path := range fields[1:] {
			to, ours := strings.CutPrefix(path, module)
			if ours && !slices.Contains(mayImport[from], to) {
				t.Errorf("%s must not import %s", from, to)
			}
		}
	}
	if seen < 5 {
		t.Fatalf("only %d packages were found", seen)
	}
}

// TestDependencies looks at everything that the engine is linked with.
func TestDependencies(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../internal/...", "../scripts/...", "../deploy/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		for _, forbidden := range onlyPlugin {
			if dep == forbidden || strings.HasPrefix(dep, forbidden+"/") {
				t.Errorf("something below plugin depends on %s", dep)
			}
		}
	}
	if !strings.Contains(string(out), module+"internal/gateway\n") {
		t.Fatal("the engine is not among the packages that were looked at")
	}
}

// surroundings are what only plugin may touch: streams, the environment, the process.
var surroundings = map[string][]string{
	"os":  {"Stdin", "Stdout", "Stderr", "Getenv", "LookupEnv", "Environ", "ExpandEnv", "Setenv", "Exit", "UserHomeDir", "UserConfigDir"},
	"fmt": {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
	"log": {"Print", "Printf", "Println", "Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln"},
}

// TestSurroundings reads the engine's source.
func TestSurroundings(t *testing.T) {
	files := 0
	err := filepath.WalkDir("../internal", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files++
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		imported := map[string]string{}
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imported[filepath.Base(name)] = name
		}
		ast.Inspect(file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			if ok && slices.Contains(surroundings[imported[pkg.Name]], sel.Sel.Name) {
				t.Errorf("%s uses %s.%s", set.Position(sel.Pos()), pkg.Name, sel.Sel.Name)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Fatalf("only %d files were found", files)
	}
}
