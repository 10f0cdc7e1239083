package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// sandboxFeed keeps the rows in step with the Kubernetes objects.
func (s *service) sandboxFeed() feed {
	query := url.Values{"labelSelector": {managedByLabel + "=" + managedBy}}
	return feed{
		what: "sandboxes", path: s.cluster.sandboxesPath(), query: query,
		sync: func(ctx context.Context) (string, error) { return s.reconcile(ctx, query) },
		changed: func(ctx context.Context, kind string, text json.RawMessage) error {
			var r resource
			if err := json.Unmarshal(text, &r); err != nil {
				return fmt.Errorf("decode a sandbox object: %w", err)
			}
			if kind == "DELETED" {
				s.journal.log(r.id(), "INFO", "sandbox", "sandbox is gone", "sandbox", r.Metadata.Name)
				return s.drop(ctx, r.id())
			}
			return s.observe(ctx, &r)
		},
	}
}

// reconcile compares all rows with all objects: rows follow their objects, a deletion
// that was cut off is finished, and a row goes if its object did while nobody watched.
func (s *service) reconcile(ctx context.Context, query url.Values) (string, error) {
	// Rows come before objects: the object of every row that is seen here, and is not
	// being created, is older than the list.
	rows, err := s.store.listSandboxes(ctx, -1, 0)
	if err != nil {
		return "", err
	}
	before := map[string]pb.SandboxPhase{}
	for _, row := range rows {
		if id := string(row.GetId()); !s.isCreating(id) {
			before[id] = row.GetPhase()
		}
	}
	var list struct {
		Metadata struct{ ResourceVersion string }
		Items    []resource
	}
	callCtx, cancel := context.WithTimeout(ctx, kubernetesTimeout)
	defer cancel()
	if err := s.cluster.call(callCtx, http.MethodGet, s.cluster.sandboxesPath(), query, nil, &list); err != nil {
		return "", err
	}
	objects := map[string]bool{}
	for _, r := range list.Items {
		objects[r.id()] = true
	}
	for id := range before {
		if !objects[id] {
			s.journal.log(id, "WARN", "sandbox", "the sandbox's object is gone")
			if err := s.drop(ctx, id); err != nil {
				return "", err
			}
		}
	}
	for i := range list.Items {
		r := &list.Items[i]
		if before[r.id()] == deleting && r.Metadata.DeletionTimestamp == "" {
			if err := s.deleteResource(callCtx, r.Metadata.Name); err != nil && !hasStatus(err, http.StatusNotFound) {
				return "", err
			}
		}
		if err := s.observe(ctx, r); err != nil {
			return "", err
		}
	}
	return list.Metadata.ResourceVersion, nil
}

// observe brings the row of an object up to date; an object without a row, such as
// after the loss of the database, gets one.
func (s *service) observe(ctx context.Context, r *resource) error {
	if r.id() == "" {
		return nil
	}
	err := s.update(ctx, r.id(), func(x *pb.Sandbox) { s.applyResource(r, x) })
	if !errors.Is(err, errNoRow) {
		return err
	}
	created, err := time.Parse(time.RFC3339, r.Metadata.CreationTimestamp)
	if err != nil {
		return fmt.Errorf("the creation time of sandbox %q: %w", r.Metadata.Name, err)
	}
	x := &pb.Sandbox{Id: []byte(r.id()), Name: []byte(r.Metadata.Name), Namespace: []byte(r.Metadata.Namespace), Spec: &pb.SandboxSpec{Template: &pb.SandboxTemplate{}}}
	if containers := r.Spec.PodTemplate.Spec.Containers; len(containers) > 0 {
		x.Spec.Template.Image = containers[0].Image
	}
	s.applyResource(r, x)
	added, err := s.store.insertSandbox(ctx, x, created.UnixMilli())
	if added {
		s.journal.log(r.id(), "WARN", "sandbox", "adopted a sandbox that the database did not have", "sandbox", r.Metadata.Name)
	}
	return err
}

// applyResource brings a row up to date with its object and, with the relay, with
// whether its supervisor is connected.
func (s *service) applyResource(r *resource, x *pb.Sandbox) {
	r.apply(x)
	if s.relays != nil {
		s.relays.decide(x)
	}
}
