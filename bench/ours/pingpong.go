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
			ball := newBall(world, size)
			seconds, err := enough(ctx, world, 10, func(n int) error { return ball.play(ctx, n) }, ball.check)
			if err != nil {
				return err
			}
			show(world, fmt.Sprint("bytes", size), seconds/2)
		}
		return nil
	}
}

// A ball goes there and back. Rank 1 counts in its first byte, and rank 0 in its
// last; those between are a pattern, which rank 1 does not have before it comes.
type ball struct {
	c    *mpi.Comm
	data []byte
}

func newBall(c *mpi.Comm, size int) ball {
	b := ball{c: c, data: make([]byte, size)}
	for i := 1; i < size-1 && c.IsRoot(); i++ {
		b.data[i] = pattern(i)
	}
	return b
}

func pattern(i int) byte { return byte(i * 7) }

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
	for i := 1; i < len(b.data)-1; i++ {
		if b.data[i] != pattern(i) {
			return fmt.Errorf("byte %d is %d", i, b.data[i])
		}
	}
	return nil
}
