package controllers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	localPathProvisioner = "rancher.io/local-path"

	provisionerAnnotation   = "volume.kubernetes.io/storage-provisioner"
	selectedNodeAnnotation  = "volume.kubernetes.io/selected-node"
	provisionedByAnnotation = "pv.kubernetes.io/provisioned-by"
)

// LocalPath makes a directory and a volume for each claim of its class, and
// deletes both once the claim is gone.
type LocalPath struct {
	clients *Clients
	storage string
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	queue   workqueue.TypedRateLimitingInterface[localPathItem]
}

// localPathItem names a claim, or a volume where the namespace is empty.
type localPathItem struct{ namespace, name string }

// NewLocalPath makes the provisioner; volumes lie below the storage directory.
func NewLocalPath(clients *Clients, factory informers.SharedInformerFactory, storage string) (*LocalPath, error) {
	p := &LocalPath{
		clients: clients,
		storage: storage,
		claims:  factory.Core().V1().PersistentVolumeClaims().Lister(),
		volumes: factory.Core().V1().PersistentVolumes().Lister(),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[localPathItem](100*time.Millisecond, 30*time.Second)),
	}
	enqueue := func(object any) {
		if meta, ok := object.(metav1.Object); ok {
			p.queue.Add(localPathItem{meta.GetNamespace(), meta.GetName()})
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, object any) { enqueue(object) },
	}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().PersistentVolumeClaims().Informer(),
		factory.Core().V1().PersistentVolumes().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Run works until the context ends.
func (p *LocalPath) Run(ctx context.Context) {
	go func() {
		<-ctx.Done()
		p.queue.ShutDown()
	}()
	for {
		item, shutdown := p.queue.Get()
		if shutdown {
			return
		}
		var err error
		if item.namespace != "" {
			err = p.provision(ctx, item)
		} else {
			err = p.release(ctx, item.name)
		}
		p.queue.Done(item)
		if err == nil {
			p.queue.Forget(item)
			continue
		}
		if ctx.Err() == nil {
			logrus.Errorf("local-path: %s/%s: %v", item.namespace, item.name, err)
		}
		p.queue.AddRateLimited(item)
	}
}

// provision makes the volume of a claim that waits for one.
func (p *LocalPath) provision(ctx context.Context, item localPathItem) error {
	claim, err := p.claims.PersistentVolumeClaims(item.namespace).Get(item.name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	node := claim.Annotations[selectedNodeAnnotation]
	if claim.Annotations[provisionerAnnotation] != localPathProvisioner || node == "" || claim.Spec.VolumeName != "" {
		return nil
	}
	name := "pvc-" + string(claim.UID)
	path := filepath.Join(p.storage, name+"_"+claim.Namespace+"_"+claim.Name)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	// Chmod, because the umask took something away; pods have any user.
	if err := os.Chmod(path, 0o777); err != nil {
		return err
	}
	_, err = p.clients.Typed.CoreV1().PersistentVolumes().Create(ctx, localVolume(name, path, node, claim), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create the volume %s: %w", name, err)
	}
	logrus.Infof("local-path: volume %s of claim %s/%s is at %s", name, claim.Namespace, claim.Name, path)
	return nil
}

// localVolume describes the volume of a claim: a directory of one node.
func localVolume(name, path, node string, claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolume {
	directory := corev1.HostPathDirectoryOrCreate
	class := ""
	if claim.Spec.StorageClassName != nil {
		class = *claim.Spec.StorageClassName
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{provisionedByAnnotation: localPathProvisioner},
		},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes:                   claim.Spec.AccessModes,
			VolumeMode:                    claim.Spec.VolumeMode,
			StorageClassName:              class,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			Capacity: corev1.ResourceList{
				corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage],
			},
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1",
				Kind:       "PersistentVolumeClaim",
				Namespace:  claim.Namespace,
				Name:       claim.Name,
				UID:        claim.UID,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: path, Type: &directory},
			},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{
					MatchExpressions: []corev1.NodeSelectorRequirement{{
						Key:      corev1.LabelHostname,
						Operator: corev1.NodeSelectorOpIn,
						Values:   []string{node},
					}},
				}},
			}},
		},
	}
}

// release deletes a volume whose claim is gone, and the directory with it.
func (p *LocalPath) release(ctx context.Context, name string) error {
	volume, err := p.volumes.Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if volume.Annotations[provisionedByAnnotation] != localPathProvisioner ||
		volume.Status.Phase != corev1.VolumeReleased ||
		volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete ||
		volume.Spec.HostPath == nil {
		return nil
	}
	// An edited object must not lead out of the storage directory.
	path := filepath.Clean(volume.Spec.HostPath.Path)
	if filepath.Dir(path) != filepath.Clean(p.storage) {
		return fmt.Errorf("the directory %q of the volume is not one of ours", path)
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	err = p.clients.Typed.CoreV1().PersistentVolumes().Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the volume %s: %w", name, err)
	}
	logrus.Infof("local-path: volume %s is released and its directory deleted", name)
	return nil
}
