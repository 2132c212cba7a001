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
func Scan(r io.Reader, size int64, v Visitor) (Extent, error) {
	s := scanner{r: bufio.NewReaderSize(r, 1<<20), size: size, visitor: v}
	err := s.scan()
	return Extent{Whole: s.at, Torn: size - s.at}, err
}

type scanner struct {
	r       *bufio.Reader
	size    int64
	at      int64 // end of the last whole record
	visitor Visitor
	records int
	runs    int
}

func (s *scanner) scan() error {
	first := make([]byte, min(int64(len(magic)), s.size))
	if _, err := io.ReadFull(s.r, first); err != nil {
		return err
	}
	if string(first) != magic[:len(first)] {
		return errors.New("it is no journal; name another file")
	}
	begin := int64(len(first))
	for {
		payload, err := readRecord(s.r, s.size-begin)
		switch {
		case err == io.EOF || err == errTorn:
			return nil
		case err == errDamaged:
			return s.damaged(begin, begin+frameLen+int64(len(payload)))
		case err != nil:
			return err
		}
		if err := s.visit(payload); err != nil {
			if errors.Is(err, errRecord) {
				err = fmt.Errorf("the record at byte %d: %w", begin, err)
			}
			return err
		}
		begin += frameLen + int64(len(payload))
		s.at = begin
		s.records++
	}
}

// damaged decides what a record is that does not match its checksum: torn, if
// nothing whole stands behind it.
func (s *scanner) damaged(begin, end int64) error {
	if _, err := readRecord(s.r, s.size-end); err != nil {
		return nil
	}
	return fmt.Errorf("it is damaged at byte %d, and goes on behind that; restore it, or cut it off there and lose the rest", begin)
}

func (s *scanner) visit(payload []byte) error {
	kind, rest := payload[0], payload[1:]
	if (kind == kindHeader) != (s.records == 0) {
		return fmt.Errorf("%w: a header must come first, and once", errRecord)
	}
	switch kind {
	case kindHeader:
		return visit(rest, parseHeader, s.visitor.Header)
	case kindRun:
		s.runs++
		return visit(rest, parseRun, s.visitor.Run)
	case kindBatch:
		return visit(rest, func(b []byte) (Batch, error) {
			batch, err := parseBatch(b)
			batch.Run = s.runs
			return batch, err
		}, s.visitor.Batch)
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
