// Command node is a Kubernetes node in one executable. As in k3s, the name that
// it is called by decides what it is: k3s (the supervisor and its subcommands),
// kubectl, or a component that the supervisor starts.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/sirupsen/logrus"

	"github.com/docker-openshell/docker-openshell/test/node/layout"
	"github.com/docker-openshell/docker-openshell/test/node/server"
)

const usage = `usage: k3s server [flags]    run the node
       k3s kubectl [...]     talk to its API server
       k3s ctr [...]         talk to its containerd
       k3s --version
`

// ctr is the containerd client, with the node's socket and namespace set.
const ctr = "/bin/ctr"

func main() {
	name := filepath.Base(os.Args[0])
	if run, ok := components[name]; ok {
		os.Exit(run())
	}
	os.Exit(k3s(os.Args[1:]))
}

// k3s runs a subcommand and returns the exit status.
func k3s(arguments []string) int {
	if len(arguments) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return 1
	}
	switch command := arguments[0]; command {
	case "server":
		return serve(arguments[1:])
	case "kubectl":
		os.Args = arguments
		return kubectl()
	case "ctr":
		err := syscall.Exec(ctr, arguments, os.Environ())
		fmt.Fprintf(os.Stderr, "run %s: %v\n", ctr, err)
		return 1
	case "--version", "-version", "-v":
		fmt.Printf("k3s version %s (test node)\ngo version %s\n", server.Version(), runtime.Version())
		return 0
	case "help", "--help", "-help", "-h":
		fmt.Print(usage)
		return 0
	default:
		fmt.Fprintf(os.Stderr, "No help topic for '%s'\n%s", command, usage)
		return 3
	}
}

// serve runs the node.
func serve(arguments []string) int {
	hostname, err := os.Hostname()
	if err != nil {
		logrus.Errorf("Error: %v", err)
		return 1
	}
	options, err := server.ParseOptions(arguments, hostname)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(usage)
		return 0
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "Incorrect Usage: %v\n\n%s", err, usage)
		logrus.Fatalf("Error: %v", err)
	}
	if options.Debug {
		logrus.SetLevel(logrus.DebugLevel)
	}
	if err := server.Run(options); err != nil {
		logrus.Fatalf("Error: %v", err)
	}
	return 0
}

// useNodeKubeconfig lets kubectl work without being told where the cluster is.
func useNodeKubeconfig() error {
	if os.Getenv("KUBECONFIG") != "" {
		return nil
	}
	if _, err := os.Stat(layout.Kubeconfig); err != nil {
		return nil
	}
	return os.Setenv("KUBECONFIG", layout.Kubeconfig)
}
