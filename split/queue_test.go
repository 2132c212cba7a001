package split

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQueueFirstGivesWhatCameBack(t *testing.T) {
	q := newQueue(10, nil)
	require.Equal(t, []span{{0, 4}}, q.pop(4, nil))
	q.giveBack([]span{{1, 3}})
	require.Equal(t, 8, q.left())
	require.Equal(t, []span{{1, 3}, {4, 6}}, q.pop(4, nil))
	require.Equal(t, []span{{6, 10}}, q.pop(99, nil))
	require.Empty(t, q.pop(1, nil))
	require.Zero(t, q.left())
}

func TestQueueKeepsItsOrder(t *testing.T) {
	q := newQueue(5, []int{3, 4, 0, 2, 1})
	require.True(t, q.take(0), "out of turn")
	require.False(t, q.take(0), "twice")
	require.Equal(t, 4, q.left())
	require.Equal(t, []span{{3, 5}, {2, 3}}, q.pop(3, nil))
	require.False(t, q.take(3))
	require.Equal(t, []span{{1, 2}}, q.pop(3, nil))
	require.Zero(t, q.left())
}

func TestQueueWithoutAnEndIsCut(t *testing.T) {
	q := newQueue(unknown, nil)
	require.Equal(t, math.MaxInt, q.left())
	require.Equal(t, []span{{0, 10}}, q.pop(10, nil))
	q.giveBack([]span{{3, 7}})
	q.cut(5)
	require.Equal(t, 2, q.left())
	require.Equal(t, []span{{3, 5}}, q.pop(10, nil))
}

// Whatever is done to a queue, each index is in it or out of it.
func TestQueueLosesNothing(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		n := r.IntN(40)
		var order []int
		never := map[int]bool{} // not in it
		if seed%2 == 0 {
			order = r.Perm(n)
			for range r.IntN(n+1) * int(seed%4) / 2 {
				never[order[0]] = true
				order = order[1:]
			}
		}
		q, out := newQueue(n, order), map[int]bool{}
		for range 100 {
			switch r.IntN(3) {
			case 0:
				for _, s := range q.pop(r.IntN(5), nil) {
					for i := s.lo; i < s.hi; i++ {
						require.False(t, out[i], "index %d twice", i)
						out[i] = true
					}
				}
			case 1:
				i := r.IntN(n + 1)
				if order == nil && !out[i] && i != q.next {
					continue // the manager asks for the first that nobody had
				}
				there := i < n && !out[i] && !never[i]
				require.Equal(t, there, q.take(i), "take %d", i)
				if there {
					out[i] = true
				}
			case 2:
				for i := range out {
					q.giveBack([]span{{i, i + 1}})
					delete(out, i)
					break
				}
			}
			require.Equal(t, n-len(never)-len(out), q.left())
		}
	}
}
