package split

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
)

// twoHosts are seven ranks, of which 2 leads 3 to 6.
var twoHosts = []string{"a", "a", "b", "b", "b", "b", "b"}

// onTwoHosts runs body on them and returns what it returned on each.
func onTwoHosts(t *testing.T, body func(ctx context.Context, c *mpi.Comm) error) []error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	errs := make([]error, len(twoHosts))
	require.NoError(t, mpi.RunLocalOn(ctx, twoHosts, func(ctx context.Context, c *mpi.Comm) error {
		errs[c.Rank()] = body(ctx, c)
		return c.Barrier(ctx)
	}))
	return errs
}

func TestWhoLeadsWhom(t *testing.T) {
	hosts := []string{"a", "b", "a", "c", "b", "b"}
	require.NoError(t, mpi.RunLocalOn(t.Context(), hosts, func(_ context.Context, c *mpi.Comm) error {
		leaderOf, ranksOf := ledRanks(c)
		if fmt.Sprint(leaderOf, ranksOf) != "[0 1 0 0 1 1] map[1:[1 4 5]]" {
			return fmt.Errorf("leaders are %v of %v", leaderOf, ranksOf)
		}
		if isLed(c) != (leaderOf[c.Rank()] != 0) {
			return errors.New("whether it is led")
		}
		return nil
	}))
}

// An index goes by the shelf, to whichever rank of the host is free.
func TestShelfFeedsAHost(t *testing.T) {
	const n = 4000
	var mu sync.Mutex
	var all []int
	picked, batches := 0, 0
	errs := onTwoHosts(t, func(ctx context.Context, c *mpi.Comm) error {
		loop := Managed(ctx, c, n)
		for i := range loop.All() {
			time.Sleep(200 * time.Microsecond)
			mu.Lock()
			all = append(all, i)
			mu.Unlock()
		}
		mu.Lock()
		defer mu.Unlock()
		if loop.hand.picker != nil {
			picked += loop.hand.picker.done
		}
		err := loop.Err()
		if c.IsRoot() {
			loop.server.mu.Lock()
			defer loop.server.mu.Unlock()
			batches = loop.server.m.hosts[0].batches
		}
		return err
	})
	require.Equal(t, make([]error, len(twoHosts)), errs)
	slices.Sort(all)
	require.Equal(t, upToN(n), all)
	require.Positive(t, batches)
	require.Positive(t, picked)
}

// A Map on led ranks gives its results in order, names the right ranks, and tries what
// failed once more.
func TestMapOfLedRanks(t *testing.T) {
	const n = 3000
	for _, opts := range [][]Option{nil, {Window(200)}, {Chunk(3)}, {Workers(3)}, {Journal(filepath.Join(t.TempDir(), "j"))}} {
		var mu sync.Mutex
		failed := map[int]int{} // item: rank
		var got []int
		errs := onTwoHosts(t, func(ctx context.Context, c *mpi.Comm) error {
			r := Map(ctx, c, n, func(_ context.Context, i int) (int, error) {
				time.Sleep(100 * time.Microsecond)
				mu.Lock()
				defer mu.Unlock()
				if at, ok := failed[i]; i%100 == 7 && !ok {
					failed[i] = c.Rank()
					return 0, errors.New("at first")
				} else if i%100 == 7 && at == c.Rank() {
					return 0, errors.New("on the same rank")
				}
				if i%1000 == 8 {
					failed[i] = c.Rank()
					return 0, errors.New("always")
				}
				return 3 * i, nil
			}, append(opts, Retries(1), MaxFailures(n/1000))...)
			for i, v := range r.All() {
				if v != 3*i {
					return fmt.Errorf("item %d gave %d", i, v)
				}
				got = append(got, i)
			}
			return r.Err()
		})
		require.Len(t, got, n-n/1000)
		require.True(t, slices.IsSorted(got))
		for r, err := range errs {
			var f *TaskError
			require.ErrorAs(t, err, &f, "rank %d", r)
			require.Equal(t, failed[f.Index], f.Rank)
			require.Equal(t, twoHosts[f.Rank], f.Host)
			require.Equal(t, 2, f.Attempts)
		}
	}
}

