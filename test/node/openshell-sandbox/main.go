// Command openshell-sandbox stands where OpenShell's node image has the
// supervisor of sandboxes. The test node has no sandboxes of its own, so this
// one only says what it is.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("openshell-sandbox 0.0.34-test")
		return
	}
	fmt.Fprintln(os.Stderr, "openshell-sandbox: the test node has no supervisor; only --version is known")
	os.Exit(1)
}
