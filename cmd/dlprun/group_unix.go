//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// The guard is dlprun once more, as the leader of the process group that all
// ranks are in. It holds the read end of a pipe whose write end only dlprun
// has: when dlprun ends, however it ends, the guard reads EOF, and kills the
// group. Since the group is named by the guard's own process, which dlprun does
// not reap before the end, no signal ever goes to a stranger.

// guardEnv, set to guardMark, makes dlprun a guard. No flag does, so that nobody
// starts one by mistyping.
const (
	guardEnv  = "DLPRUN_GUARD"
	guardMark = "started by dlprun"
	guardLife = 3 // the descriptor of the pipe that ends with dlprun
	guardSign = 4 // the descriptor of the pipe that says the guard is ready, and ends with it
)

func isGuard() bool { return os.Getenv(guardEnv) == guardMark }

// guard is the main function of a guard.
func guard() {
	signal.Ignore()
	life, sign := os.NewFile(guardLife, "life"), os.NewFile(guardSign, "sign")
	if _, err := sign.Write([]byte{1}); err != nil || syscall.Getpgrp() != os.Getpid() {
		fmt.Fprintf(os.Stderr, "dlprun: %s is set, but dlprun did not start this process; unset it\n", guardEnv)
		os.Exit(statusUsage)
	}
	// The pipe carries the name of the job's folder, and then nothing until EOF.
	if folder, _ := io.ReadAll(life); len(folder) > 0 {
		sweep(string(folder))
		os.RemoveAll(string(folder))
	}
	syscall.Kill(0, syscall.SIGKILL)
}

// group is the processes of the job.
type group struct {
	guard  *exec.Cmd
	life   *os.File
	dead   chan struct{} // closed when the guard is no more
	folder string
	ended  sync.Once

	mu       sync.Mutex
	procs    []*os.Process
	debugger *os.Process // the one of them that is not in the guard's process group
}

// newGroup starts the guard.
func newGroup() (*group, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	lifeR, lifeW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer lifeR.Close()
	signR, signW, err := os.Pipe()
	if err != nil {
		lifeW.Close()
		return nil, err
	}
	g := &group{guard: exec.Command(self), life: lifeW, dead: make(chan struct{})}
	// It outlives dlprun, so it must hold on to nothing that others wait for: no
	// output, no folder, and no environment that carries a job's mark.
	g.guard.Env = []string{guardEnv + "=" + guardMark}
	g.guard.Dir = "/"
	g.guard.ExtraFiles = []*os.File{lifeR, signW}
	g.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = g.guard.Start()
	signW.Close()
	if err != nil {
		lifeW.Close()
		signR.Close()
		return nil, err
	}
	_, err = signR.Read(make([]byte, 1))
	go func() {
		defer close(g.dead)
		defer signR.Close()
		signR.Read(make([]byte, 1)) // until EOF
	}()
	if err != nil {
		g.end()
		return nil, fmt.Errorf("its guard process did not start (%v)", g.guard.ProcessState)
	}
	return g, nil
}

// keep tells the guard of the job's folder.
func (g *group) keep(folder string) error {
	g.folder = folder
	_, err := g.life.WriteString(folder)
	return err
}

// start starts cmd as a process of the job, on processor cpu alone unless cpu is
// negative.
func (g *group) start(cmd *exec.Cmd, cpu int) error {
	debugger := cmd.SysProcAttr != nil
	if !debugger {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: g.guard.Process.Pid}
	}
	if err := startPinned(cmd, cpu); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.procs = append(g.procs, cmd.Process)
	if debugger {
		g.debugger = cmd.Process
	}
	return nil
}

// signal sends sig to all processes of the job. The guard ignores it.
func (g *group) signal(sig syscall.Signal) {
	syscall.Kill(-g.guard.Process.Pid, sig)
	if g.debugger != nil {
		g.debugger.Signal(sig)
	}
	switch sig {
	case syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT:
		g.signal(syscall.SIGCONT) // a stopped process acts upon them only then
	}
}

// ask sends sig to the ranks alone: a task's programs go on.
func (g *group) ask(sig syscall.Signal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.procs {
		p.Signal(sig) // one that has ended needs none
	}
}

// kill kills all ranks, and on Linux what they started. The guard lives on, so
// that the rest is seen to whatever happens to dlprun.
func (g *group) kill() {
	g.mu.Lock()
	for _, p := range g.procs {
		p.Kill()
	}
	g.mu.Unlock()
	sweep(g.folder)
}

// end ends the guard, which kills what is left of the job and removes its folder.
func (g *group) end() {
	g.ended.Do(func() {
		g.life.Close()
		select {
		case <-g.dead:
		case <-time.After(reapTime): // it was stopped, perhaps
		}
		syscall.Kill(-g.guard.Process.Pid, syscall.SIGKILL)
		sweep(g.folder)
		g.guard.Wait() // not before: its number names the group
	})
}
