package split

import (
	"bytes"
	"encoding/binary"
)

// This file is how messages travel together, between rank 0 and the leader of a host.

// An entry is a message of a rank in the mail of its leader.
type entry struct {
	rank int
	body []byte
}

func appendEntry(b []byte, e entry) []byte { return appendBytes(appendInt(b, e.rank), e.body) }

// appendMail appends a message of entries that are encoded already. noted is how many
// indices of the shelf are done.
func appendMail(b []byte, noted int, entries []byte) []byte {
	return append(appendInt(append(b, byte(kindMail)), noted), entries...)
}

// decodeMail puts the entries of a message where room begins.
func decodeMail(b []byte, room []entry) (noted int, entries []entry, err error) {
	p := &parser{b: b}
	noted, entries = p.int(), room
	for len(p.b) > 0 {
		entries = append(entries, entry{rank: p.int(), body: p.bytes()})
	}
	return noted, entries, p.end()
}

// urgent says of a message to the manager whether somebody waits for what it brings,
// and whether it is the last one of its rank.
func urgent(body []byte) (waits, leaves bool) {
	if len(body) < 2 || kind(body[0]) != kindReport {
		return true, false
	}
	flags := body[1]
	return flags&(flagWant|flagLeave) != 0, flags&flagLeave != 0
}

// appendLetters appends, as one message, letters to a leader. Equal ones that follow one
// another, such as the end of the loop, travel once.
func appendLetters(b []byte, letters []letter) []byte {
	b = append(b, byte(kindMail))
	for len(letters) > 0 {
		first, n := letters[0], 1
		if first.led == 0 {
			b = append(b, 0)
		} else {
			for n < len(letters) && letters[n].led != 0 && bytes.Equal(letters[n].body, first.body) {
				n++
			}
			b = binary.AppendUvarint(b, uint64(n))
			for _, l := range letters[:n] {
				b = appendInt(b, l.led)
			}
		}
		b = appendBytes(b, first.body)
		letters = letters[n:]
	}
	return b
}

// eachLetter calls f with what appendLetters has written: the ranks that a body is for,
// none if that is the leader. Both are f's until it returns. room is for ranks.
func eachLetter(b []byte, room []int, f func(ranks []int, body []byte)) error {
	p := &parser{b: b}
	if kind(p.byte()) != kindMail {
		p.bad = true
	}
	for len(p.b) > 0 {
		ranks := room[:0]
		for range p.count(1) {
			ranks = append(ranks, p.int())
		}
		if body := p.bytes(); !p.bad {
			f(ranks, body)
		}
	}
	return p.end()
}

func decodeBatch(b []byte) (batchGrant, error) {
	p := &parser{b: b}
	g := batchGrant{chunk: p.int(), low: p.int(), spans: p.spans(nil)}
	if g.chunk < 1 || g.low < 0 || len(g.spans) == 0 {
		p.bad = true
	}
	return g, p.end()
}

func appendBytes(b, v []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(v))), v...) }

// bytes returns bytes that are part of the message.
func (p *parser) bytes() []byte {
	n := p.count(1)
	v := p.b[:n:n]
	p.b = p.b[n:]
	return v
}
