package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// box is a sandbox with a file in its workspace, and the ssh configuration that its
// user got when it was made.
type box struct {
	g                *ground
	gateway, name    string
	config, identity string
}

// boxText is what the file in its workspace says.
const boxText = "the work of a day"

// box makes a sandbox as a user does.
func (g *ground) box(gateway, name string) *box {
	g.t.Helper()
	res := g.must("-g", gateway, "sandbox", "create", "--name", name, "--", "sh", "-c", "echo "+"'"+boxText+"' > work; cat work")
	if res.stdout != "Created sandbox: "+name+"\n"+boxText+"\n" {
		g.t.Fatalf("sandbox create: %q, %q", res.stdout, res.stderr)
	}
	b := &box{g: g, gateway: gateway, name: name, config: filepath.Join(g.t.TempDir(), "ssh_config")}
	config := g.must("-g", gateway, "sandbox", "ssh-config", name).stdout
	if err := os.WriteFile(b.config, []byte(config), 0o600); err != nil {
		g.t.Fatal(err)
	}
	b.identity = g.kubectl(gateway, "get", "sandbox", name, "-o", "jsonpath={.metadata.uid}")
	return b
}

// ssh runs a command with the real ssh, through the same ProxyCommand as ever.
func (b *box) ssh(stdin string, command string) result {
	b.g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := b.g.command(ctx, "ssh", "-F", b.config, "openshell-"+b.name, command)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if _, exited := err.(*exec.ExitError); !exited {
			b.g.t.Fatalf("ssh: %v", err)
		}
	}
	return result{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
}

// works fails the test unless the sandbox is the same, reachable, and has its file. The
// sandbox itself verifies the handshake, with the secret that it was made with.
func (b *box) works(t *testing.T) {
	t.Helper()
	var last result
	eventually(t, 90*time.Second, "ssh into sandbox "+b.name, func() bool {
		last = b.ssh("", "cat work")
		return last.code == 0
	})
	if last.stdout != boxText+"\n" {
		t.Errorf("the file in the workspace says %q", last.stdout)
	}
	if uid := b.g.kubectl(b.gateway, "get", "sandbox", b.name, "-o", "jsonpath={.metadata.uid}"); uid != b.identity {
		t.Errorf("it is another sandbox")
	}
}
