package launch

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strconv"
)

// place is what a launcher's variables say about this process.
type place struct {
	launcher   string
	why        string // the variables, for people
	rank, size int
	oneHost    bool
	id         string // tells the job from all others that the launcher has started; "" if unknown
	pmi        *pmi   // the open connection, where the launcher has one
}

// sources are the launchers in the order in which they are asked. Slurm is last:
// inside of an allocation, mpiexec gives every rank SLURM_PROCID=0.
var sources = []struct {
	name string
	find func(getenv func(string) string) (*place, error)
}{
	{"env", fromEnv},
	{"pmi", fromPMI},
	{"openmpi", fromOpenMPI},
	{"slurm", fromSlurm},
}

// locate asks the launchers for this process's place; nil if none has started
// it. Two that know it must agree.
func locate(getenv func(string) string, only string) (*place, error) {
	var found *place
	for _, s := range sources {
		if only != "auto" && only != "dlprun" && only != s.name {
			continue
		}
		p, err := s.find(getenv)
		if err != nil {
			return nil, err
		}
		switch {
		case p == nil:
		case found == nil:
			found = p
		case found.launcher == "pmi" && p.launcher == "openmpi" && (found.rank != p.rank || found.size != p.size):
			return nil, fmt.Errorf("two launchers disagree: %s says rank %d of %d, %s says rank %d of %d; set DLP_LAUNCHER=%s or %s",
				found.why, found.rank, found.size, p.why, p.rank, p.size, found.launcher, p.launcher)
		}
		if found != nil && found.launcher != "pmi" {
			break
		}
	}
	return found, nil
}

// fromEnv reads what dlprun sets, or people by hand.
func fromEnv(getenv func(string) string) (*place, error) {
	if getenv("DLP_RANK") == "" && getenv("DLP_SIZE") == "" {
		return nil, nil
	}
	p := &place{launcher: "env", why: "DLP_RANK, DLP_SIZE"}
	return p, p.numbers(getenv, "DLP_RANK", "DLP_SIZE")
}

// fromPMI reads the variables of a PMI server. One that is only to be reached
// by PMI_PORT tells rank and size itself.
func fromPMI(getenv func(string) string) (*place, error) {
	switch {
	case getenv("PMI_FD") != "" && getenv("PMI_RANK") != "":
		p := &place{launcher: "pmi", why: "PMI_RANK, PMI_SIZE, PMI_FD"}
		if err := p.numbers(getenv, "PMI_RANK", "PMI_SIZE"); err != nil {
			return nil, err
		}
		p.oneHost = getenv("MPI_LOCALNRANKS") == getenv("PMI_SIZE")
		return p, nil
	case getenv("PMI_PORT") != "" && getenv("PMI_ID") != "":
		p := &place{launcher: "pmi", why: "PMI_PORT, PMI_ID"}
		var err error
		if p.pmi, err = dialPMI(getenv); err != nil {
			return nil, err
		}
		p.rank, p.size = p.pmi.rank, p.pmi.size
		return p, nil
	}
	return nil, nil
}

// fromOpenMPI reads the variables of mpirun of Open MPI 4 and 5.
func fromOpenMPI(getenv func(string) string) (*place, error) {
	if getenv("OMPI_COMM_WORLD_RANK") == "" {
		return nil, nil
	}
	p := &place{launcher: "openmpi", why: "OMPI_COMM_WORLD_RANK, OMPI_COMM_WORLD_SIZE"}
	if err := p.numbers(getenv, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"); err != nil {
		return nil, err
	}
	p.oneHost = getenv("OMPI_COMM_WORLD_LOCAL_SIZE") == getenv("OMPI_COMM_WORLD_SIZE")
	// The namespace names this mpirun; in Open MPI 4 there are also 128 random
	// bits that all ranks share.
	if ns := getenv("PMIX_NAMESPACE"); ns != "" {
		p.id = "openmpi " + ns + " " + getenv("OMPI_MCA_orte_precondition_transports")
	}
	return p, nil
}

// slurmLastStep is the first number that is no step: batch scripts and the
// like have numbers from there on.
const slurmLastStep = 0xfffffff0

