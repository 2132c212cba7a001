package mpi

import (
	"context"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/dlprun/dlp/mpi/internal/wire"
)

// A call is one collective operation on one communicator. Each of its messages
// carries its note, which says what was called and where, so that ranks that
// call different things find out.
type call struct {
	c    *Comm
	op   string // "Barrier"
	seq  uint64
	note string // "Bcast(root 0, int)" NUL "dir/main.go:12"
	last bool   // it is Finalize

	partial bool // it does without ranks that are lost
}

// callLog remembers the latest calls on a communicator, and what others have
// asked about the latest, and about calls that this rank has not made yet.
type callLog struct {
	seq    uint64
	notes  [64]string // of call seq at seq%64
	asked  []wire.Message
	gaveUp uint64 // the last call that this rank has given up
}

// remember keeps a question, one of each rank and call.
func (l *callLog) remember(m wire.Message) {
	same := func(n wire.Message) bool { return n.Src == m.Src && n.Seq == m.Seq }
	if !slices.ContainsFunc(l.asked, same) {
		l.asked = append(l.asked, m)
	}
}

// note returns what this rank called as number seq, if it has and remembers.
func (l *callLog) note(seq uint64) (string, bool) {
	if seq == 0 || seq > l.seq || l.seq-seq >= uint64(len(l.notes)) {
		return "", false
	}
	return l.notes[seq%uint64(len(l.notes))], true
}

// begin counts a collective call op with its arguments, made skip frames above
// begin's caller, and compares it with what is known of the others.
func (c *Comm) begin(op, args string, skip int) (*call, error) {
	return c.beginAt(op, args, callSite(skip+1))
}

func (c *Comm) beginAt(op, args, site string) (*call, error) {
	note := op + args + "\x00" + site
	e := c.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	b := c.arrivals()
	b.calls.seq++
	k := &call{c: c, op: op, seq: b.calls.seq, note: note}
	b.calls.notes[k.seq%uint64(len(b.calls.notes))] = note
	if e.err != nil {
		return nil, withOp(e.err, op)
	}
	b.coll = slices.DeleteFunc(b.coll, func(m wire.Message) bool { return m.Seq < k.seq }) // of calls that failed
	for i := range b.coll {
		if b.coll[i].Seq == k.seq {
			e.compare(b, &b.coll[i])
		}
	}
	asked := b.calls.asked
	b.calls.asked = nil
	for _, m := range asked {
		if m.Seq == k.seq {
			e.compare(b, &m)
		}
		if m.Seq >= k.seq {
			b.calls.asked = append(b.calls.asked, m)
		}
	}
	return k, e.err
}

// send sends one message of the call to a rank of the communicator.
func (k *call) send(ctx context.Context, dst int, step Tag, form uint8, body []byte) error {
	m := wire.Message{Kind: wire.Collective, Form: form, Tag: int32(step), Comm: k.c.id, Seq: k.seq, Note: k.note, Body: body}
	if !k.partial {
		if err := k.c.engine.needs(k.op, k.c.group...); err != nil {
			return err
		}
	}
	err := k.c.engine.send(ctx, k.op, k.c.world(dst), &m)
	if err != nil {
		k.giveUp(err)
	}
	return err
}

// recv receives one.
func (k *call) recv(ctx context.Context, src int, step Tag) (wire.Message, error) {
	var m wire.Message
	err := k.c.engine.recv(ctx, &want{
		kind: wire.Collective, c: k.c, src: k.c.world(src), tag: step, seq: k.seq, op: k.op, note: k.note, size: -1, last: k.last,
		together: !k.partial,
	}, &m)
	if err != nil {
		k.giveUp(err)
	}
	return m, err
}

// giveUp notes that the call ends without having sent all that it should, as
// its ctx has ended: those who wait for that are told so when they ask. Of a rank
// that is lost they hear themselves.
func (k *call) giveUp(why error) {
	e := k.c.engine
	if e.lostRank(why) > 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	b := k.c.arrivals()
	if e.err != nil || b.calls.gaveUp == k.seq {
		return
	}
	b.calls.gaveUp = k.seq
	for _, m := range b.calls.asked {
		e.answerGivenUp(b, &m)
	}
}

