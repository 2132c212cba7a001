// Survivor loses ranks on purpose, or waits for somebody to kill them, and prints at
// the root what its loop gave.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dlprun/dlp/gather"
	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

var (
	mode    = flag.String("mode", "map", "map, unordered, collect, managed, seq or messages")
	items   = flag.Int("items", 200, "how many")
	pause   = flag.Duration("pause", 2*time.Millisecond, "what an item takes, on average")
	workers = flag.Int("workers", 1, "goroutines of each rank")
	window  = flag.Int("window", 16384, "of a map")
	chunk   = flag.Int("chunk", 0, "indices at a time")
	allowed = flag.Int("max-failures", 0, "of items")
	folder  = flag.String("folder", "", "for the numbers of the processes, a byte for each item that is done, and what a managed loop has done")
	poison  = flag.Int("poison", -1, "the item that kills each rank that works on it")
	spared  = flag.Bool("spared", false, "rank 0 is in the midst of an item when another one takes the poison")
	journal = flag.String("journal", "", "the file to keep what is done in")
	stuck   = flag.Int("stuck", -1, "the item whose task ignores that its time is over")
	last    = flag.String("last", "", "the file that the last item waits for")
	once    = flag.Bool("once", false, "only the first of its tasks does")
	timeout = flag.Duration("timeout", 0, "of tasks")
	alone   = flag.Bool("dedicated", false, "rank 0 only manages")
	dies    = flag.Int("dies", -1, "the rank that kills itself")
	when    = flag.String("when", "", "that it does: hello, after or sent; exit, for exit(3) instead, or stop, in the loop")
	later   = flag.Bool("later", false, "call collective operations after the loop, and say what comes of it")
)

func main() {
	flag.Parse()
	mpi.Main(run)
}

func run(ctx context.Context, world *mpi.Comm) error {
	if *folder != "" {
		if err := writeFile(fmt.Sprint("pid-", world.Rank()), strconv.Itoa(os.Getpid())); err != nil {
			return err
		}
	}
	die(world, "hello")
	err := loop(ctx, world)
	die(world, "after")
	if err != nil && *allowed > 0 { // the root takes what there is before the job ends
		return errors.Join(err, world.Barrier(ctx))
	}
	if err != nil {
		return err
	}
	if *later {
		return collectives(ctx, world)
	}
	return nil
}

func die(world *mpi.Comm, moment string) {
	if world.Rank() == *dies && *when == moment {
		end(syscall.SIGKILL)
	}
}

func end(sig syscall.Signal) {
	syscall.Kill(os.Getpid(), sig)
	select {}
}

// value is what item i gives: some bytes that depends on nothing else.
func value(i int) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(i)))
	return fmt.Sprintf("%x", sum)[:1+i%64] + fmt.Sprintf("%0*d", i%97, i)
}

func loop(ctx context.Context, world *mpi.Comm) error {
	opts := []split.Option{split.Workers(*workers), split.Window(*window), split.Chunk(*chunk), split.MaxFailures(*allowed), split.TaskTimeout(*timeout),
		split.Progress(split.ProgressOff), split.Keys(func(i int) string { return fmt.Sprint("key ", i) })}
	if *journal != "" {
		opts = append(opts, split.Journal(*journal))
	}
	if *alone {
		opts = append(opts, split.Dedicated())
	}
	var begun atomic.Int32
	work := func(ctx context.Context, i int) (string, error) {
		if *spared {
			if err := spare(ctx, world, i); err != nil {
				return "", err
			}
		}
		if i == *poison {
			fmt.Fprintf(os.Stderr, "rank %d takes the poison\n", world.Rank())
			end(syscall.SIGKILL)
		}
		if i == *stuck && (!*once || first()) {
			forever()
		}
		if begun.Add(1) == 3 && world.Rank() == *dies {
			switch *when {
			case "stop":
				end(syscall.SIGSTOP)
			case "exit":
				os.Exit(3)
			}
		}
		time.Sleep(time.Duration(rand.Int64N(2*int64(*pause) + 1)))
		if i == *items-1 && *last != "" {
			if err := await(ctx, *last); err != nil {
				return "", err
			}
		}
		return value(i), count()
	}
	print := func(i int, v string) { fmt.Println(i, v) }
	switch *mode {
	case "map", "unordered":
		start := split.Map[string]
		if *mode == "unordered" {
			start = split.MapUnordered[string]
		}
		results := start(ctx, world, *items, work, opts...)
		for i, v := range results.All() {
			print(i, v)
		}
		return results.Err()
	case "collect":
		all, err := split.Collect(ctx, world, *items, work, opts...)
		for i, v := range all {
			print(i, v)
		}
		return err
	case "managed":
		l := split.Managed(ctx, world, *items, opts...)
		for i := range l.All() {
			if err := keep(ctx, i, work); err != nil {
				return err
			}
		}
		return l.Err()
	case "seq":
		l := split.ManagedSeq(ctx, world, func(yield func(int) bool) {
			for i := 0; i < *items && yield(i); i++ {
			}
		}, opts...)
		for i := range l.All() {
			if err := keep(ctx, i, work); err != nil {
				return err
			}
		}
		return l.Err()
	}
	return messages(ctx, world)
}

