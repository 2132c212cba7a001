package split

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
)

// messages has one of each kind, with everything that may stand in it.
func messages() [][]byte {
	failure := &TaskError{
		Index: 7, Key: "seven", Rank: 2, Host: "h", Attempts: 1, Err: errors.New("x\ny"), Stack: []byte("s"), call: "split: Map",
	}
	lost := verdict{kind: kindLost, text: "t", lost: mpi.RankError{Rank: 3, Host: "h", Op: "Recv", Err: errors.New("killed")}}
	return [][]byte{
		hello{items: unknown, keys: math.MaxUint64, err: "bad"}.encode(),
		(&report{
			want: early, leave: true, seen: 6, done: 3, drawn: 4, back: []span{{8, 9}}, indices: []int{5, 2, 900}, busy: 77, wait: 88, atEnd: true, length: 12,
			failures: []*TaskError{failure}, results: []byte("gob"),
		}).append(nil),
		(&report{want: low, seen: noShelf}).append(nil),
		encodeDiffers(4, "key"),
		(&decision{what: kindGrant, grant: grant{spans: []span{{3, 9}, {0, 1}, {7, 8}}, ahead: 2}}).append(nil),
		(&decision{what: kindGrant, grant: grant{offer: offer{name: "4096 256 pid:[1] 7 8 ff", place: 2, chunk: 5, policy: Factoring, bounded: true}}}).append(nil),
		(&decision{what: kindGrant, grant: grant{offer: offer{name: "x", place: 2, shelf: true}}}).append(nil),
		(&decision{what: kindBatch, batch: batchGrant{spans: []span{{3, 9}, {0, 1}}, chunk: 2, low: 3}}).append(nil),
		(&decision{what: kindQuery, hashes: []byte("12345678")}).append(nil),
		(&decision{what: kindEnd, end: &verdict{kind: kindTasks, failures: []*TaskError{failure, failure}}}).append(nil),
		(&decision{what: kindEnd, end: &lost}).append(nil),
	}
}

// again decodes a message and encodes what came out.
func again(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, io.EOF
	}
	switch body := b[1:]; kind(b[0]) {
	case kindHello:
		h, err := decodeHello(body)
		return h.encode(), err
	case kindReport:
		var r report
		err := r.decode(body)
		return r.append(nil), err
	case kindDiffers:
		index, key, err := decodeDiffers(body)
		return encodeDiffers(index, key), err
	case kindGrant:
		g, err := decodeGrant(body, nil)
		return (&decision{what: kindGrant, grant: g}).append(nil), err
	case kindBatch:
		g, err := decodeBatch(body)
		return (&decision{what: kindBatch, batch: g}).append(nil), err
	case kindEnd:
		v, err := decodeVerdict(body)
		return (&decision{what: kindEnd, end: &v}).append(nil), err
	}
	return b, nil
}

func TestMessagesStayWhole(t *testing.T) {
	for _, b := range messages() {
		c, err := again(b)
		require.NoError(t, err)
		require.Equal(t, b, c)
	}
}

func TestMessagesCutShortAreErrors(t *testing.T) {
	for k, b := range messages() {
		for n := 1; n < len(b); n++ {
			if kind(b[0]) == kindQuery || kind(b[0]) == kindReport && n >= len(b)-len("gob") {
				continue // any bytes will do
			}
			_, err := again(b[:n])
			require.Error(t, err, "message %d, %d bytes", k, n)
		}
	}
}

func TestGrantsMakeSense(t *testing.T) {
	for name, g := range map[string]grant{
		"empty span": {spans: []span{{3, 3}}},
		"backwards":  {spans: []span{{3, 2}}},
		"negative":   {spans: []span{{-1, 2}}},
		"ahead":      {ahead: -1},
		"place":      {offer: offer{name: "x", place: -1}},
		"chunk":      {offer: offer{name: "x", chunk: -1}},
		"policy":     {offer: offer{name: "x", policy: 99}},
	} {
		_, err := decodeGrant(g.append(nil), nil)
		require.Error(t, err, name)
	}
}

func FuzzMessages(f *testing.F) {
	for _, b := range messages() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		once, err := again(b)
		if err != nil {
			return
		}
		twice, err := again(once)
		require.NoError(t, err)
		require.Equal(t, once, twice)
	})
}

func TestVerdictsKeepWhatErrorsAre(t *testing.T) {
	through := func(err error, failures ...*TaskError) error {
		v := newVerdict(err, failures)
		v, decodeErr := decodeVerdict(v.append(nil))
		require.NoError(t, decodeErr)
		return v.err()
	}
	require.NoError(t, through(nil))
	for _, sentinel := range sentinels[1:] {
		err := fmt.Errorf("split: Map: %w", sentinel)
		require.ErrorIs(t, through(err), sentinel)
		require.EqualError(t, through(err), err.Error())
	}
	require.EqualError(t, through(io.EOF), "EOF")
	require.EqualError(t, verdict{kind: 99, text: "of a later version"}.err(), "of a later version")

	gone := &mpi.RankError{Rank: 3, Host: "h", Op: "Recv", Err: errors.New("killed")}
	err := through(fmt.Errorf("split: %w", gone))
	require.EqualError(t, err, "split: "+gone.Error())
	var lost *mpi.RankError
	require.ErrorAs(t, err, &lost)
	require.Equal(t, 3, lost.Rank)
	require.EqualError(t, lost.Err, "killed")

	a := &TaskError{Index: 5, Key: "e", Rank: 1, Host: "h", Attempts: 1, Err: context.Canceled, call: "split: Map"}
	b := &TaskError{Index: 2, Rank: 0, Host: "g", Attempts: 1, Err: errors.New("two\n  lines\n"), Stack: []byte("s")}
	err = through(joinFailures([]*TaskError{a, b}), a, b)
	require.EqualError(t, err, "split: item 2 failed on rank 0 (g): two ; lines ;\nsplit: Map: item 5 (e) failed on rank 1 (h): context canceled")
	require.EqualError(t, through(a, a), a.Error())
}
