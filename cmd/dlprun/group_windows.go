package main

import (
	"os/exec"
	"sync"
	"syscall"
)

// isGuard reports whether this process is a guard; Windows has none. Ranks whose
// dlprun was killed end when their session with its hub does.
func isGuard() bool { return false }

func guard() {}

// group is the processes of the job that dlprun started itself. Windows has no
// process groups to kill their children by.
type group struct {
	dead chan struct{} // never closed: there is no guard that could die

	mu    sync.Mutex
	procs []*exec.Cmd
}

func newGroup() (*group, error) { return &group{dead: make(chan struct{})}, nil }

// keep would tell the guard of the job's folder.
func (g *group) keep(folder string) error { return nil }

// start starts cmd as a process of the job; cpu is always negative here.
func (g *group) start(cmd *exec.Cmd, cpu int) error {
	err := startPinned(cmd, cpu)
	if err == nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.procs = append(g.procs, cmd)
	}
	return err
}

// ask does nothing: Windows knows no requests.
func (g *group) ask(syscall.Signal) {}

// signal ends the processes: Windows knows no gentler way.
func (g *group) signal(sig syscall.Signal) { g.kill() }

func (g *group) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.procs {
		p.Process.Kill()
	}
}

func (g *group) end() { g.kill() }
