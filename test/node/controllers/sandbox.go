package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"reflect"
	"time"

	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// sandboxLabel marks what belongs to a sandbox, with a hash of the sandbox' name.
const sandboxLabel = "agents.x-k8s.io/sandbox-name-hash"

var sandboxResource = schema.GroupVersionResource{Group: "agents.x-k8s.io", Version: "v1alpha1", Resource: "sandboxes"}

// Sandboxes makes a pod, its claims and a service for each Sandbox object, as the
// controller agent-sandbox 0.1.0 does.
type Sandboxes struct {
	clients *Clients
	queue   workqueue.TypedRateLimitingInterface[cache.ObjectName]
}

// RunSandboxes reconciles until the context ends. The kind may be defined later.
func RunSandboxes(ctx context.Context, clients *Clients) error {
	s := &Sandboxes{clients: clients, queue: workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](100*time.Millisecond, 10*time.Second))}
	kinds := dynamicinformer.NewDynamicSharedInformerFactory(clients.Dynamic, 0)
	pods := informers.NewSharedInformerFactoryWithOptions(clients.Typed, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = sandboxLabel }))
	// A pod has the name of its sandbox.
	enqueue := func(object any) {
		if deleted, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = deleted.Obj
		}
		if meta, ok := object.(metav1.Object); ok {
			s.queue.Add(cache.MetaObjectToName(meta))
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: enqueue, UpdateFunc: func(_, object any) { enqueue(object) }, DeleteFunc: enqueue}
	for _, informer := range []cache.SharedIndexInformer{kinds.ForResource(sandboxResource).Informer(), pods.Core().V1().Pods().Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	kinds.Start(ctx.Done())
	pods.Start(ctx.Done())
	go func() {
		<-ctx.Done()
		s.queue.ShutDown()
	}()
	for {
		name, shutdown := s.queue.Get()
		if shutdown {
			return nil
		}
		err := s.reconcile(ctx, name)
		s.queue.Done(name)
		if err == nil || ctx.Err() != nil {
			s.queue.Forget(name)
			continue
		}
		logrus.Errorf("Failed to reconcile Sandbox %s: %v", name, err)
		s.queue.AddRateLimited(name)
	}
}

// reconcile brings one sandbox to what its object asks for. What belongs to one that
// is deleted goes by its owner references.
func (s *Sandboxes) reconcile(ctx context.Context, name cache.ObjectName) error {
	object, err := s.clients.Dynamic.Resource(sandboxResource).Namespace(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if object.GetDeletionTimestamp() != nil {
		return nil
	}
	spec, err := readSandbox(object)
	if err != nil {
		return s.report(ctx, object, nil, fmt.Errorf("spec: %w", err))
	}
	pod, err := s.ensure(ctx, object, spec)
	if err != nil {
		return s.report(ctx, object, nil, err)
	}
	return s.report(ctx, object, pod, nil)
}

// sandboxSpec is the part of a Sandbox' spec that is understood.
type sandboxSpec struct {
	PodTemplate struct {
		Metadata struct {
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Spec corev1.PodSpec `json:"spec"`
	} `json:"podTemplate"`
	VolumeClaimTemplates []corev1.PersistentVolumeClaim `json:"volumeClaimTemplates"`
	Replicas             *int32                         `json:"replicas"`
}

func readSandbox(object *unstructured.Unstructured) (sandboxSpec, error) {
	var spec sandboxSpec
	data, err := json.Marshal(object.Object["spec"])
	if err != nil {
		return spec, err
	}
	return spec, json.Unmarshal(data, &spec)
}

// nameHash is the FNV-1a hash of a name, in eight hexadecimal digits: a name may be
// longer than a label can be.
func nameHash(name string) string {
	h := fnv.New32a()
	h.Write([]byte(name))
	return fmt.Sprintf("%08x", h.Sum32())
}

// ensure makes what is missing, and returns the pod.
func (s *Sandboxes) ensure(ctx context.Context, object *unstructured.Unstructured, spec sandboxSpec) (*corev1.Pod, error) {
	core := s.clients.Typed.CoreV1()
	namespace := object.GetNamespace()
	for i := range spec.VolumeClaimTemplates {
		claim := spec.VolumeClaimTemplates[i]
		claim.ObjectMeta = owned(object, claim.Name+"-"+object.GetName())
		if _, err := core.PersistentVolumeClaims(namespace).Create(ctx, &claim, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return nil, fmt.Errorf("create claim %s: %w", claim.Name, err)
		}
	}
	service := &corev1.Service{ObjectMeta: owned(object, object.GetName()),
		Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Selector: map[string]string{sandboxLabel: nameHash(object.GetName())}}}
	if _, err := core.Services(namespace).Create(ctx, service, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("create service: %w", err)
	}
	pod, err := core.Pods(namespace).Get(ctx, object.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if spec.Replicas != nil && *spec.Replicas == 0 {
			return nil, nil
		}
		pod, err = core.Pods(namespace).Create(ctx, sandboxPod(object, spec), metav1.CreateOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("pod: %w", err)
	}
	return pod, nil
}

// owned is the metadata of something that goes with its sandbox.
func owned(object *unstructured.Unstructured, name string) metav1.ObjectMeta {
	yes := true
	return metav1.ObjectMeta{Name: name, Namespace: object.GetNamespace(),
		Labels: map[string]string{sandboxLabel: nameHash(object.GetName())},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: object.GetAPIVersion(), Kind: object.GetKind(),
			Name: object.GetName(), UID: object.GetUID(), Controller: &yes, BlockOwnerDeletion: &yes}}}
}

