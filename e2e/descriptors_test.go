package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// How many descriptors the tests begin with, for less Go itself ends the process, and how
// many will do.
const few, enough = 9, 24

// However few descriptors a rank, or the one that hosts the meeting place, may have: the
// job does its work, or ends on all ranks with a line that says what they lack.
func TestOutOfDescriptors(t *testing.T) {
	t.Parallel()
	for _, poor := range []int{0, 1} {
		for _, limit := range []int{few, 12, 14, 16, 17, 18, enough} {
			t.Run(fmt.Sprintf("%d for rank %d", limit, poor), func(t *testing.T) {
				t.Parallel()
				testDescriptors(t, poor, limit)
			})
		}
	}
}

func testDescriptors(t *testing.T, poor, limit int) {
	const ranks = 3
	_, env := byHand(t, ranks)
	var results [ranks]result
	var job sync.WaitGroup
	for r := range ranks {
		script := `exec "$0"`
		if r == poor {
			script = fmt.Sprintf(`ulimit -n %d; exec "$0"`, limit)
		}
		job.Go(func() {
			results[r] = start(t, env(r, "DLP_INIT_TIMEOUT=5", "DLP_HEARTBEAT=400ms"), "bash", "-c", script, filepath.Join(bin, "selftest"))
		})
	}
	job.Wait()
	if results[0].status == 0 {
		require.Equal(t, "selftest: 3 ranks agree\n", results[0].stdout, "%v", results)
		require.Greater(t, limit, few, "the limit does nothing")
		return
	}
	require.Less(t, limit, enough, "%v", results)
	said := ""
	for _, r := range results {
		require.NotZero(t, r.status, "%v", results)
		said += r.stderr
	}
	require.Contains(t, said, "too many open files", "%v", results)
	require.Less(t, strings.Count(said, "\n"), 20, "%v", results)
}
