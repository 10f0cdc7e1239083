package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker/cli/cli/command"
	"github.com/moby/moby/client"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

const (
	envCommunity     = "OPENSHELL_COMMUNITY_REGISTRY"
	defaultCommunity = "ghcr.io/nvidia/openshell-community/sandboxes"
)

// source is what --from means.
type source struct {
	// image is a reference; or else dir and file are to be built.
	image     string
	dir, file string
	// gpu says that the image's name asks for a GPU, as the openshell CLI reads it.
	gpu bool
}

// parseFrom tells a Dockerfile from a directory, an image and the name of a community
// sandbox.
func parseFrom(from string, getenv func(string) string) (source, error) {
	if from == "" {
		return source{}, nil
	}
	info, err := os.Stat(from)
	switch {
	case err == nil && info.IsDir():
		file := filepath.Join(from, "Dockerfile")
		if _, err := os.Stat(file); err != nil {
			return source{}, &gateway.Error{Cause: gateway.CauseInvalid, Err: fmt.Errorf("--from %q: the directory holds no Dockerfile", from),
				Hint: "name the file itself if it has another name"}
		}
		return source{dir: from, file: file}, nil
	case err == nil && strings.Contains(strings.ToLower(filepath.Base(from)), "dockerfile"):
		return source{dir: filepath.Dir(from), file: from}, nil
	}
	image := from
	if !strings.ContainsAny(from, "/:.") {
		registry := getenv(envCommunity)
		if registry == "" {
			registry = defaultCommunity
		}
		image = strings.TrimSuffix(registry, "/") + "/" + from + ":latest"
	}
	if _, err := reference.ParseNormalizedNamed(image); err != nil {
		return source{}, &gateway.Error{Cause: gateway.CauseInvalid, Err: fmt.Errorf("--from %q: %w", from, err),
			Hint: "give an image, a Dockerfile, a directory with one, or the name of a community sandbox"}
	}
	base, _, _ := strings.Cut(path.Base(image), ":")
	return source{image: image, gpu: strings.Contains(base, "gpu")}, nil
}

// builtRepository is where images that are built for sandboxes get their names.
const builtRepository = "openshell/sandbox-from"

// prepareImage returns the image of a new sandbox; one that is built here is brought
// into the gateway first.
func (a *app) prepareImage(ctx context.Context, l *link, from source, show renderer) (string, error) {
	if from.file == "" {
		return from.image, nil
	}
	if l.name == "" {
		return "", errors.New("an image that is built here can only be brought into a gateway that is known by its name: use --gateway in place of --gateway-endpoint")
	}
	show.close()
	id, err := a.build(ctx, from)
	if err != nil {
		return "", err
	}
	// The name follows from the content, so the node never takes an older one for it.
	image := builtRepository + ":" + shortID(strings.TrimPrefix(id, "sha256:"))
	if _, err := a.cli.Client().ImageTag(ctx, client.ImageTagOptions{Source: id, Target: image}); err != nil {
		return "", err
	}
	m, err := a.manager(show.event)
	if err != nil {
		return "", err
	}
	full, err := m.PushImages(ctx, l.name, []string{image})
	if err != nil {
		return "", err
	}
	return full[0], nil
}

// sameDaemon are the options that lead another docker to this command's daemon. The default
// context is whatever --host and the environment make of it.
func (a *app) sameDaemon() []string {
	if name := a.cli.CurrentContext(); name != command.DefaultContextName {
		return []string{"--context", name}
	}
	return []string{"--host", a.cli.DockerEndpoint().Host}
}

// build builds an image with the user's own builder, whose progress goes to standard
// error.
func (a *app) build(ctx context.Context, from source) (id string, err error) {
	dir, err := os.MkdirTemp("", "docker-openshell-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a directory for one small file
	idFile := filepath.Join(dir, "iid")
	docker := os.Getenv("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND")
	if docker == "" {
		docker = "docker"
	}
	args := append(a.sameDaemon(), "build", "--iidfile", idFile, "--file", from.file, "--", from.dir)
	cmd := exec.CommandContext(ctx, docker, args...)
	cmd.Stdout, cmd.Stderr = a.cli.Err(), a.cli.Err()
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("build an image from %s: %w", from.file, err)
	}
	data, err := os.ReadFile(idFile)
	return strings.TrimSpace(string(data)), err
}
