package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifySignals makes the signals that concern the job come through the
// returned channel.
func notifySignals() chan os.Signal {
	c := make(chan os.Signal, 16)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	return c
}

// pass would pass signals on that decide nothing; Windows has none.
func (g *group) pass(sig os.Signal) bool { return false }
