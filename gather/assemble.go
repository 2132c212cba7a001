package gather

import (
	"context"
	"fmt"
	"math"
	"reflect"

	"github.com/dlprun/dlp/internal/codec"
)

// assemble makes one slice of what all ranks have, at the root. The first message
// of each says how much that is, so that receive, called for all of them at once,
// can put it where it is to be: the root needs no more memory than the result has.
// What receive returns is the problem with the items, or why the rank is lost.
func assemble[T any](ctx context.Context, c *call, local []T, receive func(ctx context.Context, r *receiver, room []T) (problem, lost error)) ([]T, error) {
	all, rooms := []T(nil), [][]T(nil)
	problems := make([]error, c.Size())
	receivers, lost := hearAll(ctx, c)
	if lost == nil {
		receivers[c.Rank()].items = len(local)
		all, rooms, lost = allot[T](receivers)
	}
	if lost == nil {
		lost = eachRank(ctx, c, func(ctx context.Context, rank int) (lost error) {
			if rank == c.Rank() {
				problems[rank] = codec.CloneAll(rooms[rank], local)
				return nil
			}
			problems[rank], lost = receive(ctx, &receivers[rank], rooms[rank])
			return lost
		})
	}
	if lost != nil {
		farewell(ctx, c, 0, lost) // those who can still hear it
		return nil, lost
	}
	if err := first(problems); err != nil {
		return nil, err
	}
	return all, nil
}

// hearAll takes in the first message of every other rank.
func hearAll(ctx context.Context, c *call) ([]receiver, error) {
	receivers := make([]receiver, c.Size())
	return receivers, eachRank(ctx, c, func(ctx context.Context, rank int) error {
		receivers[rank] = receiver{c: c, rank: rank}
		if rank == c.Rank() {
			return nil
		}
		return receivers[rank].hear(ctx)
	})
}

// maxResult is how many bytes the items of all ranks have at most, without what
// they point to: as many as a message may have, where there is such memory.
const maxResult = min(1<<40, math.MaxInt)

// allot makes room for the items of all ranks.
func allot[T any](receivers []receiver) (all []T, rooms [][]T, err error) {
	left := maxResult / max(int(reflect.TypeFor[T]().Size()), 1)
	n := 0
	for _, r := range receivers {
		if r.items > left {
			return nil, nil, fmt.Errorf("rank %d has %d items, which are too many", r.rank, r.items)
		}
		left -= r.items
		n += r.items
	}
	all = make([]T, n)
	rest := all
	for _, r := range receivers {
		rooms = append(rooms, rest[:r.items:r.items])
		rest = rest[r.items:]
	}
	return all, rooms, nil
}
