package main

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEachBudgetHasAContest(t *testing.T) {
	have := map[string]bool{}
	for _, c := range contests() {
		have[c.budget] = true
	}
	for n := 1; n <= 14; n++ {
		require.True(t, have[strconv.Itoa(n)], "budget %d", n)
	}
	require.True(t, have["mpi"])
	require.True(t, have["journal"])
}

func TestRulesSpeakOfSidesThatExist(t *testing.T) {
	for _, c := range contests() {
		require.NotEmpty(t, c.rules, c.title)
		for _, r := range c.rules {
			require.True(t, r.limit > 0 || len(r.peers) > 0, "%s: a rule that compares with nothing", c.title)
			for _, f := range append([]figure{r.ours}, r.peers...) {
				require.Less(t, f.side, len(c.sides), c.title)
				require.NotEmpty(t, f.name, c.title)
			}
		}
		for _, s := range c.sides {
			require.NotEmpty(t, s.name, c.title)
		}
	}
}

func TestChoose(t *testing.T) {
	all, err := choose(contests(), "")
	require.NoError(t, err)
	require.Len(t, all, len(contests()))

	some, err := choose(contests(), "9,1")
	require.NoError(t, err)
	require.Equal(t, []string{"1", "1", "1", "9"}, []string{some[0].budget, some[1].budget, some[2].budget, some[3].budget})
	require.Len(t, some, 4)

	_, err = choose(contests(), "1,15")
	require.EqualError(t, err, `-only: there is no budget "15"; there are 1, 2, 3, 4, 5, 6, 7, 8, 9, journal, 10, 11, 12, 13, mpi, 14, also`)
}
