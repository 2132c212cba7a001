package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Inside of TLS everything is as without.
func TestTLS(t *testing.T) {
	l := dlprun
	l.env = []string{"DLP_TLS=1", "DLP_TRANSPORT=tcp"}
	r := l.run(t, 4, "selftest")
	require.Zero(t, r.status, "%v", r)
	require.Equal(t, "selftest: 4 ranks agree\n", r.stdout)
	r = l.run(t, 3, "faulty", "gather", "kill", "1")
	require.NotZero(t, r.status, "%v", r)
	require.Contains(t, r.stderr, "rank 1")
}
