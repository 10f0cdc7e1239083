package main

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// The limits of a CreateSandbox request, in bytes and entries.
const (
	maxName       = 253
	maxProviders  = 32
	maxLogLevel   = 32
	maxEntries    = 128
	maxKey        = 256
	maxValue      = 8192
	maxText       = 1024
	maxStruct     = 64 << 10
	invalid       = codes.InvalidArgument
	notFoundText  = "sandbox not found"
	notReadyText  = "sandbox is not ready"
	idMissingText = "sandbox_id is required"
)

// validateCreate refuses what the real server refuses. A name is only measured: what
// Kubernetes thinks of it comes out when the object is created.
func validateCreate(req *pb.CreateSandboxRequest) error {
	spec := req.GetSpec()
	if spec == nil {
		return status.Error(invalid, "spec is required")
	}
	template := spec.GetTemplate()
	for _, text := range []struct {
		field, value string
		limit        int
	}{
		{"name", req.GetName(), maxName},
		{"spec.log_level", spec.GetLogLevel(), maxLogLevel},
		{"spec.template.image", template.GetImage(), maxText},
		{"spec.template.runtime_class_name", template.GetRuntimeClassName(), maxText},
		{"spec.template.agent_socket", template.GetAgentSocket(), maxText},
	} {
		if len(text.value) > text.limit {
			return status.Errorf(invalid, "%s exceeds maximum length (%d > %d)", text.field, len(text.value), text.limit)
		}
	}
	if n := len(spec.GetProviders()); n > maxProviders {
		return status.Errorf(invalid, "spec.providers exceeds maximum (%d > %d)", n, maxProviders)
	}
	for field, m := range map[string]map[string]string{
		"spec.environment":          spec.GetEnvironment(),
		"spec.template.labels":      template.GetLabels(),
		"spec.template.annotations": template.GetAnnotations(),
		"spec.template.environment": template.GetEnvironment(),
	} {
		if err := validateMap(field, m); err != nil {
			return err
		}
	}
	for field, m := range map[string]proto.Message{
		"spec.template.resources":              template.GetResources(),
		"spec.template.volume_claim_templates": template.GetVolumeClaimTemplates(),
	} {
		if n := proto.Size(m); n > maxStruct {
			return status.Errorf(invalid, "%s exceeds maximum size (%d > %d)", field, n, maxStruct)
		}
	}
	// This peer has no providers, so every name of one is unknown.
	if len(spec.GetProviders()) > 0 {
		return status.Errorf(codes.FailedPrecondition, "provider '%s' not found", spec.GetProviders()[0])
	}
	return nil
}

func validateMap(field string, m map[string]string) error {
	if len(m) > maxEntries {
		return status.Errorf(invalid, "%s exceeds maximum entries (%d > %d)", field, len(m), maxEntries)
	}
	for key, value := range m {
		if len(key) > maxKey {
			return status.Errorf(invalid, "a key of %s exceeds maximum length (%d > %d)", field, len(key), maxKey)
		}
		if len(value) > maxValue {
			return status.Errorf(invalid, "a value of %s exceeds maximum length (%d > %d)", field, len(value), maxValue)
		}
	}
	return nil
}
