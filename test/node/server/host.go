package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"github.com/docker-openshell/docker-openshell/test/node/layout"
)

// cgroupRoot is where the container sees its control groups.
const cgroupRoot = "/sys/fs/cgroup"

// shareMounts lets volumes that kubelet mounts reach the pods.
func shareMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share the mounts of /, which needs a privileged container: %w", err)
	}
	return nil
}

// selectNodeIP is the address of the interface with the default route.
func selectNodeIP(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	ip, err := utilnet.ChooseHostInterface()
	if err != nil {
		return "", fmt.Errorf("unable to select an IP from default routes: %w", err)
	}
	return ip.String(), nil
}

// selectResolvConf is the file that pods without cluster DNS get. Docker's own
// name server answers on a loopback address, which in a pod is the pod.
func selectResolvConf(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	const system = "/etc/resolv.conf"
	content, err := os.ReadFile(system)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if hasUsableNameserver(string(content)) {
		return system, nil
	}
	fallback := filepath.Join(layout.AgentConfig, "resolv.conf")
	if err := os.MkdirAll(filepath.Dir(fallback), 0o755); err != nil {
		return "", err
	}
	// What k3s writes in this case.
	return fallback, os.WriteFile(fallback, []byte("nameserver 8.8.8.8\n"), 0o644)
}

func hasUsableNameserver(content string) bool {
	for line := range strings.Lines(content) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if ip := net.ParseIP(fields[1]); ip != nil && ip.IsGlobalUnicast() {
			return true
		}
	}
	return false
}

// prepareCgroups returns the group, as a path below cgroupRoot, under which
// kubelet makes those of the pods: the container's own. With --cgroupns=host
// the root may be the whole machine's, where another node would take our pods
// for orphans of its own, and kill them.
func prepareCgroups() (string, error) {
	own, err := ownCgroup("/proc/self/cgroup", "/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	if !unified() {
		return own, nil
	}
	// In the unified hierarchy a group with processes can't give controllers
	// to its children, so ours move aside.
	group := filepath.Join(cgroupRoot, own)
	if err := moveProcesses(group, filepath.Join(group, "init")); err != nil {
		return "", fmt.Errorf("move the node's processes into a group of their own: %w", err)
	}
	controllers, err := os.ReadFile(filepath.Join(group, "cgroup.controllers"))
	if err != nil {
		return "", err
	}
	for _, controller := range strings.Fields(string(controllers)) {
		path := filepath.Join(group, "cgroup.subtree_control")
		if err := os.WriteFile(path, []byte("+"+controller), 0o644); err != nil {
			return "", fmt.Errorf("pass on the controller %s: %w", controller, err)
		}
	}
	return own, nil
}

// unified reports whether control groups are of version 2.
func unified() bool {
	_, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers"))
	return err == nil
}

// ownCgroup is the process' group as seen below cgroupRoot: "/" where the
// mount shows the container's own group as its root.
func ownCgroup(membership, mounts string) (string, error) {
	groups, err := os.ReadFile(membership)
	if err != nil {
		return "", err
	}
	mountinfo, err := os.ReadFile(mounts)
	if err != nil {
		return "", err
	}
	roots := cgroupMounts(string(mountinfo))
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			// The unified hierarchy has no name; of the others, the one
			// of processes stands for all.
			if controller != "" && controller != "pids" {
				continue
			}
			root, mounted := roots[controller]
			if !mounted {
				continue
			}
			relative, err := filepath.Rel(root, parts[2])
			if err != nil || strings.HasPrefix(relative, "..") {
				return "/", nil
			}
			return filepath.Join("/", relative), nil
		}
	}
	return "/", nil
}

// cgroupMounts maps a controller ("" for the unified hierarchy) to the group
// that is the root of its mount.
func cgroupMounts(mountinfo string) map[string]string {
	roots := map[string]string{}
	for line := range strings.Lines(mountinfo) {
		before, after, found := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !found || len(fields) < 5 || len(kind) < 1 || !strings.HasPrefix(fields[4], cgroupRoot) {
			continue
		}
		switch kind[0] {
		case "cgroup":
			for controller := range strings.SplitSeq(filepath.Base(fields[4]), ",") {
				roots[controller] = fields[3]
			}
		case "cgroup2":
			if fields[4] == cgroupRoot {
				roots[""] = fields[3]
			}
		}
	}
	return roots
}

func moveProcesses(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	pids, err := readPids(from)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		err := os.WriteFile(filepath.Join(to, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// readPids lists the processes of one group, without those of its children.
func readPids(group string) ([]int, error) {
	content, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	var pids []int
	for field := range strings.FieldsSeq(string(content)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("read the processes of %s: %w", group, err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}
