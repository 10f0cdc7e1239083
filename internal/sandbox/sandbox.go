package sandbox

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// Phase is the condition of a sandbox.
type Phase string

// The phases of a sandbox.
const (
	PhaseProvisioning Phase = "provisioning"
	PhaseReady        Phase = "ready"
	PhaseError        Phase = "error"
	PhaseDeleting     Phase = "deleting"
	PhaseUnknown      Phase = "unknown"
)

var phases = map[pb.SandboxPhase]Phase{
	pb.SandboxPhase_SANDBOX_PHASE_PROVISIONING: PhaseProvisioning,
	pb.SandboxPhase_SANDBOX_PHASE_READY:        PhaseReady,
	pb.SandboxPhase_SANDBOX_PHASE_ERROR:        PhaseError,
	pb.SandboxPhase_SANDBOX_PHASE_DELETING:     PhaseDeleting,
}

// Sandbox describes a sandbox as its gateway does.
type Sandbox struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Phase     Phase  `json:"phase"`
	Image     string `json:"image,omitempty"`
	GPU       bool   `json:"gpu,omitempty"`
	// Created is known to List alone.
	Created   time.Time   `json:"created,omitzero"`
	Providers []string    `json:"providers,omitempty"`
	Condition []Condition `json:"conditions,omitempty"`
}

// Condition is one of Kubernetes' conditions of a sandbox.
type Condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// MaxName is the length of the longest name: Kubernetes makes a service of it.
const MaxName = 63

// reserved are names of services that exist beside those of the sandboxes: the
// controller would take one over for a sandbox of its name.
var reserved = []string{"openshell", "kubernetes"}

// ValidateName accepts what Kubernetes accepts for a service. The server checks
// nothing, and fails late and unclearly.
func ValidateName(name string) error {
	bad := func(why string) error {
		return fail(CauseInvalid, fmt.Sprintf("use 1 to %d lower-case letters, digits and '-', beginning with a letter and ending with a letter or digit", MaxName),
			"sandbox name %q %s", name, why)
	}
	lower := func(c byte) bool { return c >= 'a' && c <= 'z' }
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	switch {
	case name == "":
		return bad("is empty")
	case len(name) > MaxName:
		return bad(fmt.Sprintf("has %d characters", len(name)))
	case !lower(name[0]):
		return bad("does not begin with a lower-case letter")
	case !lower(name[len(name)-1]) && !digit(name[len(name)-1]):
		return bad("does not end with a letter or digit")
	}
	for i := range len(name) {
		if c := name[i]; !lower(c) && !digit(c) && c != '-' {
			return bad(fmt.Sprintf("holds %q", c))
		}
	}
	for _, r := range reserved {
		if name == r {
			return bad("is the name of a service of the gateway itself")
		}
	}
	return nil
}

// validateExisting accepts names that a sandbox may have that others made.
func validateExisting(name string) error {
	if !within(name, 253, nameCharacters) {
		return fail(CauseInvalid, "see 'docker openshell sandbox ls'", "%q cannot be the name of a sandbox", name)
	}
	return nil
}

// decode checks what a gateway says of a sandbox.
func decode(s *pb.Sandbox) (Sandbox, error) {
	if s == nil {
		return Sandbox{}, fail(CauseReply, "", "the gateway's reply holds no sandbox")
	}
	if laterGeneration(s) {
		return Sandbox{}, fail(CauseGeneration, "use a gateway of version 0.0.22 to 0.0.36, such as this plugin starts",
			"the gateway speaks a later generation of the API, which this plugin does not know")
	}
	id, name := string(s.GetId()), string(s.GetName())
	if !validID(id) {
		return Sandbox{}, fail(CauseReply, "", "the gateway's reply holds the unusable sandbox ID %q", clean(id))
	}
	if validateExisting(name) != nil {
		return Sandbox{}, fail(CauseReply, "", "the gateway's reply holds the unusable sandbox name %q", clean(name))
	}
	out := Sandbox{ID: id, Name: name, Namespace: clean(string(s.GetNamespace())), Phase: PhaseUnknown,
		Image: clean(s.GetSpec().GetTemplate().GetImage()), GPU: s.GetSpec().GetGpu()}
	if p, ok := phases[s.GetPhase()]; ok {
		out.Phase = p
	}
	if s.GetCreatedAtMs() > 0 {
		out.Created = moment(s.GetCreatedAtMs())
	}
	for _, p := range s.GetSpec().GetProviders() {
		out.Providers = append(out.Providers, clean(p))
	}
	for _, c := range s.GetStatus().GetConditions() {
		out.Condition = append(out.Condition, Condition{clean(c.GetType()), clean(c.GetStatus()), clean(c.GetReason()), clean(c.GetMessage())})
	}
	return out, nil
}

