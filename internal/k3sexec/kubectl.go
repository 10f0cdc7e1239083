package k3sexec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Presence is the outcome of a read: an object is there, it is definitely not
// there, or nobody knows. Only a ready API server's own word makes it Absent.
type Presence int

// The outcomes of a read.
const (
	Unknown Presence = iota
	Present
	Absent
)

// String returns the outcome in one word.
func (p Presence) String() string {
	switch p {
	case Present:
		return "present"
	case Absent:
		return "absent"
	default:
		return "unknown"
	}
}

// kubeconfig is where k3s writes the administrator's credentials.
const kubeconfig = "/etc/rancher/k3s/k3s.yaml"

// requestTimeout bounds one request of kubectl's; the command as a whole gets a
// little longer, so that kubectl's own message is seen.
const requestTimeout = 20 * time.Second

// Kubectl runs kubectl in a container, as the cluster's administrator.
type Kubectl struct{ container *Container }

// NewKubectl returns a kubectl that runs in c.
func NewKubectl(c *Container) *Kubectl { return &Kubectl{container: c} }

func (k *Kubectl) run(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	argv := append([]string{"kubectl", "--kubeconfig", kubeconfig,
		"--request-timeout", requestTimeout.String()}, args...)
	cmd := Command{Argv: argv, Timeout: requestTimeout + 10*time.Second}
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	return k.container.Run(ctx, cmd)
}

// Get reads the JSON document at a path of the API server, such as
// /api/v1/namespaces/x/secrets. Where the outcome is Unknown the error says why.
func (k *Kubectl) Get(ctx context.Context, path string) ([]byte, Presence, error) {
	out, err := k.run(ctx, nil, "get", "--raw", path)
	if err == nil {
		return out, Present, nil
	}
	if refused(err, "NotFound") {
		return nil, Absent, nil
	}
	return nil, Unknown, err
}

// unchecked keeps kubectl from fetching the API's schema to look for misspelt fields: that
// costs a booting server a good part of a second, and the documents are made by a program.
const unchecked = "--validate=false"

// ErrExists is returned by [Kubectl.Create] when an object is there already.
var ErrExists = errors.New("already exists")

// Create creates the objects of a JSON or YAML document. It never overwrites: of
// several objects those that were not there are created, and the error is
// [ErrExists] if the rest were there already.
func (k *Kubectl) Create(ctx context.Context, document []byte) error {
	_, err := k.run(ctx, document, "create", unchecked, "-f", "-", "-o", "name")
	if refused(err, "AlreadyExists") {
		return ErrExists
	}
	return err
}

// Replace overwrites objects that exist. A document that carries a
// resourceVersion is refused when the object has changed since.
func (k *Kubectl) Replace(ctx context.Context, document []byte) error {
	_, err := k.run(ctx, document, "replace", unchecked, "-f", "-", "-o", "name")
	return err
}

// Delete deletes one object and does not wait for its end; one that is not there
// is no error.
func (k *Kubectl) Delete(ctx context.Context, namespace, kind, name string) error {
	_, err := k.run(ctx, nil, "delete", "-n", namespace, "--wait=false", "--ignore-not-found", "-o", "name", "--", kind+"/"+name)
	if err != nil {
		return fmt.Errorf("delete %s %s: %w", kind, name, err)
	}
	return nil
}

// refused reports whether kubectl ended only because the API server gave the named
// reason. kubectl prints "Error from server (REASON): …", a line for each object
// that was refused; any other line there means something else went wrong too.
func refused(err error, reason string) bool {
	exit, ok := errors.AsType[*ExitError](err)
	if !ok || exit.Stderr == "" {
		return false
	}
	for line := range strings.SplitSeq(exit.Stderr, "\n") {
		if !strings.HasPrefix(line, "Error from server ("+reason+"):") && !strings.HasPrefix(line, "Warning:") {
			return false
		}
	}
	return true
}

// Stream runs kubectl and hands on its output as it comes, until it ends or ctx
// does.
func (k *Kubectl) Stream(ctx context.Context, stdout io.Writer, args ...string) error {
	const script = `exec 3<&0 </dev/null; { cat <&3 >/dev/null; kill 0; } & kubectl "$@"`
	return k.container.Stream(ctx, script, append([]string{"--kubeconfig", kubeconfig}, args...), stdout)
}
