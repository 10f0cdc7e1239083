package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/informers"

	"github.com/docker-openshell/docker-openshell/test/node/container"
	"github.com/docker-openshell/docker-openshell/test/node/controllers"
	"github.com/docker-openshell/docker-openshell/test/node/datastore"
	"github.com/docker-openshell/docker-openshell/test/node/layout"
	"github.com/docker-openshell/docker-openshell/test/node/process"
)

// collectorPercent makes garbage collection rarer than Go's default of 100. A
// boot then takes a fifth less of processor time, for some 300 MB more memory.
const collectorPercent = 400

// childSet holds the started components.
type childSet struct {
	mu     sync.Mutex
	byName map[string]*process.Process
	closed bool
}

// boot starts everything, in the order that gets to a serving pod soonest. The
// API server comes first because all wait for it; the rest fills the gaps.
func (s *server) boot(ctx context.Context) error {
	var err error
	debug.SetGCPercent(collectorPercent)
	logrus.Infof("Starting k3s %s", Version())
	if s.store, err = datastore.Start(ctx, layout.Database, layout.DatastoreSocket); err != nil {
		return err
	}
	if err := s.start("kube-apiserver", layout.Executable, os.Stderr); err != nil {
		return err
	}
	if err := s.startContainerd(); err != nil {
		return err
	}
	imported := make(chan struct{})
	go func() {
		defer close(imported)
		// As with k3s, a tar that cannot be imported is no reason not to run.
		if err := container.ImportImages(ctx, layout.OwnImages, layout.Images); err != nil && ctx.Err() == nil {
			logrus.Errorf("Failed to import images: %v", err)
		}
	}()

	if err := s.waitFor(ctx, "/livez/ping"); err != nil {
		return nil
	}
	// A pod that comes before its image would wait out a back-off.
	select {
	case <-imported:
	case <-ctx.Done():
		return nil
	}
	go func() {
		if err := s.runKubelet(ctx); err != nil {
			s.fail(err)
		}
	}()

	// On an empty volume a controller-manager that comes before this may lose
	// some of its controllers for good.
	if err := s.waitFor(ctx, "/readyz"); err != nil {
		return nil
	}
	logrus.Info("Kube API server is now running")
	logrus.Info("k3s is up and running")
	for _, name := range []string{"kube-controller-manager", "kube-scheduler", "kube-proxy"} {
		if err := s.start(name, layout.Executable, os.Stderr); err != nil {
			return err
		}
	}
	go func() {
		if err := s.runControllers(ctx); err != nil && ctx.Err() == nil {
			s.fail(err)
		}
	}()
	return nil
}

// start runs a component; the node fails when it exits.
func (s *server) start(name, path string, output *os.File, arguments ...string) error {
	s.children.mu.Lock()
	defer s.children.mu.Unlock()
	if s.children.closed {
		return nil
	}
	if path == layout.Executable {
		arguments = s.arguments(name)
	}
	child, err := s.reaper.Start(process.Spec{
		Name:   name,
		Path:   path,
		Args:   arguments,
		Env:    []string{"GOGC=" + strconv.Itoa(collectorPercent)},
		Output: output,
	})
	if err != nil {
		return err
	}
	if s.children.byName == nil {
		s.children.byName = map[string]*process.Process{}
	}
	s.children.byName[name] = child
	go func() {
		<-child.Done()
		s.children.mu.Lock()
		defer s.children.mu.Unlock()
		if !s.children.closed {
			s.fail(fmt.Errorf("%s exited: %s", name, child.ExitState()))
		}
	}()
	return nil
}

// startContainerd runs containerd with its log in the file where k3s has it.
func (s *server) startContainerd() error {
	log, err := os.OpenFile(layout.ContainerdLog, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	defer log.Close()
	logrus.Infof("Logging containerd to %s", layout.ContainerdLog)
	return s.start("containerd", "/usr/bin/containerd", log, "--config", container.ConfigFile)
}

// runKubelet starts kubelet once the cluster accepts this node's password.
func (s *server) runKubelet(ctx context.Context) error {
	password, err := controllers.LoadNodePassword(s.clients, s.options.NodeName, layout.NodePassword)
	if err != nil {
		return fmt.Errorf("load the node password: %w", err)
	}
	for wait := 50 * time.Millisecond; ; {
		known, err := password.Check(ctx)
		if err == nil {
			if !known {
				go func() {
					if err := password.Remember(ctx); err != nil && ctx.Err() == nil {
						s.fail(err)
					}
				}()
			}
			return s.start("kubelet", layout.Executable, os.Stderr)
		}
		if errors.Is(err, controllers.ErrNodePasswordRejected) {
			logrus.Errorf("Failed to authenticate node %s: %s", s.options.NodeName, controllers.NodePasswordAdvice)
			wait = 2 * time.Second
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// runControllers does what k3s adds to Kubernetes.
func (s *server) runControllers(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(s.clients.Typed, 0)
	localPath, err := controllers.NewLocalPath(s.clients, factory, layout.Storage)
	if err != nil {
		return err
	}
	if err := controllers.ForgetDeletedNodes(ctx, s.clients, factory); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	go localPath.Run(ctx)

	if err := controllers.DefineHelm(ctx, s.clients); err != nil {
		return err
	}
	manifests := controllers.NewManifests(s.clients, layout.Manifests, func(file string) {
		if file == controllers.CoreDNSManifest {
			logrus.Info("Cluster dns configmap has been set successfully")
		}
	})
	// Charts come after the first pass: a chart and its config are two files,
	// and a chart deployed without its config would be deployed twice.
	if err := manifests.Pass(ctx); err != nil {
		return err
	}
	go manifests.Run(ctx)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return controllers.RunHelm(ctx, s.clients) })
	group.Go(func() error { return controllers.RunSandboxes(ctx, s.clients) })
	return group.Wait()
}
