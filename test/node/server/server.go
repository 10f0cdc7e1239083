package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/docker-openshell/docker-openshell/test/node/container"
	"github.com/docker-openshell/docker-openshell/test/node/controllers"
	"github.com/docker-openshell/docker-openshell/test/node/datastore"
	"github.com/docker-openshell/docker-openshell/test/node/layout"
	"github.com/docker-openshell/docker-openshell/test/node/process"
)

// errStopped is the cause of a stop that was asked for.
var errStopped = errors.New("stopped by a signal")

// server is a running node.
type server struct {
	options *Options
	nodeIP  string
	cgroup  string
	reaper  *process.Reaper
	clients *controllers.Clients
	store   *datastore.Store
	// fail ends the node with a cause.
	fail context.CancelCauseFunc
	// children are the started components by name. Only the goroutine that
	// holds the name's turn in the boot writes an entry; see start.
	children childSet
}

// Run is the node's life: it boots, serves, and stops in order when it gets a
// TERM or INT, or when a component exits, which is an error. Like k3s the node
// does not outlive any of its parts: whoever runs it restarts the whole.
func Run(options *Options) error {
	reaper, err := process.NewReaper()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		received := <-signals
		logrus.Infof("Received %s, stopping", received)
		cancel(errStopped)
	}()

	s := &server{options: options, reaper: reaper, fail: cancel}
	if err := s.prepare(); err != nil {
		return err
	}
	booted := make(chan struct{})
	go func() {
		defer close(booted)
		if err := s.boot(ctx); err != nil {
			cancel(err)
		}
	}()
	<-ctx.Done()
	// A boot that is under way starts nothing more after this.
	<-booted
	s.stop()
	if cause := context.Cause(ctx); !errors.Is(cause, errStopped) {
		return cause
	}
	return nil
}

// prepare does all that needs no component.
func (s *server) prepare() error {
	var err error
	if err = shareMounts(); err != nil {
		return err
	}
	if s.cgroup, err = prepareCgroups(); err != nil {
		return fmt.Errorf("prepare the control groups: %w", err)
	}
	if err = makeDirectories(); err != nil {
		return err
	}
	if s.nodeIP, err = selectNodeIP(s.options.NodeIP); err != nil {
		return err
	}
	if err = makeCredentials(s.options, s.nodeIP); err != nil {
		return err
	}
	resolvConf, err := selectResolvConf(s.options.ResolvConf)
	if err != nil {
		return err
	}
	if err = s.writeKubeletConfig(resolvConf); err != nil {
		return fmt.Errorf("write kubelet's configuration: %w", err)
	}
	if err = container.WriteConfig(); err != nil {
		return fmt.Errorf("write containerd's configuration: %w", err)
	}
	if err = controllers.StageBuiltin(layout.Manifests, s.options.NodeName, s.nodeIP, s.options.Disable); err != nil {
		return fmt.Errorf("write the manifests: %w", err)
	}
	s.clients, err = controllers.NewClients(kubeconfig("supervisor"))
	return err
}

// waitFor asks the API server for a path until it answers with success.
func (s *server) waitFor(ctx context.Context, path string) error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		_, err := s.clients.Typed.Discovery().RESTClient().Get().AbsPath(path).DoRaw(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}
