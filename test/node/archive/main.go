// Command archive packs static binaries into images, each of one layer with one
// file, and writes them as one tar of the format of `docker save`. It needs no
// Engine, and the same input gives the same bytes.
//
//	archive OUTPUT NAME=BINARY...
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// manifest is an entry of the tar's manifest.json.
type manifest struct {
	Config   string   `json:"Config"`
	RepoTags []string `json:"RepoTags"`
	Layers   []string `json:"Layers"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "archive:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) < 2 {
		return errors.New("usage: archive OUTPUT NAME=BINARY [NAME=BINARY]")
	}
	output, err := os.Create(arguments[0])
	if err != nil {
		return err
	}
	defer output.Close()
	archive := tar.NewWriter(output)
	var manifests []manifest
	for _, argument := range arguments[1:] {
		name, binary, ok := strings.Cut(argument, "=")
		if !ok {
			return fmt.Errorf("%q is not of the form NAME=BINARY", argument)
		}
		entry, err := addImage(archive, name, binary)
		if err != nil {
			return fmt.Errorf("pack %s: %w", name, err)
		}
		manifests = append(manifests, entry)
	}
	index, err := json.Marshal(manifests)
	if err != nil {
		return err
	}
	if err := addFile(archive, "manifest.json", 0o644, index); err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return output.Close()
}

// addImage writes an image's layer and configuration.
func addImage(archive *tar.Writer, name, binary string) (manifest, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return manifest{}, err
	}
	program := filepath.Base(binary)
	layer, err := pack(program, content)
	if err != nil {
		return manifest{}, err
	}
	digest := sum(layer)
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": []string{"/" + program}},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest}},
	})
	if err != nil {
		return manifest{}, err
	}
	entry := manifest{
		Config:   sum(config) + ".json",
		RepoTags: []string{name},
		Layers:   []string{digest + "/layer.tar"},
	}
	return entry, errors.Join(
		addFile(archive, entry.Layers[0], 0o644, layer),
		addFile(archive, entry.Config, 0o644, config),
	)
}

// pack makes a layer of one executable.
func pack(name string, content []byte) ([]byte, error) {
	var b bytes.Buffer
	layer := tar.NewWriter(&b)
	if err := addFile(layer, name, 0o755, content); err != nil {
		return nil, err
	}
	if err := layer.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func addFile(archive *tar.Writer, name string, mode int64, content []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), Format: tar.FormatUSTAR}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.Copy(archive, bytes.NewReader(content))
	return err
}

func sum(content []byte) string {
	digest := sha256.Sum256(content)
	return hex.EncodeToString(digest[:])
}
