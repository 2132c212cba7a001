package wire

import (
	"math/bits"
	"sync"
)

// Bodies are used again, where they are given back: a gigabyte that comes in pieces
// of a mebibyte would otherwise leave another gigabyte for the garbage collector.
// Those that are about as long are kept together, as those that come one after the
// other mostly are.
const maxPooled = 4 << 20

var (
	bodies  [23]sync.Pool // of *[]byte, by the binary digits of the capacity
	headers sync.Pool     // of *[]byte that are nil: where a body may be put
)

// NewBody returns n bytes for a body, with any content.
func NewBody(n int) []byte {
	if n > 0 && n <= maxPooled {
		if h, ok := bodies[bits.Len(uint(n))-1].Get().(*[]byte); ok {
			b := *h
			*h = nil
			headers.Put(h)
			if n <= cap(b) {
				return b[:n]
			}
		}
	}
	return make([]byte, n)
}

// FreeBody gives a body back that nobody uses any more.
func FreeBody(b []byte) {
	n := cap(b)
	if n == 0 || n > maxPooled {
		return
	}
	h, ok := headers.Get().(*[]byte)
	if !ok {
		h = new([]byte)
	}
	*h = b[:n]
	bodies[bits.Len(uint(n))-1].Put(h)
}
