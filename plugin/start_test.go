package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

func ptr[T any](v T) *T { return &v }

// buildStart parses a command line of start into the engine's options.
func buildStart(t *testing.T, input string, args ...string) (gateway.StartOptions, error) {
	t.Helper()
	var o startOptions
	cmd := &cobra.Command{}
	o.addFlags(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return o.build(cmd, strings.NewReader(input))
}

func TestStartOptions(t *testing.T) {
	for _, tt := range []struct {
		name  string
		env   map[string]string
		input string
		args  []string
		want  gateway.StartOptions
	}{
		{name: "what is not given is not wanted", want: gateway.StartOptions{Timeout: 10 * time.Minute}},
		{name: "all flags", args: []string{"--port", "9000", "--bind", "0.0.0.0", "--gateway-host", "box", "--image", "i", "--gateway-image", "g",
			"--plaintext", "--disable-gateway-auth", "--gpu", "--recreate", "--timeout", "90s", "--registry-username", "me", "--registry-token", "t"},
			want: gateway.StartOptions{Recreate: true, Timeout: 90 * time.Second, Wanted: gateway.Wanted{Port: ptr(9000), Bind: ptr("0.0.0.0"),
				GatewayHost: ptr("box"), Image: "i", GatewayImage: "g", Plaintext: ptr(true), DisableGatewayAuth: ptr(true), GPU: ptr(true),
				RegistryUsername: "me", RegistryToken: "t"}}},
		{name: "a flag that is turned off is wanted too", args: []string{"--plaintext=false", "--gpu=false", "--gateway-host", ""},
			want: gateway.StartOptions{Timeout: 10 * time.Minute, Wanted: gateway.Wanted{Plaintext: ptr(false), GPU: ptr(false), GatewayHost: ptr("")}}},
		{name: "images of the environment are for new gateways only",
			env:  map[string]string{"OPENSHELL_CLUSTER_IMAGE": "node", "OPENSHELL_GATEWAY_IMAGE": "server", "OPENSHELL_SANDBOX_IMAGE": "box"},
			want: gateway.StartOptions{Timeout: 10 * time.Minute, DefaultImage: "node", DefaultGatewayImage: "server", DefaultSandboxImage: "box"}},
		{name: "an image that is named is for all",
			env: map[string]string{"OPENSHELL_CLUSTER_IMAGE": "node"}, args: []string{"--image", "other"},
			want: gateway.StartOptions{Timeout: 10 * time.Minute, DefaultImage: "node", Wanted: gateway.Wanted{Image: "other"}}},
		{name: "credentials of the environment",
			env:  map[string]string{"OPENSHELL_REGISTRY_USERNAME": "me", "OPENSHELL_REGISTRY_TOKEN": "t"},
			want: gateway.StartOptions{Timeout: 10 * time.Minute, Wanted: gateway.Wanted{RegistryUsername: "me", RegistryToken: "t"}}},
		{name: "a flag is stronger, and the token comes from standard input",
			env:   map[string]string{"OPENSHELL_REGISTRY_USERNAME": "me", "OPENSHELL_REGISTRY_TOKEN": "t"},
			input: "piped\n", args: []string{"--registry-username", "you", "--registry-token", "-"},
			want: gateway.StartOptions{Timeout: 10 * time.Minute, Wanted: gateway.Wanted{RegistryUsername: "you", RegistryToken: "piped"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// The shell of who develops this has images of its own.
			for _, name := range []string{"OPENSHELL_CLUSTER_IMAGE", "OPENSHELL_GATEWAY_IMAGE", "OPENSHELL_SANDBOX_IMAGE",
				"OPENSHELL_REGISTRY_USERNAME", "OPENSHELL_REGISTRY_TOKEN"} {
				t.Setenv(name, tt.env[name])
			}
			got, err := buildStart(t, tt.input, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStartRefusesTokens(t *testing.T) {
	for name, input := range map[string]string{"empty": " \n", "too long": strings.Repeat("x", maxToken+1)} {
		if _, err := buildStart(t, input, "--registry-token", "-"); err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "xxx") {
			t.Errorf("%s: the error shows the token", name)
		}
	}
}

// A secret that help would print is one that ends up in logs.
func TestHelpShowsNoToken(t *testing.T) {
	t.Setenv("OPENSHELL_REGISTRY_TOKEN", "t0k3n")
	var o startOptions
	cmd := &cobra.Command{}
	o.addFlags(cmd)
	if usage := cmd.Flags().FlagUsages(); strings.Contains(usage, "t0k3n") {
		t.Error(usage)
	}
}
