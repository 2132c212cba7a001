package wire

import (
	"math/bits"
	"sync"
)

// Bodies of some sizes, powers of two, are used again: a gigabyte that comes in
// pieces of a mebibyte would otherwise leave another gigabyte for the garbage
// collector.
const (
	minPooled = 12 // 4 KiB, as a power of two
	maxPooled = 22 // 4 MiB
)

var bodies [maxPooled + 1]sync.Pool // of *[]byte, by the power of two

// NewBody returns n bytes for a body, with any content.
func NewBody(n int) []byte {
	if class, ok := pooled(n); ok {
		if b, ok := bodies[class].Get().(*[]byte); ok {
			return *b
		}
	}
	return make([]byte, n)
}

// FreeBody gives a body back that nobody uses any more.
func FreeBody(b []byte) {
	if class, ok := pooled(len(b)); ok && cap(b) == len(b) {
		bodies[class].Put(&b)
	}
}

// pooled says whether bodies of n bytes are used again.
func pooled(n int) (class int, ok bool) {
	class = bits.TrailingZeros(uint(n))
	return class, n == 1<<class && minPooled <= class && class <= maxPooled
}
