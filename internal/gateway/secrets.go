package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/docker-openshell/docker-openshell/internal/clientdir"
	"github.com/docker-openshell/docker-openshell/internal/k3sexec"
	"github.com/docker-openshell/docker-openshell/internal/manifest"
)

// Secrets in the namespace of the OpenShell server.
const (
	secretHandshake = "openshell-ssh-handshake"
	secretServerTLS = "openshell-server-tls"
	secretClientCA  = "openshell-server-client-ca"
	secretClientTLS = "openshell-client-tls"
	secretCA        = "openshell-ca"
)

// handshakeBytes is the size of the SSH handshake secret; it is stored as twice as
// many hexadecimal characters.
const handshakeBytes = 32

// keyMaterial is what the Secrets hold for this machine: never printed.
type keyMaterial struct {
	client clientdir.Bundle
	// serverFingerprint is the SHA-256 of the certificate that the server must show.
	serverFingerprint string
}

// judgement is what one row of the table finds in the Secrets: what to create, what
// to replace, and what depends on it.
type judgement struct {
	create, replace []manifest.Object
	// restart says that a server that runs holds something older.
	restart bool
	// sandboxes says that existing sandboxes may hold something older.
	sandboxes bool
	notices   []string
	warnings  []string
}

// survivor is one row of the table of what must survive everything: the Secrets in
// which it is kept, how it is made, and how it is judged. A later generation of
// gateways adds rows.
type survivor struct {
	secrets []string
	judge   func(in judgeInput) (judgement, error)
}

// judgeInput is what a row may look at.
type judgeInput struct {
	found map[string]manifest.SecretData
	hosts []string
	now   time.Time
}

// survivors is the table. Plaintext gateways have no certificates.
func survivors(r Record) []survivor {
	rows := []survivor{{[]string{secretHandshake}, judgeHandshake}}
	if !r.Plaintext {
		rows = append(rows, survivor{[]string{secretCA, secretServerTLS, secretClientCA, secretClientTLS}, judgeCertificates})
	}
	return rows
}

// judgeHandshake: absent, one is made; present and unusable, it is replaced;
// anything else is kept.
func judgeHandshake(in judgeInput) (judgement, error) {
	old, there := in.found[secretHandshake]
	if there && handshakeProblem(old.Data["secret"]) == "" {
		return judgement{}, nil
	}
	raw := make([]byte, handshakeBytes)
	if _, err := rand.Read(raw); err != nil {
		return judgement{}, err
	}
	value := hex.AppendEncode(nil, raw)
	secret := manifest.Secret(namespace, secretHandshake, "Opaque", map[string][]byte{"secret": value})
	j := judgement{restart: true, sandboxes: true}
	if !there {
		j.create = append(j.create, secret)
		return j, nil
	}
	secret.Metadata.ResourceVersion = old.ResourceVersion
	j.replace = append(j.replace, secret)
	j.warnings = append(j.warnings, fmt.Sprintf("the SSH handshake secret was unusable (%s) and was replaced", handshakeProblem(old.Data["secret"])))
	return j, nil
}

// handshakeProblem says why a value cannot be the SSH handshake secret, or "". It
// does not repeat the value.
func handshakeProblem(value []byte) string {
	switch text := string(value); {
	case text == "":
		return "it is empty"
	case strings.Trim(text, "0123456789abcdefABCDEF") != "":
		return "it is not hexadecimal"
	case len(text) < 2*handshakeBytes:
		return fmt.Sprintf("it has %d characters, fewer than %d", len(text), 2*handshakeBytes)
	default:
		return ""
	}
}