// moment is a time of a gateway, or the zero time if its year cannot be written.
func moment(ms int64) time.Time {
	t := time.UnixMilli(ms).UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

// problem is what the conditions say is wrong, or "".
func (s Sandbox) problem() string {
	var parts []string
	for _, c := range s.Condition {
		if c.Type == "Ready" && c.Status != "True" {
			parts = append(parts, strings.TrimSpace(c.Reason+" "+c.Message))
		}
	}
	return strings.Join(parts, "; ")
}

// laterGeneration recognises the Sandbox message of servers after 0.0.36: number 1 is
// then a message that holds the ID as its own number 1.
func laterGeneration(s *pb.Sandbox) bool {
	raw := s.GetId()
	if len(raw) == 0 || validID(string(raw)) {
		return false
	}
	num, kind, n := protowire.ConsumeTag(raw)
	if n < 0 || num != 1 || kind != protowire.BytesType {
		return false
	}
	id, n := protowire.ConsumeBytes(raw[n:])
	return n >= 0 && utf8.Valid(id) && validID(string(id))
}

// Get looks a sandbox up by its name.
func (c *Client) Get(ctx context.Context, name string) (Sandbox, error) {
	if err := validateExisting(name); err != nil {
		return Sandbox{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.api.GetSandbox(ctx, &pb.GetSandboxRequest{Name: name})
	if err != nil {
		return Sandbox{}, absent(name, c.callError(ctx, fmt.Sprintf("look up sandbox %q", name), err))
	}
	return decode(r.GetSandbox())
}

// absent says in one way that there is no such sandbox.
func absent(name string, err error) error {
	if CauseOf(err) != CauseAbsent {
		return err
	}
	return fail(CauseAbsent, "see 'docker openshell sandbox ls'", "there is no sandbox %q", name)
}

// pageSize is how many sandboxes are asked for at once; the server's limit is 1000.
const pageSize = 500

// maxSandboxes is more than a node can hold: a longer list has no end.
const maxSandboxes = 10000

// List returns up to limit sandboxes, from the given offset on; 0 means all.
func (c *Client) List(ctx context.Context, limit, offset int) ([]Sandbox, error) {
	list := []Sandbox{}
	for {
		n := pageSize
		if limit > 0 {
			n = min(n, limit-len(list))
		}
		page, err := c.page(ctx, n, offset+len(list))
		if err != nil {
			return nil, err
		}
		list = append(list, page...)
		if len(page) < n || limit > 0 && len(list) >= limit {
			return list, nil
		}
		if limit <= 0 && len(list) >= maxSandboxes {
			return nil, fail(CauseReply, "", "the gateway lists more than %d sandboxes", maxSandboxes)
		}
	}
}

func (c *Client) page(ctx context.Context, limit, offset int) ([]Sandbox, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.api.ListSandboxes(ctx, &pb.ListSandboxesRequest{Limit: uint32(limit), Offset: uint32(offset)})
	if err != nil {
		return nil, c.callError(ctx, "list the sandboxes", err)
	}
	if len(r.GetSandboxes()) > limit {
		return nil, fail(CauseReply, "", "the gateway listed %d sandboxes where at most %d were asked for", len(r.GetSandboxes()), limit)
	}
	var page []Sandbox
	for _, s := range r.GetSandboxes() {
		d, err := decode(s)
		if err != nil {
			return nil, err
		}
		page = append(page, d)
	}
	return page, nil
}

// Delete deletes a sandbox with its workspace. The gateway goes on with it after the
// call has returned.
func (c *Client) Delete(ctx context.Context, name string) error {
	if err := validateExisting(name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.api.DeleteSandbox(ctx, &pb.DeleteSandboxRequest{Name: name})
	return absent(name, c.callError(ctx, fmt.Sprintf("delete sandbox %q", name), err))
}
