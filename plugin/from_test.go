package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseFrom(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, file := range []string{"app/Dockerfile", "plain/readme", "build/Dockerfile.gpu", "script"} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	registry := map[string]string{envCommunity: "registry.example/boxes/"}
	for _, tt := range []struct {
		from string
		env  map[string]string
		want source
		err  string
	}{
		{from: "", want: source{}},
		{from: "app", want: source{dir: "app", file: "app/Dockerfile"}},
		{from: "build/Dockerfile.gpu", want: source{dir: "build", file: "build/Dockerfile.gpu"}},
		{from: "plain", err: "the directory holds no Dockerfile"},
		{from: "base", want: source{image: defaultCommunity + "/base:latest"}},
		{from: "base", env: registry, want: source{image: "registry.example/boxes/base:latest"}},
		{from: "cuda-gpu", want: source{image: defaultCommunity + "/cuda-gpu:latest", gpu: true}},
		// A file that is no Dockerfile is none because of its name: "script" is a community sandbox.
		{from: "script", want: source{image: defaultCommunity + "/script:latest"}},
		{from: "debian:12", want: source{image: "debian:12"}},
		{from: "me/tool", want: source{image: "me/tool"}},
		{from: "me/gpu-tool:1", want: source{image: "me/gpu-tool:1", gpu: true}},
		{from: "gpu.example/tool:1", want: source{image: "gpu.example/tool:1"}},
		{from: "Not An Image", err: "--from \"Not An Image\""},
		{from: "-v", err: "--from \"-v\""},
		{from: "$(id)", err: "--from \"$(id)\""},
	} {
		got, err := parseFrom(tt.from, func(name string) string { return tt.env[name] })
		switch {
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%q: error %v, want %q", tt.from, err, tt.err)
		case tt.err == "" && (err != nil || got != tt.want):
			t.Errorf("%q: %+v, %v, want %+v", tt.from, got, err, tt.want)
		}
	}
}
