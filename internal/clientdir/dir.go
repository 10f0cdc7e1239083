// Package clientdir reads and writes the files under $XDG_CONFIG_HOME/openshell that
// we share with the openshell CLI, in that tool's layout, and holds the locks that
// keep two commands from working on one gateway. Every name is validated before it
// becomes a path, also one that was read from a file.
package clientdir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/atomicwriter"
)

// Dir is the directory. It need not exist until something is written.
type Dir struct{ root string }

// Open returns the directory at root. It touches nothing.
func Open(root string) *Dir { return &Dir{root: root} }

// Root is where the directory is.
func (d *Dir) Root() string { return d.root }

// DefaultRoot is where the openshell CLI keeps its files: below XDG_CONFIG_HOME, else
// below .config in the home directory, on macOS too; below APPDATA on Windows.
func DefaultRoot(getenv func(string) string, goos string) (string, error) {
	if base := getenv("XDG_CONFIG_HOME"); base != "" {
		return filepath.Join(base, "openshell"), nil
	}
	if goos == "windows" {
		if base := getenv("APPDATA"); base != "" {
			return filepath.Join(base, "openshell"), nil
		}
		return "", errors.New("neither XDG_CONFIG_HOME nor APPDATA is set")
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".config", "openshell"), nil
	}
	return "", errors.New("neither XDG_CONFIG_HOME nor HOME is set")
}

// MaxName is the length of the longest gateway name. With our prefixes it fits a
// host name, which ends at 64 characters, and a Kubernetes label value, at 63.
const MaxName = 40

// ValidateName accepts names that are one path element everywhere and that Docker
// takes as part of a container's name: letters, digits, and ".", "_", "-" between
// them.
func ValidateName(name string) error {
	bad := func(why string) error {
		return fmt.Errorf("gateway name %q %s; use 1 to %d letters, digits, '.', '_' and '-', beginning and ending with a letter or digit", name, why, MaxName)
	}
	alphanumeric := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	switch {
	case name == "":
		return bad("is empty")
	case len(name) > MaxName:
		return bad(fmt.Sprintf("has %d characters", len(name)))
	case !alphanumeric(name[0]) || !alphanumeric(name[len(name)-1]):
		return bad("begins or ends with another character")
	}
	for i := range len(name) {
		if c := name[i]; !alphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return bad(fmt.Sprintf("holds %q", c))
		}
	}
	return nil
}

// gateway is the directory of one gateway.
func (d *Dir) gateway(name string) (string, error) {
	if err := ValidateName(name); err != nil {
		return "", err
	}
	return filepath.Join(d.root, "gateways", name), nil
}

// Active returns the active gateway's name, or "" when none is set.
func (d *Dir) Active() (string, error) {
	path := filepath.Join(d.root, "active_gateway")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	name := strings.TrimSpace(string(data))
	if name == "" {
		return "", nil
	}
	if err := ValidateName(name); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return name, nil
}

// SetActive makes a gateway the active one.
func (d *Dir) SetActive(name string) error {
	if err := ValidateName(name); err != nil {
		return err
	}
	return replace(filepath.Join(d.root, "active_gateway"), []byte(name))
}

// replace writes a file atomically, and its directory if there is none. A file that
// says the same already is left alone.
func replace(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := atomicwriter.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// List names the gateways that have readable metadata, sorted, and separately those
// whose metadata cannot be read.
func (d *Dir) List() (names, broken []string, err error) {
	entries, err := os.ReadDir(filepath.Join(d.root, "gateways"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if !e.IsDir() || ValidateName(e.Name()) != nil {
			continue
		}
		switch _, err := d.Metadata(e.Name()); {
		case err == nil:
			names = append(names, e.Name())
		case !errors.Is(err, fs.ErrNotExist):
			broken = append(broken, e.Name())
		}
	}
	slices.Sort(names)
	return names, broken, nil
}

// Files lists the files that belong to a gateway, as paths.
func (d *Dir) Files(name string) ([]string, error) {
	dir, err := d.gateway(name)
	if err != nil {
		return nil, err
	}
	var files []string
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return files, err
}

// Remove removes all files of a gateway, its key among them, and clears the active
// gateway if it was this one. It reports whether there was anything.
func (d *Dir) Remove(name string) (bool, error) {
	dir, err := d.gateway(name)
	if err != nil {
		return false, err
	}
	_, statErr := os.Lstat(dir)
	if err := os.RemoveAll(dir); err != nil {
		return false, err
	}
	active, err := os.ReadFile(filepath.Join(d.root, "active_gateway"))
	if err == nil && strings.TrimSpace(string(active)) == name {
		if err := os.Remove(filepath.Join(d.root, "active_gateway")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return true, err
		}
	}
	return statErr == nil, nil
}

// LastSandbox returns the sandbox that was used last on a gateway, or "".
func (d *Dir) LastSandbox(name string) (string, error) {
	dir, err := d.gateway(name)
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(filepath.Join(dir, "last_sandbox"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(data)), err
}

// SetLastSandbox notes which sandbox of a gateway is meant when none is named; "" is
// none.
func (d *Dir) SetLastSandbox(name, sandbox string) error {
	dir, err := d.gateway(name)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "last_sandbox")
	if sandbox == "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return replace(path, []byte(sandbox))
}
