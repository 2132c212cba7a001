// Huge moves more bytes at once than 31 bits can count, by Send, Bcast and Gather,
// and checks that each of them arrives. It takes 2 ranks and 12 GiB.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dlprun/dlp/mpi"
)

const (
	length = 1<<31 + 1
	step   = 4096 // from mark to mark
)

func main() {
	mpi.Main(func(ctx context.Context, world *mpi.Comm) error {
		if world.Size() != 2 {
			return errors.New("huge runs on 2 ranks")
		}
		if err := send(ctx, world); err != nil {
			return fmt.Errorf("Send: %w", err)
		}
		b, err := mpi.Bcast(ctx, world, 1, marked(world.Rank() == 1, 2))
		if err == nil {
			err = check(b, 2)
		}
		if err != nil {
			return fmt.Errorf("Bcast: %w", err)
		}
		b = nil
		all, err := mpi.Gather(ctx, world, mpi.Root, marked(world.Rank() == 1, 3))
		if err == nil && world.IsRoot() {
			err = check(all[1], 3)
		}
		if err != nil {
			return fmt.Errorf("Gather: %w", err)
		}
		if world.IsRoot() {
			fmt.Println("huge: whole")
		}
		return nil
	})
}

func send(ctx context.Context, world *mpi.Comm) error {
	if world.IsRoot() {
		return world.Send(ctx, 1, 0, marked(true, 1))
	}
	b, _, err := world.Recv(ctx, 0, 0)
	if err != nil {
		return err
	}
	return check(b, 1)
}

// marked returns length bytes with marks that depend on kind, or none.
func marked(wanted bool, kind uint64) []byte {
	if !wanted {
		return nil
	}
	b := make([]byte, length)
	for at := 0; at+8 < len(b); at += step {
		binary.LittleEndian.PutUint64(b[at:], uint64(at)*kind)
	}
	b[length-1] = byte(kind)
	return b
}

func check(b []byte, kind uint64) error {
	if len(b) != length {
		return fmt.Errorf("%d bytes arrive, of %d", len(b), length)
	}
	for at := 0; at+8 < len(b); at += step {
		if got := binary.LittleEndian.Uint64(b[at:]); got != uint64(at)*kind {
			return fmt.Errorf("at %d there is %d, not %d", at, got, uint64(at)*kind)
		}
	}
	if b[length-1] != byte(kind) {
		return errors.New("the last byte is wrong")
	}
	return nil
}
