package mpi_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// Severed is a transport that has lost its connection with rank 1.
type severed struct{ transport.Transport }

var errSevered = &transport.PeerError{Rank: 1, Err: errors.New("no way there")}

func (severed) Send(context.Context, int, *wire.Message) error { return errSevered }
func (severed) Recv(context.Context) (wire.Message, error)     { return wire.Message{}, errSevered }

// A connection that breaks is reason enough, where nobody else says that the rank is
// gone.
func TestBrokenConnection(t *testing.T) {
	for name, do := range map[string]func(ctx context.Context, c *mpi.Comm) error{
		"Send": func(ctx context.Context, c *mpi.Comm) error { return c.Send(ctx, 1, 0, nil) },
		"Recv": func(ctx context.Context, c *mpi.Comm) error {
			_, _, err := c.Recv(ctx, 1, 0)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got error
			err := local(t, 2, func(ctx context.Context, c *mpi.Comm) error {
				if !c.IsRoot() {
					<-ctx.Done()
					return nil
				}
				mpi.Wrap(c, func(t transport.Transport) transport.Transport { return severed{t} })
				got = do(ctx, c)
				return errors.New("rank 0 has seen enough")
			})
			require.ErrorContains(t, err, "rank 0 has seen enough")
			var gone *mpi.RankError
			require.ErrorAs(t, got, &gone)
			require.Equal(t, 1, gone.Rank)
			require.Equal(t, name, gone.Op)
			require.ErrorContains(t, gone, "no way there")
		})
	}
}

// Calls hear of the loss of a rank whose messages they do not wait for, also where their
// ctx does not end with the job: the one that reads for all, and one that sleeps meanwhile.
func TestLossOfAnotherRank(t *testing.T) {
	heedless := bounded(t)
	waits := make(chan struct{})
	got := make([]error, 2)
	err := local(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		switch c.Rank() {
		case 0:
			var calls sync.WaitGroup
			for tag := range got {
				calls.Go(func() { _, _, got[tag] = c.Recv(heedless, 1, mpi.Tag(tag)) })
			}
			close(waits)
			calls.Wait()
		case 1:
			<-ctx.Done()
		case 2:
			<-waits
			time.Sleep(50 * time.Millisecond) // by then they sleep, mostly
			return errors.New("broken")
		}
		return nil
	})
	require.NoError(t, heedless.Err(), "else that has ended them, and not the loss")
	require.ErrorContains(t, err, "rank 2: broken")
	for _, err := range got {
		var gone *mpi.RankError
		require.ErrorAs(t, err, &gone)
		require.Equal(t, 2, gone.Rank)
	}
}
