package mpi_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/dlprun/dlp/mpi"
)

// Ranks that are goroutines are lost with their process only.
func ExampleComm_GoesOn() {
	err := mpi.RunLocal(context.Background(), 2, func(ctx context.Context, world *mpi.Comm) error {
		total, err := mpi.Reduce(ctx, world, mpi.Root, world.Rank(), mpi.Sum[int])
		var gone *mpi.RankError
		if errors.As(err, &gone) && world.GoesOn() {
			log.Printf("without the sum: rank %d is lost", gone.Rank)
			return world.Barrier(ctx) // of those that are left
		}
		if world.IsRoot() {
			fmt.Println(world.GoesOn(), total)
		}
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: false 1
}

func ExampleComm_Resign() {
	err := mpi.RunLocal(context.Background(), 2, func(ctx context.Context, world *mpi.Comm) error {
		if world.Rank() == 1 {
			world.Resign(1, "a task is stuck")
		}
		return world.Barrier(ctx) // here, and wherever a lost rank ends the job, in vain
	})
	fmt.Println(err)
	// Output: rank 1: the job was aborted with status 1: a task is stuck
}

func ExampleComm_Together() {
	err := mpi.RunLocal(context.Background(), 3, func(ctx context.Context, world *mpi.Comm) error {
		ring, err := world.Dup(ctx)
		if err != nil {
			return err
		}
		ring.Together() // a ring that is broken anywhere is of no use
		next, before := (world.Rank()+1)%3, (world.Rank()+2)%3
		if err := ring.Send(ctx, next, 0, []byte{byte(world.Rank())}); err != nil {
			return err
		}
		data, _, err := ring.Recv(ctx, before, 0)
		if world.IsRoot() {
			fmt.Println(data)
		}
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: [2]
}
