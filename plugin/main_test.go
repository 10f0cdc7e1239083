package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmdtest"
)

var update = flag.Bool("update", false, "write the transcripts and docs/reference anew")

// asPlugin makes the test binary behave as the plugin, so that no other binary has to
// be built to run it.
const asPlugin = "OPENSHELL_TEST_AS_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// cleanEnv is the environment of a plugin under test: nothing of the developer's own
// decides what it does. socket is where the daemon is looked for.
func cleanEnv(root, socket string) []string {
	return []string{
		asPlugin + "=1",
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + root,
		"XDG_CONFIG_HOME=" + filepath.Join(root, "config"),
		"DOCKER_CONFIG=" + filepath.Join(root, "docker"),
		"DOCKER_HOST=unix://" + socket,
		"TERM=xterm",
		"LANG=C.UTF-8",
		"TZ=UTC",
	}
}

// asDocker adds what docker sets when it runs a plugin; without it the plugin takes
// itself to be started by hand.
func asDocker(env []string) []string {
	return append(env, "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND=docker")
}

// TestTranscripts runs the commands in testdata/*.ct and compares what they print.
func TestTranscripts(t *testing.T) {
	suite, err := cmdtest.Read("testdata")
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var extra []string
	suite.Setup = func(string) error {
		extra = nil
		return nil
	}
	env := func() []string { return append(cleanEnv(os.Getenv("ROOTDIR"), "/nonexistent.sock"), extra...) }
	suite.Commands["docker"] = func(args []string, input string) ([]byte, error) {
		out, errOut, err := runPlugin(t.Context(), exe, asDocker(env()), args, input)
		return append(out, errOut...), err
	}
	suite.Commands["docker-openshell"] = func(args []string, input string) ([]byte, error) {
		out, errOut, err := runPlugin(t.Context(), exe, env(), args, input)
		return append(out, errOut...), err
	}
	// "stdout docker …" shows one stream only.
	suite.Commands["stdout"] = func(args []string, input string) ([]byte, error) {
		out, _, err := runPlugin(t.Context(), exe, asDocker(env()), args[1:], input)
		return out, err
	}
	// "export NAME [VALUE]" sets a variable for the plugin alone, up to the end of the file.
	suite.Commands["export"] = func(args []string, _ string) ([]byte, error) {
		if len(args) == 0 {
			return nil, errors.New("export takes a name and a value")
		}
		extra = append(extra, args[0]+"="+strings.Join(args[1:], " "))
		return nil, nil
	}
	// "write PATH TEXT" writes a file below the test's directory.
	suite.Commands["write"] = func(args []string, _ string) ([]byte, error) {
		if len(args) != 2 {
			return nil, errors.New("write takes a path and a word")
		}
		path := filepath.Join(os.Getenv("ROOTDIR"), args[0])
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		return nil, os.WriteFile(path, []byte(args[1]), 0o600)
	}
	suite.Run(t, *update)
}

func runPlugin(ctx context.Context, exe string, env, args []string, input string) (stdout, stderr []byte, err error) {
	cmd := exec.CommandContext(ctx, exe, args...)
	var out, errOut bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &errOut
	if input != "" {
		f, err := os.Open(input)
		if err != nil {
			return nil, nil, err
		}
		defer f.Close() //nolint:errcheck // only read
		cmd.Stdin = f
	}
	err = cmd.Run()
	return out.Bytes(), errOut.Bytes(), err
}
