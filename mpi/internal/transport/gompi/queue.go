//go:build mpi

package gompi

import (
	"slices"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// queue holds the messages that have come, in order.
type queue struct {
	list  []wire.Message
	head  int
	bytes int // in their bodies

	to *wire.Message // where the next one goes, if it need not wait; may be nil
}

// blank returns where to write a message that is to be put: where it goes, or into
// spare.
func (q *queue) blank(spare *wire.Message) *wire.Message {
	if q.to != nil && q.head == len(q.list) {
		return q.to
	}
	return spare
}

func (q *queue) put(m *wire.Message) {
	if to := q.blank(m); to == q.to {
		if to != m {
			*to = *m
		}
		q.to = nil
		return
	}
	q.list = append(q.list, *m)
	q.bytes += len(m.Body)
}

// has reports whether there is a message of rank src.
func (q *queue) has(src int) bool {
	return q.head < len(q.list) && slices.ContainsFunc(q.list[q.head:], func(m wire.Message) bool { return m.Src == src })
}

// evict gives a message whose body is in p memory of its own.
func (q *queue) evict(p *transport.Place) {
	for i := q.head; i < len(q.list); i++ {
		if p.Holds(q.list[i].Body) {
			q.list[i].Body = clone(q.list[i].Body)
		}
	}
}

// take moves the first one to m.
func (q *queue) take(m *wire.Message) bool {
	if q.head == len(q.list) {
		return false
	}
	*m, q.list[q.head] = q.list[q.head], wire.Message{}
	q.head++
	q.bytes -= len(m.Body)
	switch {
	case q.head == len(q.list):
		q.list, q.head = q.list[:0], 0
	case q.head > 1024 && 2*q.head > len(q.list): // one that never runs empty must not grow for ever
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	return true
}
