package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// container writes a script that runs each rank in a container of its own, as far
// as a kernel without a container runtime makes one: an image that can't be written
// to and holds nothing but the program, and what enter adds to that. enter is put
// in front of a command; $rank is the rank.
func container(t *testing.T, enter string) (script string) {
	t.Helper()
	dir := tempDir(t)
	for rank := range 3 {
		image := filepath.Join(dir, fmt.Sprint(rank))
		require.NoError(t, os.Mkdir(image, 0o755))
		for _, program := range []string{"selftest", "dlprun"} {
			require.NoError(t, os.Link(filepath.Join(bin, program), filepath.Join(image, program)))
		}
	}
	const text = `#!/bin/bash
rank=$DLP_RANK$PMI_RANK$PMI_ID$OMPI_COMM_WORLD_RANK
export rank=${rank:-$SLURM_PROCID} image
image=%s/$rank
unset HOME TMPDIR
exec %s unshare --mount bash -c 'mount --bind "$image" "$image" && mount -o remount,ro,bind "$image" && exec chroot "$image" "$@"' bash "$@"
`
	script = filepath.Join(dir, "container")
	require.NoError(t, os.WriteFile(script, fmt.Appendf(nil, text, dir, enter), 0o755))
	return script
}

// ownNames makes processes and the host have names of their own in a container.
const ownNames = `unshare --pid --fork --kill-child --uts bash -c 'hostname c$rank && exec "$@"' bash`

// oneNode are the ways of srun that need one node if no folder is shared.
func oneNode(env []string) (all []launcher) {
	for _, mpi := range []string{"none", "pmix"} {
		all = append(all, launcher{name: "srun-" + mpi + " on one node", env: env, command: cmd("srun", "--mpi="+mpi, "-N1", "-n{n}", "--overcommit")})
	}
	return all
}

// One static binary in an otherwise empty image is a rank, too. Where it can't be
// one, it says at once what to do.
func TestContainers(t *testing.T) {
	t.Parallel()
	need(t, "unshare", "chroot")
	needRoot(t)
	cannot := map[string]string{
		"dlprun":         `dlp: rank \d could not join its job \(DLP_RENDEZVOUS, unix:.*\): .*: no such file or directory; .* a container that can't see it: start such ranks with dlprun --with\n`,
		"mpich-pmi-port": `dlp: PMI_PORT is "\S+:\d+": .*lookup .*; has this container no /etc/hosts\?\n`,
		"srun-none":      `dlp: the ranks of several hosts meet in a shared folder: name one with DLP_FOLDER \(\$HOME is not defined\)\n`,
		"srun-pmix":      `dlp: the ranks of several hosts meet in a shared folder: name one with DLP_FOLDER \(\$HOME is not defined\)\n`,
	}
	all := launchers(t)
	all = append(all, oneNode(all[len(all)-1].env)...)
	for what, enter := range map[string]string{"an empty image": "", "names of its own": ownNames} {
		script := container(t, enter)
		for _, l := range all {
			t.Run(what+"/"+l.name, func(t *testing.T) {
				r := start(t, append(l.env, "DLP_INIT_TIMEOUT=1h"), l.command(3, script, "/selftest")...)
				if says := cannot[l.name]; says != "" {
					require.NotZero(t, r.status, "%v", r)
					require.Regexp(t, says, r.stderr)
					return
				}
				require.Zero(t, r.status, "%v", r)
				require.Equal(t, "selftest: 3 ranks agree\n", r.stdout)
			})
		}
	}
}

// Ranks that reach their root by a socket without a file share its host, whatever
// their containers call it.
func TestContainersOfOneHost(t *testing.T) {
	need(t, "unshare", "chroot", "mpirun.mpich")
	needRoot(t)
	r := start(t, nil, "mpirun.mpich", "-np", "3", container(t, ownNames), "/dlprun", "info")
	require.Zero(t, r.status, "%v", r)
	for rank := range 3 {
		require.Regexp(t, fmt.Sprintf(`rank %[1]d of 3 on c%[1]d, process \d+, local rank %[1]d of 3`, rank), r.stdout)
	}
}

// Containers with networks of their own, but one host name, are reached through
// dlprun --with only.
func TestContainersWithNetworks(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	script := container(t, "nsenter --net=/run/netns/"+strings.TrimSuffix(h.names[0], "1")+"$((rank+1))")
	for name, extra := range map[string][]string{"mpirun.openmpi": openmpiFlags(t), "mpirun.mpich": nil} {
		t.Run(name, func(t *testing.T) {
			env := append([]string{"DLP_INIT_TIMEOUT=6"}, openmpiAsRoot...)
			words := append([]string{filepath.Join(bin, "dlprun"), "--with", name, "--launcher-args", strings.Join(extra, " "), "-np", "3"}, script, "/selftest")
			r := start(t, env, h.on(0, words...)...)
			require.Zero(t, r.status, "%v", r)
			require.Equal(t, "selftest: 3 ranks agree\n", r.stdout)
			if name == "mpirun.openmpi" {
				extra = append(extra, "-x", "DLP_INIT_TIMEOUT")
			}
			r = start(t, env, h.on(0, append(append([]string{name}, extra...), "-np", "3", script, "/selftest")...)...)
			require.NotZero(t, r.status, "%v", r)
			require.Regexp(t, `dlp: rank [12] .*container.*dlprun --with`, r.stderr)
		})
	}
}
