package split

import (
	"fmt"
	"slices"

	"github.com/dlprun/dlp/internal/codec"
	"github.com/dlprun/dlp/internal/journal"
)

// A past is the results of earlier runs in the journal, as the root's loop reads
// them.
type past[R any] struct {
	from    *journal.Earlier
	due     []bool // by index: to be delivered
	left    int    // of due
	streams map[[2]int]*codec.Reader[R]
}

func (p *past[R]) open(k *keeper) {
	p.from, p.due = k.j.Earlier(), slices.Clone(k.done)
	p.streams = map[[2]int]*codec.Reader[R]{}
	for _, due := range p.due {
		if due {
			p.left++
		}
	}
}

func (p *past[R]) has(i int) bool { return i < len(p.due) && p.due[i] }

// next delivers the next batch, and reports whether to go on.
func (p *past[R]) next(deliver func(int, outcome[R]) bool) (bool, error) {
	b, err := p.from.Next()
	if err != nil {
		return false, err
	}
	stream := [2]int{b.Run, b.Rank}
	reader := p.streams[stream]
	if reader == nil {
		reader = codec.NewReader[R]()
		p.streams[stream] = reader
	}
	reader.Feed(b.Body)
	for _, i := range b.Indices {
		v, err := reader.Next()
		if err != nil {
			return false, fmt.Errorf("the result of item %d: %w", i, err)
		}
		if !p.has(i) {
			continue
		}
		p.due[i] = false
		p.left--
		if !deliver(i, outcome[R]{value: v}) {
			return false, nil
		}
	}
	return true, nil
}

// recall delivers results of earlier runs, and reports whether to go on. Where they
// go in index order it stops when as many wait as may, unless the next one is still
// to be read: what is in the file need not be in memory.
func (r *Results[R]) recall(deliver func(int, outcome[R]) bool) bool {
	p := &r.past
	for p.left > 0 && (r.cfg.unbounded || len(r.early) < r.cfg.window || p.has(r.next)) {
		if r.hand.is(byItself) && !r.hand.is(complete) {
			return false
		}
		on, err := p.next(deliver)
		if err != nil {
			err = fmt.Errorf("the journal %s: %w", r.cfg.journal, err)
			r.server.end(r.cfg.errorf("%w", r.server.keep.here(err)))
		}
		if !on {
			return false
		}
	}
	return true
}
