// Package server is `k3s server` of the test node: the supervisor that runs as
// PID 1, starts Kubernetes' own components as children, and does what k3s adds.
package server

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/docker-openshell/docker-openshell/test/node/layout"
)

// Options are the flags of `k3s server` that the node honours. Any other flag
// is an error, in k3s' words.
type Options struct {
	// Disable names parts not to deploy. Those that the node has are coredns
	// and local-storage; others of k3s are accepted, and are not there anyway.
	Disable []string
	// TLSSANs are further names and addresses of the API server.
	TLSSANs []string
	// NodeName is the lower-case host name unless given.
	NodeName string
	// NodeIP is that of the interface with the default route unless given.
	NodeIP string
	// NodeLabels and NodeTaints are set when the node registers.
	NodeLabels, NodeTaints []string
	// Port is the API server's.
	Port int
	// Kubeconfig is where the administrator's goes, with KubeconfigMode.
	Kubeconfig     string
	KubeconfigMode os.FileMode
	// ResolvConf is kubelet's.
	ResolvConf string
	// Debug makes the supervisor log more.
	Debug bool
	// Arguments are further flags of a component, as "name=value".
	Arguments map[string][]string
}

// packaged are the parts that k3s brings and --disable may name.
var packaged = []string{"coredns", "local-storage", "metrics-server", "servicelb", "traefik", "runtimes", "helm-controller"}

// components are those that take --<component>-arg.
var components = []string{"kubelet", "kube-proxy", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// list is a flag that may be given repeatedly.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

// commaList is a list whose values may hold several, separated by commas.
type commaList []string

func (l *commaList) String() string { return strings.Join(*l, ",") }

func (l *commaList) Set(value string) error {
	*l = append(*l, strings.Split(value, ",")...)
	return nil
}

// ParseOptions reads the arguments after `k3s server`.
func ParseOptions(arguments []string, hostname string) (*Options, error) {
	o := &Options{Arguments: map[string][]string{}}
	flags := flag.NewFlagSet("k3s server", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Var((*commaList)(&o.Disable), "disable", "")
	flags.Var((*commaList)(&o.TLSSANs), "tls-san", "")
	flags.StringVar(&o.NodeName, "node-name", hostname, "")
	flags.StringVar(&o.NodeIP, "node-ip", "", "")
	flags.Var((*commaList)(&o.NodeLabels), "node-label", "")
	flags.Var((*commaList)(&o.NodeTaints), "node-taint", "")
	flags.IntVar(&o.Port, "https-listen-port", 6443, "")
	flags.StringVar(&o.Kubeconfig, "write-kubeconfig", layout.Kubeconfig, "")
	mode := flags.String("write-kubeconfig-mode", "0600", "")
	flags.StringVar(&o.ResolvConf, "resolv-conf", "", "")
	flags.BoolVar(&o.Debug, "debug", false, "")
	lists := map[string]*list{}
	for _, component := range components {
		l := &list{}
		lists[component] = l
		flags.Var(l, component+"-arg", "")
	}
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	for component, l := range lists {
		o.Arguments[component] = *l
	}
	parsed, err := strconv.ParseUint(*mode, 8, 9)
	if err != nil {
		return nil, fmt.Errorf("invalid value %q for flag -write-kubeconfig-mode", *mode)
	}
	o.KubeconfigMode = os.FileMode(parsed)
	return o, o.check()
}

// check refuses values that would only fail later and less clearly.
func (o *Options) check() error {
	// Kubernetes lets names be lower case only, and k3s lowers them.
	o.NodeName = strings.ToLower(o.NodeName)
	if o.NodeName == "" {
		return errors.New("the node has no name")
	}
	for _, part := range o.Disable {
		if !slices.Contains(packaged, part) {
			return fmt.Errorf("invalid value %q for flag -disable: the packaged components are %s", part, strings.Join(packaged, ", "))
		}
	}
	if o.NodeIP != "" && net.ParseIP(o.NodeIP) == nil {
		return fmt.Errorf("invalid value %q for flag -node-ip", o.NodeIP)
	}
	if o.Port < 1 || o.Port > 65535 {
		return fmt.Errorf("invalid value %d for flag -https-listen-port", o.Port)
	}
	return nil
}
