package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

const (
	// kubernetesTimeout bounds one request to the Kubernetes API.
	kubernetesTimeout = 30 * time.Second
	// inventions is how often a name is made up before the server gives up.
	inventions = 20

	defaultLimit = 100
	maxLimit     = 1000
)

// service answers the calls that this peer knows; others are UNIMPLEMENTED.
type service struct {
	pb.UnimplementedOpenShellServer
	options options
	store   *store
	journal *journal
	cluster *cluster
	tunnels *tunnels
	// hop is the way to the SSH server of a sandbox.
	hop hop
	// life ends when the server stops; tunnels and watches end with it.
	life context.Context
	// relays is nil unless the server speaks the later relay.
	relays *relays

	mu sync.Mutex
	// creating has the sandboxes whose row is there and whose object may not be yet.
	creating map[string]bool
}

func newService(life context.Context, o options, db *store, kube *cluster, out io.Writer) *service {
	s := &service{options: o, store: db, cluster: kube, life: life,
		journal: newJournal(out, o.logLevel), tunnels: newTunnels(), creating: map[string]bool{}}
	if o.relay {
		s.relays = newRelays()
		s.hop = s.relays
	} else {
		s.hop = newNSSH1(o.handshakeSecret)
	}
	return s
}

func (s *service) Health(context.Context, *pb.HealthRequest) (*pb.HealthResponse, error) {
	return &pb.HealthResponse{Status: pb.ServiceStatus_SERVICE_STATUS_HEALTHY, Version: version}, nil
}

// CreateSandbox stores the sandbox and creates its Kubernetes object; the rest goes on
// without the caller.
func (s *service) CreateSandbox(ctx context.Context, req *pb.CreateSandboxRequest) (*pb.SandboxResponse, error) {
	if err := validateCreate(req); err != nil {
		return nil, err
	}
	if req.GetSpec().GetGpu() {
		if err := s.checkGPU(ctx); err != nil {
			return nil, err
		}
	}
	spec := proto.CloneOf(req.GetSpec())
	if spec.Template == nil {
		spec.Template = &pb.SandboxTemplate{}
	}
	if spec.Template.Image == "" {
		spec.Template.Image = s.options.sandboxImage
	}
	sandbox := &pb.Sandbox{Id: []byte(newUUID()), Name: []byte(req.GetName()), Namespace: []byte(s.options.sandboxNamespace), Spec: spec, Phase: provisioning}
	id := string(sandbox.Id)
	// From here on the caller's patience must not decide what is half done.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), kubernetesTimeout)
	defer cancel()
	s.setCreating(id, true)
	defer s.setCreating(id, false)
	if err := s.insert(ctx, sandbox); err != nil {
		return nil, err
	}
	if err := s.cluster.call(ctx, http.MethodPost, s.cluster.sandboxesPath(), nil, s.options.sandboxResource(sandbox), nil); err != nil {
		if _, undo := s.store.deleteSandbox(context.WithoutCancel(ctx), id); undo != nil {
			err = errors.Join(err, undo)
		}
		s.journal.forget(id)
		if hasStatus(err, http.StatusConflict) {
			return nil, alreadyExists(sandbox)
		}
		return nil, status.Errorf(codes.Internal, "create sandbox failed: %s", s.redact(err.Error()))
	}
	s.journal.log(id, "INFO", "sandbox", "sandbox created", "sandbox", string(sandbox.Name), "image", spec.Template.Image)
	return &pb.SandboxResponse{Sandbox: sandbox}, nil
}

// insert stores a new sandbox, under an invented name if it has none.
func (s *service) insert(ctx context.Context, sandbox *pb.Sandbox) error {
	attempts := 1
	invent := len(sandbox.Name) == 0
	if invent {
		attempts = inventions
	}
	for range attempts {
		if invent {
			sandbox.Name = []byte(petName())
		}
		added, err := s.store.insertSandbox(ctx, sandbox, time.Now().UnixMilli())
		if err != nil {
			return status.Error(codes.Internal, err.Error())
		}
		if added {
			return nil
		}
	}
	return alreadyExists(sandbox)
}

func alreadyExists(sandbox *pb.Sandbox) error {
	return status.Errorf(codes.AlreadyExists, "sandbox '%s' already exists", sandbox.GetName())
}

// redact keeps the handshake secret out of an error: Kubernetes may quote what it was
// sent.
func (s *service) redact(text string) string {
	if s.options.handshakeSecret == "" {
		return text
	}
	return strings.ReplaceAll(text, s.options.handshakeSecret, "[secret]")
}

