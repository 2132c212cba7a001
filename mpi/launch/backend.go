package launch

import (
	"errors"
	"fmt"
)

// realMPI decides whether this process is to join its job through the MPI library
// that it is linked against, "" for none. If so, it returns what the launcher's
// variables say of the process, as far as they do, without using anything up that
// the library needs. By itself it chooses MPI only under a launcher of the
// library's kind.
func realMPI(getenv func(string) string, only, linked string) (*place, error) {
	backend, err := oneOf(getenv, "DLP_BACKEND", "auto", "embedded", "mpi")
	if err != nil || backend == "embedded" {
		return nil, err
	}
	byHand := only == "none" || only == "env" || only == "dlprun" || getenv("DLP_RANK") != "" || getenv("DLP_SIZE") != ""
	if backend == "auto" {
		if byHand || linked == "" {
			return nil, nil
		}
		return fromMPI(getenv, only, linked)
	}
	switch {
	case byHand:
		return nil, errors.New("DLP_BACKEND is \"mpi\", but dlprun is no launcher of MPI, nor are DLP variables: start the program with mpiexec, or unset DLP_BACKEND")
	case linked == "":
		return nil, errors.New("DLP_BACKEND is \"mpi\", but this program was built without -tags mpi: build it as make build-mpi does (docs/mpi.md), or unset DLP_BACKEND")
	}
	for _, kind := range []string{linked, "Open MPI", "MPICH"} { // of another kind: the library will tell
		if p, err := fromMPI(getenv, only, kind); p != nil || err != nil {
			return p, err
		}
	}
	if p, err := fromSlurm(getenv); p != nil || err != nil {
		return p, err
	}
	return &place{launcher: "mpi", why: "DLP_BACKEND"}, nil
}

// fromMPI reads the variables of a launcher of one kind of MPI. The size is 0
// where it does not tell.
func fromMPI(getenv func(string) string, only, kind string) (*place, error) {
	may := func(launcher string) bool { return only == "auto" || only == launcher }
	switch {
	case kind == "Open MPI" && may("openmpi") && getenv("OMPI_COMM_WORLD_RANK") != "":
		return fromOpenMPI(getenv)
	case kind == "Open MPI" && may("slurm") && getenv("PMIX_RANK") != "":
		return fromSlurm(getenv)
	case kind == "MPICH" && may("pmi") && getenv("PMI_RANK") != "":
		p := &place{launcher: "pmi", why: "PMI_RANK, PMI_SIZE"}
		return p, p.numbers(getenv, "PMI_RANK", "PMI_SIZE")
	case kind == "MPICH" && may("pmi") && getenv("PMI_PORT") != "" && getenv("PMI_ID") != "":
		p := &place{launcher: "pmi", why: "PMI_ID"}
		if _, err := fmt.Sscan(getenv("PMI_ID"), &p.rank); err != nil {
			return nil, fmt.Errorf("PMI_ID is %q: it should be this process's rank", getenv("PMI_ID"))
		}
		return p, nil
	}
	return nil, nil
}
