package split

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// The messages between the ranks of a loop and its manager. Numbers are
// varints, zigzag where they can be negative; strings and byte slices have
// their length before them. Every message begins with its kind.
//
//	to the manager    hello   when a rank calls the loop
//	                  report  what is done; asks for more; the last one says that it leaves
//	                  differs the answer to query
//	                  stop    the rank was asked to come to an end
//	to a rank         grant   indices to work on
//	                  query   hashes of the keys, to find the first that differs
//	                  end     the last message, well or with an error
//
// What the ranks of another host say goes by their leader, and back:
//
//	to the manager    mail     messages of such ranks, and the leader's own:
//	                  leads    it leads them, and this is their shelf
//	                  returned what nobody has taken from the shelf
//	to a leader       mail     messages to such ranks, and to itself:
//	                  batch    indices for the shelf
//	                  clear    return what nobody has taken
type kind byte

const (
	kindHello kind = iota + 1
	kindReport
	kindDiffers
	kindGrant
	kindQuery
	kindEnd
	kindStop
	kindMail
	kindLeads
	kindReturned
	kindBatch
	kindClear
)

var errMalformed = errors.New("split: malformed message; do all ranks run the same program?")

func (h hello) encode() []byte {
	b := []byte{byte(kindHello)}
	b = appendInt(b, h.items)
	b = binary.AppendUvarint(b, h.keys)
	return appendString(b, h.err)
}

func decodeHello(b []byte) (hello, error) {
	p := &parser{b: b}
	h := hello{items: p.int(), keys: p.uint(), err: p.string()}
	return h, p.end()
}

const (
	flagWant  = 3 // two bits
	flagLeave = 1 << 2
	flagAtEnd = 1 << 3
	flagBroke = 1 << 4
)

func (r *report) append(b []byte) []byte {
	b = slices.Grow(b, 32+4*len(r.indices)+len(r.results))
	flags := byte(r.want)
	if r.leave {
		flags |= flagLeave
	}
	if r.atEnd {
		flags |= flagAtEnd
	}
	if r.broke {
		flags |= flagBroke
	}
	b = append(b, byte(kindReport), flags)
	b = appendInt(b, r.length)
	b = appendInt(b, r.done)
	b = appendInt(b, r.seen)
	b = appendInt(b, r.drawn)
	b = appendSpans(b, r.back)
	b = appendInt(b, int(r.busy))
	b = appendInt(b, int(r.wait))
	b = binary.AppendUvarint(b, uint64(len(r.indices)))
	last := 0
	for _, i := range r.indices {
		b = appendInt(b, i-last)
		last = i
	}
	b = appendFailures(b, r.failures)
	return append(b, r.results...)
}

// decode fills r, with room for spans that it had before. Its results are part of b.
func (r *report) decode(b []byte) error {
	p := &parser{b: b}
	flags := p.byte()
	*r = report{
		want:   want(flags & flagWant),
		leave:  flags&flagLeave != 0,
		atEnd:  flags&flagAtEnd != 0,
		broke:  flags&flagBroke != 0,
		length: p.int(),
		done:   p.int(),
		seen:   p.int(),
		drawn:  p.int(),
		back:   p.spans(r.back[:0]),
		busy:   time.Duration(p.int()),
		wait:   time.Duration(p.int()),
	}
	last, n := 0, p.count(1)
	if n > 0 {
		r.indices = make([]int, 0, n)
	}
	for range n {
		last += p.int()
		r.indices = append(r.indices, last)
	}
	r.failures = p.failures()
	if flags >= 1<<5 || r.length < 0 || r.done < 0 || r.seen < noShelf || r.drawn < 0 || r.busy < 0 || r.wait < 0 {
		p.bad = true
	}
	r.results = p.rest()
	return p.end()
}

func encodeDiffers(index int, key string) []byte {
	return appendString(appendInt([]byte{byte(kindDiffers)}, index), key)
}

func decodeDiffers(b []byte) (index int, key string, err error) {
	p := &parser{b: b}
	index, key = p.int(), p.string()
	return index, key, p.end()
}

const ( // of an offer
	flagBounded = 1 << iota
	flagShelf
)

func (d *decision) append(b []byte) []byte {
	b = append(b, byte(d.what))
	switch d.what {
	case kindGrant:
		return d.grant.append(b)
	case kindQuery:
		return append(b, d.hashes...)
	case kindBatch:
		b = appendInt(b, d.batch.chunk)
		b = appendInt(b, d.batch.low)
		return appendSpans(b, d.batch.spans)
	case kindClear:
		return b
	default:
		return d.end.append(b)
	}
}

func (g grant) append(b []byte) []byte {
	b = appendInt(b, g.ahead)
	b = appendSpans(b, g.spans)
	b = appendString(b, g.offer.name)
	if g.offer.name == "" {
		return b
	}
	b = appendInt(b, g.offer.place)
	b = appendInt(b, g.offer.chunk)
	flags := byte(0)
	if g.offer.bounded {
		flags |= flagBounded
	}
	if g.offer.shelf {
		flags |= flagShelf
	}
	return append(b, byte(g.offer.policy), flags)
}

