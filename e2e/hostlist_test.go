package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi/launch"
)

// HostList reads host lists as Slurm does, but for brackets without a partner, of
// which scontrol makes hosts named "a]", and for texts after the last bracket, which
// Slurm takes since 23.02.
func TestHostListAgainstScontrol(t *testing.T) {
	need(t, "scontrol")
	conf := filepath.Join(t.TempDir(), "slurm.conf")
	require.NoError(t, os.WriteFile(conf, []byte("ClusterName=x\nSlurmctldHost=localhost\nNodeName=n\nPartitionName=p Nodes=n\n"), 0o644))
	lists := []string{
		"a", "a,b", "a b", "a,,b", ",a,", " a ", "b,a,a", "a[1-3]", "a[01-03]", "a[1,3,5]", "a[8-11]", "a[08-11]", "a[3-1]", "a[]", "a[,1]", "a[1,]",
		"a[1-]", "a[1-3]b[01-02],c", "a[1-2]b[3-4]c[5-6]", "a[1-2][3-4]", "a[1-2],a[1-2]", "a[1-3,7,09-10]",
		"a[-1]", "a[1--2]", "a[x]", "a[1-x]", "a[[1]]", "a[0-0]", "a[000-2]", "a[1-65536]", "a[1-65537]",
		"a[1;2]", "10.0.0.[1-3]",
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		lists = append(lists, randomHostList(rng))
	}
	for _, list := range lists {
		cmd := exec.Command("scontrol", "show", "hostnames", list)
		cmd.Env = append(os.Environ(), "SLURM_CONF="+conf)
		var refusal strings.Builder
		cmd.Stderr = &refusal
		out, err := cmd.Output()
		require.NoError(t, err)
		ours, problem := hostList(list)
		if strings.Contains(refusal.String(), "Invalid hostlist") { // its status is 0 all the same
			require.Error(t, problem, "scontrol refuses %q, HostList says %q", list, ours)
			continue
		}
		require.NoError(t, problem, "scontrol takes %q: %s", list, out)
		require.Equal(t, strings.Fields(string(out)), ours, list)
	}
}

func hostList(list string) ([]string, error) {
	all := []string{}
	for host, err := range launch.HostList(list) {
		if err != nil {
			return nil, err
		}
		all = append(all, host)
	}
	return all, nil
}

// randomHostList makes a list of up to three terms with up to three brackets.
func randomHostList(rng *rand.Rand) string {
	var terms []string
	bracket := func() string {
		var ranges []string
		for range 1 + rng.IntN(3) {
			low := rng.IntN(12)
			r := fmt.Sprintf("%0*d", 1+rng.IntN(3), low)
			if rng.IntN(2) == 0 {
				r += fmt.Sprintf("-%d", low+rng.IntN(4))
			}
			ranges = append(ranges, r)
		}
		return "[" + strings.Join(ranges, ",") + "]"
	}
	for range 1 + rng.IntN(3) {
		var term strings.Builder
		for range 1 + rng.IntN(3) {
			term.WriteString([]string{"a", "node", "x-", "r1c"}[rng.IntN(4)])
			if rng.IntN(4) > 0 {
				term.WriteString(bracket())
			}
		}
		if text := term.String(); strings.Contains(text, "[") && !strings.HasSuffix(text, "]") {
			term.WriteString(bracket())
		}
		terms = append(terms, term.String())
	}
	return strings.Join(terms, []string{",", " ", ",,"}[rng.IntN(3)])
}
