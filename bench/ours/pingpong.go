package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/dlprun/dlp/mpi"
)

// pingpong measures how long messages of some sizes take one way: half of there
// and back.
func pingpong(fs *flag.FlagSet) func(context.Context, *mpi.Comm) error {
	most := fs.Int("most", 1<<20, "bytes of the largest")
	return func(ctx context.Context, world *mpi.Comm) error {
		for _, size := range []int{8, 4 << 10, 64 << 10, 1 << 20} {
			if size > *most {
				break
			}
			ball := ball{c: world, data: make([]byte, size)}
			seconds, err := enough(ctx, world, 10, func(n int) error { return ball.play(ctx, n) }, ball.check)
			if err != nil {
				return err
			}
			show(world, fmt.Sprint("bytes", size), seconds/2)
		}
		return nil
	}
}

// A ball goes there and back. Rank 1 changes its first byte, and rank 0 its last.
type ball struct {
	c    *mpi.Comm
	data []byte
}

func (b ball) play(ctx context.Context, n int) error {
	for range n {
		if b.c.Rank() == 0 {
			b.data[len(b.data)-1]++
			if err := b.c.Send(ctx, 1, 0, b.data); err != nil {
				return err
			}
		}
		if _, err := b.c.RecvInto(ctx, 1-b.c.Rank(), 0, b.data); err != nil {
			return err
		}
		if b.c.Rank() == 1 {
			b.data[0]++
			if err := b.c.Send(ctx, 0, 0, b.data); err != nil {
				return err
			}
		}
	}
	return nil
}

// check forgets the counts in the ball if they are n, and fails otherwise.
func (b ball) check(n int) error {
	first, last := &b.data[0], &b.data[len(b.data)-1]
	if *first != byte(n) || *last != byte(n) {
		return fmt.Errorf("after %d rounds the ball counts %d and %d", n, *first, *last)
	}
	*first, *last = 0, 0
	return nil
}
