package k3sexec

import (
	"context"
	"io"
	"time"
)

// importTimeout bounds the import of an archive of images.
const importTimeout = 2 * time.Hour

// ctr is the client of the containerd of k3s; images are in this namespace of its
// for Kubernetes to find them.
var ctr = []string{"ctr", "-a", "/run/k3s/containerd/containerd.sock", "-n", "k8s.io", "images"}

// Containerd is the image store of a node that runs in a container.
type Containerd struct{ container *Container }

// NewContainerd returns the image store of the node in c.
func NewContainerd(c *Container) *Containerd { return &Containerd{container: c} }

// Import reads an archive, as "docker save" writes it, and keeps its images.
func (c *Containerd) Import(ctx context.Context, archive io.Reader) error {
	_, err := c.container.Run(ctx, Command{Argv: append(ctr[:len(ctr):len(ctr)], "import", "-"), Stdin: archive, Timeout: importTimeout})
	return err
}

// Pin keeps images when the kubelet frees space. Names are full ones.
func (c *Containerd) Pin(ctx context.Context, names []string) error {
	for _, name := range names {
		argv := append(ctr[:len(ctr):len(ctr)], "label", name, "io.cri-containerd.pinned=pinned")
		if _, err := c.container.Run(ctx, Command{Argv: argv}); err != nil {
			return err
		}
	}
	return nil
}
