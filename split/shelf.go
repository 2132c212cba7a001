package split

import (
	"sync/atomic"
	"unsafe"
)

// A shelf is where the ranks of a host take indices from that is not rank 0's: their
// leader puts batches there, which rank 0 has given to the whole host. It is memory
// that they share. The batches lie on it as runs of indices, in a ring of slots: what
// ranks take next is the slot and the place in it that one word says, to which they
// add by compare-and-swap. A slot is written again only when that word has left it
// behind, so that a rank which has read a slot while it was written can't take from it.
type shelf struct {
	at      *atomic.Uint64 // runs that are used up in the upper half, indices taken of the next one below
	end     *atomic.Uint32 // runs ever put; it wraps around, as the upper half does
	put     *atomic.Int64  // indices in them
	low     *atomic.Int64  // ask for another batch when fewer than this are left
	batches *atomic.Int64  // ever put, counted when all of a batch is there
	slots   []slot
	done    []*atomic.Int64 // by rank of the host: indices of the shelf that it is through with
}

// A slot is a run on a shelf.
type slot struct{ lo, size, chunk, before *atomic.Int64 }

const (
	shelfSlots = 1024
	slotBytes  = 4 * 8
	runBits    = 32
	longestRun = 1<<runBits - 1
)

func shelfSize(ranks int) int { return 2*cacheLine + shelfSlots*slotBytes + ranks*cacheLine }

// shelfOf reads mem, which is all zero for a new shelf. Its first 8 bytes must be
// aligned.
func shelfOf(mem []byte) *shelf {
	at := func(offset int) unsafe.Pointer { return unsafe.Pointer(&mem[offset]) }
	number := func(offset int) *atomic.Int64 { return (*atomic.Int64)(at(offset)) }
	s := &shelf{
		at: (*atomic.Uint64)(at(0)), end: (*atomic.Uint32)(at(cacheLine)),
		put: number(cacheLine + 8), low: number(cacheLine + 16), batches: number(cacheLine + 24),
	}
	for k := range shelfSlots {
		from := 2*cacheLine + k*slotBytes
		s.slots = append(s.slots, slot{number(from), number(from + 8), number(from + 16), number(from + 24)})
	}
	for from := 2*cacheLine + shelfSlots*slotBytes; from+cacheLine <= len(mem); from += cacheLine {
		s.done = append(s.done, number(from))
	}
	return s
}

// place puts a batch on the shelf and returns what does not fit. Only the leader
// does so.
func (s *shelf) place(b batchGrant) (rest []span) {
	s.low.Store(int64(b.low))
	for k, run := range b.spans {
		end := s.end.Load()
		if end-uint32(s.at.Load()>>runBits) >= shelfSlots {
			rest = b.spans[k:]
			break
		}
		at := s.slots[end%shelfSlots]
		at.lo.Store(int64(run.lo))
		at.size.Store(int64(run.len()))
		at.chunk.Store(int64(b.chunk))
		at.before.Store(s.put.Load())
		s.put.Add(int64(run.len())) // before it can be taken: what is left is never below 0
		s.end.Store(end + 1)
	}
	s.batches.Add(1)
	return rest
}

// take takes a chunk, or all of a run, and says how many indices have been taken so
// far; an empty run if there is none.
func (s *shelf) take(all bool) (run span, taken int) {
	for {
		w := s.at.Load()
		number, used := uint32(w>>runBits), int(w&longestRun)
		if number == s.end.Load() {
			return span{}, 0
		}
		from := s.slots[number%shelfSlots]
		lo, size, before := int(from.lo.Load()), int(from.size.Load()), int(from.before.Load())
		k := size - used
		if !all {
			k = min(k, int(from.chunk.Load()))
		}
		next := w + uint64(k)
		if used+k == size {
			next = uint64(number+1) << runBits
		}
		if s.at.CompareAndSwap(w, next) {
			return span{lo + used, lo + used + k}, before + used + k
		}
	}
}

// clear takes all that is there.
func (s *shelf) clear() (spans []span) {
	for {
		run, _ := s.take(true)
		if run.len() == 0 {
			return spans
		}
		spans = addSpan(spans, run)
	}
}

// noted is how many indices of the shelf ranks are through with.
func (s *shelf) noted() (n int) {
	for _, done := range s.done {
		n += int(done.Load())
	}
	return n
}

// A picker takes chunks from a shelf for one rank. It is not safe for concurrent use.
type picker struct {
	shelf *shelf
	note  *atomic.Int64 // of done
	seen  int           // batches that were there when it last took something, or found nothing
	done  int           // indices in all chunks before the last
	last  int           // its size
}

func newPicker(s *shelf, place int) *picker { return &picker{shelf: s, note: s.done[place]} }

// pick takes the next chunk; an empty one if there is none. It says low, to one of all
// ranks, when it is time to ask for another batch.
func (p *picker) pick() (run span, ask want) {
	p.done += p.last
	p.note.Store(int64(p.done))
	p.seen = int(p.shelf.batches.Load()) // first: what came later may not have been seen
	run, taken := p.shelf.take(false)
	p.last = run.len()
	left, few := int(p.shelf.put.Load())-taken, int(p.shelf.low.Load())
	if p.last > 0 && left < few && left+p.last >= few {
		ask = low
	}
	return run, ask
}
