package split

import "time"

// This file is how a loop comes to an end before its job does.

// Of the time that a loop has, this part is kept, but no more than that: half of it
// for items that take longer than expected, half for the way of the last results and
// the end of the program.
const (
	reservePart = 10
	reserveMost = 10 * time.Second
)

// startClock lets the manager know how much time is left, if the job's is bounded.
// The caller holds s.mu.
func (s *server) startClock() {
	end := s.comm.Deadline()
	if end.IsZero() {
		return
	}
	reserve := min(max(time.Until(end)/reservePart, 0), reserveMost)
	s.last, s.m.slack = end.Add(-reserve), reserve/2
	s.clock = time.AfterFunc(0, s.tick)
}

// tick looks at the time more often when there is less of it.
func (s *server) tick() {
	left := time.Until(s.last)
	s.event(func(m *manager) { m.clock(left) })
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.clock.Reset(min(max(left/50, 10*time.Millisecond), time.Second))
	}
}

// heed passes a request to come to an end on to the manager, as long as this rank
// takes part.
func (b *member) heed() (forget func()) {
	return b.comm.OnStop(func() {
		if b.server != nil {
			b.server.event((*manager).stop)
			return
		}
		_ = b.client.send([]byte{byte(kindStop)}) // an error ends the loop elsewhere, too
	})
}
