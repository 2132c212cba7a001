package mpi

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi/launch"
)

// Ranks share the processors of their host, unless the launcher has bound them to
// different ones.
func TestRanksThatShareProcessors(t *testing.T) {
	j := &job{peers: []launch.Peer{
		{HostID: "a", CPUs: "0-3"}, {HostID: "a", CPUs: "0-3"}, {HostID: "a", CPUs: "4-7"}, {HostID: "b", CPUs: "0-3"}, {HostID: "c"}, {HostID: "c"},
	}}
	for rank, want := range []int{2, 2, 1, 1, 2, 2} {
		require.Equal(t, want, j.sharing(rank), "rank %d", rank)
	}
}
