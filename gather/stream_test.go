package gather

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
)

type entry[T any] struct {
	rank int
	item T
}

func TestStream(t *testing.T) {
	matrix(t, func(ctx context.Context, c *mpi.Comm, size int) error {
		return errors.Join(
			streamIs(ctx, c, func(rank int) []byte { return bytesOf(rank, size/64) }),
			streamIs(ctx, c, func(rank int) []float64 { return numbersOf(rank, size*(rank%2)/4) }),
			streamIs(ctx, c, func(rank int) [][]byte { return [][]byte{nil, bytesOf(rank, size), {}} }),
			streamIs(ctx, c, func(rank int) []record { return recordsOf(rank, size) }),
		)
	})
}

func streamIs[T any](ctx context.Context, c *mpi.Comm, f func(rank int) []T) error {
	var got, wanted []entry[T]
	s := Stream(ctx, c, f(c.Rank()))
	for rank, v := range s.All() {
		got = append(got, entry[T]{rank, v})
	}
	for range s.All() {
		return errors.New("the second loop has items")
	}
	if c.IsRoot() {
		for rank := range c.Size() {
			for _, v := range f(rank) {
				wanted = append(wanted, entry[T]{rank, v})
			}
		}
	}
	return errors.Join(s.Err(), want(reflect.DeepEqual(got, wanted), "rank %d: wrong %T of %d", c.Rank(), got, len(got)))
}

// Wherever the root leaves the loop, all ranks get out of it without an error,
// and the communicator works on.
func TestStreamLeft(t *testing.T) {
	for _, n := range sizes {
		for _, size := range payloads {
			total := len(serial(n, func(rank int) []record { return recordsOf(rank, size) }))
			for _, stop := range []int{1, total / n, total/n + 1, total / 2, total - 1, total} {
				if stop < 1 || stop > total {
					continue
				}
				seen := 0
				errs := errorsOf(t, n, func(ctx context.Context, c *mpi.Comm) error {
					s := Stream(ctx, c, recordsOf(c.Rank(), size))
					for range s.All() {
						seen++ // only at the root
						if seen == stop {
							break
						}
					}
					return s.Err()
				})
				require.NoError(t, errors.Join(errs...))
				require.Equal(t, stop, seen)
			}
		}
	}
}

func TestStreamErrAlone(t *testing.T) {
	for _, n := range sizes {
		run(t, n, func(ctx context.Context, c *mpi.Comm) error {
			return Stream(ctx, c, recordsOf(c.Rank(), 1<<20)).Err()
		})
	}
}

func TestStreamErrors(t *testing.T) {
	for _, err := range errorsOf(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		s := Stream(ctx, c, []leaky{{}})
		for range s.All() {
			return errors.New("an item")
		}
		return s.Err()
	}) {
		require.ErrorContains(t, err, "gather: Stream: gather.leaky: field total is unexported; ")
	}
	for _, n := range sizes {
		for bad := range n {
			seen := 0
			errs := errorsOf(t, n, func(ctx context.Context, c *mpi.Comm) error {
				s := Stream(ctx, c, anys(c.Rank(), bad))
				for range s.All() {
					seen++
				}
				return s.Err()
			})
			for rank, err := range errs {
				if rank == 0 || rank >= bad { // the others were through before
					require.ErrorContains(t, err, "gather: Stream: ")
					require.ErrorContains(t, err, "type not registered for interface: gather.unregistered")
				} else {
					require.NoError(t, err)
				}
			}
			require.GreaterOrEqual(t, seen, 2*bad)
		}
	}
}

// However much the ranks have, no more than the window of it is ever on its way.
func TestStreamBoundsWhatWaits(t *testing.T) {
	const n = 3
	errs := make(chan error, n)
	run(t, n, func(ctx context.Context, c *mpi.Comm) error {
		if !c.IsRoot() {
			s := &sender{c: &call{c, "test"}}
			for range window {
				if err := s.send(ctx, more, bytesOf(c.Rank(), 1)); err != nil {
					return err
				}
			}
			ctx, cancel := context.WithCancel(ctx)
			cancel() // the next one must wait, so it fails; the others did not
			errs <- s.send(ctx, more, nil)
		}
		return c.Barrier(ctx)
	})
	for range n - 1 {
		require.ErrorIs(t, <-errs, context.Canceled)
	}
}

// A root that forgets its stream must not hold the others up for ever.
func TestStreamForgotten(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := mpi.RunLocal(ctx, 2, func(ctx context.Context, c *mpi.Comm) error {
		s := Stream(ctx, c, []int{1})
		if c.IsRoot() {
			return nil
		}
		return s.Err()
	})
	require.ErrorContains(t, err, "Stream") // a MismatchError, or a RankError if the root was quick to leave
	require.NotErrorIs(t, err, context.DeadlineExceeded)
}

func TestStreamBigItems(t *testing.T) {
	run(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		return streamIs(ctx, c, func(rank int) []string {
			return []string{strings.Repeat("a", 3<<20), "", strings.Repeat("b", streamBatch)}
		})
	})
}
