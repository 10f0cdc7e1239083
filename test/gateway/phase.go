package main

import (
	"strings"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// The phases, with shorter names.
const (
	provisioning = pb.SandboxPhase_SANDBOX_PHASE_PROVISIONING
	ready        = pb.SandboxPhase_SANDBOX_PHASE_READY
	failed       = pb.SandboxPhase_SANDBOX_PHASE_ERROR
	deleting     = pb.SandboxPhase_SANDBOX_PHASE_DELETING
	unknown      = pb.SandboxPhase_SANDBOX_PHASE_UNKNOWN
)

const readyCondition = "Ready"

// transient are the reasons, in lower case, why a sandbox is not ready yet; any other
// reason is a failure.
var transient = map[string]bool{"reconcilererror": true, "dependenciesnotready": true, "starting": true}

// resource is what the server reads of a sandbox's Kubernetes object.
type resource struct {
	Metadata struct {
		Name, Namespace, ResourceVersion     string
		CreationTimestamp, DeletionTimestamp string
		Labels                               map[string]string
	}
	Spec struct {
		PodTemplate struct {
			Spec struct {
				Containers []struct{ Image string }
			}
		}
	}
	Status *struct {
		Conditions []condition
	}
}

type condition struct {
	Type, Status, Reason, Message, LastTransitionTime string
}

func (r *resource) id() string { return r.Metadata.Labels[idLabel] }

// phase derives the phase of a sandbox from its Kubernetes object.
func (r *resource) phase() pb.SandboxPhase {
	if r.Metadata.DeletionTimestamp != "" {
		return deleting
	}
	if r.Status == nil {
		return unknown
	}
	for _, c := range r.Status.Conditions {
		if c.Type != readyCondition {
			continue
		}
		switch {
		case c.Status == "True":
			return ready
		case c.Status == "False" && !transient[strings.ToLower(c.Reason)]:
			return failed
		default:
			return provisioning
		}
	}
	return unknown
}

// conditions are the object's conditions as the API tells them.
func (r *resource) conditions() []*pb.SandboxCondition {
	if r.Status == nil {
		return nil
	}
	var list []*pb.SandboxCondition
	for _, c := range r.Status.Conditions {
		list = append(list, &pb.SandboxCondition{Type: c.Type, Status: c.Status, Reason: c.Reason, Message: c.Message, LastTransitionTime: c.LastTransitionTime})
	}
	return list
}

// apply brings a row up to date with the object. A row that is being deleted stays so
// until the object is gone: the object may not know it yet.
func (r *resource) apply(s *pb.Sandbox) {
	if s.GetPhase() == deleting {
		return
	}
	s.Phase = r.phase()
	if list := r.conditions(); list != nil {
		if s.Status == nil {
			s.Status = &pb.SandboxStatus{}
		}
		s.Status.Conditions = list
	}
}

// setReady sets the condition Ready, which the relay decides on in place of the object.
func setReady(s *pb.Sandbox, is bool, reason, message, at string) {
	if s.Status == nil {
		s.Status = &pb.SandboxStatus{}
	}
	status := "False"
	if is {
		status = "True"
	}
	next := &pb.SandboxCondition{Type: readyCondition, Status: status, Reason: reason, Message: message, LastTransitionTime: at}
	for i, c := range s.Status.Conditions {
		if c.GetType() != readyCondition {
			continue
		}
		if c.GetStatus() == status && c.GetReason() == reason && c.GetMessage() == message {
			return
		}
		s.Status.Conditions[i] = next
		return
	}
	s.Status.Conditions = append(s.Status.Conditions, next)
}
