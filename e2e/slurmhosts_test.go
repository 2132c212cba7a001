package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Slurm on three hosts. The hosts share no folder that counts: HOME and TMPDIR
// lead nowhere. The ranks meet by DLP_SECRET, or by dlprun.
func TestSlurmOnThreeHosts(t *testing.T) {
	h := newHosts(t)
	var nodes []node
	for k, name := range h.names {
		nodes = append(nodes, node{name, name, fmt.Sprintf("10.77.0.%d", k+1), 17001,
			func(words ...string) []string { return h.on(k, words...) }})
	}
	env := append(cluster(t, 17000, nodes...), "HOME=/proc/nowhere")
	secret := "DLP_SECRET=" + strings.Repeat("5a", 32)
	on := func(env []string, words ...string) result { return start(t, env, h.on(0, words...)...) }
	program := func(name string) string { return filepath.Join(bin, name) }

	t.Run("without a secret", func(t *testing.T) {
		r := on(env, "srun", "--mpi=none", "-N3", "-n6", program("selftest"))
		require.NotZero(t, r.status, "%v", r)
		require.Contains(t, r.stderr, "name another folder with DLP_FOLDER")
	})
	t.Run("DLP_SECRET", func(t *testing.T) {
		r := on(append(env, secret), "srun", "--mpi=none", "-N3", "-n6", program("dlprun"), "info")
		require.Zero(t, r.status, "%v", r)
		require.Regexp(t, `meeting +ports \d+ to \d+ of `+h.names[0]+`, hosted by rank 0`, r.stdout)
		require.Contains(t, r.stdout, "rank 5 of 6 on "+h.names[2])
	})
	t.Run("two steps at once", func(t *testing.T) {
		script := fmt.Sprintf("srun --mpi=none --overlap -N3 -n3 %[1]s & srun --mpi=none --overlap -N3 -n6 %[1]s & wait -n && wait -n", program("selftest"))
		for range 5 {
			r := on(append(env, secret), "salloc", "-Q", "-N3", "-n6", "bash", "-c", script)
			require.Zero(t, r.status, "%v", r)
			require.Contains(t, r.stdout, "selftest: 3 ranks agree\n")
			require.Contains(t, r.stdout, "selftest: 6 ranks agree\n")
		}
	})
	t.Run("two jobs with one secret", func(t *testing.T) {
		var jobs sync.WaitGroup
		var all [3]result
		for k := range all {
			jobs.Go(func() {
				all[k] = on(append(env, secret), "srun", "--mpi=none", "-N3", "-n6", "--overcommit", program("selftest"))
			})
		}
		jobs.Wait()
		for _, r := range all {
			require.Zero(t, r.status, "%v", r)
			require.Equal(t, "selftest: 6 ranks agree\n", r.stdout)
		}
	})
	t.Run("heterogeneous", func(t *testing.T) {
		r := on(append(env, secret), "srun", "--mpi=none", "-N1", "-n2", program("selftest"), ":", "-N2", "-n3", program("selftest"))
		require.Zero(t, r.status, "%v", r)
		require.Equal(t, "selftest: 5 ranks agree\n", r.stdout)
	})
	for _, mpi := range []string{"none", "pmi2", "pmix"} {
		t.Run("dlprun --with srun --mpi="+mpi, func(t *testing.T) {
			r := on(env, "salloc", "-Q", "-N3", "-n6", program("dlprun"), "--with", "srun", "--launcher-args", "--mpi="+mpi, program("selftest"))
			require.Zero(t, r.status, "%v", r)
			require.Equal(t, "selftest: 6 ranks agree\n", r.stdout)
		})
	}
	t.Run("dlprun --with srun in a batch script that exports nothing", func(t *testing.T) {
		dir := tempDir(t)
		script, out := filepath.Join(dir, "job.sh"), filepath.Join(dir, "out")
		body := fmt.Sprintf("#!/bin/bash\n#SBATCH -N3 --ntasks-per-node=2 --export=NONE -o %s\n%s --with srun %s\n", out, program("dlprun"), program("selftest"))
		require.NoError(t, os.WriteFile(script, []byte(body), 0o755))
		r := on(env, "sbatch", "--wait", script)
		text, err := os.ReadFile(out)
		require.NoError(t, err)
		require.Zero(t, r.status, "%v\n%s", r, text)
		require.Equal(t, "selftest: 6 ranks agree\n", string(text))
	})
	t.Run("the example's script", func(t *testing.T) {
		out := filepath.Join(tempDir(t), "out")
		batch := append(env, "PATH="+bin+":"+os.Getenv("PATH"), "PROGRAM="+program("selftest"))
		r := on(batch, "sbatch", "--wait", "-N3", "--ntasks-per-node=2", "-o", out, "../examples/slurm/job.sh")
		text, err := os.ReadFile(out)
		require.NoError(t, err)
		require.Zero(t, r.status, "%v\n%s", r, text)
		require.Equal(t, "selftest: 6 ranks agree\n", string(text))
	})
	t.Run("a rank fails under dlprun --with srun", func(t *testing.T) {
		r := on(env, program("dlprun"), "--with", "srun", "--launcher-args", "-N3", "-np", "6", program("selftest"), "after", "kill", "4")
		require.Equal(t, 137, r.status, "%v", r)
		require.Regexp(t, `(?m)^dlprun: rank 4 \(`+h.names[2]+`\): it ended before Finalize`, r.stderr)
	})
}
