package clientdir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Bundle is a client's TLS material, PEM.
type Bundle struct{ CA, Cert, Key []byte }

// Equal reports whether two bundles are the same.
func (b Bundle) Equal(o Bundle) bool {
	return bytes.Equal(b.CA, o.CA) && bytes.Equal(b.Cert, o.Cert) && bytes.Equal(b.Key, o.Key)
}

// bundleFiles are the names that the openshell CLI gives to the parts.
func (b *Bundle) files() map[string]*[]byte {
	return map[string]*[]byte{"ca.crt": &b.CA, "tls.crt": &b.Cert, "tls.key": &b.Key}
}

// Bundle reads a gateway's client bundle. It is [fs.ErrNotExist] when any part is
// missing.
func (d *Dir) Bundle(name string) (Bundle, error) {
	dir, err := d.gateway(name)
	if err != nil {
		return Bundle{}, err
	}
	// A writer puts a new directory in the place of the old one, so the parts are
	// read through one handle: they are of one directory, old or new.
	root, err := os.OpenRoot(filepath.Join(dir, "mtls"))
	if err != nil {
		return Bundle{}, err
	}
	defer root.Close() //nolint:errcheck // opened to read
	var b Bundle
	for file, part := range b.files() {
		if *part, err = root.ReadFile(file); err != nil {
			return Bundle{}, err
		}
		if len(*part) == 0 {
			return Bundle{}, fmt.Errorf("%s: %w (it is empty)", filepath.Join(dir, "mtls", file), fs.ErrNotExist)
		}
	}
	return b, nil
}

// retired marks a bundle directory that was taken out of its place.
const retired = ".mtls-old-"

// WriteBundle puts a new bundle in the place of the old one: a whole new directory
// is made beside it and renamed into place, so that no reader sees parts of two. A
// crash between the two renames leaves no bundle, which the next start repairs.
func (d *Dir) WriteBundle(name string, b Bundle) error {
	dir, err := d.gateway(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(dir, ".mtls-new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh) //nolint:errcheck // gone when it was renamed; else tidied by the next write
	for file, part := range b.files() {
		mode := fs.FileMode(0o644)
		if file == "tls.key" {
			mode = 0o600
		}
		if err := writeSynced(filepath.Join(fresh, file), *part, mode); err != nil {
			return err
		}
	}
	target := filepath.Join(dir, "mtls")
	old := filepath.Join(dir, retired+filepath.Base(fresh))
	if err := os.Rename(target, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(fresh, target); err != nil {
		return err
	}
	return tidy(dir)
}

func writeSynced(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// tidy removes what writers, also killed ones, have taken out of its place.
func tidy(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), retired) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
