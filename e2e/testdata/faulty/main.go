// Faulty misbehaves on one rank in the middle of an operation:
//
//	faulty OPERATION KIND RANK
//
// OPERATION is barrier, gather, large, send (all others to the last rank), recv (from
// it), managed or map; KIND is kill, exit0, exit3, error, panic, or say: that it is time
// for somebody else to.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

// rounds is how often each operation goes well before.
const rounds = 5

func main() {
	mpi.Main(func(ctx context.Context, world *mpi.Comm) error {
		mine := strconv.Itoa(world.Rank()) == os.Args[3]
		count := 0
		deed := func() error {
			if count++; mine && count == rounds+1 {
				return misbehave(os.Args[2])
			}
			return nil
		}
		if err := world.Barrier(ctx); err != nil { // so that all take part by then
			return err
		}
		switch os.Args[1] {
		case "barrier":
			return repeat(deed, func() error { return world.Barrier(ctx) })
		case "gather":
			return repeat(deed, func() error {
				_, err := mpi.Gather(ctx, world, mpi.Root, make([]byte, 1<<20))
				return err
			})
		case "large":
			return repeat(deed, func() error {
				v, err := mpi.Bcast(ctx, world, mpi.Root, make([]int, 1<<17))
				if err == nil {
					_, err = mpi.AllreduceSlice(ctx, world, v, mpi.OpSum)
				}
				return err
			})
		case "send", "recv":
			return repeat(deed, func() error { return stream(ctx, world, os.Args[1] == "send") })
		case "managed":
			loop := split.Managed(ctx, world, 100_000, split.Chunk(1))
			for range loop.All() {
				time.Sleep(100 * time.Microsecond)
				if err := deed(); err != nil {
					return err
				}
			}
			return loop.Err()
		case "map":
			results := split.Map(ctx, world, 100_000, func(context.Context, int) ([]byte, error) {
				time.Sleep(100 * time.Microsecond)
				return make([]byte, 100), deed()
			}, split.Chunk(1))
			for range results.All() {
			}
			return results.Err()
		}
		return errors.New("no such operation")
	})
}

// stream carries large bodies from all others to the last rank, or the other way.
func stream(ctx context.Context, world *mpi.Comm, there bool) error {
	last := world.Size() - 1
	peers := []int{last}
	if world.Rank() == last {
		peers = peers[:0]
		for r := range last {
			peers = append(peers, r)
		}
	}
	for _, peer := range peers {
		if there == (peer == last) {
			if err := world.Send(ctx, peer, 0, make([]byte, 4<<20)); err != nil {
				return err
			}
			continue
		}
		if _, _, err := world.Recv(ctx, peer, 0); err != nil {
			return err
		}
	}
	return nil
}

func repeat(deed, operation func() error) error {
	for range 100_000 {
		if err := deed(); err != nil {
			return err
		}
		if err := operation(); err != nil {
			return err
		}
	}
	return errors.New("nobody misbehaved")
}

func misbehave(kind string) error {
	switch kind {
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "exit0":
		os.Exit(0)
	case "exit3":
		os.Exit(3)
	case "say":
		fmt.Println("now")
		return nil
	case "panic":
		panic("on purpose")
	}
	return errors.New("an error on purpose")
}
