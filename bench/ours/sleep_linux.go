package main

import (
	"syscall"
	"time"
)

// sleep does, to some tens of microseconds; time.Sleep rounds up to a millisecond.
func sleep(d time.Duration) {
	left := syscall.NsecToTimespec(d.Nanoseconds())
	for syscall.Nanosleep(&left, &left) == syscall.EINTR { // the runtime sends signals
	}
}
