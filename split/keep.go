package split

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/dlprun/dlp/internal/codec"
	"github.com/dlprun/dlp/internal/journal"
)

// A sink is where the results of a Map go at the root.
type sink interface {
	// arrived is told what a rank reports, before the manager counts it.
	arrived(rank int, r *report)

	// failed is told which items have failed, before the loop is seen to be over.
	failed(indices []int)

	// replay is told what an earlier run has kept. It sets done of each index, and
	// drops those for which that was set.
	replay(b journal.Batch, done []bool) error
}

// A keeper keeps the journal of a loop, at the root.
type keeper struct {
	j    *journal.Journal
	done []bool // by index: in earlier runs
	once sync.Once
	err  error // of close
}

// openKeeper opens cfg's journal, and gives what is in it to the sink, which is nil
// if there are no results.
func openKeeper(cfg *config, ranks int, to sink) (*keeper, error) {
	k := &keeper{done: make([]bool, cfg.items)}
	h := journal.Header{Items: cfg.items, Keys: cfg.fingerprint(), Label: cfg.label, Result: cfg.result}
	run := journal.Run{Started: time.Now().Truncate(time.Second), Ranks: ranks}
	j, torn, err := journal.Open(cfg.journal, h, run, func(b journal.Batch) error {
		for _, i := range b.Indices {
			if i >= cfg.items {
				return fmt.Errorf("it has item %d of %d", i, cfg.items)
			}
		}
		if to != nil {
			return to.replay(b, k.done)
		}
		for _, i := range b.Indices {
			k.done[i] = true
		}
		return nil
	})
	if err != nil {
		return nil, cfg.errorf("%w", err)
	}
	if torn > 0 {
		fmt.Fprintf(os.Stderr, "dlp: the journal %s: cut off %d bytes that were not written whole; what they were about runs again\n", cfg.journal, torn)
	}
	k.j = j
	return k, nil
}

// append keeps what a rank has done.
func (k *keeper) append(rank int, indices []int, results []byte) error {
	return k.j.Append(journal.Batch{Rank: rank, Indices: indices, Body: results})
}

// close ends the keeping. It blocks until the disk has everything.
func (k *keeper) close() error {
	if k == nil {
		return nil
	}
	k.once.Do(func() { k.err = k.j.Close() })
	return k.err
}

// replay decodes the results of earlier runs; see sink.
func (s *stock[R]) replay(b journal.Batch, done []bool) error {
	stream := [2]int{b.Run, b.Rank}
	if s.earlier == nil {
		s.earlier = map[[2]int]*codec.Reader[R]{}
	}
	reader := s.earlier[stream]
	if reader == nil {
		reader = codec.NewReader[R]()
		s.earlier[stream] = reader
	}
	reader.Feed(b.Body)
	for _, i := range b.Indices {
		v, err := reader.Next()
		if err != nil {
			return fmt.Errorf("the result of item %d: %w", i, err)
		}
		if !done[i] {
			done[i] = true
			s.add(i, v)
		}
	}
	return nil
}
