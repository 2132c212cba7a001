package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"time"
)

const magic = "dlp journal 1\n"

// Header says which job a journal belongs to.
type Header struct {
	Items  int    `json:"items"`  // n
	Keys   uint64 `json:"keys"`   // fingerprint of the items' names, 0 for none
	Label  string `json:"label"`  // of the loop
	Result string `json:"result"` // type of the results, "" for none
}

// Run says that the job was started, or started again.
type Run struct {
	Started time.Time `json:"started"`
	Ranks   int       `json:"ranks"`
}

// Batch is what a rank has finished: indices, and their results as one batch of
// the stream that it encodes them as. A stream lasts for a run.
type Batch struct {
	Run     int // filled in by reading: 1 for the first
	Rank    int
	Indices []int // none is negative
	Body    []byte
}

// The first byte of a payload.
const (
	kindHeader = 'h' // a Header as JSON
	kindRun    = 'r' // a Run as JSON
	kindBatch  = 'b' // rank, number of indices, indices, all as uvarints; the body
)

const frameLen = 16

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendRecord appends a record whose payload is what put appends, and then body,
// which is left for the caller to append.
func appendRecord(b []byte, put func(b []byte) []byte, body []byte) []byte {
	start := len(b)
	b = put(append(b, make([]byte, frameLen)...))
	frame, head := b[start:start+frameLen], b[start+frameLen:]
	binary.LittleEndian.PutUint64(frame, uint64(len(head)+len(body)))
	binary.LittleEndian.PutUint32(frame[8:], crc32.Checksum(frame[:8], castagnoli))
	sum := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, body)
	binary.LittleEndian.PutUint32(frame[12:], sum)
	return b
}

// appendJSON appends a record of a kind that is JSON.
func appendJSON(b []byte, kind byte, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // of the types above, none can fail
	}
	return appendRecord(b, func(b []byte) []byte { return append(append(b, kind), text...) }, nil)
}

// appendBatch appends the record of a batch but for its Body, with which it ends.
func appendBatch(b []byte, batch *Batch) []byte {
	return appendRecord(b, func(b []byte) []byte {
		b = append(b, kindBatch)
		b = binary.AppendUvarint(b, uint64(batch.Rank))
		b = binary.AppendUvarint(b, uint64(len(batch.Indices)))
		for _, i := range batch.Indices {
			b = binary.AppendUvarint(b, uint64(i))
		}
		return b
	}, batch.Body)
}

var errRecord = errors.New("it can't be read")

// parseBatch reads the payload of a batch. Its Body is part of b.
func parseBatch(b []byte) (batch Batch, err error) {
	next := func() (n int) {
		v, k := binary.Uvarint(b)
		if k <= 0 || v > math.MaxInt {
			err = errRecord
			return 0
		}
		b = b[k:]
		return int(v)
	}
	batch.Rank = next()
	n := next()
	if n > len(b) { // each takes a byte or more
		return batch, errRecord
	}
	for range n {
		batch.Indices = append(batch.Indices, next())
	}
	batch.Body = b
	return batch, err
}

func parseJSON(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	return nil
}

var (
	// errTorn is what readRecord finds where nobody has finished writing.
	errTorn = errors.New("torn")
	// errDamaged is a record that does not match its checksums.
	errDamaged = errors.New("damaged")
)

// readRecord reads the record at the beginning of r, which has left bytes, and
// returns its payload. At the end it is io.EOF. size is how much of r it has read.
func readRecord(r io.Reader, left int64) (payload []byte, size int64, err error) {
	switch {
	case left == 0:
		return nil, 0, io.EOF
	case left < frameLen:
		return nil, 0, errTorn
	}
	var frame [frameLen]byte
	if _, err := io.ReadFull(r, frame[:]); err != nil {
		return nil, 0, err
	}
	n, ok := lengthOf(frame[:])
	switch {
	case !ok:
		return nil, frameLen, errDamaged
	case n > left-frameLen:
		return nil, frameLen, errTorn
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, 0, err
	}
	if n == 0 || binary.LittleEndian.Uint32(frame[12:]) != crc32.Checksum(payload, castagnoli) {
		return nil, frameLen + n, errDamaged
	}
	return payload, frameLen + n, nil
}

// lengthOf returns the length of the payload that frame begins, if frame is whole.
func lengthOf(frame []byte) (n int64, ok bool) {
	v := binary.LittleEndian.Uint64(frame)
	ok = binary.LittleEndian.Uint32(frame[8:]) == crc32.Checksum(frame[:8], castagnoli)
	return int64(v), ok && v <= math.MaxInt64
}
