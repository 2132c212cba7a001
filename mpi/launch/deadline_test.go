package launch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDeadline(t *testing.T) {
	for _, c := range []struct{ ours, slurm, want string }{
		{"", "", ""}, {"none", "1700000000", ""}, {"", "soon", ""}, {"", "0", ""},
		{"", "1700000000", "1700000000"}, {"1600000000", "1700000000", "1600000000"},
	} {
		got, err := deadline(func(name string) string {
			return map[string]string{"DLP_DEADLINE": c.ours, "SLURM_JOB_END_TIME": c.slurm}[name]
		})
		require.NoError(t, err)
		want := time.Time{}
		if c.want != "" {
			want = time.Unix(map[string]int64{"1700000000": 1.7e9, "1600000000": 1.6e9}[c.want], 0)
		}
		require.Equal(t, want, got, "%v", c)
	}
	for _, bad := range []string{"1h", "-5", "0", "2026-01-01"} {
		_, err := deadline(func(string) string { return bad })
		require.ErrorContains(t, err, "DLP_DEADLINE is \""+bad+"\": use seconds since 1970 (date -d '+1 hour' +%s), or none")
	}
}
