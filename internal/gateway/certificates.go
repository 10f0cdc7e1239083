package gateway

import (
	"bytes"
	"fmt"

	"github.com/docker-openshell/docker-openshell/internal/clientdir"
	"github.com/docker-openshell/docker-openshell/internal/manifest"
	"github.com/docker-openshell/docker-openshell/internal/pki"
)

// secretTLS is the type that Kubernetes has for a certificate with its key.
const secretTLS = "kubernetes.io/tls"

// bundleOf reads the certificates out of the Secrets that hold them.
func bundleOf(found map[string]manifest.SecretData) pki.Bundle {
	pair := func(name string) pki.Pair {
		return pki.Pair{Cert: found[name].Data["tls.crt"], Key: found[name].Data["tls.key"]}
	}
	return pki.Bundle{
		CA:       pair(secretCA),
		ServerCA: found[secretClientCA].Data["ca.crt"],
		ClientCA: found[secretClientTLS].Data["ca.crt"],
		Server:   pair(secretServerTLS),
		Client:   pair(secretClientTLS),
	}
}

// secretsOf are the Secrets that hold a bundle. A CA without its key has no Secret
// of its own.
func secretsOf(b pki.Bundle) []manifest.Object {
	pair := func(p pki.Pair) map[string][]byte { return map[string][]byte{"tls.crt": p.Cert, "tls.key": p.Key} }
	client := pair(b.Client)
	client["ca.crt"] = b.ClientCA
	objects := []manifest.Object{
		manifest.Secret(namespace, secretServerTLS, secretTLS, pair(b.Server)),
		manifest.Secret(namespace, secretClientCA, "Opaque", map[string][]byte{"ca.crt": b.ServerCA}),
		manifest.Secret(namespace, secretClientTLS, "Opaque", client),
	}
	if len(b.CA.Key) > 0 {
		objects = append(objects, manifest.Secret(namespace, secretCA, "Opaque", pair(b.CA)))
	}
	return objects
}

// judgeCertificates compares what is stored with what a repair makes of it, and
// writes those Secrets that differ.
func judgeCertificates(in judgeInput) (judgement, error) {
	stored := bundleOf(in.found)
	repaired, changes, warnings, err := pki.Repair(stored, in.hosts, in.now)
	if err != nil {
		return judgement{}, err
	}
	j := judgement{warnings: warnings}
	if len(changes) == 0 {
		return j, nil
	}
	_, existed := in.found[secretServerTLS]
	for _, c := range changes {
		if existed {
			j.notices = append(j.notices, fmt.Sprintf("the %s is made anew: %s", c.Part, c.Reason))
		}
	}
	for _, object := range secretsOf(repaired) {
		old, there := in.found[object.Metadata.Name]
		switch {
		case !there:
			j.create = append(j.create, object)
		case sameData(old.Data, object.Data):
			continue
		default:
			object.Metadata.ResourceVersion = old.ResourceVersion
			j.replace = append(j.replace, object)
		}
		// Clients read theirs at each call; the server reads at its start.
		if object.Metadata.Name == secretServerTLS || object.Metadata.Name == secretClientCA {
			j.restart = true
		}
	}
	return j, nil
}

func sameData(a, b map[string][]byte) bool {
	for key, value := range b {
		if !bytes.Equal(a[key], value) {
			return false
		}
	}
	return true
}

// materialOf takes what this machine needs out of the Secrets.
func materialOf(found map[string]manifest.SecretData, r Record) (keyMaterial, error) {
	if r.Plaintext {
		return keyMaterial{}, nil
	}
	b := bundleOf(found)
	fingerprint, err := pki.Fingerprint(b.Server.Cert)
	if err != nil {
		return keyMaterial{}, fmt.Errorf("read %s: %w", secretServerTLS, err)
	}
	return keyMaterial{
		client:            clientdir.Bundle{CA: b.ClientCA, Cert: b.Client.Cert, Key: b.Client.Key},
		serverFingerprint: fingerprint,
	}, nil
}