// answerGivenUp tells a rank that waits in a call which this one gave up. The
// caller holds e.mu.
func (e *engine) answerGivenUp(b *inbox, m *wire.Message) {
	if note, ok := b.calls.note(m.Seq); ok && m.Seq == b.calls.gaveUp {
		what, site, _ := strings.Cut(note, "\x00")
		reply := wire.Message{Kind: wire.Mismatch, Comm: m.Comm, Seq: m.Seq, Note: what + ", and gave it up,\x00" + site}
		go e.t.Send(context.Background(), m.Src, &reply)
	}
}

// foreseen reports whether a collective message may be filed: it belongs to a
// call that this rank is in, or has not reached. The caller holds e.mu.
func (e *engine) foreseen(b *inbox, m *wire.Message) bool {
	if m.Seq > b.calls.seq {
		return true
	}
	return e.compare(b, m) && m.Seq == b.calls.seq
}

// compare compares another rank's call with this rank's of the same number. If
// they differ, everything fails here and the other rank is told. The caller
// holds e.mu.
func (e *engine) compare(b *inbox, m *wire.Message) bool {
	own, ok := b.calls.note(m.Seq)
	if !ok || sameCall(own, m.Note) {
		return true
	}
	e.failLocked(e.mismatch(m, own))
	reply := wire.Message{Kind: wire.Mismatch, Comm: m.Comm, Seq: m.Seq, Note: own}
	go e.t.Send(context.Background(), m.Src, &reply) // it may have left; then it knows anyway
	return false
}

// mismatched hears that another rank called something else.
func (e *engine) mismatched(b *inbox, m *wire.Message) {
	if own, ok := b.calls.note(m.Seq); ok {
		e.failLocked(e.mismatch(m, own))
	}
}

func (e *engine) mismatch(m *wire.Message, own string) error {
	err := &MismatchError{Seq: m.Seq, Ranks: [2]int{e.rank, m.Src}, Calls: [2]string{spell(own), spell(m.Note)}}
	if err.Ranks[0] > err.Ranks[1] { // the same text on both
		err.Ranks[0], err.Ranks[1] = err.Ranks[1], err.Ranks[0]
		err.Calls[0], err.Calls[1] = err.Calls[1], err.Calls[0]
	}
	return err
}

// asked answers a rank that has been waiting for this one. The caller holds e.mu.
func (e *engine) asked(m wire.Message) {
	if wire.Kind(m.Form) == wire.Collective {
		b := e.inbox(m.Comm)
		if m.Seq >= b.calls.seq {
			b.calls.remember(m)
		}
		if e.compare(b, &m) {
			e.answerGivenUp(b, &m)
		}
	}
	if e.err != nil {
		return // it hears why, from this rank or with the end of the job
	}
	e.owed[m.Src] = true
	e.sayLeft()
}

// leave tells those who wait for this rank, now or later, that it is in
// Finalize.
func (e *engine) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leaving = true
	e.sayLeft()
}

// sayLeft tells those who asked that nothing will come any more, if that is so:
// a library may still be at work behind the user's back. The caller holds e.mu.
func (e *engine) sayLeft() {
	if !e.leaving || e.private > 0 {
		return
	}
	for r, owed := range e.owed {
		if owed {
			go e.t.Send(context.Background(), r, &wire.Message{Kind: wire.Left}) // it may have left too
		}
	}
	clear(e.owed)
}

// sameCall compares two notes without the places of the calls.
func sameCall(a, b string) bool {
	a, _, _ = strings.Cut(a, "\x00")
	b, _, _ = strings.Cut(b, "\x00")
	return a == b
}

// spell writes a note for people.
func spell(note string) string { return strings.Replace(note, "\x00", " at ", 1) }

var sites sync.Map // of program counters: their place, as "dir/main.go:12"

// callSite returns the place skip frames above its caller.
func callSite(skip int) string {
	var pc [1]uintptr
	if runtime.Callers(skip+2, pc[:]) == 0 {
		return "an unknown place"
	}
	if s, ok := sites.Load(pc[0]); ok {
		return s.(string)
	}
	f, _ := runtime.CallersFrames(pc[:]).Next()
	dir, file := filepath.Split(f.File)
	s := filepath.Base(dir) + "/" + file + ":" + strconv.Itoa(f.Line)
	sites.Store(pc[0], s)
	return s
}
