// Selftest checks every kind of operation on whatever ranks it gets, and
// misbehaves on request:
//
//	selftest                  all is well
//	selftest before KIND RANK  that rank ends before Init
//	selftest after KIND RANK   that rank ends in the middle of work
//	selftest loop [KIND RANK]  one loop, in the middle of which that rank ends
//	selftest forever           all meet again and again, until something happens
//	selftest until FILE        all meet again and again, until FILE is there
//	selftest apart FILE        all meet, and are through when FILE is there
//	selftest glance FILE       the same, but the last one looks for messages, each time for a moment
//	selftest busy DURATION     all compute for so long, and then all is well
//
// KIND is kill, stop (SIGSTOP), exit0, exit3, error or panic.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/dlprun/dlp/gather"
	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "before" && launcherRank() == os.Args[3] {
		misbehave(os.Args[2])
	}
	mpi.Main(run)
}

func run(ctx context.Context, world *mpi.Comm) error {
	if len(os.Args) == 4 && os.Args[1] == "after" {
		if err := world.Barrier(ctx); err != nil {
			return err
		}
		if strconv.Itoa(world.Rank()) == os.Args[3] {
			if err := misbehave(os.Args[2]); err != nil {
				return err
			}
		}
	}
	if len(os.Args) > 1 && os.Args[1] == "loop" {
		return loop(ctx, world)
	}
	if len(os.Args) == 2 && os.Args[1] == "forever" {
		return forever(ctx, world)
	}
	if len(os.Args) == 3 && os.Args[1] == "busy" {
		if err := busy(ctx, world, os.Args[2]); err != nil {
			return err
		}
	}
	if len(os.Args) == 3 && os.Args[1] == "until" {
		if err := until(ctx, world, os.Args[2]); err != nil {
			return err
		}
	}
	if len(os.Args) == 3 && os.Args[1] == "apart" {
		return apart(ctx, world, os.Args[2])
	}
	if len(os.Args) == 3 && os.Args[1] == "glance" {
		return glance(ctx, world, os.Args[2])
	}
	n := world.Size()
	ranks, err := mpi.Allgather(ctx, world, world.Rank())
	if err != nil {
		return err
	}
	for r, got := range ranks {
		if r != got {
			return fmt.Errorf("Allgather: %v", ranks)
		}
	}
	for root := range n {
		big, err := mpi.Bcast(ctx, world, root, slices.Repeat([]byte{byte(world.Rank())}, 1<<20))
		if err != nil {
			return err
		}
		if len(big) != 1<<20 || int(big[len(big)-1]) != root {
			return fmt.Errorf("Bcast from %d", root)
		}
	}
	// Everybody to everybody: every connection there can be.
	for r := range n {
		if err := mpi.SendValue(ctx, world, r, 1, world.Rank()); err != nil {
			return err
		}
	}
	sum := 0
	for range n {
		v, _, err := mpi.RecvValue[int](ctx, world, mpi.AnySource, 1)
		if err != nil {
			return err
		}
		sum += v
	}
	if sum != n*(n-1)/2 {
		return fmt.Errorf("sum %d of %d ranks", sum, n)
	}
	squares := gather.NewIndexed[int](1000)
	loop := split.Managed(ctx, world, 1000, split.Progress(split.ProgressOff))
	for i := range loop.All() {
		squares.Set(i, i*i)
	}
	if err := loop.Err(); err != nil {
		return err
	}
	all, err := squares.Gather(ctx, world)
	if err != nil {
		return err
	}
	if world.IsRoot() {
		for i, v := range all {
			if v != i*i {
				return fmt.Errorf("square %d is %d", i, v)
			}
		}
		fmt.Printf("selftest: %d ranks agree\n", n)
	}
	return nil
}

// loop does items that take long enough for hosts to get batches. After some of them a
// rank may end.
func loop(ctx context.Context, world *mpi.Comm) error {
	const n = 2000
	loop, mine, sum := split.Managed(ctx, world, n, split.Progress(split.ProgressOff)), 0, 0
	for i := range loop.All() {
		time.Sleep(200 * time.Microsecond)
		if mine++; mine == 100 && len(os.Args) == 4 && strconv.Itoa(world.Rank()) == os.Args[3] {
			if err := misbehave(os.Args[2]); err != nil {
				return err
			}
		}
		sum += i
	}
	if err := loop.Err(); err != nil {
		return err
	}
	sum, err := mpi.Allreduce(ctx, world, sum, mpi.Sum[int])
	if err != nil || sum != n*(n-1)/2 {
		return fmt.Errorf("the sum is %d: %v", sum, err)
	}
	if world.IsRoot() {
		fmt.Println("loop: each index came once")
	}
	return nil
}

// meet prints a line when all have met.
func meet(ctx context.Context, world *mpi.Comm) error {
	err := world.Barrier(ctx)
	if err == nil && world.IsRoot() {
		fmt.Println("meeting")
	}
	return err
}

// forever lets all meet until ctx ends.
func forever(ctx context.Context, world *mpi.Comm) error {
	err := meet(ctx, world)
	for err == nil {
		pause(world)
		err = world.Barrier(ctx)
	}
	return err
}

// pause lets the root keep the others waiting, who would leave no time to whoever is to
// make something happen.
func pause(world *mpi.Comm) {
	if world.IsRoot() {
		time.Sleep(time.Millisecond)
	}
}

// until lets all meet until the root sees the file.
func until(ctx context.Context, world *mpi.Comm, file string) error {
	if err := meet(ctx, world); err != nil {
		return err
	}
	for {
		pause(world)
		_, err := os.Stat(file)
		there, err := mpi.Bcast(ctx, world, mpi.Root, err == nil)
		if err != nil || there {
			return err
		}
	}
}

// apart lets each rank look for the file, which no message is for.
func apart(ctx context.Context, world *mpi.Comm, file string) error {
	err := meet(ctx, world)
	for err == nil {
		if _, absent := os.Stat(file); absent == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return err
}

// glance lets the last rank look for messages, each time for a moment, as long as it can.
func glance(ctx context.Context, world *mpi.Comm, file string) error {
	if world.Rank() < world.Size()-1 {
		return apart(ctx, world, file)
	}
	err := meet(ctx, world)
	for err == nil || errors.Is(err, context.DeadlineExceeded) {
		moment, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		_, _, err = world.Recv(moment, mpi.Root, 1)
		cancel()
	}
	return err
}

// busy lets all compute, without a call that could be a pause for others, once they
// have met.
func busy(ctx context.Context, world *mpi.Comm, duration string) error {
	d, err := time.ParseDuration(duration)
	if err == nil {
		err = world.Barrier(ctx)
	}
	if err != nil {
		return err
	}
	for start := time.Now(); time.Since(start) < d; {
		for x := uint64(1); x != 0; x <<= 1 {
			for range 1 << 20 {
				sink ^= x
			}
		}
	}
	return ctx.Err()
}

// sink keeps the compiler from leaving out what nobody needs.
var sink uint64

// misbehave ends this process, or returns the error to end it with.
func misbehave(kind string) error {
	switch kind {
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "stop":
		syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		select {}
	case "exit0":
		os.Exit(0)
	case "exit3":
		os.Exit(3)
	case "panic":
		panic("on purpose")
	}
	return errors.New("an error on purpose")
}

// launcherRank is this process's rank before Init, in the variables of any
// launcher.
func launcherRank() string {
	for _, name := range []string{"DLP_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMI_ID", "SLURM_PROCID"} {
		if r := os.Getenv(name); r != "" {
			return r
		}
	}
	return "0"
}
