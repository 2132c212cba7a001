package transport

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/dlprun/dlp/mpi/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestInboxTakesABoundedNumberOfEmptyMessages(t *testing.T) {
	b := NewInbox()
	n := 0
	for b.Offer(wire.Message{}) {
		n++
	}
	require.Less(t, n, 1<<20)
	require.NoError(t, b.PutNow(wire.Message{}), "whatever there is, to oneself")
	_, err := b.Recv(t.Context())
	require.NoError(t, err)
	_, err = b.Recv(t.Context())
	require.NoError(t, err)
	require.True(t, b.Offer(wire.Message{}), "there is room again")
}

func TestInboxTakesEverythingWhileThisRankIsBlocked(t *testing.T) {
	b := NewInbox()
	big := wire.Message{Body: make([]byte, InboxLimit)}
	require.NoError(t, b.PutNow(big))
	require.False(t, b.Offer(big))
	b.Block()
	require.True(t, b.Offer(big))
	b.Unblock()
	require.False(t, b.Offer(big))

	put := make(chan error)
	go func() { put <- b.Put(t.Context(), big) }()
	b.Block()
	require.NoError(t, <-put, "a Put that waits goes on as well")
}

func TestInboxPutEnds(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(*Inbox, context.CancelFunc)
		want error
	}{
		"with its ctx": {func(_ *Inbox, cancel context.CancelFunc) { cancel() }, context.Canceled},
		"with Close":   {func(b *Inbox, _ context.CancelFunc) { b.Close() }, ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			b := NewInbox()
			require.NoError(t, b.PutNow(wire.Message{Body: make([]byte, InboxLimit)}))
			put := make(chan error)
			go func() { put <- b.Put(ctx, wire.Message{}) }()
			test.end(b, cancel)
			require.ErrorIs(t, <-put, test.want)
		})
	}
}

func TestInboxErrorsKeepTheirPlace(t *testing.T) {
	b := NewInbox()
	lost := &PeerError{Rank: 3, Err: ErrLeft}
	require.NoError(t, b.PutNow(wire.Message{Tag: 1}))
	b.Fail(lost)
	require.NoError(t, b.PutNow(wire.Message{Tag: 2}))
	b.Close()
	m, err := b.Recv(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, m.Tag)
	_, err = b.Recv(t.Context())
	require.Equal(t, lost, err)
	m, err = b.Recv(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, m.Tag)
	_, err = b.Recv(t.Context())
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, b.PutNow(wire.Message{}), ErrClosed)
}

// A queue that never runs empty must neither grow for ever nor lose its order.
func TestInboxThatNeverRunsEmpty(t *testing.T) {
	b := NewInbox()
	require.NoError(t, b.PutNow(wire.Message{}))
	for i := range 10000 {
		require.NoError(t, b.PutNow(wire.Message{Tag: int32(i + 1)}))
		m, err := b.Recv(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, i, m.Tag)
	}
	require.Less(t, cap(b.queue), 10000)
}

// A place is for the next message that fits it, so what waits must be known, and
// must let it go when it is taken back.
func TestInboxAndPlaces(t *testing.T) {
	b := NewInbox()
	buf := make([]byte, 4)
	p := Place{Src: 1, Tag: -1, Buf: buf}
	put := func(src int, body []byte) {
		require.NoError(t, b.PutNow(wire.Message{Src: src, Kind: wire.User, Body: body}))
	}
	put(2, []byte("else"))
	put(1, []byte("longer"))
	require.False(t, b.Fits(&p))
	put(1, copyInto(buf, "four"))
	require.True(t, b.Fits(&p))
	b.Evict(&p)
	clear(buf)
	for _, want := range []string{"else", "longer", "four"} {
		var m wire.Message
		require.True(t, b.Poll(&m))
		require.Equal(t, want, string(m.Body))
	}
	require.False(t, b.Fits(&p))
	require.True(t, b.Empty())
}

func copyInto(buf []byte, s string) []byte { return buf[:copy(buf, s)] }
