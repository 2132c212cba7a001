package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever a rank does in the middle of whichever operation, on whichever rank:
// the job ends with a status that is not 0, and one line that names the rank and
// the cause.
func TestFaultInTheMiddle(t *testing.T) {
	kinds := []struct{ name, cause string }{
		{"kill", "killed by signal 9"},
		{"exit0", "exited with status 0 before Finalize"},
		{"exit3", "exited with status 3 before Finalize"},
		{"error", "an error on purpose"},
		{"panic", "on purpose"},
	}
	const ranks = 3
	for _, operation := range []string{"barrier", "gather", "managed", "map"} {
		for _, kind := range kinds {
			for rank := range ranks {
				t.Run(fmt.Sprintf("%s/%s/%d", operation, kind.name, rank), func(t *testing.T) {
					r := dlprun.run(t, ranks, "faulty", operation, kind.name, strconv.Itoa(rank))
					require.NotZero(t, r.status, "%v", r)
					require.NotEqual(t, 124, r.status, "%v", r)
					var lines []string
					for line := range strings.Lines(r.stderr) {
						if strings.HasPrefix(line, "dlprun: ") {
							lines = append(lines, line)
						}
					}
					require.Len(t, lines, 1, "%v", r)
					require.Contains(t, lines[0], fmt.Sprintf("rank %d", rank))
					require.Contains(t, lines[0], kind.cause)
				})
			}
		}
	}
}
