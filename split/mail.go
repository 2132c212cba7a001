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

// encodeMail makes a message of entries that are encoded already. noted is how many
// indices of the shelf are done.
func encodeMail(noted int, entries []byte) []byte {
	return append(appendInt([]byte{byte(kindMail)}, noted), entries...)
}

func decodeMail(b []byte) (noted int, entries []entry, err error) {
	p := &parser{b: b}
	noted = p.int()
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

// encodeLetters makes one message of letters to ranks that have the same leader. Equal
// ones that follow one another, such as the end of the loop, travel once.
func encodeLetters(letters []letter) []byte {
	b := []byte{byte(kindMail)}
	for k := 0; k < len(letters); {
		same := letters[k]
		for k++; k < len(letters) && len(same.ranks) > 0 && len(letters[k].ranks) > 0 && bytes.Equal(letters[k].body, same.body); k++ {
			same.ranks = append(same.ranks, letters[k].ranks...)
		}
		b = binary.AppendUvarint(b, uint64(len(same.ranks)))
		for _, r := range same.ranks {
			b = appendInt(b, r)
		}
		b = appendBytes(b, same.body)
	}
	return b
}

func decodeLetters(b []byte) (letters []letter, err error) {
	p := &parser{b: b}
	if kind(p.byte()) != kindMail {
		p.bad = true
	}
	for len(p.b) > 0 {
		var l letter
		for range p.count(1) {
			l.ranks = append(l.ranks, p.int())
		}
		l.body = p.bytes()
		letters = append(letters, l)
	}
	return letters, p.end()
}

func decodeBatch(b []byte) (batchGrant, error) {
	p := &parser{b: b}
	g := batchGrant{chunk: p.int(), low: p.int(), spans: p.spans()}
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
