package split

import (
	"cmp"
	"slices"
)

// An outbox holds letters until they are sent, in memory that is used again.
type outbox struct {
	letters []letter
	bytes   []byte // their bodies
	mail    []byte // one message to a leader
}

// A letter is a message on its way to a rank, by itself or by its leader.
type letter struct {
	to   int
	led  int // the rank that it is for, behind its leader; 0: to itself
	body []byte
}

// add puts in what the manager has decided about a rank, whose leader is 0 if it has
// none.
func (o *outbox) add(d *decision, leader int) {
	begin := len(o.bytes)
	o.bytes = d.append(o.bytes)
	l := letter{to: d.rank, body: o.bytes[begin:]}
	if leader != 0 {
		l.to = leader
		if d.what != kindBatch && d.what != kindClear { // which are for the leader
			l.led = d.rank
		}
	}
	o.letters = append(o.letters, l)
}

// each calls send with all messages and empties the outbox. What is for the ranks of
// one leader is one message. They hear what they are told in the order in which it was
// decided.
func (o *outbox) each(leaderOf []int, send func(to int, body []byte)) {
	letters := o.letters
	slices.SortStableFunc(letters, func(a, b letter) int { return cmp.Compare(a.to, b.to) })
	for len(letters) > 0 {
		to, n := letters[0].to, 1
		if leaderOf[to] == 0 {
			send(to, letters[0].body)
		} else {
			for n < len(letters) && letters[n].to == to {
				n++
			}
			o.mail = appendLetters(o.mail[:0], letters[:n])
			send(to, o.mail)
		}
		letters = letters[n:]
	}
	clear(o.letters)
	o.letters, o.bytes = o.letters[:0], o.bytes[:0]
	if cap(o.bytes) > mostKept {
		o.bytes, o.mail = nil, nil
	}
}

// mostKept is how much memory of a message is kept for the next one.
const mostKept = 1 << 20
