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

// The kinds of frames. The transports carry all of them alike but Bye and
// Alive, which they keep for themselves.
const (
	User       Kind = 1 + iota // a point-to-point message
	Collective                 // part of a collective operation
	Ask                        // "I have been waiting for you for a while; this is my call"
	Mismatch                   // "you called something else; this is my call"
	Left                       // "I am in Finalize and shall send nothing more"
	Wake                       // to oneself: look again
	Bye                        // the last frame of a connection that ends in order
	Control                    // between a rank and the hub of its job
	Alive                      // a sign of life, on a connection that may carry nothing else for long
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
	return appendHeader(b, m, crc32.Checksum(m.Body, castagnoli))
}

// AppendUnsummed is AppendHeader for a body that takes no harm on its way: it
// does not leave this machine's memory. Its checksum is zero.
func AppendUnsummed(b []byte, m *Message) []byte { return appendHeader(b, m, 0) }

func appendHeader(b []byte, m *Message, bodySum uint32) []byte {
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
	b = binary.LittleEndian.AppendUint32(b, bodySum)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(m.Body)))
	b = append(b, note...)
	binary.LittleEndian.PutUint32(b[start:], crc32.Checksum(b[start+4:], castagnoli))
	return b
}

// A Head takes in what stands before the body of a frame: first Fixed is to be
// filled, then Note, then Message says what they hold.
type Head struct {
	buf  [HeaderLen + MaxNote]byte
	len  int
	note string // the last one: neighbours mostly have the same
}

// Fixed returns where the first bytes of a frame belong.
func (h *Head) Fixed() []byte { return h.buf[:HeaderLen] }

// Note returns where the note belongs, which comes after Fixed, and checks the
// lengths: the body must not have more than maxBody bytes.
func (h *Head) Note(maxBody uint64) ([]byte, error) {
	kind, noteLen := Kind(h.buf[4]), int(binary.LittleEndian.Uint16(h.buf[6:]))
	switch {
	case kind == 0 || kind >= kinds:
		return nil, fmt.Errorf("%w: kind %d", ErrFrame, kind)
	case noteLen > MaxNote:
		return nil, fmt.Errorf("%w: a note of %d bytes", ErrFrame, noteLen)
	case h.bodyLen() > maxBody:
		return nil, fmt.Errorf("%w: a body of %d bytes, at most %d are taken", ErrFrame, h.bodyLen(), maxBody)
	}
	h.len = HeaderLen + noteLen
	return h.buf[HeaderLen:h.len], nil
}

func (h *Head) bodyLen() uint64 { return binary.LittleEndian.Uint64(h.buf[32:]) }

// Message returns the message without its body, and how long that is.
func (h *Head) Message() (m Message, bodyLen int, err error) {
	b := h.buf[:h.len]
	if crc32.Checksum(b[4:], castagnoli) != binary.LittleEndian.Uint32(b) {
		return Message{}, 0, fmt.Errorf("%w: the header's checksum is wrong", ErrFrame)
	}
	if note := b[HeaderLen:]; string(note) != h.note {
		h.note = string(note)
	}
	return Message{
		Kind: Kind(b[4]),
		Form: b[5],
		Comm: binary.LittleEndian.Uint64(b[8:]),
		Seq:  binary.LittleEndian.Uint64(b[16:]),
		Tag:  int32(binary.LittleEndian.Uint32(b[24:])),
		Note: h.note,
	}, int(h.bodyLen()), nil
}

// check compares a body with the checksum of its header.
func (h *Head) check(body []byte) error {
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(h.buf[28:]) {
		return fmt.Errorf("%w: the body's checksum is wrong", ErrFrame)
	}
	return nil
}

// Reader reads frames from a stream.
type Reader struct {
	r       *bufio.Reader
	maxBody uint64
	head    Head
}

// NewReader returns a Reader that refuses bodies of more than maxBody bytes.
func NewReader(r io.Reader, maxBody uint64) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 64<<10), maxBody: min(maxBody, MaxBody)}
}

// Read returns the next frame, with a body of its own. It returns io.EOF only
// where the stream ends between two frames, an error that is ErrFrame where
// the bytes are no frame, and otherwise the error of the stream.
func (r *Reader) Read() (Message, error) {
	if _, err := io.ReadFull(r.r, r.head.Fixed()); err != nil {
		return Message{}, err
	}
	note, err := r.head.Note(r.maxBody)
	if err != nil {
		return Message{}, err
	}
	if _, err := io.ReadFull(r.r, note); err != nil {
		return Message{}, noEOF(err)
	}
	m, n, err := r.head.Message()
	if err != nil {
		return Message{}, err
	}
	if n > 0 {
		m.Body = NewBody(n)
		if _, err := io.ReadFull(r.r, m.Body); err != nil {
			return Message{}, noEOF(err)
		}
	}
	if err := r.head.check(m.Body); err != nil {
		return Message{}, err
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
