package launch_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi/launch"
)

// step is a Slurm step on hosts that share a secret.
var step = map[string]string{
	"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2",
	"SLURM_STEP_NODELIST": "node[03-04]", "DLP_SECRET": digits,
}

func TestWindow(t *testing.T) {
	invite := func(changes ...string) launch.Invitation {
		job, err := detect(step, changes...)
		require.NoError(t, err)
		require.Regexp(t, `^ports \d+ to \d+ of `, job.Meeting.String())
		i, err := job.Meeting.Find(t.Context())
		require.NoError(t, err)
		require.Len(t, i.At, 16)
		require.Len(t, job.Meeting.Listen(), 16)
		return i
	}
	here := invite()
	require.True(t, strings.HasPrefix(here.At[0], "tcp:node03:"))
	require.Equal(t, here, invite("SLURM_PROCID=0"), "the same for all ranks")
	for _, change := range []string{"SLURM_JOB_ID=8", "SLURM_STEP_ID=1", "SLURM_RESTART_COUNT=1"} {
		other := invite(change)
		require.NotEqual(t, here.Secret, other.Secret, change)
		require.NotEqual(t, here.At, other.At, change)
	}
	het := invite("SLURM_HET_SIZE=2", "SLURM_HET_JOB_ID=7", "SLURM_JOB_NODELIST_HET_GROUP_0=big1,big2")
	require.True(t, strings.HasPrefix(het.At[0], "tcp:big1:"))
}

func TestWindowErrors(t *testing.T) {
	for change, want := range map[string]string{
		"SLURM_STEP_NODELIST=":     "nothing says where rank 0 runs",
		"SLURM_STEP_NODELIST=a[1":  "is not closed",
		"DLP_SECRET=short":         "DLP_SECRET is not 64 hexadecimal digits",
		"SLURM_STEP_NUM_TASKS=one": "SLURM_STEP_NUM_TASKS",
	} {
		_, err := detect(step, change)
		require.ErrorContains(t, err, want, change)
	}
}
