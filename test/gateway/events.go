package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// kubeEvent is what the server reads of a Kubernetes event.
type kubeEvent struct {
	Metadata struct {
		UID, ResourceVersion, CreationTimestamp string
	}
	InvolvedObject struct {
		Kind, Name string
	}
	Type, Reason, Message                    string
	Count                                    int
	FirstTimestamp, LastTimestamp, EventTime string
	ReportingComponent                       string
	Source                                   struct{ Component string }
}

// sandbox is the name of the sandbox that an event is about; "" means none.
func (e *kubeEvent) sandbox() string {
	switch e.InvolvedObject.Kind {
	case "Sandbox", "Pod", "Service":
		return e.InvolvedObject.Name
	case "PersistentVolumeClaim":
		if name, ok := strings.CutPrefix(e.InvolvedObject.Name, workspaceVolume+"-"); ok {
			return name
		}
	}
	return ""
}

// time is when the event happened last.
func (e *kubeEvent) time() (time.Time, error) {
	for _, text := range []string{e.LastTimestamp, e.EventTime, e.FirstTimestamp, e.Metadata.CreationTimestamp} {
		if text != "" {
			return time.Parse(time.RFC3339, text)
		}
	}
	return time.Time{}, fmt.Errorf("event %s has no time", e.Metadata.UID)
}

// eventFeed hands Kubernetes events to the journals of their sandboxes.
func (s *service) eventFeed() feed {
	return feed{
		what: "events", path: s.cluster.eventsPath(),
		sync: func(ctx context.Context) (string, error) {
			var list struct {
				Metadata struct{ ResourceVersion string }
				Items    []kubeEvent
			}
			callCtx, cancel := context.WithTimeout(ctx, kubernetesTimeout)
			defer cancel()
			if err := s.cluster.call(callCtx, http.MethodGet, s.cluster.eventsPath(), nil, nil, &list); err != nil {
				return "", err
			}
			for i := range list.Items {
				if err := s.takeEvent(ctx, &list.Items[i]); err != nil {
					return "", err
				}
			}
			return list.Metadata.ResourceVersion, nil
		},
		changed: func(ctx context.Context, kind string, text json.RawMessage) error {
			if kind == "DELETED" {
				return nil
			}
			var e kubeEvent
			if err := json.Unmarshal(text, &e); err != nil {
				return fmt.Errorf("decode an event: %w", err)
			}
			return s.takeEvent(ctx, &e)
		},
	}
}

func (s *service) takeEvent(ctx context.Context, e *kubeEvent) error {
	name := e.sandbox()
	if name == "" {
		return nil
	}
	row, err := s.store.sandboxByName(ctx, name)
	if errors.Is(err, errNoRow) {
		return nil
	} else if err != nil {
		return err
	}
	at, err := e.time()
	if err != nil {
		s.journal.log(string(row.GetId()), "WARN", "kubernetes", "an event cannot be read", "error", err.Error())
		return nil
	}
	// An earlier sandbox of the same name is not this one. Kubernetes counts seconds.
	if at.Add(time.Second).UnixMilli() < row.createdAtMS {
		return nil
	}
	event := &pb.PlatformEvent{TimestampMs: at.UnixMilli(), Source: "kubernetes", Type: e.Type, Reason: e.Reason, Message: e.Message,
		Metadata: map[string]string{"involved_kind": e.InvolvedObject.Kind, "involved_name": e.InvolvedObject.Name}}
	if component := e.Source.Component; component != "" {
		event.Metadata["component"] = component
	} else if e.ReportingComponent != "" {
		event.Metadata["component"] = e.ReportingComponent
	}
	if e.Count > 1 {
		event.Metadata["count"] = strconv.Itoa(e.Count)
	}
	s.journal.platformEvent(string(row.GetId()), e.Metadata.UID, e.Metadata.ResourceVersion, event)
	return nil
}
