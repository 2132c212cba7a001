package launch

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What launchers leave in the environment of rank 1 of 4, as seen of real ones.
var (
	openmpi4 = map[string]string{
		"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_SIZE": "4",
		"PMIX_NAMESPACE": "1234567", "PMIX_RANK": "1", "OMPI_MCA_orte_precondition_transports": "aaaa-bbbb",
	}
	openmpi4Hosts = merged(openmpi4, map[string]string{"OMPI_COMM_WORLD_LOCAL_SIZE": "2"})
	hydra         = map[string]string{"PMI_FD": "7", "PMI_RANK": "1", "PMI_SIZE": "4", "MPI_LOCALNRANKS": "4"}
	slurmStep     = map[string]string{
		"SLURM_JOB_ID": "10", "SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "4",
		"SLURM_STEP_NUM_NODES": "2", "SLURM_NTASKS": "99", "SLURM_NPROCS": "98", "SLURM_CLUSTER_NAME": "c",
	}
	slurmBatch = map[string]string{
		"SLURM_JOB_ID": "10", "SLURM_STEP_ID": "4294967291", "SLURM_PROCID": "0", "SLURM_NTASKS": "4",
	}
)

func merged(ms ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range ms {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}

func env(m map[string]string) func(string) string {
	return func(name string) string { return m[name] }
}

func TestLocate(t *testing.T) {
	for _, c := range []struct {
		name     string
		vars     map[string]string
		launcher string
		rank     int
		size     int
		oneHost  bool
	}{
		{"by hand", map[string]string{"DLP_RANK": "2", "DLP_SIZE": "3"}, "env", 2, 3, false},
		{"Open MPI", openmpi4, "openmpi", 1, 4, true},
		{"Open MPI on hosts", openmpi4Hosts, "openmpi", 1, 4, false},
		{"Hydra", hydra, "pmi", 1, 4, true},
		{"Hydra on hosts", merged(hydra, map[string]string{"MPI_LOCALNRANKS": "2"}), "pmi", 1, 4, false},
		{"Slurm, by the step and not by the job", slurmStep, "slurm", 1, 4, false},
		{"Slurm on one node", merged(slurmStep, map[string]string{"SLURM_STEP_NUM_NODES": "1"}), "slurm", 1, 4, true},
		{"Slurm, heterogeneous, is never one node", merged(slurmStep, map[string]string{"SLURM_STEP_NUM_NODES": "1", "SLURM_HET_SIZE": "2"}), "slurm", 1, 4, false},
		{"Hydra inside of an allocation, where all have SLURM_PROCID=0",
			merged(slurmStep, map[string]string{"SLURM_PROCID": "0"}, hydra), "pmi", 1, 4, true},
		{"by hand under anything", merged(hydra, openmpi4, slurmStep, map[string]string{"DLP_RANK": "0", "DLP_SIZE": "2"}), "env", 0, 2, false},
		{"two that agree", merged(hydra, openmpi4), "pmi", 1, 4, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := locate(env(c.vars), "auto")
			require.NoError(t, err)
			require.NotNil(t, p)
			require.Equal(t, c.launcher, p.launcher)
			require.Equal(t, []int{c.rank, c.size}, []int{p.rank, p.size})
			require.Equal(t, c.oneHost, p.oneHost)
		})
	}
}

func TestLocateErrors(t *testing.T) {
	for _, c := range []struct {
		vars map[string]string
		text string
	}{
		{map[string]string{"DLP_RANK": "1"}, "DLP_RANK and DLP_SIZE go together"},
		{map[string]string{"DLP_RANK": "4", "DLP_SIZE": "4"}, `DLP_RANK is "4": use a number from 0 to 3`},
		{map[string]string{"DLP_RANK": "0", "DLP_SIZE": "0"}, `DLP_SIZE is "0"`},
		{map[string]string{"OMPI_COMM_WORLD_RANK": "x", "OMPI_COMM_WORLD_SIZE": "4"}, `OMPI_COMM_WORLD_RANK is "x"`},
		{merged(slurmStep, map[string]string{"SLURM_STEP_NUM_TASKS": ""}), "SLURM_PROCID and SLURM_STEP_NUM_TASKS go together"},
		{merged(hydra, openmpi4, map[string]string{"PMI_RANK": "0", "PMI_SIZE": "1"}), "PMI_RANK, PMI_SIZE, PMI_FD says rank 0 of 1, OMPI_COMM_WORLD_RANK, OMPI_COMM_WORLD_SIZE says rank 1 of 4"},
	} {
		_, err := locate(env(c.vars), "auto")
		require.ErrorContains(t, err, c.text)
	}
}

// The launcher that is named counts, and no other.
func TestLocateOnly(t *testing.T) {
	all := merged(hydra, openmpi4, slurmStep, map[string]string{"PMI_RANK": "0", "PMI_SIZE": "1"})
	p, err := locate(env(all), "openmpi")
	require.NoError(t, err)
	require.Equal(t, "openmpi", p.launcher)
	p, err = locate(env(all), "slurm")
	require.NoError(t, err)
	require.Equal(t, "slurm", p.launcher)
}

func TestNoLauncher(t *testing.T) {
	job, err := Detect(env(nil))
	require.NoError(t, err)
	require.Equal(t, []any{"none", 0, 1, ""}, []any{job.Launcher, job.Rank, job.Size, job.Warning})
	require.Nil(t, job.Meeting)

	job, err = Detect(env(slurmBatch))
	require.NoError(t, err)
	require.Equal(t, 1, job.Size)
	require.Contains(t, job.Warning, "did you forget srun?")

	job, err = Detect(env(map[string]string{"PMIX_RANK": "3"}))
	require.NoError(t, err)
	require.Equal(t, 1, job.Size)
	require.NotEmpty(t, job.Warning)

	_, err = Detect(env(map[string]string{"DLP_RENDEZVOUS": "localhost:7000"}))
	require.ErrorContains(t, err, "DLP_RENDEZVOUS")
}

// Two jobs have two names, and the ranks of one have one.
func TestJobsHaveNames(t *testing.T) {
	id := func(ms ...map[string]string) string {
		p, err := locate(env(merged(ms...)), "auto")
		require.NoError(t, err)
		return p.id
	}
	require.Equal(t, id(openmpi4), id(openmpi4, map[string]string{"OMPI_COMM_WORLD_RANK": "2"}))
	require.NotEqual(t, id(openmpi4), id(openmpi4, map[string]string{"PMIX_NAMESPACE": "7654321"}))
	require.NotEqual(t, id(openmpi4), id(openmpi4, map[string]string{"OMPI_MCA_orte_precondition_transports": "cccc"}))
	require.Equal(t, id(slurmStep), id(slurmStep, map[string]string{"SLURM_PROCID": "3"}))
	for _, other := range []map[string]string{{"SLURM_STEP_ID": "1"}, {"SLURM_JOB_ID": "11"}, {"SLURM_RESTART_COUNT": "1"}} {
		require.NotEqual(t, id(slurmStep), id(slurmStep, other))
	}
	het := map[string]string{"SLURM_HET_JOB_ID": "10", "SLURM_HET_SIZE": "2"}
	require.Equal(t, id(slurmStep, het), id(slurmStep, het, map[string]string{"SLURM_JOB_ID": "11"}))
}
