package server

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/docker-openshell/docker-openshell/test/node/process"
)

const (
	// componentGrace is how long a component may take to exit. They hold
	// nothing that a kill would harm.
	componentGrace = 2 * time.Second
	// podGrace is how long pods may take, all together.
	podGrace = 5 * time.Second
	stopPoll = 10 * time.Millisecond
)

// stop ends the node: first who would start pods again, then the pods, then
// what serves both, and the database last.
func (s *server) stop() {
	s.children.mu.Lock()
	s.children.closed = true
	children := s.children.byName
	s.children.mu.Unlock()

	end(syscall.SIGTERM, children["kubelet"], children["kube-controller-manager"], children["kube-scheduler"], children["kube-proxy"])
	if err := stopPods(podGroups(s.cgroup)); err != nil {
		logrus.Errorf("Failed to stop the pods: %v", err)
	}
	// The API server would wait for its watchers before it goes.
	end(syscall.SIGKILL, children["kube-apiserver"])
	end(syscall.SIGTERM, children["containerd"])
	if s.store != nil {
		s.store.Stop()
	}
	logrus.Info("k3s has stopped")
}

// end signals components at once and waits until all have exited; one that
// takes too long is killed.
func end(signal syscall.Signal, children ...*process.Process) {
	for _, child := range children {
		if child == nil {
			continue
		}
		if err := child.Signal(signal); err != nil {
			logrus.Errorf("Failed to stop a component: %v", err)
		}
	}
	timeout := time.After(componentGrace)
	for _, child := range children {
		if child == nil {
			continue
		}
		select {
		case <-child.Done():
			logrus.Debugf("%s has exited", child.Name())
			continue
		case <-timeout:
		}
		logrus.Warnf("%s has not stopped within %s and is killed", child.Name(), componentGrace)
		if err := child.Signal(syscall.SIGKILL); err != nil {
			logrus.Errorf("Failed to kill a component: %v", err)
		}
		<-child.Done()
		timeout = time.After(0)
	}
}

// podGroups is the directory that has all pods' groups below it. In the older
// hierarchies every process is in each of them; pids stands for all.
func podGroups(cgroup string) string {
	if unified() {
		return filepath.Join(cgroupRoot, cgroup, "kubepods")
	}
	return filepath.Join(cgroupRoot, "pids", cgroup, "kubepods")
}

// stopPods asks every process of every pod to end, and kills those that don't.
func stopPods(groups string) error {
	deadline := time.Now().Add(podGrace)
	signal := syscall.SIGTERM
	for asked := map[int]bool{}; ; time.Sleep(stopPoll) {
		pids, err := podProcesses(groups)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			logrus.Debug("All pods have exited")
			return nil
		}
		if time.Now().After(deadline) && signal == syscall.SIGTERM {
			logrus.Warnf("%d processes of pods have not stopped within %s and are killed", len(pids), podGrace)
			signal, asked = syscall.SIGKILL, map[int]bool{}
			deadline = deadline.Add(componentGrace)
		}
		if time.Now().After(deadline) {
			return errors.New("processes of pods survive a kill")
		}
		for _, pid := range pids {
			if asked[pid] {
				continue
			}
			asked[pid] = true
			if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
	}
}

// podProcesses lists the processes in all groups below a directory.
func podProcesses(groups string) ([]int, error) {
	var pids []int
	err := filepath.WalkDir(groups, func(path string, entry fs.DirEntry, err error) error {
		// Groups vanish while they are walked.
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !entry.IsDir() {
			return err
		}
		found, err := readPids(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
			return nil
		}
		pids = append(pids, found...)
		return err
	})
	return pids, err
}
