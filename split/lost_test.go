package split

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// newPoisoned returns a drive of so many ranks of which the last was lost with item 0
// in hand while rank 0 waits for something to do. Those of late have not come yet.
func newPoisoned(t *testing.T, ranks int, late ...int) *drive {
	cfg := newConfig("Managed", 1, []Option{Chunk(1), Retries(1)})
	require.NoError(t, cfg.check())
	d := &drive{manager: newManager(cfg, ranks)}
	d.goesOn = true
	for r := range ranks {
		if !slices.Contains(late, r) {
			d.hello(r, hello{items: 1})
		}
	}
	d.ask(ranks-1, 0)
	d.ask(0, 0)
	d.told()
	d.lose(ranks - 1)
	return d
}

func (d *drive) lose(rank int) {
	d.manager.lost(rank, "there", errors.New("killed"))
	d.note()
}

// Rank 0 has asked first, and does not get what a rank was lost by.
func TestManagerSparesRank0(t *testing.T) {
	d := newPoisoned(t, 5, 3)
	require.Empty(t, d.told(), "rank 3 is yet to come")
	d.ask(2, 0)
	require.Equal(t, []string{"2 gets [{0 1}]"}, d.told())
	d.ask(1, 0)
	d.lose(2)
	require.Equal(t, []string{"1 gets [{0 1}]"}, d.told())
	d.hello(3, hello{items: 1})
	d.lose(1)
	require.EqualError(t, d.err, "split: Managed: item 0 failed on rank 1 (there) at attempt 3: it killed 3 ranks: 4, 2, 1; the last: killed")
}

// It gets it when no other rank can be waited for: else all would wait for ever.
func TestManagerGivesRank0WhatNobodyElseTakes(t *testing.T) {
	rank0 := "0 gets [{0 1}]"

	d := newPoisoned(t, 2)
	require.Equal(t, []string{rank0}, d.told(), "nobody else is left")

	d = newPoisoned(t, 3)
	require.Equal(t, []string{rank0}, d.told(), "rank 1 has come, and does not ask")

	d = newPoisoned(t, 3, 1)
	require.Empty(t, d.told())
	d.hello(1, hello{items: 1})
	require.Equal(t, []string{rank0}, d.told(), "rank 1 has come, and does not ask")

	d = newPoisoned(t, 3, 1)
	d.lose(1)
	require.Equal(t, []string{rank0}, d.told(), "rank 1 will not come")

	d = newPoisoned(t, 3, 1)
	d.ask(1, 0)
	d.lose(1)
	require.Equal(t, []string{"1 gets [{0 1}]", rank0}, d.told(), "it was the last, and was lost")

	d = newPoisoned(t, 3, 1)
	d.ask(1, 0)
	d.report(1, &report{leave: true})
	require.Equal(t, []string{"1 gets [{0 1}]", "1 ends", rank0}, d.told(), "it was the last, and has left")
}

// What a rank was lost by, and then fails, goes to the same rank again rather than to
// rank 0, if there is no third.
func TestManagerRetriesBesideRank0(t *testing.T) {
	d := newPoisoned(t, 3, 1)
	d.ask(1, 0)
	d.report(1, &report{failures: []*TaskError{{Index: 0, Err: errors.New("no")}}})
	d.ask(1, 0)
	require.Equal(t, []string{"1 gets [{0 1}]", "1 gets [{0 1}]"}, d.told())
}

// A rank with several workers asks while one of them does, alone, what another rank was
// lost by, and gets the next item when that is done, though it does not ask then.
func TestManagerGoesOnAfterASuspect(t *testing.T) {
	cfg := newConfig("Map", 3, []Option{Chunk(1)})
	d := &drive{manager: newManager(cfg, 2)}
	d.goesOn = true
	d.hello(0, hello{items: 3})
	d.hello(1, hello{items: 3})
	d.ask(1, 0)
	d.lose(1)
	d.ask(0, 0)
	require.Equal(t, []string{"1 gets [{0 1}]", "0 gets [{0 1}]"}, d.told())
	d.ask(0, 0)
	require.Empty(t, d.told(), "one of its workers is busy with what rank 1 was lost by")
	d.report(0, &report{indices: []int{0}})
	require.Equal(t, []string{"0 gets [{1 2}]"}, d.told())
}