// forever is what a stuck task does.
func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

// first reports whether no other rank has called it.
func first() bool {
	f, err := os.OpenFile(filepath.Join(*folder, "first"), os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// await waits until there is a file.
func await(ctx context.Context, name string) error {
	for {
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			return err
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// spare has rank 0 begin an item before all others do, and end it when the poison was
// taken.
func spare(ctx context.Context, world *mpi.Comm, i int) error {
	name, until := "taken", filepath.Join(*folder, "begun")
	if world.IsRoot() {
		name, until = "begun", filepath.Join(*folder, "taken")
	}
	if world.IsRoot() || i == *poison {
		if err := writeFile(name, ""); err != nil {
			return err
		}
	}
	return await(ctx, until)
}

// count adds a byte to the folder's file of what is done.
func count() error {
	if *folder == "" {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(*folder, "done"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte{'.'})
	return errors.Join(err, f.Close())
}

// keep writes the result of item i to a file.
func keep(ctx context.Context, i int, work func(context.Context, int) (string, error)) error {
	v, err := work(ctx, i)
	if err != nil {
		return err
	}
	return writeFile(fmt.Sprint("item-", i), v)
}

// writeFile writes a file of the folder that is there as a whole or not at all.
func writeFile(name, text string) error {
	f, err := os.CreateTemp(*folder, "new-")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close(), os.Rename(f.Name(), filepath.Join(*folder, name)))
}

// messages lets each rank but 0 send its rank to rank 0, and then one die.
func messages(ctx context.Context, world *mpi.Comm) error {
	if !world.IsRoot() {
		err := world.Send(ctx, mpi.Root, 1, []byte{byte(world.Rank())})
		die(world, "sent")
		return err
	}
	came, lost := 0, 0
	for range world.Size() {
		_, status, err := world.Recv(ctx, mpi.AnySource, 1)
		var gone *mpi.RankError
		switch {
		case err == nil:
			came++
		case errors.As(err, &gone):
			lost++
			fmt.Printf("lost %d, from %d\n", gone.Rank, status.Source)
		default:
			return err
		}
	}
	fmt.Printf("%d messages, %d losses\n", came, lost)
	_, _, err := world.Recv(ctx, *dies, 1)
	fmt.Println("from the lost one:", err)
	fmt.Println("to it:", world.Send(ctx, *dies, 1, nil))
	return nil
}

// collectives says what becomes of them when a rank was lost.
func collectives(ctx context.Context, world *mpi.Comm) error {
	_, gathered := mpi.Gather(ctx, world, mpi.Root, world.Rank())
	_, reduced := mpi.Allreduce(ctx, world, 1, mpi.Sum[int])
	_, sliced := gather.Slice(ctx, world, []int{1})
	again, err := split.Collect(ctx, world, 5, func(_ context.Context, i int) (int, error) { return i, nil })
	fmt.Printf("rank %d: Gather: %v\nrank %d: Allreduce: %v\nrank %d: Slice: %v\nrank %d: Barrier: %v\nrank %d: Collect: %v, %v\n",
		world.Rank(), gathered, world.Rank(), reduced, world.Rank(), sliced, world.Rank(), world.Barrier(ctx), world.Rank(), again, err)
	return nil
}
