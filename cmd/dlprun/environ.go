package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// jobEnv names the job's folder to its processes: it tells them from all others.
const jobEnv = "DLP_JOB"

// environ is what the environments of all ranks have in common.
type environ struct {
	np         int
	processors int // that this process may use
	bound      bool
	folder     string
	hub        string        // its addresses
	patience   time.Duration // how long the ranks wait for each other in Init
	heartbeat  time.Duration
	progress   string // "": as it is
	deadline   time.Time
}

// of returns rank's environment. How the rank gets the secret is not in it.
func (e environ) of(rank int) []string {
	var env []string
	for _, v := range os.Environ() {
		switch name, _, _ := strings.Cut(v, "="); name {
		case "DLP_SECRET", "DLP_SECRET_FD": // of another job, which started this dlprun
		default:
			env = append(env, v)
		}
	}
	env = append(env, fmt.Sprintf("DLP_RANK=%d", rank), fmt.Sprintf("DLP_SIZE=%d", e.np))
	env = append(env, e.shared()...)
	share := strconv.Itoa(max(1, e.processors/e.np))
	if e.bound {
		share = "1"
	}
	for _, name := range []string{"GOMAXPROCS", "OMP_NUM_THREADS"} {
		if os.Getenv(name) == "" {
			env = append(env, name+"="+share)
		}
	}
	return env
}

// shared returns what is the same for all ranks.
func (e environ) shared() []string {
	vars := []string{
		"DLP_LAUNCHER=dlprun",
		"DLP_RENDEZVOUS=" + e.hub,
		"DLP_INIT_TIMEOUT=" + e.patience.String(),
		"DLP_HEARTBEAT=" + e.heartbeat.String(),
		"DLP_PROGRESS=" + e.progress,
		jobEnv + "=" + e.folder,
	}
	if !e.deadline.IsZero() {
		vars = append(vars, fmt.Sprintf("DLP_DEADLINE=%d", e.deadline.Unix()))
	}
	return vars
}

// available returns how many processors this process may use. A GOMAXPROCS in
// the environment is for the ranks, and does not count.
func available() int {
	runtime.SetDefaultGOMAXPROCS()
	return runtime.GOMAXPROCS(0)
}
