package controllers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	manifestsPoll = 500 * time.Millisecond
	// A file that fails is tried again as a whole, ever less often: it may
	// wait for a definition or a namespace that another file or a chart brings.
	manifestRetryMin = 500 * time.Millisecond
	manifestRetryMax = 5 * time.Second
)

// Manifests applies what lies in a directory and its subdirectories. A file
// that goes away takes nothing with it.
type Manifests struct {
	clients   *Clients
	directory string
	// onApplied is told each file that has been applied, by its path below
	// the directory.
	onApplied func(file string)
	files     map[string]*manifest
}

// manifest is what is known of one file.
type manifest struct {
	size     int64
	modified time.Time
	applied  [sha256.Size]byte
	done     bool
	wait     time.Duration
	next     time.Time
	lastErr  string
}

// NewManifests makes the controller of one directory.
func NewManifests(clients *Clients, directory string, onApplied func(file string)) *Manifests {
	return &Manifests{clients: clients, directory: directory, onApplied: onApplied, files: map[string]*manifest{}}
}

// Run applies the files that change, and again those that could not be
// applied, until the context ends.
func (m *Manifests) Run(ctx context.Context) {
	ticker := time.NewTicker(manifestsPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := m.Pass(ctx); err != nil {
			logrus.Errorf("Failed to read the manifests in %s: %v", m.directory, err)
		}
	}
}

// Pass looks at every file once. Its error is that of reading the directory; a
// file that cannot be applied is logged and tried again by a later pass.
func (m *Manifests) Pass(ctx context.Context) error {
	found, err := listManifests(m.directory)
	if err != nil {
		return err
	}
	for name := range m.files {
		if _, ok := found[name]; !ok {
			delete(m.files, name)
		}
	}
	for _, name := range sortedKeys(found) {
		if ctx.Err() != nil {
			return nil
		}
		info := found[name]
		state := m.files[name]
		if state == nil {
			state = &manifest{}
			m.files[name] = state
		}
		if state.size != info.Size() || !state.modified.Equal(info.ModTime()) {
			state.size, state.modified = info.Size(), info.ModTime()
			state.done, state.wait, state.next = false, 0, time.Time{}
		}
		if state.done || time.Now().Before(state.next) {
			continue
		}
		m.attempt(ctx, name, state)
	}
	return nil
}

// attempt applies a file and notes how it went.
func (m *Manifests) attempt(ctx context.Context, name string, state *manifest) {
	path := filepath.Join(m.directory, name)
	changed, err := m.applyFile(ctx, path, state)
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		state.wait = min(max(2*state.wait, manifestRetryMin), manifestRetryMax)
		state.next = time.Now().Add(state.wait)
		// The same failure again and again is one line.
		if text := err.Error(); text != state.lastErr {
			state.lastErr = text
			logrus.Errorf("Failed to process config: failed to process %s: %v", path, err)
		}
		return
	}
	state.done, state.lastErr = true, ""
	if changed {
		logrus.Infof("Applied manifest at %q", path)
		m.onApplied(name)
	}
}

// applyFile applies all objects of a file, unless its content is what was
// applied before.
func (m *Manifests) applyFile(ctx context.Context, path string, state *manifest) (changed bool, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	sum := sha256.Sum256(content)
	if sum == state.applied {
		return false, nil
	}
	objects, err := parse(content)
	if err != nil {
		return false, err
	}
	for _, object := range objects {
		if err := m.clients.apply(ctx, object); err != nil {
			return false, fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	state.applied = sum
	return true, nil
}

// listManifests finds the files to apply: YAML and JSON, without those that a
// file of the same name with .skip added switches off, as in k3s.
func listManifests(directory string) (map[string]fs.FileInfo, error) {
	found, skipped := map[string]fs.FileInfo{}, map[string]bool{}
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(directory, path)
		if err != nil {
			return err
		}
		if target, ok := strings.CutSuffix(name, ".skip"); ok {
			skipped[target] = true
			return nil
		}
		switch filepath.Ext(name) {
		case ".yaml", ".yml", ".json":
		default:
			return nil
		}
		// Stat, because what is put there may be a link.
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && info.Mode().IsRegular() {
			found[name] = info
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for name := range skipped {
		delete(found, name)
	}
	return found, nil
}
