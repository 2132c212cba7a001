// Package launch answers "which job am I in?": from the environment that a
// launcher leaves, it finds a process's rank, the size of its job, where the
// ranks meet and the secret they share. It also holds that meeting place: the
// Hub, hosted by dlprun or by rank 0, and the Session that each rank keeps with it.
package launch

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// Job is what a process knows of its job before it has met the others.
type Job struct {
	Launcher    string // "none", "dlprun", or "env": DLP_RANK and the rest set by hand
	Rank, Size  int
	Rendezvous  string // where the ranks meet: "unix:/path" or "tcp:host:port"
	Hosted      bool   // the launcher hosts the hub; otherwise rank 0 does
	Secret      Secret
	Build       [16]byte // see Build; zero: fits every other
	InitTimeout time.Duration
	Transport   string // "auto", "unix" or "tcp"
	Interface   string // address or network interface to listen on; "": the one that leads to the hub
}

// Variables are those that make a process a rank of its job. A rank removes
// them from its environment: the programs that it starts are no ranks.
var Variables = []string{"DLP_RANK", "DLP_SIZE", "DLP_RENDEZVOUS", "DLP_SECRET", "DLP_SECRET_FD", "DLP_LAUNCHER"}

// Detect finds the job of this process; a process that nobody launched is a job
// of one rank. getenv is os.Getenv but in tests. It does not block.
//
// An error is one line that names the variable and what to do.
func Detect(getenv func(string) string) (Job, error) {
	job := Job{Launcher: "none", Size: 1}
	if err := settings(getenv, &job); err != nil {
		return Job{}, err
	}
	switch l := getenv("DLP_LAUNCHER"); l {
	case "none":
		return job, nil
	case "", "auto", "env", "dlprun":
		given, err := byHand(getenv, &job)
		if err != nil || given {
			return job, err
		}
		if l == "env" || l == "dlprun" {
			return Job{}, fmt.Errorf("DLP_LAUNCHER is %q but DLP_RANK, DLP_SIZE and DLP_RENDEZVOUS are not set: unset it, or start with dlprun", l)
		}
	default:
		return Job{}, fmt.Errorf("DLP_LAUNCHER is %q: use auto, none, env or dlprun", l)
	}
	if err := foreign(getenv); err != nil {
		return Job{}, err
	}
	return job, nil
}

// settings reads what is not about the launcher.
func settings(getenv func(string) string, job *Job) (err error) {
	job.InitTimeout = DefaultInitTimeout
	if s := getenv("DLP_INIT_TIMEOUT"); s != "" {
		if job.InitTimeout, err = duration(s); err != nil {
			return fmt.Errorf("DLP_INIT_TIMEOUT is %q: use seconds (300) or a duration (5m)", s)
		}
	}
	job.Transport, err = oneOf(getenv, "DLP_TRANSPORT", "auto", "unix", "tcp")
	if err != nil {
		return err
	}
	if _, err = oneOf(getenv, "DLP_BACKEND", "auto", "embedded"); err != nil {
		return err
	}
	job.Interface = getenv("DLP_INTERFACE")
	if b, err := oneOf(getenv, "DLP_BUILD", "same", "any"); err != nil {
		return err
	} else if b == "same" {
		job.Build = Build()
	}
	return nil
}

// byHand reads DLP_RANK and its fellows, which dlprun sets too.
func byHand(getenv func(string) string, job *Job) (bool, error) {
	rank, size := getenv("DLP_RANK"), getenv("DLP_SIZE")
	job.Rendezvous = getenv("DLP_RENDEZVOUS")
	if rank == "" && size == "" && job.Rendezvous == "" {
		return false, nil
	}
	if rank == "" || size == "" {
		return false, errors.New("DLP_RANK, DLP_SIZE and DLP_RENDEZVOUS go together: set all of them, or none")
	}
	var err error
	if job.Size, err = strconv.Atoi(size); err != nil || job.Size < 1 {
		return false, fmt.Errorf("DLP_SIZE is %q: use the number of ranks, 1 or more", size)
	}
	if job.Rank, err = strconv.Atoi(rank); err != nil || job.Rank < 0 || job.Rank >= job.Size {
		return false, fmt.Errorf("DLP_RANK is %q: use a number from 0 to %d", rank, job.Size-1)
	}
	job.Launcher = "env"
	if getenv("DLP_LAUNCHER") == "dlprun" {
		job.Launcher, job.Hosted = "dlprun", true
	}
	if job.Size == 1 && !job.Hosted {
		return true, nil
	}
	if job.Rendezvous == "" {
		return false, errors.New("DLP_RANK, DLP_SIZE and DLP_RENDEZVOUS go together: DLP_RENDEZVOUS is missing")
	}
	if !strings.HasPrefix(job.Rendezvous, "unix:") && !strings.HasPrefix(job.Rendezvous, "tcp:") {
		job.Rendezvous = "tcp:" + job.Rendezvous // host:port, as people write it
	}
	job.Secret, err = secret(getenv)
	return true, err
}

func secret(getenv func(string) string) (s Secret, err error) {
	text := getenv("DLP_SECRET")
	if fd := getenv("DLP_SECRET_FD"); fd != "" {
		n, err := strconv.Atoi(fd)
		if err != nil || n < 3 {
			return s, fmt.Errorf("DLP_SECRET_FD is %q: use the number of an open descriptor, 3 or more", fd)
		}
		f := os.NewFile(uintptr(n), "secret")
		b, err := io.ReadAll(io.LimitReader(f, 2*int64(len(s))+2))
		f.Close()
		if err != nil {
			return s, fmt.Errorf("DLP_SECRET_FD: the secret can't be read from descriptor %d: %w", n, err)
		}
		text = string(b)
	}
	if text == "" {
		return s, errors.New("DLP_SECRET is not set: give all ranks the same 64 hexadecimal digits (openssl rand -hex 32)")
	}
	b, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(b) != len(s) {
		return s, errors.New("DLP_SECRET is not 64 hexadecimal digits (openssl rand -hex 32)")
	}
	return Secret(b), nil
}

// foreign refuses to be one of N jobs of one rank each under a launcher that
// is not understood.
func foreign(getenv func(string) string) error {
	for _, l := range []struct{ name, size string }{
		{"mpiexec", "PMI_SIZE"}, {"mpiexec of Open MPI", "OMPI_COMM_WORLD_SIZE"}, {"srun", "SLURM_STEP_NUM_TASKS"},
	} {
		if n, err := strconv.Atoi(getenv(l.size)); err == nil && n > 1 {
			return fmt.Errorf("this process was started by %s with %d tasks (%s), which this version cannot join: start it with dlprun -np %d, or set DLP_LAUNCHER=none for %d separate jobs of one rank", l.name, n, l.size, n, n)
		}
	}
	return nil
}

func oneOf(getenv func(string) string, name string, values ...string) (string, error) {
	v := getenv(name)
	if v == "" {
		return values[0], nil
	}
	for _, ok := range values {
		if v == ok {
			return v, nil
		}
	}
	return "", fmt.Errorf("%s is %q: use %s", name, v, strings.Join(values, ", "))
}

// duration reads "300" as seconds, and Go's own form; it must be positive.
func duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		d, err = time.ParseDuration(s + "s")
	}
	if err == nil && d <= 0 {
		err = errors.New("not positive")
	}
	return d, err
}
