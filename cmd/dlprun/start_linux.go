package main

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// onStarter runs f on the one thread that starts all processes of the job: they
// are to die with their parent, and for Linux that is the thread that started
// them, not the process. Go ends a thread only if its goroutine ends while
// locked to it; this one never does.
var onStarter = sync.OnceValue(func() func(f func()) {
	work, done := make(chan func()), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
			done <- struct{}{}
		}
	}()
	return func(f func()) {
		work <- f
		<-done
	}
})

// startPinned starts cmd, to die with dlprun, on processor cpu alone unless cpu
// is negative. The new process inherits the processors of the starter's thread.
func startPinned(cmd *exec.Cmd, cpu int) (err error) {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	onStarter()(func() {
		if cpu >= 0 {
			var before, one unix.CPUSet
			one.Set(cpu)
			if err = unix.SchedGetaffinity(0, &before); err != nil {
				return
			}
			if err = unix.SchedSetaffinity(0, &one); err != nil {
				return
			}
			defer unix.SchedSetaffinity(0, &before)
		}
		err = cmd.Start()
	})
	return err
}

// processors returns the processors that this process may use.
func processors() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, err
	}
	var cpus []int
	for cpu, n := 0, set.Count(); len(cpus) < n; cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}