// checkGPU refuses unless some node has a GPU to give.
func (s *service) checkGPU(ctx context.Context) error {
	var nodes struct {
		Items []struct {
			Status struct{ Allocatable map[string]string }
		}
	}
	ctx, cancel := context.WithTimeout(ctx, kubernetesTimeout)
	defer cancel()
	if err := s.cluster.call(ctx, http.MethodGet, "/api/v1/nodes", nil, nil, &nodes); err != nil {
		return status.Errorf(codes.Internal, "list the nodes: %v", err)
	}
	for _, node := range nodes.Items {
		if n := node.Status.Allocatable[gpuResource]; n != "" && n != "0" {
			return nil
		}
	}
	return status.Error(codes.FailedPrecondition, "GPU sandbox requested, but no node has allocatable "+gpuResource)
}

// GetSandbox looks a sandbox up by its name.
func (s *service) GetSandbox(ctx context.Context, req *pb.GetSandboxRequest) (*pb.SandboxResponse, error) {
	row, err := s.byName(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return &pb.SandboxResponse{Sandbox: row.Sandbox}, nil
}

// ListSandboxes reads the database, not Kubernetes.
func (s *service) ListSandboxes(ctx context.Context, req *pb.ListSandboxesRequest) (*pb.ListSandboxesResponse, error) {
	limit := int(req.GetLimit())
	if limit == 0 {
		limit = defaultLimit
	}
	rows, err := s.store.listSandboxes(ctx, min(limit, maxLimit), int(req.GetOffset()))
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	res := &pb.ListSandboxesResponse{}
	for _, row := range rows {
		row.Sandbox.CreatedAtMs = row.createdAtMS
		res.Sandboxes = append(res.Sandboxes, row.Sandbox)
	}
	return res, nil
}

// DeleteSandbox marks the row and deletes the object; the row goes when the watch says
// that the object is gone.
func (s *service) DeleteSandbox(ctx context.Context, req *pb.DeleteSandboxRequest) (*pb.DeleteSandboxResponse, error) {
	row, err := s.byName(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), kubernetesTimeout)
	defer cancel()
	id, before := string(row.GetId()), row.GetPhase()
	if err := s.update(ctx, id, func(x *pb.Sandbox) { x.Phase = deleting }); err != nil {
		return nil, asStatus(err)
	}
	if err := s.store.deleteSessions(ctx, id); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	s.journal.log(id, "INFO", "sandbox", "deleting sandbox", "sandbox", req.GetName())
	err = s.deleteResource(ctx, req.GetName())
	if hasStatus(err, http.StatusNotFound) {
		return &pb.DeleteSandboxResponse{Deleted: false}, asStatus(s.drop(ctx, id))
	}
	if err != nil {
		undo := s.update(context.WithoutCancel(ctx), id, func(x *pb.Sandbox) { x.Phase = before })
		return nil, status.Errorf(codes.Internal, "delete sandbox failed: %v", errors.Join(err, undo))
	}
	return &pb.DeleteSandboxResponse{Deleted: true}, nil
}

func (s *service) deleteResource(ctx context.Context, name string) error {
	return s.cluster.call(ctx, http.MethodDelete, s.cluster.sandboxesPath()+"/"+url.PathEscape(name), nil, nil, nil)
}

// update changes a row and tells its watchers.
func (s *service) update(ctx context.Context, id string, change func(*pb.Sandbox)) error {
	changed, err := s.store.updateSandbox(ctx, id, change)
	if changed {
		s.journal.rowChanged(id)
	}
	return err
}

// drop removes the row of a sandbox that is gone. Its sessions stay until they expire,
// unless it was deleted by a call: their tokens lead to a 404.
func (s *service) drop(ctx context.Context, id string) error {
	if _, err := s.store.deleteSandbox(ctx, id); err != nil {
		return err
	}
	s.journal.forget(id)
	return nil
}

func (s *service) setCreating(id string, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is {
		s.creating[id] = true
	} else {
		delete(s.creating, id)
	}
}

func (s *service) isCreating(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.creating[id]
}

func (s *service) byName(ctx context.Context, name string) (sandboxRow, error) {
	if name == "" {
		return sandboxRow{}, status.Error(invalid, "name is required")
	}
	row, err := s.store.sandboxByName(ctx, name)
	return row, asStatus(err)
}

func (s *service) byID(ctx context.Context, id string) (sandboxRow, error) {
	if id == "" {
		return sandboxRow{}, status.Error(invalid, idMissingText)
	}
	row, err := s.store.sandboxByID(ctx, id)
	return row, asStatus(err)
}

// asStatus makes an answer of an error of the database.
func asStatus(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNoRow):
		return status.Error(codes.NotFound, notFoundText)
	default:
		return status.Error(codes.Internal, err.Error())
	}
}
