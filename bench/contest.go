package main

import (
	"context"
	"sync"
)

// A contest measures its sides in turn, round by round, so that what else the
// machine does hits all of them alike, and holds what it measured against rules.
type contest struct {
	budget string // its number
	title  string
	sides  []side // ours first
	rules  []rule
	long   bool // takes minutes: a run of everything has few rounds of it
	near   bool // its sides differ by less than the rounds of one: it has twice as many
	atOnce bool // all rounds at the same time: the clock decides nothing that is measured
}

// A rule compares a figure of ours with one of a peer, or with a fixed limit.
type rule struct {
	what  string   // what is compared, beyond the contest's title
	ours  figure   // most often of the first side
	peers []figure // the best of them counts; none: ours is held against the limit itself
	name  string   // of the peer, if it is not its side's
	limit float64  // at most so much, or so many times the peer's; 0: for comparison only
	unit  unit
}

// A figure is one that a side measures.
type figure struct {
	side int
	name string
}

// measured is what one side of a contest measured: by figure, a value for each
// round.
type measured struct {
	values map[string][]float64
	err    error // why it was given up
}

// run measures all sides in each of some rounds.
func (c contest) run(ctx context.Context, w *workshop, rounds int) []measured {
	all := make([]measured, len(c.sides))
	for i := range all {
		all[i].values = map[string][]float64{}
	}
	if c.atOnce {
		for i, s := range c.sides {
			all[i].addAll(s.atOnce(ctx, w, rounds))
		}
		return all
	}
	for range rounds {
		for i, s := range c.sides {
			if all[0].err == nil && all[i].err == nil { // without ours nobody needs a peer
				f, err := s.once(ctx, w)
				all[i].addAll([]figures{f}, err)
			}
		}
	}
	return all
}

func (m *measured) addAll(rounds []figures, err error) {
	if err != nil {
		m.err = err
		return
	}
	for _, f := range rounds {
		for name, value := range f {
			m.values[name] = append(m.values[name], value)
		}
	}
}

// once measures a side.
func (s side) once(ctx context.Context, w *workshop) (figures, error) {
	c, err := s.make(ctx, w)
	if err != nil {
		return nil, err
	}
	return s.measured(ctx, c)
}

func (s side) measured(ctx context.Context, c command) (figures, error) {
	if s.measure == nil {
		return c.figures(ctx)
	}
	return s.measure(ctx, c)
}

// atOnce measures a side several times at the same time.
func (s side) atOnce(ctx context.Context, w *workshop, rounds int) ([]figures, error) {
	c, err := s.make(ctx, w)
	if err != nil {
		return nil, err
	}
	all, errs := make([]figures, rounds), make([]error, rounds)
	var wg sync.WaitGroup
	for i := range rounds {
		wg.Go(func() { all[i], errs[i] = s.measured(ctx, c) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}
