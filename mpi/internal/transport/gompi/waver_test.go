//go:build mpi

package gompi_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/transport/gompi"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// A Send that is given up while the receiver reads the sender's memory has its
// memory back: what is written there afterwards goes nowhere. The message has
// arrived whole if Send says so, and not at all if it does not.
func TestSendersThatWaver(t *testing.T) {
	out, err := mpiexec(t, 2, "waver", "SPIN=1").CombinedOutput()
	require.NoError(t, err, "%s", out)
	var sent int
	_, err = fmt.Sscanf(string(out), "sent %d", &sent)
	require.NoError(t, err, "%s", out)
	require.Greater(t, sent, 0)
	require.Less(t, sent, wavers, "no Send was ever given up")
}

const (
	wavers    = 4000
	waverSize = 64 << 10
	waverTime = 40 * time.Microsecond // about what such a message takes
)

func waver(ctx context.Context, w *gompi.World) error {
	tr, err := w.New(ctx, true)
	if err == nil && w.Rank == 0 {
		err = sendWavering(ctx, tr)
	} else if err == nil {
		err = recvWavered(ctx, tr)
	}
	if err != nil {
		return err
	}
	return tr.Close()
}

// sendWavering sends messages full of their own number, gives up at any moment, and
// spoils the memory at once. In the end it says which were sent.
func sendWavering(ctx context.Context, tr transport.Transport) error {
	sent := make([]byte, wavers)
	for i := range sent {
		body := bytes.Repeat([]byte{byte(i % 255)}, waverSize)
		if sendFor(ctx, tr, rand.N(waverTime), &wire.Message{Kind: wire.User, Tag: int32(i), Body: body}) == nil {
			sent[i] = 1
		}
		for j := range body {
			body[j] = 255
		}
	}
	fmt.Println("sent", bytes.Count(sent, []byte{1}))
	return tr.Send(ctx, 1, &wire.Message{Kind: wire.User, Tag: wavers, Body: sent})
}

// sendFor sends m, and gives up after d.
func sendFor(ctx context.Context, tr transport.Transport, d time.Duration, m *wire.Message) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for start := time.Now(); time.Since(start) < d; {
		}
		cancel()
	}()
	return tr.Send(ctx, 1, m)
}

func recvWavered(ctx context.Context, tr transport.Transport) error {
	got := make([]byte, wavers)
	for {
		m, err := tr.Recv(ctx)
		switch {
		case err != nil:
			return err
		case m.Tag == wavers && !bytes.Equal(got, m.Body):
			return fmt.Errorf("other messages have come than were sent")
		case m.Tag == wavers:
			return nil
		case len(m.Body) != waverSize || bytes.Count(m.Body, []byte{byte(m.Tag % 255)}) != waverSize:
			return fmt.Errorf("message %d is spoilt", m.Tag)
		}
		got[m.Tag]++
	}
}