// decodeGrant puts the spans of a grant where room begins.
func decodeGrant(b []byte, room []span) (grant, error) {
	p := &parser{b: b}
	g := grant{ahead: p.int(), spans: p.spans(room), offer: offer{name: p.string()}}
	if o := &g.offer; o.name != "" {
		o.place, o.chunk, o.policy = p.int(), p.int(), Chunking(p.byte())
		flags := p.byte()
		o.bounded, o.shelf = flags&flagBounded != 0, flags&flagShelf != 0
		if o.place < 0 || o.chunk < 0 || int(o.policy) >= len(policies) {
			p.bad = true
		}
	}
	if g.ahead < 0 {
		p.bad = true
	}
	return g, p.end()
}

// appendSpans writes each span as its distance from the one before and its length.
func appendSpans(b []byte, spans []span) []byte {
	b = binary.AppendUvarint(b, uint64(len(spans)))
	last := 0
	for _, s := range spans {
		b = appendInt(b, s.lo-last)
		b = appendInt(b, s.len())
		last = s.hi
	}
	return b
}

// spans appends to room what appendSpans has written.
func (p *parser) spans(room []span) []span {
	last := 0
	for range p.count(2) {
		lo := last + p.int()
		last = lo + p.int()
		if lo < 0 || last <= lo {
			p.bad = true
		}
		room = append(room, span{lo, last})
	}
	return room
}

func (v *verdict) append(b []byte) []byte {
	b = binary.AppendUvarint(b, v.kind)
	b = appendString(b, v.text)
	b = appendInt(b, v.lost.Rank)
	b = appendString(b, v.lost.Host)
	b = appendString(b, v.lost.Op)
	cause := ""
	if v.lost.Err != nil {
		cause = v.lost.Err.Error()
	}
	b = appendString(b, cause)
	return appendFailures(b, v.failures)
}

func decodeVerdict(b []byte) (verdict, error) {
	p := &parser{b: b}
	var v verdict
	v.kind, v.text = p.uint(), p.string()
	v.lost.Rank, v.lost.Host, v.lost.Op = p.int(), p.string(), p.string()
	v.lost.Err = &remoteError{text: p.string()}
	v.failures = p.failures()
	if v.kind == kindTasks && len(v.failures) == 0 {
		p.bad = true
	}
	return v, p.end()
}

func appendFailures(b []byte, failures []*TaskError) []byte {
	b = binary.AppendUvarint(b, uint64(len(failures)))
	for _, f := range failures {
		b = appendInt(b, f.Index)
		b = appendInt(b, f.Rank)
		b = appendInt(b, f.Attempts)
		for _, s := range []string{f.Key, f.Host, f.call, f.Err.Error(), string(f.Stack)} {
			b = appendString(b, s)
		}
	}
	return b
}

func (p *parser) failures() (failures []*TaskError) {
	for range p.count(8) {
		f := &TaskError{Index: p.int(), Rank: p.int(), Attempts: p.int()}
		f.Key, f.Host, f.call = p.string(), p.string(), p.string()
		f.Err = &remoteError{text: p.string()}
		if stack := p.string(); stack != "" {
			f.Stack = []byte(stack)
		}
		failures = append(failures, f)
	}
	return failures
}

func appendInt(b []byte, v int) []byte { return binary.AppendVarint(b, int64(v)) }

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// A parser takes a message apart. After something malformed it gives zeros, and
// end tells.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) byte() byte {
	if len(p.b) == 0 {
		p.bad = true
		return 0
	}
	v := p.b[0]
	p.b = p.b[1:]
	return v
}

func (p *parser) uint() uint64 {
	v, n := binary.Uvarint(p.b)
	return v * p.skip(n)
}

func (p *parser) int() int {
	v, n := binary.Varint(p.b)
	return int(v) * int(p.skip(n))
}

// skip drops the n bytes of a number and returns 1, or 0 if there was none.
func (p *parser) skip(n int) uint64 {
	if n <= 0 {
		p.bad, p.b = true, nil
		return 0
	}
	p.b = p.b[n:]
	return 1
}

// count returns a number of things of at least size bytes each, so that nobody
// makes room for more of them than the message can hold.
func (p *parser) count(size int) int {
	n := p.uint()
	if n > uint64(len(p.b)/size) {
		p.bad = true
		return 0
	}
	return int(n)
}

func (p *parser) string() string {
	n := p.count(1)
	s := string(p.b[:n])
	p.b = p.b[n:]
	return s
}

func (p *parser) rest() []byte {
	b := p.b
	p.b = nil
	return b
}

func (p *parser) end() error {
	if p.bad || len(p.b) > 0 {
		return errMalformed
	}
	return nil
}
