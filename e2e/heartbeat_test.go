package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A rank that is stopped ends the job, and is named.
func TestStoppedRank(t *testing.T) {
	for _, l := range append(withLaunchers(t), dlprun) {
		l.env = append(l.env, "DLP_HEARTBEAT=100ms")
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			r := l.run(t, 3, "selftest", "after", "stop", "1")
			require.NotZero(t, r.status, "%v", r)
			require.Regexp(t, `(?m)^dlprun: rank 1 \(.+\): nothing was heard of it for 600ms: it is stopped, or its host is down or cut off$`, r.stderr)
		})
	}
}

// A rank that computes is not taken for dead, even on one processor.
func TestBusyRank(t *testing.T) {
	l := dlprun
	l.env = append(l.env, "DLP_HEARTBEAT=100ms", "GOMAXPROCS=1")
	r := l.run(t, 3, "selftest", "after", "busy", "1")
	require.Zero(t, r.status, "%v", r)
	require.Equal(t, "selftest: 3 ranks agree\n", r.stdout)
}
