package clientdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// ErrLocked is returned by [Dir.TryLock] when another command holds the lock.
var ErrLocked = errors.New("another command works on this gateway")

const (
	holderSuffix = ".holder"
	stopSuffix   = ".stop"
)

// lockPoll is how often a lock that is held is tried again.
const lockPoll = 100 * time.Millisecond

func (d *Dir) lockPath(name string) (string, error) {
	if err := ValidateName(name); err != nil {
		return "", err
	}
	return filepath.Join(d.root, "locks", name+".lock"), nil
}

// TryLock takes a gateway's lock if nobody holds it, else it returns [ErrLocked].
// The kernel releases it when this process ends, however that happens.
func (d *Dir) TryLock(name string) (unlock func() error, err error) {
	return d.lock(name, func(l *flock.Flock) (bool, error) { return l.TryLock() })
}

// Lock waits for a gateway's lock until ctx ends.
func (d *Dir) Lock(ctx context.Context, name string) (unlock func() error, err error) {
	return d.lock(name, func(l *flock.Flock) (bool, error) { return l.TryLockContext(ctx, lockPoll) })
}

func (d *Dir) lock(name string, take func(*flock.Flock) (bool, error)) (func() error, error) {
	path, err := d.lockPath(name)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the directory for locks: %w", err)
	}
	l := flock.New(path, flock.SetPermissions(0o600))
	taken, err := take(l)
	if err != nil {
		return nil, err
	}
	if !taken {
		return nil, ErrLocked
	}
	// For the message of those who wait. It is a file of its own, because on Windows a
	// locked file cannot be written by another handle.
	holder := fmt.Sprintf("process %d (%s)\n", os.Getpid(), filepath.Base(os.Args[0]))
	if err := os.WriteFile(path+holderSuffix, []byte(holder), 0o600); err != nil {
		return nil, errors.Join(err, l.Unlock())
	}
	return l.Unlock, nil
}

// LockHolder describes the process that took a gateway's lock last, or is "".
func (d *Dir) LockHolder(name string) string {
	path, err := d.lockPath(name)
	if err != nil {
		return ""
	}
	data, err := os.ReadFile(path + holderSuffix)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// MarkStop notes that a container is about to be stopped. The daemon goes on with a
// stop when the command that asked for it is gone, and says nowhere that it does.
func (d *Dir) MarkStop(name, container string) error {
	path, err := d.lockPath(name)
	if err != nil {
		return err
	}
	return os.WriteFile(path+stopSuffix, []byte(container), 0o600)
}

// ClearStop notes that no stop is under way.
func (d *Dir) ClearStop(name string) error {
	path, err := d.lockPath(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path + stopSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// StopMarked is the container whose stop was begun and not seen to its end, or "".
func (d *Dir) StopMarked(name string) (container string, err error) {
	path, err := d.lockPath(name)
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(path + stopSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(data), err
}
