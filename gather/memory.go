package gather

import (
	"context"
	"fmt"

	"github.com/dlprun/dlp/internal/codec"
)

// sendMemory sends numbers: all at once where they are few, otherwise first how
// many they are, so that the root can make room, and then piece by piece.
func sendMemory(ctx context.Context, s *sender, mem []byte) error {
	if len(mem) > batchSize {
		if err := s.send(ctx, more, nil); err != nil {
			return err
		}
	}
	for ; len(mem) > batchSize && !s.over; mem = mem[batchSize:] {
		if err := s.send(ctx, more, mem[:batchSize]); err != nil {
			return err
		}
	}
	if s.over {
		mem = nil
	}
	if err := s.send(ctx, last, mem); err != nil {
		return err
	}
	return s.settle(ctx)
}

// receiveMemory receives numbers straight into their room.
func receiveMemory[T any](ctx context.Context, r *receiver, room []T) (problem, lost error) {
	first, err := r.next(ctx)
	if err != nil {
		return nil, err
	}
	mem, _ := codec.Memory(room)
	if few := len(mem) <= batchSize; few != r.done || few && len(first) != len(mem) {
		return nil, fmt.Errorf("rank %d sent %d bytes at first of %d that were due", r.rank, len(first), len(mem))
	}
	copy(mem, first)
	for !r.done {
		piece := mem[:min(batchSize, len(mem))]
		if err := r.into(ctx, piece); err != nil {
			return nil, err
		}
		mem = mem[len(piece):]
	}
	return nil, nil
}
