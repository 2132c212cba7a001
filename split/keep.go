package split

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/dlprun/dlp/internal/journal"
	"github.com/dlprun/dlp/mpi"
)

// A keeper keeps the journal of a loop, at the root. A goroutine of its own writes, so
// that ranks go on meanwhile.
type keeper struct {
	j    *journal.Journal
	host string // of rank 0
	done []bool // by index: in earlier runs

	mu      sync.Mutex
	closed  bool
	line    chan journal.Batch // to be written
	spare   chan []byte        // memory of rank 0's results that are written; nil if others read it too
	written chan struct{}      // closed after the last of line
	once    sync.Once
	err     error // of close
}

// lineLen is how many batches may wait to be written. They are of 128 KiB, mostly.
const lineLen = 16

// openKeeper opens cfg's journal for a run on the ranks of comm.
func openKeeper(cfg *config, comm *mpi.Comm) (*keeper, error) {
	k := &keeper{host: comm.Host(mpi.Root), done: make([]bool, cfg.items), line: make(chan journal.Batch, lineLen), written: make(chan struct{})}
	h := journal.Header{Items: cfg.items, Keys: cfg.fingerprint(), Label: cfg.label}
	if cfg.result != nil {
		h.Result = cfg.result()
	}
	if cfg.copies {
		k.spare = make(chan []byte, 2)
	}
	run := journal.Run{Started: time.Now().Truncate(time.Second), Ranks: comm.Size()}
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
		return nil, cfg.errorf("%w", k.here(err))
	}
	if torn > 0 {
		fmt.Fprintf(os.Stderr, "dlp: the journal %s: cut off %d bytes that were not written whole; what they were about runs again\n", cfg.journal, torn)
	}
	k.j = j
	return k, nil
}

// append keeps what a rank has done, unless that is strange, which the manager will
// say. It blocks only where the disk does not keep up. What it was given must not
// change.
func (k *keeper) append(rank int, indices []int, results []byte) {
	if k == nil || len(indices) == 0 {
		return
	}
	for _, i := range indices {
		if i < 0 || i >= len(k.done) {
			return
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.closed {
		k.line <- journal.Batch{Rank: rank, Indices: indices, Body: results}
	}
}

// write writes what append is given, until close, and in one piece what has come
// while it wrote: that costs the system less. After the first error, which it tells
// fail, nothing more is kept.
func (k *keeper) write(fail func(error)) {
	defer close(k.written)
	failed := false
	batches := make([]journal.Batch, 0, lineLen+1)
	for b := range k.line {
		batches = append(batches, b)
		for len(k.line) > 0 && len(batches) < cap(batches) {
			batches = append(batches, <-k.line)
		}
		err := k.j.Append(batches...)
		k.release(batches)
		clear(batches)
		batches = batches[:0]
		if err != nil && !failed {
			failed = true
			go fail(k.here(fmt.Errorf("the journal: %w", err))) // which may wait for one who waits for this line
		}
	}
}

// release gives back the memory of batches that have been written.
func (k *keeper) release(batches []journal.Batch) {
	for _, b := range batches {
		if b.Rank == mpi.Root && b.Body != nil && cap(b.Body) <= mostKept {
			select {
			case k.spare <- b.Body:
			default:
			}
		}
	}
}

// here says where err has happened: all ranks get it.
func (k *keeper) here(err error) error { return fmt.Errorf("on rank 0 (%s): %w", k.host, err) }

// close ends the keeping. Unless all items are done it blocks until the disk has
// what is: only then will somebody go on from there.
func (k *keeper) close(complete bool) error {
	if k == nil {
		return nil
	}
	k.once.Do(func() {
		k.mu.Lock()
		k.closed = true
		close(k.line)
		k.mu.Unlock()
		<-k.written
		end := k.j.Close
		if complete {
			end = k.j.Leave
		}
		if err := end(); err != nil {
			k.err = k.here(fmt.Errorf("the journal: %w", err))
		}
	})
	return k.err
}
