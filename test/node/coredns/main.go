// Command coredns is the cluster's name server: CoreDNS with the plugins that
// the node's Corefile names, and none of the others, so that it builds quickly.
package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/loop"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
)

func main() {
	// CoreDNS chains its plugins in the order of this list, not of the Corefile.
	dnsserver.Directives = []string{
		"reload",
		"health",
		"ready",
		"errors",
		"cache",
		"loadbalance",
		"hosts",
		"kubernetes",
		"loop",
		"forward",
	}
	// CoreDNS' own way to stop takes seconds, which a node that stops would
	// have to wait for. Nothing of it outlives the process.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		os.Exit(0)
	}()
	coremain.Run()
}
