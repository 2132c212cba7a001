package codec

import (
	"fmt"
	"testing"
)

type small struct {
	Name  string
	Count int
	Score float64
}

func BenchmarkEncodeRecord(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Encode(small{"word", 3, 0.5}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	b.Run("record", func(b *testing.B) { roundTrips(b, small{"word", 3, 0.5}, Encode) })
	b.Run("packed record", func(b *testing.B) { roundTrips(b, small{"word", 3, 0.5}, Pack) })
	b.Run("int", func(b *testing.B) { roundTrips(b, 3, Encode) })
	b.Run("floats", func(b *testing.B) { roundTrips(b, make([]float64, 1<<17), Encode) })
}

func roundTrips[T any](b *testing.B, v T, encode func(T) (Form, []byte, error)) {
	b.ReportAllocs()
	for b.Loop() {
		form, body, err := encode(v)
		if err == nil {
			_, err = Decode[T](form, body)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	b.Run("record", func(b *testing.B) { appends(b, small{"word", 3, 0.5}) })
	b.Run("int", func(b *testing.B) { appends(b, 3) })
	b.Run("string", func(b *testing.B) { appends(b, "word") })
}

func appends[T any](b *testing.B, v T) {
	b.ReportAllocs()
	w := NewWriter[T]()
	for b.Loop() {
		if err := w.Append(v); err != nil {
			b.Fatal(err)
		}
		if w.Len() > 64<<10 {
			w.Take()
		}
	}
}

func BenchmarkNext(b *testing.B) {
	b.Run("record", func(b *testing.B) { nexts(b, small{"word", 3, 0.5}) })
	b.Run("int", func(b *testing.B) { nexts(b, 3) })
	b.Run("string", func(b *testing.B) { nexts(b, "word") })
}

// nexts reads a stream whose batches all look like its second one.
func nexts[T any](b *testing.B, v T) {
	w, r := NewWriter[T](), NewReader[T]()
	batch := func(n int) []byte {
		for range n {
			if err := w.Append(v); err != nil {
				b.Fatal(err)
			}
		}
		return w.Take()
	}
	r.Feed(batch(1))
	if _, err := r.Next(); err != nil {
		b.Fatal(err)
	}
	again := batch(1000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%1000 == 0 {
			r.Feed(again)
		}
		if _, err := r.Next(); err != nil {
			b.Fatal(fmt.Errorf("value %d: %w", i, err))
		}
	}
}

func BenchmarkClone(b *testing.B) {
	b.Run("exact", func(b *testing.B) { clones(b, small{"word", 3, 0.5}) })
	b.Run("tags", func(b *testing.B) { clones(b, record{"word", 3, 0.5, []string{"a"}}) })
}

func clones[T any](b *testing.B, v T) {
	b.ReportAllocs()
	c := NewCloner[T]()
	for b.Loop() {
		if _, err := c.Clone(v); err != nil {
			b.Fatal(err)
		}
	}
}
