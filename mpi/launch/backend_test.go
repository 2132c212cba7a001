//go:build unix

package launch_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi/launch"
)

// What launchers leave in the environment of rank 1 of 3.
var (
	underOpenMPI = map[string]string{"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_LOCAL_SIZE": "3", "PMIX_RANK": "1", "PMIX_NAMESPACE": "7"}
	underPMIx    = map[string]string{"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_ID": "0", "PMIX_RANK": "1"}
	underHydra   = map[string]string{"PMI_RANK": "1", "PMI_SIZE": "3", "PMI_FD": "999"}
	underPort    = map[string]string{"PMI_ID": "1", "PMI_PORT": "no-such-host:1"}
	underSlurm   = map[string]string{"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_NODES": "1"}
)

// detectLinked is Detect in a program that is linked against an MPI.
func detectLinked(linked string, env, changes map[string]string) (launch.Job, error) {
	return launch.DetectLinked(func(name string) string {
		if v, ok := changes[name]; ok {
			return v
		}
		return env[name]
	}, linked)
}

// Real MPI is chosen under a launcher of the library's own kind, and nothing that
// the library needs is used up: the descriptor and the port lead nowhere here.
func TestRealMPI(t *testing.T) {
	for _, test := range []struct {
		linked  string
		env     map[string]string
		backend string // DLP_BACKEND
		size    int    // 0: the launcher does not tell
	}{
		{"Open MPI", underOpenMPI, "", 3},
		{"Open MPI", underOpenMPI, "mpi", 3},
		{"Open MPI", underPMIx, "auto", 3},
		{"MPICH", underHydra, "", 3},
		{"MPICH", underPort, "auto", 0},
		{"Open MPI", underHydra, "mpi", 3}, // the library will find out
		{"Open MPI", underPort, "mpi", 0},
		{"MPICH", underOpenMPI, "mpi", 3},
		{"Open MPI", underSlurm, "mpi", 3},
	} {
		job, err := detectLinked(test.linked, test.env, map[string]string{"DLP_BACKEND": test.backend})
		require.NoError(t, err, "%+v", test)
		require.Equal(t, "mpi", job.Backend, "%+v", test)
		require.Equal(t, 1, job.Rank, "%+v", test)
		require.Equal(t, test.size, job.Size, "%+v", test)
		require.Equal(t, test.linked, job.Library)
		require.Nil(t, job.Meeting)
	}
	job, err := detectLinked("Open MPI", nil, map[string]string{"DLP_BACKEND": "mpi"})
	require.NoError(t, err, "a launcher that is not known here")
	require.Equal(t, "mpi", job.Backend)
	require.Zero(t, job.Size)
}

// Everywhere else the same program does what one without MPI does.
func TestNoRealMPI(t *testing.T) {
	for _, test := range []struct {
		linked        string
		env, changes  map[string]string
		backend, what string
	}{
		{"Open MPI", nil, nil, "single", "no launcher"},
		{"", underOpenMPI, nil, "embedded", "not linked"},
		{"MPICH", underOpenMPI, nil, "embedded", "a launcher of another kind"},
		{"Open MPI", underSlurm, nil, "embedded", "srun without PMIx"},
		{"Open MPI", underOpenMPI, map[string]string{"DLP_BACKEND": "embedded"}, "embedded", "asked for"},
		{"Open MPI", underOpenMPI, map[string]string{"DLP_LAUNCHER": "none"}, "single", "DLP_LAUNCHER"},
		{"Open MPI", byHand, underOpenMPI, "embedded", "by hand"},
		{"Open MPI", byHand, map[string]string{"DLP_LAUNCHER": "dlprun"}, "embedded", "dlprun"},
		{"Open MPI", underOpenMPI, map[string]string{"DLP_LAUNCHER": "dlprun", "DLP_RENDEZVOUS": "host:1", "DLP_SECRET": digits}, "embedded", "dlprun --with mpiexec"},
	} {
		job, err := detectLinked(test.linked, test.env, test.changes)
		require.NoError(t, err, test.what)
		require.Equal(t, test.backend, job.Backend, test.what)
	}
}

func TestRealMPIErrors(t *testing.T) {
	for _, test := range []struct {
		linked string
		env    map[string]string
		want   string
	}{
		{"", underOpenMPI, `DLP_BACKEND is "mpi", but this program was built without -tags mpi: build it as make build-mpi does (docs/mpi.md), or unset DLP_BACKEND`},
		{"Open MPI", byHand, `DLP_BACKEND is "mpi", but dlprun is no launcher of MPI, nor are DLP variables: start the program with mpiexec, or unset DLP_BACKEND`},
		{"MPICH", map[string]string{"PMI_RANK": "3", "PMI_SIZE": "3"}, `PMI_RANK is "3": use a number from 0 to 2`},
		{"MPICH", map[string]string{"PMI_ID": "x", "PMI_PORT": "host:1"}, `PMI_ID is "x": it should be this process's rank`},
	} {
		_, err := detectLinked(test.linked, test.env, map[string]string{"DLP_BACKEND": "mpi"})
		require.EqualError(t, err, test.want)
	}
}
