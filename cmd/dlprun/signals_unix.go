//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifySignals makes the signals that concern the job come through the
// returned channel. One that dlprun was told to ignore (nohup) stays ignored.
func notifySignals() chan os.Signal {
	c := make(chan os.Signal, 16)
	for _, s := range []syscall.Signal{
		syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGCONT,
	} {
		if !signal.Ignored(s) {
			signal.Notify(c, s)
		}
	}
	return c
}

// pass deals with the signals that the ranks get as dlprun got them, and that
// decide nothing. It reports whether sig is one.
func (g *group) pass(sig os.Signal) bool {
	switch sig {
	case syscall.SIGUSR1, syscall.SIGUSR2: // which end programs that do not know them
		g.ask(sig.(syscall.Signal))
		return true
	case syscall.SIGWINCH, syscall.SIGCONT:
		g.signal(sig.(syscall.Signal))
		return true
	case syscall.SIGTSTP: // Ctrl-Z comes to dlprun alone; SIGCONT wakes it up
		g.signal(syscall.SIGTSTP)
		syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		return true
	}
	return false
}
