package controllers

import (
	"context"
	"errors"
	"fmt"

	"github.com/sirupsen/logrus"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// historyLimit is Helm's own default for the revisions that it keeps.
const historyLimit = 10

// getter gives Helm the clients that everybody else here uses, and so the
// same discovery.
type getter struct {
	clients   *Clients
	namespace string
}

func (g getter) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.clients.Config), nil }

func (g getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.clients.Discovery, nil
}

func (g getter) ToRESTMapper() (meta.RESTMapper, error) { return g.clients.Mapper, nil }

func (g getter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	overrides := &clientcmd.ConfigOverrides{}
	overrides.Context.Namespace = g.namespace
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: g.clients.Kubeconfig}, overrides)
}

// helmConfiguration opens the release store of a namespace.
func (c *Clients) helmConfiguration(namespace string) (*action.Configuration, error) {
	configuration := &action.Configuration{}
	log := func(format string, args ...any) { logrus.Debugf("helm: "+format, args...) }
	if err := configuration.Init(getter{c, namespace}, namespace, "secret", log); err != nil {
		return nil, fmt.Errorf("open the releases of namespace %s: %w", namespace, err)
	}
	return configuration, nil
}

// lastRelease is the newest revision of a release, or nil.
func lastRelease(configuration *action.Configuration, name string) (*release.Release, error) {
	last, err := configuration.Releases.Last(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the release %s: %w", name, err)
	}
	return last, nil
}

// deploy installs the release or upgrades it.
func deploy(ctx context.Context, configuration *action.Configuration, wanted *wantedRelease, last *release.Release) (*release.Release, error) {
	values, err := wanted.values()
	if err != nil {
		return nil, err
	}
	loaded, err := wanted.chart()
	if err != nil {
		return nil, err
	}
	if last == nil || last.Info.Status == release.StatusUninstalled {
		install := action.NewInstall(configuration)
		install.ReleaseName = wanted.name
		install.Namespace = wanted.namespace
		install.CreateNamespace = wanted.spec.CreateNamespace
		install.Replace = last != nil
		return install.RunWithContext(ctx, loaded, values)
	}
	if last.Info.Status.IsPending() || last.Info.Status == release.StatusUninstalling {
		// Only this process deploys, so whoever left this was killed at it.
		// A failed revision is one that Helm upgrades from.
		logrus.Warnf("Release %s/%s revision %d was left in state %s: it is taken as failed",
			wanted.namespace, wanted.name, last.Version, last.Info.Status)
		last.SetStatus(release.StatusFailed, "interrupted in state "+last.Info.Status.String())
		if err := configuration.Releases.Update(last); err != nil {
			return nil, fmt.Errorf("mark the interrupted revision %d as failed: %w", last.Version, err)
		}
	}
	upgrade := action.NewUpgrade(configuration)
	upgrade.Namespace = wanted.namespace
	upgrade.MaxHistory = historyLimit
	return upgrade.RunWithContext(ctx, wanted.name, loaded, values)
}

// remove uninstalls a release; one that is not there is removed already.
func remove(configuration *action.Configuration, name string) error {
	uninstall := action.NewUninstall(configuration)
	uninstall.IgnoreNotFound = true
	_, err := uninstall.Run(name)
	return err
}
