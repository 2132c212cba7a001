package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// munge starts a munged on each host, with one key, and returns a PATH on which
// munge and unmunge are those of the host that they run on.
func (h *hosts) munge(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dlp-munge-") // munge wants a path that only its owner can write to
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	key := filepath.Join(dir, "key")
	require.NoError(t, os.WriteFile(key, []byte(strings.Repeat(dir, 100)[:1024]), 0o600))
	for k, name := range h.names {
		m := filepath.Join(dir, name)
		require.NoError(t, os.Mkdir(m, 0o755))
		serve(t, nil, m+"/out", h.on(k, "munged", "--force", "--foreground", "--key-file="+key, "--socket="+m+"/sock",
			"--pid-file="+m+"/pid", "--log-file="+m+"/log", "--seed-file="+m+"/seed")...)
		until(t, "munge answers", func() bool { return exec.Command("munge", "-n", "-S", m+"/sock").Run() == nil })
	}
	return mungePath(t, dir)
}

// mungePath returns a PATH on which munge and unmunge use a socket below dir.
func mungePath(t *testing.T, dir string) string {
	t.Helper()
	folder := tempDir(t)
	for _, name := range []string{"munge", "unmunge"} {
		path, err := exec.LookPath(name)
		require.NoError(t, err)
		script := fmt.Sprintf("#!/bin/sh\nexec %s -S %s/$(hostname)/sock \"$@\"\n", path, dir)
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(script), 0o755))
	}
	return "PATH=" + folder + ":" + os.Getenv("PATH")
}

// A Slurm on three hosts. The hosts share no folder that counts: HOME and TMPDIR
// lead nowhere. The ranks meet by munge, by DLP_SECRET, or by dlprun.
func TestSlurmOnThreeHosts(t *testing.T) {
	t.Parallel()
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

	munge := h.munge(t)
	for _, mpi := range []string{"none", "pmix"} {
		t.Run("munge, srun --mpi="+mpi, func(t *testing.T) {
			r := on(append(env, munge), "srun", "--mpi="+mpi, "-N3", "-n6", program("selftest"))
			require.Zero(t, r.status, "%v", r)
			require.Equal(t, "selftest: 6 ranks agree\n", r.stdout)
			r = on(append(env, munge), "srun", "--mpi="+mpi, "-N3", "-n6", program("dlprun"), "info")
			require.Zero(t, r.status, "%v", r)
			require.Regexp(t, `meeting +the file /proc/nowhere/\S+ or ports \d+ to \d+ of `+h.names[0]+`, by munge, hosted by rank 0`, r.stdout)
		})
	}
	t.Run("munge, homes of their own, inside of TLS", func(t *testing.T) {
		own := fmt.Sprintf("HOME=%s/$SLURM_NODEID exec %s", tempDir(t), program("selftest"))
		r := on(append(env, munge, "DLP_TLS=1"), "srun", "--mpi=none", "-N3", "-n6", "sh", "-c", own)
		require.Zero(t, r.status, "%v", r)
		require.Equal(t, "selftest: 6 ranks agree\n", r.stdout)
	})
	t.Run("no munged", func(t *testing.T) {
		r := on(append(env, mungePath(t, tempDir(t)), "DLP_INIT_TIMEOUT=1h"), "srun", "--mpi=none", "-N3", "-n6", program("selftest"))
		require.NotZero(t, r.status, "%v", r)
		require.Equal(t, 6, strings.Count(r.stderr, "dlp: "), "%v", r)
		require.Regexp(t, `dlp: the ranks can't meet: mkdir /proc/nowhere: .*; name another folder with DLP_FOLDER; munge: Error: .*Did you start munged\?`, r.stderr)
		require.Regexp(t, `dlp: rank 5 can't find its job: the ranks can't meet: mkdir /proc/nowhere: .*; name another folder with DLP_FOLDER; munge: Error: .*Did you start munged\?`, r.stderr)
	})
	t.Run("no munged at the root", func(t *testing.T) {
		own := fmt.Sprintf("test $SLURM_NODEID -gt 0 || %s; HOME=%s/$SLURM_NODEID exec %s", mungePath(t, tempDir(t)), tempDir(t), program("selftest"))
		r := on(append(env, munge, "DLP_INIT_TIMEOUT=6"), "srun", "--mpi=none", "-N3", "-n3", "sh", "-c", own)
		require.NotZero(t, r.status, "%v", r)
		require.Regexp(t, `dlp: missing ranks: 1,2 of 3 did not join within 6s \(the file .* or ports .*, by munge; one of them failed: munge: Error: .*Did you start munged\?`, r.stderr)
		require.Regexp(t, `dlp: rank 2 can't find its job: rank 0 has not written .*; no invitation at ports .*, by munge \(.*refused\)`, r.stderr)
	})
	t.Run("DLP_SECRET", func(t *testing.T) {
		r := on(append(env, secret), "srun", "--mpi=none", "-N3", "-n6", program("dlprun"), "info")
		require.Zero(t, r.status, "%v", r)
		require.Regexp(t, `meeting +ports \d+ to \d+ of `+h.names[0]+`, hosted by rank 0`, r.stdout)
		require.Contains(t, r.stdout, "rank 5 of 6 on "+h.names[2])
	})
	for what, with := range map[string]string{"DLP_SECRET": secret, "munge": munge} {
		t.Run("two steps at once, "+what, func(t *testing.T) {
			for range 5 {
				enough := filepath.Join(tempDir(t), "enough")
				script := fmt.Sprintf("srun --mpi=none --overlap -N3 -n3 %[1]s until %[2]s & first=$!; srun --mpi=none --overlap -N3 -n6 %[1]s until %[2]s & wait $! && wait $first", program("selftest"), enough)
				both := func(*os.Process) { require.NoError(t, os.WriteFile(enough, nil, 0o600)) }
				r := startAnd(t, append(env, with), "meeting\nmeeting", both, h.on(0, "salloc", "-Q", "-N3", "-n6", "bash", "-c", script)...)
				require.Zero(t, r.status, "%v", r)
				require.Contains(t, r.stdout, "selftest: 3 ranks agree\n")
				require.Contains(t, r.stdout, "selftest: 6 ranks agree\n")
			}
		})
		t.Run("three jobs at once, "+what, func(t *testing.T) {
			all := atOnce(t, 3, append(env, with), func(_ int, program ...string) []string {
				return h.on(0, append([]string{"srun", "--mpi=none", "-N3", "-n6", "--overcommit"}, program...)...)
			})
			for _, r := range all {
				require.Zero(t, r.status, "%v", r)
				require.Equal(t, "meeting\nselftest: 6 ranks agree\n", r.stdout)
			}
		})
	}
	t.Run("heterogeneous", func(t *testing.T) {
		for _, with := range []string{secret, munge} {
			r := on(append(env, with), "srun", "--mpi=none", "-N1", "-n2", program("selftest"), ":", "-N2", "-n3", program("selftest"))
			require.Zero(t, r.status, "%v", r)
			require.Equal(t, "selftest: 5 ranks agree\n", r.stdout)
		}
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
