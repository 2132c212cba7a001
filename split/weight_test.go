package split

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Ranks of different speed are done at about the same time: nobody waits for a slow
// one that has as large a chunk as the others. Time is virtual.
func TestSlowRanksGetLess(t *testing.T) {
	const n = 200_000
	items := []time.Duration{10, 10, 10, 40, 80} // microseconds that an item takes, by rank
	makespan := runAtSpeeds(t, n, items)
	var speed float64
	for _, d := range items {
		speed += 1 / float64(d*time.Microsecond)
	}
	bound := time.Duration(n / speed)
	require.Less(t, makespan, bound*102/100, "%v is the least possible", bound)
}

// runAtSpeeds leads a manager through a loop whose requests take 20 µs, and
// returns how long it took.
func runAtSpeeds(t *testing.T, n int, micros []time.Duration) (makespan time.Duration) {
	const request = 20 * time.Microsecond
	ranks := len(micros)
	m := newManager(newConfig("Managed", n, nil), ranks)
	free, held := make([]time.Duration, ranks), make([]int, ranks)
	busy, asked := make([]time.Duration, ranks), make([]bool, ranks)
	for r := range ranks {
		m.hello(r, hello{items: n})
	}
	for !m.over {
		r := soonest(free, asked)
		asked[r] = true
		m.report(r, &report{want: wantNow, done: held[r], busy: busy[r], wait: request})
		makespan = max(makespan, free[r])
		held[r], busy[r] = 0, 0
		for _, d := range m.decided() {
			if d.what != kindGrant {
				continue
			}
			k := countSpans(d.grant.spans)
			held[d.rank], busy[d.rank], asked[d.rank] = k, time.Duration(k)*micros[d.rank]*time.Microsecond, false
			free[d.rank] = max(free[d.rank], free[r]) + request + busy[d.rank]
		}
	}
	require.NoError(t, m.err)
	return makespan
}

// soonest returns the rank that is through first with what it has.
func soonest(free []time.Duration, asked []bool) int {
	first := -1
	for r := range free {
		if !asked[r] && (first < 0 || free[r] < free[first]) {
			first = r
		}
	}
	return first
}
