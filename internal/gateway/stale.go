package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/docker-openshell/docker-openshell/internal/k3sexec"
	"github.com/docker-openshell/docker-openshell/internal/manifest"
)

// staleSandboxes names the sandboxes that were made with another handshake secret than
// the present one: their pods carry a copy of their own, and refuse the gateway.
func staleSandboxes(ctx context.Context, kube kubernetes, current []byte) ([]string, error) {
	doc, found, err := kube.Get(ctx, sandboxPath)
	if found == k3sexec.Absent {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the sandboxes: %w", err)
	}
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Spec     struct {
				PodTemplate struct {
					Spec struct {
						Containers []struct {
							Env []struct{ Name, Value string }
						}
					}
				} `json:"podTemplate"`
			}
		}
	}
	if err := json.Unmarshal(doc, &list); err != nil {
		return nil, fmt.Errorf("the list of sandboxes cannot be read: %w", err)
	}
	var stale []string
	for _, item := range list.Items {
		for _, c := range item.Spec.PodTemplate.Spec.Containers {
			for _, e := range c.Env {
				if e.Name == "OPENSHELL_SSH_HANDSHAKE_SECRET" && e.Value != string(current) {
					stale = append(stale, item.Metadata.Name)
				}
			}
		}
	}
	return stale, nil
}

// warnSandboxes tells which sandboxes refuse SSH after the secret was replaced.
func (r *run) warnSandboxes(ctx context.Context, kube kubernetes, current []byte) {
	stale, err := staleSandboxes(ctx, kube, current)
	if err != nil {
		r.warn("it is not known which sandboxes hold an older handshake secret: " + err.Error())
		return
	}
	if len(stale) > 0 {
		r.warn("these sandboxes hold the previous handshake secret and refuse SSH until they are made anew: " + strings.Join(stale, ", "))
	}
}

// findStale completes a status with the sandboxes that refuse the gateway.
func (m *Manager) findStale(ctx context.Context, st *Status) {
	kube := m.kubernetes(st.Container.ID)
	doc, found, err := kube.Get(ctx, secretsPath)
	if found != k3sexec.Present {
		st.SandboxProblem = problem(err)
		return
	}
	secrets, err := manifest.DecodeSecrets(doc)
	if err == nil {
		st.StaleSandboxes, err = staleSandboxes(ctx, kube, secrets[secretHandshake].Data["secret"])
	}
	st.SandboxProblem = problem(err)
}

func problem(err error) string {
	if err == nil {
		return ""
	}
	return "it is not known which sandboxes hold an older handshake secret: " + err.Error()
}
