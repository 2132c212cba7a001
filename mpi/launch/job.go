// Package launch answers "which job am I in?": from the environment that a
// launcher leaves, it finds a process's rank, the size of its job, where the
// ranks meet and the secret they share. It also holds that meeting place: the
// Hub, hosted by dlprun or by rank 0, and the Session that each rank keeps with it.
package launch

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/dlprun/dlp/mpi/internal/library"
)

// Job is what a process knows of its job before it has met the others.
type Job struct {
	Launcher    string   // "none", "dlprun", "env", "pmi", "openmpi" or "slurm"
	Why         string   // what in the environment said so
	Rank, Size  int      // Size is 0 where only Backend "mpi" will tell
	Backend     string   // how the ranks will speak: "single", there is only one; "embedded", sockets; "mpi", real MPI
	Library     string   // which MPI this program is linked against, "Open MPI" or "MPICH"; "" for none
	OneHost     bool     // all ranks are known to run on one host
	Hosted      bool     // the launcher hosts the hub; otherwise rank 0 does
	Meeting     Meeting  // how the ranks find the hub; nil for a job of one rank
	Build       [16]byte // see Build; zero: fits every other
	InitTimeout time.Duration
	Heartbeat   time.Duration // between two signs of life; see HubConfig
	GoesOn      bool          // without ranks that are lost, as far as it is this process that hosts the hub
	TLS         bool          // TCP connections are inside of TLS
	Transport   string        // "auto", "shm", "unix" or "tcp"
	Interface   string        // address or network interface to listen on; "": see ListenIP
	Deadline    time.Time     // when its time is over; zero: nobody has said so
	Warning     string        // what the user should hear; "" if all is well
}

// Variables are those that make a process a rank of its job. A rank removes
// them from its environment: the programs that it starts are no ranks.
var Variables = []string{"DLP_RANK", "DLP_SIZE", "DLP_RENDEZVOUS", "DLP_SECRET", "DLP_SECRET_FD", "DLP_LAUNCHER"}

// Detect finds the job of this process; a process that nobody launched is a job
// of one rank. getenv is os.Getenv but in tests.
//
// The places that are looked at, in this order: DLP_RANK and DLP_SIZE, set by
// dlprun or by hand; PMI, of MPICH, Intel MPI, Flux and srun --mpi=pmi2; Open MPI;
// a Slurm step. DLP_LAUNCHER names one of them, or none, and leaves out the others.
//
// A program that is linked against an MPI, and was started by a launcher of that
// MPI's kind, is to join through it: Backend is "mpi", and there is no Meeting.
// DLP_BACKEND overrides that.
//
// An error is one line that names the variable and what to do. Detect blocks only
// where PMI_PORT names a server, until that has answered.
func Detect(getenv func(string) string) (Job, error) { return detect(getenv, library.Name) }

func detect(getenv func(string) string, linked string) (Job, error) {
	job := Job{Launcher: "none", Size: 1, Backend: "single", Library: linked}
	if err := settings(getenv, &job); err != nil {
		return Job{}, err
	}
	only, err := oneOf(getenv, "DLP_LAUNCHER", "auto", "none", "dlprun", "env", "pmi", "openmpi", "slurm")
	if err != nil {
		return Job{}, err
	}
	if p, err := realMPI(getenv, only, linked); err != nil {
		return Job{}, err
	} else if p != nil {
		if job.GoesOn {
			return Job{}, errors.New("DLP_ON_FAILURE is continue, but real MPI ends a job that loses a rank: unset it, or set DLP_BACKEND=embedded")
		}
		job.Launcher, job.Why, job.Rank, job.Size, job.Backend = p.launcher, p.why, p.rank, p.size, "mpi"
		return job, nil
	}
	if only == "none" {
		job.Why = "DLP_LAUNCHER"
		return job, nil
	}
	// dlprun may start its ranks through another launcher, which numbers them.
	job.Hosted = only == "dlprun"
	found, err := locate(getenv, only)
	if err != nil {
		return Job{}, err
	}
	if found == nil {
		if only != "auto" {
			return Job{}, fmt.Errorf("DLP_LAUNCHER is %q but nothing in the environment is from it: unset it", only)
		}
		if getenv("DLP_RENDEZVOUS") != "" {
			return Job{}, errors.New("DLP_RENDEZVOUS is set, but nothing says which rank this is: set DLP_RANK and DLP_SIZE too, or unset it")
		}
		job.Why, job.Warning = "no launcher", traces(getenv)
		return job, nil
	}
	job.Launcher, job.Why, job.Rank, job.Size, job.OneHost = found.launcher, found.why, found.rank, found.size, found.oneHost
	if job.Hosted {
		job.Launcher = "dlprun"
	}
	if job.Meeting, err = meeting(getenv, &job, found); job.Meeting != nil {
		job.Backend = "embedded"
	}
	return job, err
}

// settings reads what is not about the launcher.
func settings(getenv func(string) string, job *Job) (err error) {
	job.InitTimeout = DefaultInitTimeout
	if s := getenv("DLP_INIT_TIMEOUT"); s != "" {
		if job.InitTimeout, err = duration(s); err != nil {
			return fmt.Errorf("DLP_INIT_TIMEOUT is %q: use seconds (300) or a duration (5m)", s)
		}
	}
	job.Heartbeat = DefaultHeartbeat
	if s := getenv("DLP_HEARTBEAT"); s != "" {
		if job.Heartbeat, err = duration(s); err != nil {
			return fmt.Errorf("DLP_HEARTBEAT is %q: use seconds (5) or a duration (500ms)", s)
		}
	}
	job.Transport, err = oneOf(getenv, "DLP_TRANSPORT", "auto", "shm", "unix", "tcp")
	if err != nil {
		return err
	}
	onFailure, err := oneOf(getenv, "DLP_ON_FAILURE", "abort", "continue")
	if err != nil {
		return err
	}
	job.GoesOn = onFailure == "continue"
	inTLS, err := oneOf(getenv, "DLP_TLS", "0", "1")
	if err != nil {
		return err
	}
	job.TLS = inTLS == "1"
	if job.Deadline, err = deadline(getenv); err != nil {
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

// deadline finds when the job's time is over. Slurm says so from version 23 on.
func deadline(getenv func(string) string) (time.Time, error) {
	s := cmp.Or(getenv("DLP_DEADLINE"), getenv("SLURM_JOB_END_TIME"))
	if s == "" || s == "none" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err == nil && n > 0:
		return time.Unix(n, 0), nil
	case getenv("DLP_DEADLINE") == "": // Slurm's, which may mean something else one day
		return time.Time{}, nil
	}
	return time.Time{}, fmt.Errorf("DLP_DEADLINE is %q: use seconds since 1970 (date -d '+1 hour' +%%s), or none", s)
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
