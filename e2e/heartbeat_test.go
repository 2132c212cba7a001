package e2e

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A rank that is stopped ends the job, and is named.
func TestStoppedRank(t *testing.T) {
	for _, l := range append(withLaunchers(t), dlprun) {
		l.env = append(l.env, "DLP_HEARTBEAT=300ms")
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			r := l.run(t, 3, "selftest", "after", "stop", "1")
			require.NotZero(t, r.status, "%v", r)
			require.Regexp(t, `(?m)^dlprun: rank 1 \(.+\): nothing was heard of it for 1.8s: it is stopped, or its host is down or cut off$`, r.stderr)
		})
	}
}

// Ranks that compute are not taken for dead, even on one processor each and more of
// them than processors: for twice as long as a silent rank is waited for, and in `make
// soak` for twice as long as it is by default.
func TestBusyRanks(t *testing.T) {
	l, busy := dlprun, "4s"
	l.env = []string{"GOMAXPROCS=1", "DLP_HEARTBEAT=300ms"}
	if soaking() {
		l.env, busy = l.env[:1], "60s"
	}
	c, cancel := commandWithin(t, 2*bound, l.env, l.command(3, filepath.Join(bin, "selftest"), "busy", busy)...)
	defer cancel()
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "selftest: 3 ranks agree\n", string(out))
	fmt.Printf("tried: 3 ranks that compute for %s with %v\n", busy, l.env)
}
