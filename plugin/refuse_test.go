package main

import (
	"strings"
	"testing"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

func TestRefusals(t *testing.T) {
	for name, instead := range refusals {
		for _, flag := range []string{"--" + name, "--" + name + "=x"} {
			cmd := refuse(&cobra.Command{}, name)
			err := cmd.ParseFlags([]string{flag})
			if err == nil || !strings.Contains(err.Error(), "--"+name+" is not supported: "+instead) {
				t.Errorf("%s: %v", flag, err)
			}
			if usage := cmd.Flags().FlagUsages(); strings.Contains(usage, name) {
				t.Errorf("help offers it: %s", usage)
			}
		}
	}
}

// What the openshell CLI's commands have, and ours do not.
func TestRefusedCommandLines(t *testing.T) {
	dockerCLI, err := command.NewDockerCli()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"create --policy p.yaml", "create --provider github", "create --auto-providers", "create --no-auto-providers",
		"create --editor vscode", "create --forward 8080", "connect demo --editor cursor"} {
		root := newSandbox(&app{cli: dockerCLI})
		cmd, args, err := root.Find(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.ParseFlags(args); err == nil || !strings.Contains(err.Error(), "is not supported: ") {
			t.Errorf("%s: %v", line, err)
		}
	}
}
