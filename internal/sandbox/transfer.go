package sandbox

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Upload copies files into a directory of the sandbox, which is made if it is not
// there. root is a directory of this machine, and files are names in it, with
// slashes.
func (s *Shell) Upload(ctx context.Context, root string, files []string, dest string) error {
	reader, writer := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := pack(writer, root, files)
		writer.CloseWithError(err) //nolint:errcheck // never fails
		packed <- err
	}()
	var stderr tail
	code, err := s.Run(ctx, RunOptions{Args: []string{"sh", "-c", `mkdir -p -- "$1" && exec tar -x -f - -C "$1"`, "sh", dest},
		Stdin: reader, Stdout: io.Discard, Stderr: &stderr})
	// A command that ends early takes no more.
	reader.CloseWithError(errTaken) //nolint:errcheck // never fails
	if packErr := <-packed; packErr != nil && !errors.Is(packErr, errTaken) {
		return fmt.Errorf("read %s: %w", root, packErr)
	}
	return s.transferred(err, code, &stderr, "upload to "+dest)
}

// errTaken ends the packing for a command that takes no more.
var errTaken = errors.New("the sandbox takes no more")

// Download copies a file, or what is in a directory, into a directory of this machine,
// which is made if it is not there. Nothing is written outside of it, whatever the
// sandbox sends.
func (s *Shell) Download(ctx context.Context, source, dest string) error {
	if err := os.MkdirAll(dest, 0o777); err != nil {
		return err
	}
	root, err := os.OpenRoot(dest)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // opened to look things up
	reader, writer := io.Pipe()
	unpacked := make(chan error, 1)
	go func() {
		err := unpack(root, reader)
		reader.CloseWithError(err) //nolint:errcheck // never fails
		unpacked <- err
	}()
	var stderr tail
	code, err := s.Run(ctx, RunOptions{Args: []string{"sh", "-c",
		`if [ -d "$1" ]; then exec tar -c -f - -C "$1" .; else exec tar -c -f - -C "$2" -- "$3"; fi`,
		"sh", source, path.Dir(source), path.Base(source)}, Stdout: writer, Stderr: &stderr})
	writer.CloseWithError(errors.Join(err)) //nolint:errcheck // never fails
	unpackErr := <-unpacked
	// Where writing failed, that is what ended the command.
	if unpackErr == nil || !errors.Is(err, unpackErr) {
		if err := s.transferred(err, code, &stderr, "download "+source); err != nil {
			return err
		}
	}
	if unpackErr != nil {
		return fmt.Errorf("write below %s: %w", dest, cleaned{unpackErr})
	}
	return nil
}

func (s *Shell) transferred(err error, code int, stderr *tail, what string) error {
	switch {
	case err != nil:
		return err
	case code != 0:
		return fail(CauseRefused, "", "%s: sandbox %q: %s", what, s.sandbox.Name, clean(strings.TrimSpace(stderr.String())))
	default:
		return nil
	}
}

// tail keeps the end of what is written to it.
type tail struct{ bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	const limit = 4 << 10
	if t.Len()+len(p) > limit {
		t.Next(min(t.Len(), t.Len()+len(p)-limit))
	}
	if len(p) > limit {
		t.Buffer.Write(p[len(p)-limit:])
		return len(p), nil
	}
	return t.Buffer.Write(p)
}

// pack writes files as a tar stream. Directories come without what is in them: the
// list names everything.
func pack(w io.Writer, root string, files []string) error {
	t := tar.NewWriter(w)
	for _, name := range files {
		if err := packFile(t, filepath.Join(root, filepath.FromSlash(name)), name); err != nil {
			return err
		}
	}
	return t.Close()
}

func packFile(t *tar.Writer, file, name string) error {
	info, err := os.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) {
		// Deleted since the list was made.
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() && !info.IsDir() && info.Mode().Type() != fs.ModeSymlink {
		return nil // sockets, devices and pipes have no content to copy
	}
	target := ""
	if info.Mode().Type() == fs.ModeSymlink {
		if target, err = os.Readlink(file); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	h.Name = name
	if info.IsDir() {
		h.Name += "/"
	}
	// The owner is the sandbox' user, not who has that number here.
	h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // opened to read
	// A file that grows meanwhile is copied as long as it was.
	n, err := io.CopyN(t, f, h.Size)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s became shorter while it was read (%d of %d bytes)", name, n, h.Size)
	}
	return err
}

// unpack writes a tar stream below root.
func unpack(root *os.Root, r io.Reader) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			// The padding after the end is read too: the sender must not be cut off.
			_, err := io.Copy(io.Discard, r)
			return err
		}
		if err != nil {
			return err
		}
		if err := unpackFile(root, h, t); err != nil {
			return err
		}
	}
}

func unpackFile(root *os.Root, h *tar.Header, r io.Reader) error {
	name := path.Clean(h.Name)
	if name == "." {
		return nil
	}
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return fmt.Errorf("the sandbox sent %q, which lies outside", clean(h.Name))
	}
	name = filepath.FromSlash(name)
	mode := fs.FileMode(h.Mode) & fs.ModePerm
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, mode|0o700)
	case tar.TypeSymlink:
		return replace(root, name, func() error { return root.Symlink(h.Linkname, name) })
	case tar.TypeReg:
		return replace(root, name, func() error {
			f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
			if err != nil {
				return err
			}
			_, err = io.Copy(f, r)
			return errors.Join(err, f.Close())
		})
	case tar.TypeLink:
		return replace(root, name, func() error { return root.Link(filepath.FromSlash(path.Clean(h.Linkname)), name) })
	default:
		return nil // devices and pipes are not made
	}
}

// replace puts something new in the place of a file. A link that is there is replaced
// and never followed.
func replace(root *os.Root, name string, put func() error) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return put()
}

// Files lists everything below a directory, as names for [Shell.Upload].
func Files(root string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, p)
		if err == nil && name != "." {
			files = append(files, filepath.ToSlash(name))
		}
		return err
	})
	return files, err
}
