package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
	"helm.sh/helm/v3/pkg/release"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	// hashAnnotation keeps, across boots, which spec and config a release
	// was made from.
	hashAnnotation = "helmcharts.helm.cattle.io/configHash"
	// helmFinalizer holds a deleted HelmChart until its release is gone.
	helmFinalizer = "wrangler.cattle.io/on-helm-chart-remove"

	conditionFailed   = "Failed"
	conditionDeployed = "Deployed"
)

var (
	chartResource  = schema.GroupVersionResource{Group: "helm.cattle.io", Version: "v1", Resource: "helmcharts"}
	configResource = schema.GroupVersionResource{Group: "helm.cattle.io", Version: "v1", Resource: "helmchartconfigs"}
)

// Helm reconciles HelmChart and HelmChartConfig objects with releases.
type Helm struct {
	clients *Clients
	configs cache.GenericLister
	queue   workqueue.TypedRateLimitingInterface[cache.ObjectName]
}

// DefineHelm defines the two kinds and returns once they are served.
func DefineHelm(ctx context.Context, clients *Clients) error {
	objects, err := parse(definitions)
	if err != nil {
		return fmt.Errorf("read the definitions of HelmChart: %w", err)
	}
	for _, object := range objects {
		if err := retry(ctx, func() error { return clients.apply(ctx, object) }); err != nil {
			return fmt.Errorf("define %s: %w", object.GetName(), err)
		}
	}
	for _, resource := range []schema.GroupVersionResource{chartResource, configResource} {
		err := retry(ctx, func() error {
			_, err := clients.Dynamic.Resource(resource).List(ctx, metav1.ListOptions{Limit: 1})
			return err
		})
		if err != nil {
			return fmt.Errorf("wait until %s are served: %w", resource.Resource, err)
		}
	}
	return nil
}

// RunHelm reconciles until the context ends.
func RunHelm(ctx context.Context, clients *Clients) error {
	factory := dynamicinformer.NewDynamicSharedInformerFactory(clients.Dynamic, 0)
	h := &Helm{
		clients: clients,
		configs: factory.ForResource(configResource).Lister(),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](time.Second, time.Minute)),
	}
	// A config has the name of its chart.
	enqueue := func(object any) {
		if deleted, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = deleted.Obj
		}
		if meta, ok := object.(metav1.Object); ok {
			h.queue.Add(cache.MetaObjectToName(meta))
		}
	}
	for _, resource := range []schema.GroupVersionResource{chartResource, configResource} {
		_, err := factory.ForResource(resource).Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: enqueue,
			UpdateFunc: func(before, after any) {
				if specChanged(before, after) {
					enqueue(after)
				}
			},
			DeleteFunc: enqueue,
		})
		if err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	// Without both caches a chart would be deployed without its config first.
	factory.WaitForCacheSync(ctx.Done())
	go func() {
		<-ctx.Done()
		h.queue.ShutDown()
	}()
	for h.next(ctx) {
	}
	return nil
}

// specChanged tells an update of what is wanted (or of its deletion) from one of
// the status, which would undo the back-off of a chart that fails.
func specChanged(before, after any) bool {
	old, okOld := before.(metav1.Object)
	current, okCurrent := after.(metav1.Object)
	return !okOld || !okCurrent || old.GetGeneration() != current.GetGeneration() || current.GetDeletionTimestamp() != nil
}

// next handles one item of the queue.
func (h *Helm) next(ctx context.Context) bool {
	name, shutdown := h.queue.Get()
	if shutdown {
		return false
	}
	defer h.queue.Done(name)
	if err := h.reconcile(ctx, name); err != nil && ctx.Err() == nil {
		logrus.Errorf("Failed to reconcile HelmChart %s: %v", name, err)
		h.queue.AddRateLimited(name)
		return true
	}
	h.queue.Forget(name)
	return true
}