// sandboxPod is the pod of a sandbox: its template, with a volume for each claim.
func sandboxPod(object *unstructured.Unstructured, spec sandboxSpec) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: owned(object, object.GetName()), Spec: spec.PodTemplate.Spec}
	pod.Annotations = spec.PodTemplate.Metadata.Annotations
	for k, v := range spec.PodTemplate.Metadata.Labels {
		if k != sandboxLabel {
			pod.Labels[k] = v
		}
	}
	for _, claim := range spec.VolumeClaimTemplates {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: claim.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name + "-" + object.GetName()}}})
	}
	return pod
}

// report writes the status. It returns the failure, so that it is tried again.
func (s *Sandboxes) report(ctx context.Context, object *unstructured.Unstructured, pod *corev1.Pod, failure error) error {
	status := sandboxStatus(object, pod, failure, time.Now())
	old, _, err := unstructured.NestedMap(object.Object, "status")
	if err != nil {
		return err
	}
	if sameStatus(old, status) {
		return failure
	}
	content, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	_, err = s.clients.Dynamic.Resource(sandboxResource).Namespace(object.GetNamespace()).
		Patch(ctx, object.GetName(), types.MergePatchType, content, metav1.PatchOptions{}, "status")
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("update the status: %w", err)
	}
	return failure
}

// sandboxStatus is what the real controller writes.
func sandboxStatus(object *unstructured.Unstructured, pod *corev1.Pod, failure error, now time.Time) map[string]any {
	ready := map[string]any{"type": "Ready", "status": "False", "reason": "DependenciesNotReady", "message": "Pod does not exist",
		"observedGeneration": object.GetGeneration(), "lastTransitionTime": now.UTC().Format(time.RFC3339)}
	replicas := int64(0)
	switch {
	case failure != nil:
		ready["reason"], ready["message"] = "ReconcilerError", "Error seen: "+failure.Error()
	case pod != nil:
		replicas = 1
		ready["message"] = "Pod exists with phase: " + string(pod.Status.Phase) + "; Service Exists"
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil {
				ready["status"], ready["reason"], ready["message"] = "True", "DependenciesReady", "Pod is Ready; Service Exists"
			}
		}
	}
	return map[string]any{
		"conditions":  []any{ready},
		"replicas":    replicas,
		"selector":    sandboxLabel + "=" + nameHash(object.GetName()),
		"service":     object.GetName(),
		"serviceFQDN": object.GetName() + "." + object.GetNamespace() + ".svc.cluster.local",
	}
}

// sameStatus compares two states but for the time, which would make each write the
// cause of another.
func sameStatus(a, b map[string]any) bool {
	plain := func(status map[string]any) map[string]any {
		data, err := json.Marshal(status)
		if err != nil {
			return nil
		}
		var out map[string]any
		if err := json.Unmarshal(data, &out); err != nil {
			return nil
		}
		conditions, _ := out["conditions"].([]any)
		for _, c := range conditions {
			if fields, ok := c.(map[string]any); ok {
				delete(fields, "lastTransitionTime")
			}
		}
		return out
	}
	return a != nil && reflect.DeepEqual(plain(a), plain(b))
}