// The leader leaves its loop at once, by itself or since its ctx ends, and goes on
// leading.
func TestLeaderThatLeaves(t *testing.T) {
	const n = 2000
	for _, cancelled := range []bool{false, true} {
		var mu sync.Mutex
		ranks := map[int]int{}
		errs := onTwoHosts(t, func(ctx context.Context, c *mpi.Comm) error {
			own, cancel := context.WithCancel(ctx)
			defer cancel()
			loop := Managed(own, c, n)
			for range loop.All() {
				mu.Lock()
				ranks[c.Rank()]++
				mu.Unlock()
				if c.Rank() == 2 && cancelled {
					cancel()
				} else if c.Rank() == 2 {
					break
				}
				time.Sleep(100 * time.Microsecond)
			}
			return loop.Err()
		})
		want := make([]error, len(twoHosts))
		if want[2] = errs[2]; cancelled && ranks[2] > 0 {
			require.ErrorIs(t, errs[2], context.Canceled)
		}
		require.Equal(t, want, errs)
		require.LessOrEqual(t, ranks[2], 1)
		sum := 0
		for _, k := range ranks {
			sum += k
		}
		require.Equal(t, n, sum)
	}
}

// All ranks of a host leave while it has a batch, which others then do; one of them
// never iterates.
func TestHostThatLeaves(t *testing.T) {
	const n = 4000
	var mu sync.Mutex
	var all []int
	errs := onTwoHosts(t, func(ctx context.Context, c *mpi.Comm) error {
		loop := Managed(ctx, c, n)
		mine := 0
		for i := range loop.All() {
			mu.Lock()
			all = append(all, i)
			mu.Unlock()
			if mine++; c.Rank() >= 2 && mine == 100 {
				break
			}
			if c.Rank() == 6 {
				break
			}
			time.Sleep(100 * time.Microsecond)
		}
		return loop.Err()
	})
	require.Equal(t, make([]error, len(twoHosts)), errs)
	slices.Sort(all)
	require.Equal(t, upToN(n), all)
}

// A led rank that disagrees is named, and heard of by all.
func TestLedRanksThatDisagree(t *testing.T) {
	for _, rank := range []int{2, 5} {
		errs := onTwoHosts(t, func(ctx context.Context, c *mpi.Comm) error {
			key := func(i int) string { return fmt.Sprint("k", i) }
			if c.Rank() == rank {
				key = func(i int) string { return fmt.Sprint("k", i/5*5) }
			}
			loop := Managed(ctx, c, 10, Keys(key))
			for range loop.All() {
			}
			return loop.Err()
		})
		for _, err := range errs {
			require.ErrorIs(t, err, ErrDisagree)
			require.ErrorContains(t, err, fmt.Sprintf(`item 1 is "k1" on rank 0 and "k0" on rank %d`, rank))
		}
	}
}

// A rank that fails ends the job, be it the leader.
func TestLeaderThatFails(t *testing.T) {
	for _, rank := range []int{2, 4} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := mpi.RunLocalOn(ctx, twoHosts, func(ctx context.Context, c *mpi.Comm) error {
			loop := Managed(ctx, c, 1_000_000)
			for i := range loop.All() {
				if c.Rank() == rank && i > 1000 {
					return errors.New("out of luck")
				}
				time.Sleep(100 * time.Microsecond)
			}
			return loop.Err()
		})
		cancel()
		require.EqualError(t, err, fmt.Sprintf("rank %d: out of luck", rank))
	}
}

// A request to come to an end, at a led rank, ends the loop on all: what is on the
// shelf is not begun.
func TestStopOfALedRank(t *testing.T) {
	done := make([]int, len(twoHosts))
	errs := onTwoHosts(t, func(ctx context.Context, c *mpi.Comm) error {
		loop := Managed(ctx, c, 100_000)
		for range loop.All() {
			if done[c.Rank()]++; c.Rank() == 4 && done[4] == 200 {
				c.Stop()
			}
			time.Sleep(100 * time.Microsecond)
		}
		return loop.Err()
	})
	sum := 0
	for _, k := range done {
		sum += k
	}
	for _, err := range errs {
		require.ErrorIs(t, err, mpi.ErrStopped)
		require.ErrorContains(t, err, fmt.Sprintf("%d of 100000 items are done", sum))
	}
}

// However many send it at once, mail keeps its order; it brings what is noted on the
// shelf, and must not grow for long.
func TestMailKeepsItsOrder(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8 * runtime.NumCPU())) // so that they are interrupted anywhere
	const n, posters = 40_000, 8
	errs := make([]error, 2)
	require.NoError(t, mpi.RunLocalOn(t.Context(), []string{"a", "b"}, func(ctx context.Context, c *mpi.Comm) error {
		if c.Rank() == 1 {
			l := &leader{comm: c, timer: time.NewTimer(time.Hour), shelf: newShelf(1)}
			l.shelf.done[0].Store(7)
			var numbers sync.Mutex
			var posting sync.WaitGroup
			next := 0
			for range posters {
				posting.Go(func() {
					for range n / posters {
						numbers.Lock()
						l.add(next, nil)
						next++
						numbers.Unlock()
						l.post(ctx)
					}
				})
			}
			posting.Wait()
			if l.add(0, make([]byte, mailBytes/2)) || !l.add(0, make([]byte, mailBytes/2)) {
				errs[1] = errors.New("when mail is full")
			}
			return nil
		}
		for next := 0; next < n; {
			b, _, err := c.Recv(ctx, 1, tag)
			if err != nil {
				return err
			}
			noted, entries, err := decodeMail(b[1:], nil)
			if err != nil || noted != 7 {
				return fmt.Errorf("%d are noted: %w", noted, err)
			}
			for _, e := range entries {
				if e.rank != next && errs[0] == nil {
					errs[0] = fmt.Errorf("%d comes in the place of %d", e.rank, next)
				}
				next++
			}
		}
		return nil
	}))
	require.Equal(t, make([]error, 2), errs)
}