// fromSlurm reads the variables of a task that srun has started. The size is
// that of the step; SLURM_NTASKS may be stale, SLURM_NPROCS that of a component.
func fromSlurm(getenv func(string) string) (*place, error) {
	if !inSlurmStep(getenv) {
		return nil, nil
	}
	p := &place{launcher: "slurm", why: "SLURM_PROCID, SLURM_STEP_NUM_TASKS"}
	if err := p.numbers(getenv, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"); err != nil {
		return nil, err
	}
	p.oneHost = getenv("SLURM_STEP_NUM_NODES") == "1" && getenv("SLURM_HET_SIZE") == ""
	job := getenv("SLURM_JOB_ID")
	if het := getenv("SLURM_HET_JOB_ID"); het != "" { // the same for all its components
		job = het
	}
	p.id = "slurm " + getenv("SLURM_CLUSTER_NAME") + " " + job + "." + getenv("SLURM_STEP_ID") + "." + getenv("SLURM_RESTART_COUNT")
	return p, nil
}

func inSlurmStep(getenv func(string) string) bool {
	step, err := strconv.ParseUint(getenv("SLURM_STEP_ID"), 10, 32)
	return err == nil && step < slurmLastStep && getenv("SLURM_PROCID") != ""
}

// numbers reads rank and size.
func (p *place) numbers(getenv func(string) string, rank, size string) error {
	var err error
	if getenv(rank) == "" || getenv(size) == "" {
		return fmt.Errorf("%s and %s go together: set both, or none", rank, size)
	}
	if p.size, err = strconv.Atoi(getenv(size)); err != nil || p.size < 1 || p.size > math.MaxInt32 {
		return fmt.Errorf("%s is %q: use the number of ranks, 1 or more", size, getenv(size))
	}
	if p.rank, err = strconv.Atoi(getenv(rank)); err != nil || p.rank < 0 || p.rank >= p.size {
		return fmt.Errorf("%s is %q: use a number from 0 to %d", rank, getenv(rank), p.size-1)
	}
	return nil
}

// traces says what the user should know who has started one rank where a
// launcher is near.
func traces(getenv func(string) string) string {
	tasks, err := strconv.Atoi(getenv("SLURM_NTASKS"))
	switch {
	case err == nil && tasks > 1 && !inSlurmStep(getenv):
		return fmt.Sprintf("this is one rank, in a Slurm job of %d tasks: did you forget srun?", tasks)
	case getenv("PMIX_RANK") != "" || getenv("PMI_RANK") != "" || getenv("PMI_ID") != "":
		return "this is one rank, though something like an MPI launcher started it, in a way that is not understood; dlprun info says more"
	}
	return ""
}

// meeting chooses how the ranks find each other.
func meeting(getenv func(string) string, job *Job, p *place) (Meeting, error) {
	if job.Size == 1 && !job.Hosted {
		if p.pmi != nil {
			return nil, p.pmi.finalize()
		}
		return nil, nil
	}
	at := getenv("DLP_RENDEZVOUS")
	switch {
	case at != "":
		s, err := secret(getenv)
		if p.pmi != nil { // it has said who this process is; the hub sees to the rest
			err = errors.Join(err, p.pmi.finalize())
		}
		return newFixed(at, s), err
	case job.Hosted:
		return nil, errors.New("DLP_LAUNCHER is \"dlprun\" but DLP_RENDEZVOUS is not set: start with dlprun, or unset it")
	case p.launcher == "env":
		return nil, errors.New("DLP_RANK, DLP_SIZE and DLP_RENDEZVOUS go together: DLP_RENDEZVOUS is missing")
	case p.launcher == "pmi":
		return newStore(getenv, p)
	case p.id == "":
		return nil, fmt.Errorf("%s says rank %d of %d, but nothing names the job: set DLP_RENDEZVOUS and DLP_SECRET, or start with dlprun --with", p.why, p.rank, p.size)
	case p.oneHost && getenv("DLP_FOLDER") == "" && runtime.GOOS == "linux":
		return newSocket(p), nil
	case p.launcher == "slurm" && !p.oneHost && getenv("DLP_FOLDER") == "":
		return slurmMeeting(getenv, p)
	}
	return newFile(getenv, p)
}

// slurmMeeting is that of a step on several hosts. Nobody knows whether they share
// the home folder, nor whether all can resolve the name of rank 0's: so, without a
// secret of the user's, the ranks try both.
func slurmMeeting(getenv func(string) string, p *place) (Meeting, error) {
	if getenv("DLP_SECRET") != "" {
		return newWindow(getenv, p)
	}
	home, err := newFile(getenv, p)
	s, noMunge := newSealed(getenv, p)
	switch {
	case noMunge != nil:
		return home, err
	case err != nil:
		return s, nil
	}
	return &either{all: [2]Meeting{home, s}}, nil
}
