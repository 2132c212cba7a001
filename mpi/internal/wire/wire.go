// Package wire is the one frame format of the toolkit: what ranks say to each
// other over sockets, and what a rank and the hub of its job say.
//
// A frame is a fixed header of 40 bytes, a note and a body, all integers
// little-endian:
//
//	 0  u32  CRC-32C of bytes 4 to 39 and of the note
//	 4  u8   kind
//	 5  u8   form of the body
//	 6  u16  length of the note
//	 8  u64  communicator
//	16  u64  sequence number
//	24  i32  tag
//	28  u32  CRC-32C of the body
//	32  u64  length of the body
//	40       note, body
//
// The checksums are there for broken machines, not for enemies: those are kept
// out by the handshake (package auth) before the first frame.
package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Kind says what a frame is for. The zero Kind is never sent.
type Kind uint8

// The kinds of frames. The transports carry all of them alike but Bye, which
// they keep for themselves.
const (
	User       Kind = 1 + iota // a point-to-point message
	Collective                 // part of a collective operation
	Ask                        // "I have been waiting for you for a while; this is my call"
	Mismatch                   // "you called something else; this is my call"
	Left                       // "I am in Finalize and shall send nothing more"
	Wake                       // to oneself: look again
	Bye                        // the last frame of a connection that ends in order
	Control                    // between a rank and the hub of its job
	kinds
)

// Limits of a frame. A longer one is refused before anything is allocated.
const (
	HeaderLen = 40
	MaxNote   = 1 << 12
	MaxBody   = 1 << 40
)

// Message is one frame in memory, with the rank that it came from. A received
// Body belongs to whoever receives it.
type Message struct {
	Src  int // filled in by the receiving transport, not part of the frame
	Kind Kind
	Form uint8
	Tag  int32
	Comm uint64
	Seq  uint64
	Note string
	Body []byte
}

// ErrFrame is what every malformed frame is, by errors.Is.
var ErrFrame = errors.New("malformed frame")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendHeader appends m's header and note to b; the body follows them on the
// wire. A note longer than MaxNote is cut.
func AppendHeader(b []byte, m *Message) []byte {
	note := m.Note
	if len(note) > MaxNote {
		note = note[:MaxNote]
	}
	start := len(b)
	b = append(b, 0, 0, 0, 0, byte(m.Kind), m.Form)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(note)))
	b = binary.LittleEndian.AppendUint64(b, m.Comm)
	b = binary.LittleEndian.AppendUint64(b, m.Seq)
	b = binary.LittleEndian.AppendUint32(b, uint32(m.Tag))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(m.Body, castagnoli))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(m.Body)))
	b = append(b, note...)
	binary.LittleEndian.PutUint32(b[start:], crc32.Checksum(b[start+4:], castagnoli))
	return b
}

// Reader reads frames from a stream.
type Reader struct {
	r       *bufio.Reader
	maxBody uint64
	head    [HeaderLen + MaxNote]byte
	note    string // the last one: neighbours mostly have the same
}

// NewReader returns a Reader that refuses bodies of more than maxBody bytes.
func NewReader(r io.Reader, maxBody uint64) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 64<<10), maxBody: min(maxBody, MaxBody)}
}

// Read returns the next frame, with a body of its own. It returns io.EOF only
// where the stream ends between two frames, an error that is ErrFrame where
// the bytes are no frame, and otherwise the error of the stream.
func (r *Reader) Read() (Message, error) {
	head := r.head[:HeaderLen]
	if _, err := io.ReadFull(r.r, head); err != nil {
		return Message{}, err
	}
	m := Message{
		Kind: Kind(head[4]),
		Form: head[5],
		Comm: binary.LittleEndian.Uint64(head[8:]),
		Seq:  binary.LittleEndian.Uint64(head[16:]),
		Tag:  int32(binary.LittleEndian.Uint32(head[24:])),
	}
	noteLen := int(binary.LittleEndian.Uint16(head[6:]))
	bodySum := binary.LittleEndian.Uint32(head[28:])
	bodyLen := binary.LittleEndian.Uint64(head[32:])
	switch {
	case m.Kind == 0 || m.Kind >= kinds:
		return Message{}, fmt.Errorf("%w: kind %d", ErrFrame, m.Kind)
	case noteLen > MaxNote:
		return Message{}, fmt.Errorf("%w: a note of %d bytes", ErrFrame, noteLen)
	case bodyLen > r.maxBody:
		return Message{}, fmt.Errorf("%w: a body of %d bytes, at most %d are taken", ErrFrame, bodyLen, r.maxBody)
	}
	head = r.head[:HeaderLen+noteLen]
	if _, err := io.ReadFull(r.r, head[HeaderLen:]); err != nil {
		return Message{}, noEOF(err)
	}
	if crc32.Checksum(head[4:], castagnoli) != binary.LittleEndian.Uint32(head) {
		return Message{}, fmt.Errorf("%w: the header's checksum is wrong", ErrFrame)
	}
	if note := head[HeaderLen:]; string(note) != r.note {
		r.note = string(note)
	}
	m.Note = r.note
	if bodyLen > 0 {
		m.Body = NewBody(int(bodyLen))
		if _, err := io.ReadFull(r.r, m.Body); err != nil {
			return Message{}, noEOF(err)
		}
	}
	if crc32.Checksum(m.Body, castagnoli) != bodySum {
		return Message{}, fmt.Errorf("%w: the body's checksum is wrong", ErrFrame)
	}
	return m, nil
}

// noEOF tells an end inside a frame from one between frames.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
