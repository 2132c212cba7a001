package gather

import (
	"context"
	"encoding/binary"
	"fmt"
	"reflect"

	"github.com/dlprun/dlp/internal/codec"
)

// sendMemory sends numbers: all at once where they are few, otherwise first how
// many bytes they are, so that the root can make room, and then piece by piece.
func sendMemory(ctx context.Context, s *sender, mem []byte) error {
	if len(mem) > batchSize {
		if err := s.send(ctx, more, binary.LittleEndian.AppendUint64(nil, uint64(len(mem)))); err != nil {
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

// receiveMemory receives numbers straight into the place where they are to be,
// so that the root needs no more memory than the result has.
func receiveMemory[T any](ctx context.Context, c *call, local []T) ([]T, error) {
	all, err := assemble(ctx, c, local)
	if err != nil {
		farewell(ctx, c, 0, err) // those who can still hear it
		return nil, err
	}
	return all, nil
}

func assemble[T any](ctx context.Context, c *call, local []T) ([]T, error) {
	heads := make([]head, c.Size())
	ends := make([]int, c.Size()) // in the result, by rank, in items
	size := int(reflect.TypeFor[T]().Size())
	n := 0
	for rank := range heads {
		if rank == c.Rank() {
			n += len(local)
		} else {
			var err error
			if heads[rank], err = receiveHead(ctx, c, rank, size); err != nil {
				return nil, err
			}
			n += heads[rank].bytes / size
		}
		ends[rank] = n
	}

	all := make([]T, n)
	return all, eachRank(ctx, c, func(ctx context.Context, rank int) error {
		start := 0
		if rank > 0 {
			start = ends[rank-1]
		}
		room := all[start:ends[rank]]
		if rank == c.Rank() {
			copy(room, local)
			return nil
		}
		mem, _ := codec.Memory(room)
		return heads[rank].fill(ctx, mem)
	})
}

// A head is the first message of a rank: all that it has, or how much that is.
type head struct {
	receiver
	all   []byte
	bytes int
}

func receiveHead(ctx context.Context, c *call, rank, size int) (head, error) {
	h := head{receiver: receiver{c: c, rank: rank}}
	first, err := h.next(ctx)
	if err != nil {
		return h, err
	}
	if h.done {
		h.all, h.bytes = first, len(first)
	} else if len(first) == 8 {
		h.bytes = int(binary.LittleEndian.Uint64(first))
	}
	if h.bytes < 0 || h.bytes%size != 0 || !h.done && h.bytes <= batchSize {
		return h, fmt.Errorf("rank %d announced %d bytes of numbers that have %d each", rank, h.bytes, size)
	}
	return h, nil
}

// fill receives what was announced into mem.
func (h *head) fill(ctx context.Context, mem []byte) error {
	copy(mem, h.all)
	for !h.done {
		piece := mem[:min(batchSize, len(mem))]
		if err := h.into(ctx, piece); err != nil {
			return err
		}
		mem = mem[len(piece):]
	}
	return nil
}
