package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A watch tells how much of the processors others have used since it was set: on a
// busy machine a peer that spins loses more than one that sleeps, and no ratio
// means much.
type watch struct {
	start       time.Time
	all, itself time.Duration // processor time of the machine, and of this process and what it started
}

func setWatch() watch { return watch{time.Now(), machineTime(), ownTime()} }

// others returns the share of the processors that others used.
func (w watch) others() float64 {
	foreign := machineTime() - w.all - (ownTime() - w.itself)
	return max(0, foreign.Seconds()/time.Since(w.start).Seconds()/float64(runtime.NumCPU()))
}

// machineTime returns what all processes have used; 0 if the machine doesn't tell.
func machineTime() time.Duration {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	words := strings.Fields(line) // cpu user nice system idle iowait irq softirq steal ...
	var ticks int64
	for i, word := range words {
		if i >= 1 && i <= 8 && i != 4 && i != 5 {
			n, err := strconv.ParseInt(word, 10, 64)
			if err != nil {
				return 0
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 everywhere
}

// ownTime returns what this process and all that it started and waited for used.
func ownTime() (total time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err == nil {
			total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return total
}
