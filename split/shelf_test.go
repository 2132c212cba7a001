package split

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func newShelf(ranks int) *shelf { return shelfOf(bytesOf(make([]uint64, shelfSize(ranks)/8))) }

func TestShelfKeepsBatchesInOrder(t *testing.T) {
	s := newShelf(2)
	p := newPicker(s, 1)
	run, ask := p.pick()
	require.Zero(t, run)
	require.Equal(t, nothing, ask)
	require.Zero(t, p.seen)

	require.Empty(t, s.place(batchGrant{spans: []span{{10, 15}, {3, 4}}, chunk: 2, low: 3}))
	var runs []span
	var asks []want
	for run, ask = p.pick(); run.len() > 0; run, ask = p.pick() {
		runs, asks = append(runs, run), append(asks, ask)
	}
	require.Equal(t, []span{{10, 12}, {12, 14}, {14, 15}, {3, 4}}, runs)
	require.Equal(t, []want{nothing, low, nothing, nothing}, asks, "said once")
	require.Equal(t, 1, p.seen)
	require.Equal(t, 6, s.noted())

	require.Empty(t, s.place(batchGrant{spans: []span{{20, 29}, {40, 42}}, chunk: 4, low: 1}))
	run, _ = p.pick()
	require.Equal(t, span{20, 24}, run)
	require.Equal(t, []span{{24, 29}, {40, 42}}, s.clear())
	require.Empty(t, s.clear())
	run, _ = p.pick()
	require.Zero(t, run)
	require.Equal(t, 2, p.seen)
}

func TestShelfThatIsFull(t *testing.T) {
	s := newShelf(1)
	var all []span
	for k := range shelfSlots + 2 {
		all = append(all, span{2 * k, 2*k + 1})
	}
	for range 3 { // around the ring
		require.Equal(t, all[shelfSlots:], s.place(batchGrant{spans: all, chunk: 1}))
		require.Equal(t, all[:shelfSlots], s.clear())
	}
	require.EqualValues(t, 3, s.batches.Load(), "whoever looks must not wait for what does not fit")
}

// However ranks take and the leader clears, while it puts batches there, each index
// goes to one of them; and who finds nothing has seen no batch of which something is left.
func TestShelfGivesEachIndexOnce(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8 * runtime.NumCPU())) // so that they are interrupted anywhere
	const n, ranks = 100_000, 4
	s := newShelf(ranks)
	runs := make([]atomic.Uint32, n) // by batch: how many were put with it and before
	taken := make([][]int, ranks+1)
	var wg sync.WaitGroup
	done := make(chan struct{})
	for r := range ranks {
		wg.Go(func() {
			p := newPicker(s, r)
			for {
				run, _ := p.pick()
				taken[r] = append(taken[r], indicesOf([]span{run})...)
				if run.len() > 0 {
					continue
				}
				if used := uint32(s.at.Load() >> runBits); used < runs[p.seen].Load() {
					t.Errorf("nothing of %d runs, after %d", runs[p.seen].Load(), used)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for lo := 0; lo < n; {
		var b batchGrant
		for k := range 1 + lo%7 {
			hi := min(lo+1+(lo+k)%8, n)
			b.spans, lo = append(b.spans, span{lo, hi}), hi
			if lo == n {
				break
			}
		}
		b.chunk = 1 + lo%5
		for rest := b.spans; len(rest) > 0; rest = s.place(batchGrant{spans: rest, chunk: b.chunk}) {
			end := s.end.Load()
			if free := shelfSlots - int(end-uint32(s.at.Load()>>runBits)); len(rest) <= free {
				runs[s.batches.Load()+1].Store(end + uint32(len(rest)))
			}
		}
		if lo%11 == 0 {
			taken[ranks] = append(taken[ranks], indicesOf(s.clear())...)
		}
	}
	taken[ranks] = append(taken[ranks], indicesOf(s.clear())...)
	close(done)
	wg.Wait()
	all := slices.Concat(taken...)
	slices.Sort(all)
	require.Equal(t, upToN(n), all)
}
