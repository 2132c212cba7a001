//go:build mpi

package gompi

// #include "port.h"
import "C"

import (
	"encoding/binary"

	"github.com/dlprun/dlp/mpi/internal/wire"
)

// What a message on ctl is, by its MPI tag. A plain message of a user on the world
// has its own tag, tagUser higher, and no header. All numbers are little-endian;
// id is a number that the sender has given to a message of several parts.
const (
	tagWhole = iota // header, note, body
	tagFirst        // id, length of the body; header, note, the first of the body
	tagMore         // id; more of the body
	tagLarge        // id, length of the body, view; header, note: the body waits
	tagGo           // id: the body may come, on bulk
	tagVoid         // id: what has begun under it will not be finished
	tagBye          // nothing more will come
	tagUser
)

// Sizes in bytes of what stands before notes and bodies.
const (
	idLen     = 8
	lengthLen = 8
	headerLen = 24 // kind, form, length of the note (16 bits), tag (32), communicator, sequence number (64 each)
	maxLetter = C.dlp_piece
	maxNote   = maxLetter - idLen - lengthLen - viewLen - headerLen
)

// A letter is one message on ctl.
type letter struct {
	tag    int
	id     uint64        // where the tag says so
	length int           // of the whole body; the same
	view   *view         // where the tag says so
	head   *wire.Message // whose header and note go first; nil: no one's
	body   []byte
}

// room is how many bytes of a body fit into l.
func (l *letter) room() int {
	n := maxLetter - idLen
	if l.head != nil {
		n -= lengthLen + headerLen + min(len(l.head.Note), maxNote)
	}
	return n
}

// write writes l to b and returns how long it is.
func (l *letter) write(b []byte) (n int) {
	switch l.tag {
	case tagLarge:
		n += l.view.put(b[idLen+lengthLen:])
		fallthrough
	case tagFirst:
		binary.LittleEndian.PutUint64(b[idLen:], uint64(l.length))
		n += lengthLen
		fallthrough
	case tagMore, tagGo, tagVoid:
		binary.LittleEndian.PutUint64(b, l.id)
		n += idLen
	}
	if l.head != nil {
		n += putHeader(b[n:], l.head)
	}
	return n + copy(b[n:], l.body)
}

// putHeader writes m's header and note to b and returns how long they are.
func putHeader(b []byte, m *wire.Message) int {
	note := m.Note[:min(len(m.Note), maxNote)]
	b[0], b[1] = byte(m.Kind), m.Form
	binary.LittleEndian.PutUint16(b[2:], uint16(len(note)))
	binary.LittleEndian.PutUint32(b[4:], uint32(m.Tag))
	binary.LittleEndian.PutUint64(b[8:], m.Comm)
	binary.LittleEndian.PutUint64(b[16:], m.Seq)
	return headerLen + copy(b[headerLen:], note)
}

// header reads what putHeader has written, and returns what follows.
func header(b []byte) (m wire.Message, rest []byte) {
	n := int(binary.LittleEndian.Uint16(b[2:]))
	m = wire.Message{
		Kind: wire.Kind(b[0]), Form: b[1],
		Tag:  int32(binary.LittleEndian.Uint32(b[4:])),
		Comm: binary.LittleEndian.Uint64(b[8:]),
		Seq:  binary.LittleEndian.Uint64(b[16:]),
		Note: string(b[headerLen : headerLen+n]),
	}
	return m, b[headerLen+n:]
}

// length reads that of a body, and returns what follows.
func length(b []byte) (int, []byte) {
	return int(binary.LittleEndian.Uint64(b)), b[lengthLen:]
}

// plainForm is the form that the engine gives to users' bytes and numbers.
const plainForm = 1

// plain reports whether m can go without a header.
func (t *Transport) plain(m *wire.Message) bool {
	return m.Kind == wire.User && m.Comm == 0 && m.Form == plainForm && m.Seq == 0 && m.Note == "" &&
		m.Tag >= 0 && int(m.Tag) <= t.tagUB-tagUser
}
