package split

import "sync"

// A stock holds results at the root until its loop takes them. Those of other
// ranks wait as they came, to be decoded by the loop: the manager has no time
// for that.
type stock[R any] struct {
	mu      sync.Mutex
	filled  sync.Cond
	batches []batch[R]
	direct  bool // the root's own results come as values
}

// A batch is some results of one rank, as bytes or, if they are the root's own,
// as values; or items that failed.
type batch[R any] struct {
	from    int
	indices []int
	body    []byte
	values  []R
	failed  []int
}

// arrived takes in what a rank reports. It is called before the manager counts
// it, so that everything is there when the loop is over.
func (s *stock[R]) arrived(rank int, r *report) {
	if rank == 0 && s.direct {
		return // they are here already
	}
	s.put(batch[R]{from: rank, indices: r.indices, body: r.results})
}

// failed takes in that items have failed for good.
func (s *stock[R]) failed(indices []int) { s.put(batch[R]{failed: indices}) }

func (s *stock[R]) put(b batch[R]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, b)
	s.filled.Signal()
}

// add takes in a result of the root's own.
func (s *stock[R]) add(i int, v R) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.batches); n > 0 && s.batches[n-1].values != nil {
		b := &s.batches[n-1]
		b.indices, b.values = append(b.indices, i), append(b.values, v)
		return
	}
	s.batches = append(s.batches, batch[R]{indices: []int{i}, values: []R{v}})
	s.filled.Signal()
}

// take returns what has come. It waits until something has, and returns nil when
// the loop is over and nothing more is to be had.
func (s *stock[R]) take(h *hand) []batch[R] {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.batches) == 0 && !h.is(byItself) {
		s.filled.Wait()
	}
	if h.is(byItself) && !h.is(complete) {
		return nil
	}
	batches := s.batches
	s.batches = nil
	return batches
}

// wake lets take look whether the loop is over.
func (s *stock[R]) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filled.Broadcast()
}
