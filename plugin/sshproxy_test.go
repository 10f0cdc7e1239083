package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestSSHConfig has the real ssh read the block, and a shell the ProxyCommand.
func TestSSHConfig(t *testing.T) {
	for _, tt := range []struct{ self, gateway, endpoint, want string }{
		{"/usr/bin/docker-openshell", "prod", "https://127.0.0.1:8080", "/usr/bin/docker-openshell|ssh-proxy|--gateway-name|prod|--name|demo|"},
		{"/usr/bin/docker-openshell", "", "https://box:1", "/usr/bin/docker-openshell|ssh-proxy|--gateway-endpoint|https://box:1|--name|demo|"},
		{"/home/it's me/100% $(id)/plugin", "prod", "", "/home/it's me/100% $(id)/plugin|ssh-proxy|--gateway-name|prod|--name|demo|"},
	} {
		cmd := exec.Command("ssh", "-G", "-F", "/dev/stdin", "openshell-demo")
		cmd.Stdin = strings.NewReader(sshConfig(tt.self, tt.gateway, tt.endpoint, "demo"))
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		settings := map[string]string{}
		for line := range strings.Lines(string(out)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			settings[key] = value
		}
		if settings["user"] != "sandbox" || settings["hostname"] != "demo" || settings["serveraliveinterval"] != "15" {
			t.Errorf("user %q, host %q", settings["user"], settings["hostname"])
		}
		// ssh replaces "%%" when it runs the command.
		line := strings.ReplaceAll(settings["proxycommand"], "%%", "%")
		words, err := exec.Command("sh", "-c", "printf '%s|' "+line).Output()
		if err != nil || string(words) != tt.want {
			t.Errorf("the shell reads %q as %q, %v; want %q", line, words, err, tt.want)
		}
	}
}
