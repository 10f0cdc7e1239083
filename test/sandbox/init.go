package main

import (
	"errors"
	"log"
	"os"
	"os/signal"
	"syscall"
)

// runInit is process 1 of the pod: it runs this program again, passes signals on, and
// reaps orphans until that ends. The supervisor proper is another process because one
// place must wait for any child, which would take the exit states from the others.
func runInit() int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	child, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Env:   os.Environ(),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		log.Printf("openshell-sandbox: %v", err)
		return 1
	}
	go func() {
		for s := range signals {
			if err := child.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
				log.Printf("openshell-sandbox: pass %s on: %v", s, err)
			}
		}
	}()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			log.Printf("openshell-sandbox: wait for children: %v", err)
			return 1
		case pid == child.Pid && status.Signaled():
			return 128 + int(status.Signal())
		case pid == child.Pid:
			return status.ExitStatus()
		}
	}
}