// reconcile brings one release to what its objects ask for.
func (h *Helm) reconcile(ctx context.Context, name cache.ObjectName) error {
	// Read from the server: a cached chart may not show yet what the last
	// reconcile noted, and would be deployed once more.
	helmChart, err := h.clients.Dynamic.Resource(chartResource).Namespace(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var config *unstructured.Unstructured
	object, err := h.configs.ByNamespace(name.Namespace).Get(name.Name)
	if err == nil {
		config = object.(*unstructured.Unstructured)
	} else if !apierrors.IsNotFound(err) {
		return err
	}
	wanted, err := readWanted(helmChart, config)
	if err != nil {
		return h.report(ctx, helmChart, err)
	}
	configuration, err := h.clients.helmConfiguration(wanted.namespace)
	if err != nil {
		return err
	}
	if helmChart.GetDeletionTimestamp() != nil {
		if !slices.Contains(helmChart.GetFinalizers(), helmFinalizer) {
			return nil
		}
		if err := remove(configuration, wanted.name); err != nil {
			return h.report(ctx, helmChart, err)
		}
		logrus.Infof("Uninstalled release %s/%s", wanted.namespace, wanted.name)
		return h.setFinalizer(ctx, helmChart, false)
	}

	last, err := lastRelease(configuration, wanted.name)
	if err != nil {
		return err
	}
	if last != nil && last.Info.Status == release.StatusDeployed && helmChart.GetAnnotations()[hashAnnotation] == wanted.hash {
		return nil
	}
	if !slices.Contains(helmChart.GetFinalizers(), helmFinalizer) {
		if err := h.setFinalizer(ctx, helmChart, true); err != nil {
			return err
		}
	}
	deployed, err := deploy(ctx, configuration, wanted, last)
	if err != nil {
		return h.report(ctx, helmChart, err)
	}
	logrus.Infof("Deployed release %s/%s revision %d", wanted.namespace, wanted.name, deployed.Version)
	patch := map[string]any{"metadata": map[string]any{"annotations": map[string]any{hashAnnotation: wanted.hash}}}
	if err := h.patch(ctx, helmChart, patch); err != nil {
		return err
	}
	return h.report(ctx, helmChart, nil)
}

// setFinalizer adds ours to a chart's finalizers, or removes it.
func (h *Helm) setFinalizer(ctx context.Context, helmChart *unstructured.Unstructured, present bool) error {
	finalizers := slices.DeleteFunc(slices.Clone(helmChart.GetFinalizers()), func(f string) bool { return f == helmFinalizer })
	if present {
		finalizers = append(finalizers, helmFinalizer)
	}
	return h.patch(ctx, helmChart, map[string]any{"metadata": map[string]any{"finalizers": finalizers}})
}

// report puts the outcome into the status, and a failure into an event too. It
// returns the failure, so that the chart is tried again.
func (h *Helm) report(ctx context.Context, helmChart *unstructured.Unstructured, failure error) error {
	conditions := chartConditions(failure, time.Now())
	status := map[string]any{"status": map[string]any{"conditions": conditions}}
	if err := h.patch(ctx, helmChart, status, "status"); err != nil {
		return err
	}
	if failure == nil {
		return nil
	}
	now := metav1.Now()
	_, err := h.clients.Typed.CoreV1().Events(helmChart.GetNamespace()).Create(ctx, &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{GenerateName: helmChart.GetName() + ".", Namespace: helmChart.GetNamespace()},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: helmChart.GetAPIVersion(),
			Kind:       helmChart.GetKind(),
			Namespace:  helmChart.GetNamespace(),
			Name:       helmChart.GetName(),
			UID:        helmChart.GetUID(),
		},
		Type:           corev1.EventTypeWarning,
		Reason:         "HelmReleaseFailed",
		Message:        failure.Error(),
		Source:         corev1.EventSource{Component: "helm-controller"},
		FirstTimestamp: now,
		LastTimestamp:  now,
		Count:          1,
	}, metav1.CreateOptions{})
	if err != nil {
		logrus.Warnf("Failed to record the failure of HelmChart %s/%s as an event: %v", helmChart.GetNamespace(), helmChart.GetName(), err)
	}
	return failure
}

// chartConditions says in the status how the last attempt ended.
func chartConditions(failure error, now time.Time) []map[string]any {
	condition := func(kind string, holds bool, reason, message string) map[string]any {
		status := "False"
		if holds {
			status = "True"
		}
		return map[string]any{
			"type":               kind,
			"status":             status,
			"reason":             reason,
			"message":            message,
			"lastTransitionTime": now.UTC().Format(time.RFC3339),
		}
	}
	if failure != nil {
		return []map[string]any{
			condition(conditionDeployed, false, "HelmReleaseFailed", failure.Error()),
			condition(conditionFailed, true, "HelmReleaseFailed", failure.Error()),
		}
	}
	return []map[string]any{
		condition(conditionDeployed, true, "HelmReleaseDeployed", ""),
		condition(conditionFailed, false, "HelmReleaseDeployed", ""),
	}
}

// patch merges fields into a chart object or one of its subresources.
func (h *Helm) patch(ctx context.Context, helmChart *unstructured.Unstructured, fields map[string]any, subresources ...string) error {
	content, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	_, err = h.clients.Dynamic.Resource(chartResource).Namespace(helmChart.GetNamespace()).
		Patch(ctx, helmChart.GetName(), types.MergePatchType, content, metav1.PatchOptions{}, subresources...)
	if err != nil {
		return fmt.Errorf("update HelmChart %s/%s: %w", helmChart.GetNamespace(), helmChart.GetName(), err)
	}
	return nil
}

// retry repeats an action until it succeeds or the context ends.
func retry(ctx context.Context, action func() error) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := action()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-ticker.C:
		}
	}
}
