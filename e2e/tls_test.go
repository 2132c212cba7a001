package e2e

import (
	"os"
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

// A black hole between two ranks that both reach the hub is found inside of TLS too:
// here nobody can look into what they say, so each of their hosts is told of a neighbour
// that does not exist.
func TestBlackHoleInsideOfTLS(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	cut := func(*os.Process) {
		for host, other := range map[string]string{h.names[1]: "10.77.0.3", h.names[2]: "10.77.0.2"} {
			ip(t, "-n", host, "neigh", "replace", other, "lladdr", "02:00:00:00:00:77", "dev", "eth0", "nud", "permanent")
		}
	}
	r := startAnd(t, []string{"DLP_TLS=1", "DLP_HEARTBEAT=400ms"}, "now", cut, h.byHand(3, "faulty", "send", "say", "0")...)
	require.NotZero(t, r.status, "%v", r)
	require.Regexp(t, `rank [12] \(.+\) is gone: nothing has come from it for 3.2s`, r.stderr)
}
