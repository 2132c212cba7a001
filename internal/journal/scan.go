package journal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// Visitor is told what is in a journal, in order. Any of its functions may be nil;
// an error of one ends the reading.
type Visitor struct {
	Header func(Header) error
	Run    func(Run) error
	Batch  func(Batch) error // Body is the callee's
}

// Extent says how much of a journal is whole.
type Extent struct {
	Whole int64 // bytes up to the end of the last whole record
	Torn  int64 // bytes after it, of an append that was not finished
}

// Scan reads a journal of size bytes. It holds one record in memory. Errors: it is
// no journal, it is damaged before its end, reading fails, or those of v. An empty
// one, or one whose very first record is torn, has no Header, and an Extent of 0
// whole bytes.
func Scan(r io.ReaderAt, size int64, v Visitor) (Extent, error) {
	s := newScanner(r, size)
	for {
		err := s.next(v)
		if err == io.EOF {
			err = nil
		} else if err == nil {
			continue
		}
		return Extent{Whole: s.whole, Torn: size - s.whole}, err
	}
}

// A scanner reads one record after the other.
type scanner struct {
	file  io.ReaderAt
	r     *bufio.Reader // of file
	size  int64
	at    int64 // what r has read
	whole int64 // end of the last whole record
	runs  int
}

func newScanner(file io.ReaderAt, size int64) *scanner {
	return &scanner{file: file, r: buffered(file, 0, size), size: size}
}

// buffered reads file from byte at up to byte end.
func buffered(file io.ReaderAt, at, end int64) *bufio.Reader {
	return bufio.NewReaderSize(io.NewSectionReader(file, at, end-at), int(min(end-at, 1<<20)))
}

// next reads a record and shows it to v. It returns io.EOF when there is no whole
// one any more.
func (s *scanner) next(v Visitor) error {
	if s.at == 0 {
		if err := s.begin(); err != nil {
			return err
		}
	}
	begin := s.at
	payload, size, err := readRecord(s.r, s.size-s.at)
	s.at += size
	switch err {
	case nil:
	case errTorn:
		return io.EOF
	case errDamaged:
		return s.damaged(begin)
	default:
		return err
	}
	if err := s.visit(payload, v); err != nil {
		if errors.Is(err, errRecord) {
			err = fmt.Errorf("the record at byte %d: %w", begin, err)
		}
		return err
	}
	s.whole = s.at
	return nil
}

// begin reads the line that names the format, or as much of it as there is.
func (s *scanner) begin() error {
	first := make([]byte, min(int64(len(magic)), s.size))
	if _, err := io.ReadFull(s.r, first); err != nil {
		return err
	}
	if string(first) != magic[:len(first)] {
		return errors.New("it is no journal; name another file")
	}
	s.at = int64(len(first))
	return nil
}

// damaged decides what the record at begin is, which does not match its checksums:
// torn, if nothing whole stands behind it. After a power failure the end of a file
// may be anything.
func (s *scanner) damaged(begin int64) error {
	behind := buffered(s.file, begin+1, s.size)
	for at := begin + 1; at+frameLen <= s.size; at++ {
		frame, err := behind.Peek(frameLen)
		if err != nil {
			return err
		}
		if _, ok := lengthOf(frame); ok && s.isRecord(at) {
			return fmt.Errorf("it is damaged at byte %d, and goes on at byte %d; restore it from a copy, or cut it off (truncate -s %d) to do the rest again", begin, at, begin)
		}
		behind.Discard(1) // which Peek has shown to be there
	}
	return io.EOF
}

func (s *scanner) isRecord(at int64) bool {
	_, _, err := readRecord(io.NewSectionReader(s.file, at, s.size-at), s.size-at)
	return err == nil
}

func (s *scanner) visit(payload []byte, v Visitor) error {
	kind, rest := payload[0], payload[1:]
	if (kind == kindHeader) != (s.whole == 0) {
		return fmt.Errorf("%w: a header must come first, and once", errRecord)
	}
	switch kind {
	case kindHeader:
		return visit(rest, parseHeader, v.Header)
	case kindRun:
		s.runs++
		return visit(rest, parseRun, v.Run)
	case kindBatch:
		return visit(rest, func(b []byte) (Batch, error) {
			batch, err := parseBatch(b)
			batch.Run = s.runs
			return batch, err
		}, v.Batch)
	}
	return fmt.Errorf("%w: it is of kind %q, which this version does not know", errRecord, kind)
}

func parseHeader(b []byte) (h Header, err error) { return h, parseJSON(b, &h) }
func parseRun(b []byte) (r Run, err error)       { return r, parseJSON(b, &r) }

func visit[T any](b []byte, parse func([]byte) (T, error), f func(T) error) error {
	v, err := parse(b)
	if err != nil || f == nil {
		return err
	}
	return f(v)
}
