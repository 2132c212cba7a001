package split

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/dlprun/dlp/internal/journal"
)

// A keeper keeps the journal of a loop, at the root.
type keeper struct {
	j    *journal.Journal
	done []bool // by index: in earlier runs
	once sync.Once
	err  error // of close
}

// openKeeper opens cfg's journal for a run on so many ranks.
func openKeeper(cfg *config, ranks int) (*keeper, error) {
	k := &keeper{done: make([]bool, cfg.items)}
	h := journal.Header{Items: cfg.items, Keys: cfg.fingerprint(), Label: cfg.label}
	if cfg.result != nil {
		h.Result = cfg.result()
	}
	run := journal.Run{Started: time.Now().Truncate(time.Second), Ranks: ranks}
	j, torn, err := journal.Open(cfg.journal, h, run, func(b journal.Batch) error {
		for _, i := range b.Indices {
			if i >= cfg.items {
				return fmt.Errorf("it has item %d of %d", i, cfg.items)
			}
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

// append keeps what a rank has done, unless that is strange, which the manager will
// say.
func (k *keeper) append(rank int, indices []int, results []byte) error {
	if k == nil || len(indices) == 0 {
		return nil
	}
	for _, i := range indices {
		if i < 0 || i >= len(k.done) {
			return nil
		}
	}
	if err := k.j.Append(journal.Batch{Rank: rank, Indices: indices, Body: results}); err != nil {
		return fmt.Errorf("the journal: %w", err)
	}
	return nil
}

// close ends the keeping. Unless all items are done it blocks until the disk has
// what is: only then will somebody go on from there.
func (k *keeper) close(complete bool) error {
	if k == nil {
		return nil
	}
	k.once.Do(func() {
		end := k.j.Close
		if complete {
			end = k.j.Leave
		}
		if err := end(); err != nil {
			k.err = fmt.Errorf("the journal: %w", err)
		}
	})
	return k.err
}
