//go:build mpi

package gompi

import "github.com/dlprun/dlp/mpi/internal/wire"

// queue holds the messages that have come, in order.
type queue struct {
	list  []wire.Message
	head  int
	bytes int // in their bodies
}

func (q *queue) put(m wire.Message) {
	q.list = append(q.list, m)
	q.bytes += len(m.Body)
}

func (q *queue) take() (m wire.Message, ok bool) {
	if q.head == len(q.list) {
		return m, false
	}
	m = q.list[q.head]
	q.list[q.head] = wire.Message{}
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
	return m, true
}
