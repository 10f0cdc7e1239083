// Command docker-openshell is the Docker CLI plugin "docker openshell". It runs
// OpenShell gateways on the daemon of the current Docker context.
//
// This package holds what a user sees: the commands and their flags, how events and
// results are shown, the one question that is asked, and the exit codes. What a
// gateway is, and how to get it from any state to the wanted one, is decided in
// internal/gateway.
package main

import (
	"os"

	"github.com/docker/cli/cli-plugins/metadata"
	"github.com/docker/cli/cli-plugins/plugin"
	"github.com/docker/cli/cli/command"
)

// version is set by the linker: -X main.version=v1.2.3.
var version = "dev"

func main() {
	if plugin.RunningStandalone() {
		// "docker-openshell gateway start" is "docker openshell gateway start".
		os.Args = append([]string{os.Args[0], "openshell"}, os.Args[1:]...)
	}
	plugin.Run(newRoot, metadata.Metadata{SchemaVersion: "0.1.0", Vendor: "docker-openshell", Version: version},
		command.WithUserAgent("docker-openshell/"+version))
}
