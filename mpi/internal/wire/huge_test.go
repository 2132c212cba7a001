//go:build !race

package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A body may have more bytes than 32 bits count. It is never touched, and takes no memory
// but under the race detector.
func TestHugeLength(t *testing.T) {
	const n = 1<<32 + 1
	head := AppendUnsummed(nil, &Message{Kind: User, Body: make([]byte, n)})
	var h Head
	copy(h.Fixed(), head)
	_, err := h.Note(MaxBody)
	require.NoError(t, err)
	_, length, err := h.Message()
	require.NoError(t, err)
	require.Equal(t, n, length)
}
