package manifest

import (
	"encoding/json"
	"fmt"
	"time"
)

// Pod is what matters of a pod with one container.
type Pod struct {
	Metadata struct {
		Name              string
		UID               string
		DeletionTimestamp *time.Time
	}
	Spec struct {
		Containers []struct{ Image string }
	}
	Status struct {
		Phase      string
		Conditions []struct{ Type, Status, Reason, Message string }
		// ContainerStatuses has an element for each container that the node has seen.
		ContainerStatuses []struct {
			RestartCount int
			State        containerState
			LastState    containerState
		}
	}
}

type containerState struct {
	Waiting    *struct{ Reason, Message string }
	Running    *struct{ StartedAt time.Time }
	Terminated *struct {
		Reason, Message string
		ExitCode        int
	}
}

// PodEvent is one event of a watch. Its type is ADDED, MODIFIED, DELETED or ERROR;
// an ERROR carries no pod.
type PodEvent struct {
	Type string
	Pod  Pod
}

// DecodePodEvent reads one event of a watch.
func DecodePodEvent(data []byte) (PodEvent, error) {
	var doc struct {
		Type   string
		Object json.RawMessage
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return PodEvent{}, fmt.Errorf("watch event: %w", err)
	}
	event := PodEvent{Type: doc.Type}
	if doc.Type == "ERROR" || doc.Type == "BOOKMARK" {
		return event, nil
	}
	if err := json.Unmarshal(doc.Object, &event.Pod); err != nil {
		return PodEvent{}, fmt.Errorf("watch event: pod: %w", err)
	}
	return event, nil
}

// UID is the pod's identity: another pod of the same name has another.
func (p *Pod) UID() string { return p.Metadata.UID }

// Image is the image that the pod's specification names.
func (p *Pod) Image() string {
	if len(p.Spec.Containers) == 0 {
		return ""
	}
	return p.Spec.Containers[0].Image
}

// Ready reports whether the pod is ready and not about to go.
func (p *Pod) Ready() bool {
	if p.Metadata.DeletionTimestamp != nil {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status == "True"
		}
	}
	return false
}

// RestartCount is how often the node has restarted the pod's container.
func (p *Pod) RestartCount() int {
	if len(p.Status.ContainerStatuses) == 0 {
		return 0
	}
	return p.Status.ContainerStatuses[0].RestartCount
}

// StartedAt is when the pod's container started, in whole seconds by the node's
// clock; zero when it does not run.
func (p *Pod) StartedAt() time.Time {
	if len(p.Status.ContainerStatuses) == 0 || p.Status.ContainerStatuses[0].State.Running == nil {
		return time.Time{}
	}
	return p.Status.ContainerStatuses[0].State.Running.StartedAt
}

// Waiting is the reason, such as ImagePullBackOff, for which the pod's container
// does not run, and its message.
func (p *Pod) Waiting() (reason, message string) {
	if len(p.Status.ContainerStatuses) == 0 || p.Status.ContainerStatuses[0].State.Waiting == nil {
		return "", ""
	}
	w := p.Status.ContainerStatuses[0].State.Waiting
	return w.Reason, w.Message
}

// Unschedulable is the scheduler's message for a pod that fits no node, or "".
func (p *Pod) Unschedulable() string {
	for _, c := range p.Status.Conditions {
		if c.Type == "PodScheduled" && c.Status == "False" {
			return c.Message
		}
	}
	return ""
}

// Summary is the pod's condition in a few words.
func (p *Pod) Summary() string {
	reason, message := p.Waiting()
	switch {
	case p.Metadata.DeletionTimestamp != nil:
		return "terminating"
	case p.Ready():
		return "ready"
	case reason != "" && message != "":
		return reason + ": " + message
	case reason != "":
		return reason
	case p.Unschedulable() != "":
		return "not scheduled: " + p.Unschedulable()
	case !p.StartedAt().IsZero():
		return "running, not ready"
	default:
		return "pending"
	}
}
