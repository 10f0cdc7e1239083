package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/sirupsen/logrus"

	"github.com/docker-openshell/docker-openshell/test/node/layout"
)

// importedFile remembers what was imported. It lies in containerd's store, so
// that it goes when the store goes.
const importedFile = layout.ContainerdRoot + "/imported.json"

// imported is what is known of a tar that was imported.
type imported struct {
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	Images   []string  `json:"images"`
}

// labels keep kubelet from collecting an image that no registry could give
// back. The first is k3s' name for it, the second containerd's.
var labels = map[string]string{
	"io.cattle.k3s.pinned":     "pinned",
	"io.cri-containerd.pinned": "pinned",
	"io.cri-containerd.image":  "managed",
}

// ImportImages waits for containerd and imports the tars of all directories, at
// once, except those that an earlier boot imported and that have not changed.
func ImportImages(ctx context.Context, directories ...string) error {
	client, err := connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	known, err := readImported(importedFile)
	if err != nil {
		return err
	}
	existing, err := imageNames(ctx, client)
	if err != nil {
		return err
	}
	archives, err := findArchives(directories)
	if err != nil {
		return err
	}

	var mu sync.Mutex
	var all sync.WaitGroup
	result := map[string]imported{}
	var failures []error
	for path, info := range archives {
		entry := imported{Size: info.Size(), Modified: info.ModTime().UTC()}
		if previous, ok := known[path]; ok && previous.covers(entry, existing) {
			result[path] = previous
			continue
		}
		all.Go(func() {
			started := time.Now()
			names, err := importArchive(ctx, client, path)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures = append(failures, fmt.Errorf("import the images of %s: %w", path, err))
				return
			}
			entry.Images = names
			result[path] = entry
			logrus.Infof("Imported images from %s in %s", path, time.Since(started).Round(time.Millisecond))
		})
	}
	all.Wait()
	if !maps.EqualFunc(known, result, imported.equal) {
		failures = append(failures, writeImported(importedFile, result))
	}
	return errors.Join(failures...)
}

// connect waits until containerd serves.
func connect(ctx context.Context) (*containerd.Client, error) {
	client, err := containerd.New(layout.ContainerdSocket, containerd.WithDefaultNamespace("k8s.io"))
	if err != nil {
		return nil, fmt.Errorf("connect to containerd: %w", err)
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if serving, err := client.IsServing(ctx); err == nil && serving {
			return client, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for containerd: %w", ctx.Err()), client.Close())
		case <-ticker.C:
		}
	}
}

func imageNames(ctx context.Context, client *containerd.Client) (map[string]bool, error) {
	images, err := client.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	names := map[string]bool{}
	for _, image := range images {
		names[image.Name] = true
	}
	return names, nil
}

// importArchive imports one tar, unpacks its images, and pins them.
func importArchive(ctx context.Context, client *containerd.Client, path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	images, err := client.Import(ctx, file, containerd.WithImageLabels(labels))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, image := range images {
		if err := containerd.NewImage(client, image).Unpack(ctx, "overlayfs"); err != nil {
			return nil, fmt.Errorf("unpack %s: %w", image.Name, err)
		}
		names = append(names, image.Name)
	}
	return names, nil
}

// findArchives lists the image tars of directories that exist.
func findArchives(directories []string) (map[string]os.FileInfo, error) {
	archives := map[string]os.FileInfo{}
	for _, directory := range directories {
		entries, err := os.ReadDir(directory)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			if !isArchive(entry.Name()) {
				continue
			}
			path := filepath.Join(directory, entry.Name())
			info, err := os.Stat(path)
			if err != nil {
				return nil, err
			}
			archives[path] = info
		}
	}
	return archives, nil
}

func isArchive(name string) bool {
	for _, suffix := range []string{".tar", ".tar.gz", ".tgz", ".tar.zst"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// covers reports whether the file is the one that was imported, and all that
// was in it is still there.
func (i imported) covers(file imported, existing map[string]bool) bool {
	if i.Size != file.Size || !i.Modified.Equal(file.Modified) {
		return false
	}
	for _, name := range i.Images {
		if !existing[name] {
			return false
		}
	}
	return true
}

func (i imported) equal(other imported) bool {
	return i.Size == other.Size && i.Modified.Equal(other.Modified) && len(i.Images) == len(other.Images)
}

func readImported(path string) (map[string]imported, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var known map[string]imported
	if err := json.Unmarshal(content, &known); err != nil {
		// A damaged record costs an import, not a boot.
		logrus.Warnf("The record of imported images %s is unreadable and is made anew: %v", path, err)
		return nil, nil
	}
	return known, nil
}

func writeImported(path string, known map[string]imported) error {
	content, err := json.Marshal(known)
	if err != nil {
		return err
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, content, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