// reconcile puts the Secrets in place, once they were read and the API server is
// ready: only then does "not there" mean that.
func (w *waiter) reconcile(ctx context.Context) error {
	if w.secrets == nil || w.reconciled {
		return nil
	}
	in := judgeInput{found: w.secrets, hosts: w.r.plan.Target.certificateHosts(w.r.m.daemonHost()), now: w.r.m.cfg.Now()}
	var all judgement
	for _, row := range survivors(w.r.plan.Target) {
		j, err := row.judge(in)
		if err != nil {
			return fmt.Errorf("judge %s: %w", strings.Join(row.secrets, ", "), err)
		}
		all.create = append(all.create, j.create...)
		all.replace = append(all.replace, j.replace...)
		all.notices = append(all.notices, j.notices...)
		all.warnings = append(all.warnings, j.warnings...)
		all.restart = all.restart || j.restart
		all.sandboxes = all.sandboxes || j.sandboxes
	}
	changes := len(all.create)+len(all.replace) > 0
	if changes {
		if !w.apiReady {
			return nil
		}
		if err := w.apply(ctx, all); err != nil {
			w.problem, w.retry = err.Error(), true
			return nil
		}
		if w.r.plan.Outcome != Created && w.r.plan.Outcome != Recreated {
			w.mustRestart = w.mustRestart || all.restart && len(all.replace) > 0
			w.mayRestart = w.mayRestart || all.restart
			w.askSandboxes = w.askSandboxes || all.sandboxes
		}
	}
	for _, n := range all.notices {
		w.r.notice(n)
	}
	for _, n := range all.warnings {
		w.r.warn(n)
	}
	if changes {
		// What is in the cluster now is what counts, whoever put it there.
		return w.readSecrets(ctx)
	}
	if w.askSandboxes {
		w.askSandboxes = false
		w.r.warnSandboxes(ctx, w.kube, w.secrets[secretHandshake].Data["secret"])
	}
	material, err := materialOf(w.secrets, w.r.plan.Target)
	if err != nil {
		return err
	}
	w.r.material, w.reconciled = material, true
	return nil
}

// apply creates and replaces Secrets. Where somebody else has replaced one since it was
// read, that is an error.
func (w *waiter) apply(ctx context.Context, j judgement) error {
	if len(j.create) > 0 {
		docs := append([]manifest.Object{manifest.Namespace(namespace)}, j.create...)
		if err := w.create(ctx, docs); err != nil {
			return err
		}
	}
	if len(j.replace) == 0 {
		return nil
	}
	doc, err := manifest.List(j.replace...)
	if err != nil {
		return err
	}
	return w.kube.Replace(ctx, doc)
}

// create creates what is not there. Objects that somebody else has created in the
// meantime are left as they are.
func (w *waiter) create(ctx context.Context, docs []manifest.Object) error {
	doc, err := manifest.List(docs...)
	if err != nil {
		return err
	}
	if err := w.kube.Create(ctx, doc); err != nil && !errors.Is(err, k3sexec.ErrExists) {
		return err
	}
	return nil
}

// refreshServer makes a server that runs with older Secrets read them again. Whether
// it does is seen from the times in the cluster, so that a restart that an interrupted
// command still owed is made up for. The StatefulSet brings up a new pod in the place
// of the one that is deleted.
func (w *waiter) refreshServer(ctx context.Context) {
	if !w.reconciled || w.pod == nil || w.pod.UID() == w.oldPod {
		return
	}
	started := w.pod.StartedAt()
	reason, _ := w.pod.Waiting()
	switch {
	case w.mustRestart && (!started.IsZero() || reason == "CreateContainerConfigError"):
		// What was replaced may have been mounted before, also where the server starts later.
	case w.mayRestart && !started.IsZero() && !started.After(w.changed()):
		// What was not there cannot have been mounted. The times are of whole seconds.
	case !started.IsZero() && started.Before(w.changed()):
	case w.outdated() && strings.Contains(reason, "Image") || w.outdated() && reason == "CrashLoopBackOff":
		// A StatefulSet does not replace a pod that never became ready.
	default:
		w.mustRestart = w.mustRestart && started.IsZero()
		return
	}
	if err := w.kube.Delete(ctx, namespace, "pod", serverPod); err != nil {
		w.problem, w.retry = err.Error(), true
		return
	}
	w.oldPod, w.mustRestart, w.mayRestart = w.pod.UID(), false, false
	w.r.notice("restarting the OpenShell server, so that it uses what was changed")
}

// outdated says that the pod was made for another image than the one that is wanted.
func (w *waiter) outdated() bool {
	want := w.r.expectImage()
	return want != "" && w.pod.Image() != want
}

// changed is when the Secrets that the server reads were last written.
func (w *waiter) changed() time.Time {
	var last time.Time
	for _, name := range []string{secretHandshake, secretServerTLS, secretClientCA} {
		if t := w.secrets[name].ChangedAt; t.After(last) {
			last = t
		}
	}
	return last
}
