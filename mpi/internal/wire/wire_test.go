package wire

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func frame(m Message) []byte { return append(AppendHeader(nil, &m), m.Body...) }

func TestRoundTrip(t *testing.T) {
	for _, m := range []Message{
		{Kind: User},
		{Kind: Control, Form: 3, Tag: -7, Comm: 1<<64 - 1, Seq: 9, Note: "Bcast", Body: []byte{0}},
		{Kind: Collective, Note: strings.Repeat("n", MaxNote), Body: bytes.Repeat([]byte("x"), 3<<20+1)},
	} {
		got, err := NewReader(bytes.NewReader(frame(m)), MaxBody).Read()
		require.NoError(t, err)
		require.Equal(t, m, got)
	}
}

func TestStreamEnds(t *testing.T) {
	whole := frame(Message{Kind: User, Note: "note", Body: []byte("body")})
	for cut := range whole {
		_, err := NewReader(bytes.NewReader(whole[:cut]), MaxBody).Read()
		if cut == 0 {
			require.ErrorIs(t, err, io.EOF)
		} else {
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut at %d", cut)
		}
	}
}

func TestEveryFlippedBitIsSeen(t *testing.T) {
	whole := frame(Message{Kind: User, Tag: 5, Comm: 3, Seq: 1, Note: "note", Body: []byte("body")})
	for bit := range len(whole) * 8 {
		broken := bytes.Clone(whole)
		broken[bit/8] ^= 1 << (bit % 8)
		_, err := NewReader(bytes.NewReader(broken), 1<<16).Read()
		require.Error(t, err, "bit %d", bit)
	}
}

func TestLengthsAreCheckedBeforeTheyAreBelieved(t *testing.T) {
	head := frame(Message{Kind: User})
	binary.LittleEndian.PutUint64(head[32:], 1<<50)
	_, err := NewReader(bytes.NewReader(head), MaxBody).Read()
	require.ErrorIs(t, err, ErrFrame)
	require.ErrorContains(t, err, "a body of")

	head = frame(Message{Kind: User})
	binary.LittleEndian.PutUint16(head[6:], MaxNote+1)
	_, err = NewReader(bytes.NewReader(head), MaxBody).Read()
	require.ErrorContains(t, err, "a note of")
}

func FuzzRead(f *testing.F) {
	f.Add(frame(Message{Kind: User, Note: "n", Body: []byte("b")}))
	f.Add(frame(Message{Kind: Control}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewReader(bytes.NewReader(in), 1<<20)
		var back []byte
		for {
			m, err := r.Read()
			if err != nil {
				break
			}
			back = append(back, frame(m)...)
		}
		// What is taken for a frame is written back byte for byte.
		require.True(t, bytes.HasPrefix(in, back))
	})
}

func BenchmarkSmallFrame(b *testing.B) {
	m := Message{Kind: User, Note: "Barrier\x00main.go:12", Body: make([]byte, 8)}
	stream := frame(m)
	var loop loopReader
	loop.b = stream
	r := NewReader(&loop, MaxBody)
	buf := make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendHeader(buf[:0], &m)
		if _, err := r.Read(); err != nil {
			b.Fatal(err)
		}
	}
}

// loopReader repeats its bytes for ever.
type loopReader struct {
	b  []byte
	at int
}

func (l *loopReader) Read(p []byte) (int, error) {
	n := copy(p, l.b[l.at:])
	l.at = (l.at + n) % len(l.b)
	return n, nil
}