// What is urgent goes out at once; where rank 0 sends nonsense, each rank hears of it; the
// leader's memory goes with the last who uses it, and its processor with the last rank.
func TestLeaderThatHearsNonsense(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, mpi.RunLocalOn(ctx, []string{"a", "b", "b"}, func(ctx context.Context, c *mpi.Comm) error {
		comm, err := c.Private("test", 0)
		if err != nil {
			return err
		}
		if comm.IsRoot() {
			for heard := 0; heard < 2; {
				b, _, err := comm.Recv(ctx, 1, tag)
				if err != nil {
					return err
				}
				_, entries, err := decodeMail(b[1:], nil)
				if heard += len(entries); err != nil {
					return err
				}
			}
			return comm.Send(ctx, 1, tag, []byte{99})
		}
		here, freed := comm.PrivateOnHost(), 0
		l := &leader{comm: comm, here: here, ranks: []int{1, 2}, loan: borrowProcessor(), timer: time.NewTimer(time.Hour), free: func() { freed++ }}
		l.users.Store(3)
		if err := here.Send(ctx, 0, tag, (&report{leave: true}).append(nil)); err != nil {
			return err
		}
		if here.IsRoot() {
			l.collect(ctx) // its timer posts nothing
			l.handOut(ctx)
		}
		b, _, err := here.Recv(ctx, 0, clientTag)
		if err != nil || len(b) != 0 {
			return fmt.Errorf("rank %d hears %q: %w", c.Rank(), b, err)
		}
		if !here.IsRoot() {
			l.loan.giveBack()
			return nil
		}
		for _, nonsense := range [][]byte{nil, {byte(kindBatch)}, {byte(kindClear)}} { // it has no shelf
			if err := l.obey(ctx, nonsense); !errors.Is(err, errMalformed) {
				return fmt.Errorf("the leader obeys %q: %w", nonsense, err)
			}
		}
		if freed > 0 || !l.loan.returned {
			return errors.New("the memory has gone, or the processor not")
		}
		l.done()
		if freed != 1 {
			return errors.New("the memory stays")
		}
		return nil
	}))
}

func TestMailStaysWhole(t *testing.T) {
	entries := []entry{{3, []byte("hello")}, {2, nil}, {3, []byte{0}}}
	var b []byte
	for _, e := range entries {
		b = appendEntry(b, e)
	}
	b = appendMail(nil, 77, b)
	noted, got, err := decodeMail(b[1:], nil)
	require.NoError(t, err)
	require.Equal(t, 77, noted)
	require.Equal(t, fmt.Sprint(entries), fmt.Sprint(got))
	for n := 1; n < len(b)-1; n++ {
		if _, got, err := decodeMail(b[1:1+n], nil); err == nil {
			require.Less(t, len(got), len(entries), "cut at the end of an entry")
		}
	}

	letters := []letter{
		{led: 2, body: []byte("end")}, {led: 3, body: []byte("end")}, {body: []byte("batch")}, {body: []byte("batch")}, {led: 3, body: []byte("x")},
	}
	var back []string
	require.NoError(t, eachLetter(appendLetters(nil, letters), nil, func(ranks []int, body []byte) {
		back = append(back, fmt.Sprint(ranks, string(body)))
	}))
	require.Equal(t, []string{"[2 3]end", "[]batch", "[]batch", "[3]x"}, back)
	for _, bad := range [][]byte{nil, {byte(kindGrant)}, {byte(kindMail), 200}, {byte(kindMail), 1}} {
		require.Error(t, eachLetter(bad, nil, func([]int, []byte) { t.Error("a letter") }))
	}
	for name, b := range map[string]batchGrant{"no chunk": {spans: []span{{1, 2}}}, "low": {spans: []span{{1, 2}}, chunk: 1, low: -1}, "nothing": {chunk: 1}} {
		_, err := decodeBatch((&decision{what: kindBatch, batch: b}).append(nil)[1:])
		require.Error(t, err, name)
	}
}
