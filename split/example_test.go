package split_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

// run is what mpi.Main does in a program, with ranks that are goroutines.
func run(ranks int, body func(ctx context.Context, world *mpi.Comm) error) {
	if err := mpi.RunLocal(context.Background(), ranks, body); err != nil {
		log.Fatal(err)
	}
}

func ExampleRoundRobin() {
	run(3, func(ctx context.Context, world *mpi.Comm) error {
		mine := slices.Collect(split.RoundRobin(world, 8))
		all, err := mpi.Gather(ctx, world, mpi.Root, mine)
		for rank, indices := range all {
			fmt.Println(rank, indices)
		}
		return err
	})
	// Output:
	// 0 [0 3 6]
	// 1 [1 4 7]
	// 2 [2 5]
}

func ExampleBlock() {
	run(3, func(ctx context.Context, world *mpi.Comm) error {
		mine := slices.Collect(split.Block(world, 8))
		all, err := mpi.Gather(ctx, world, mpi.Root, mine)
		for rank, indices := range all {
			fmt.Println(rank, indices)
		}
		return err
	})
	// Output:
	// 0 [0 1 2]
	// 1 [3 4 5]
	// 2 [6 7]
}

func ExampleRoundRobinSeq() {
	run(2, func(ctx context.Context, world *mpi.Comm) error {
		var mine []string
		for i, line := range split.RoundRobinSeq(world, strings.Lines("one\ntwo\nthree\n")) {
			mine = append(mine, fmt.Sprintf("%d %s", i, strings.TrimSpace(line)))
		}
		all, err := mpi.Gather(ctx, world, mpi.Root, mine)
		for rank, lines := range all {
			fmt.Println(rank, lines)
		}
		return err
	})
	// Output:
	// 0 [0 one 2 three]
	// 1 [1 two]
}

// sum adds up v over all ranks and prints the sum at the root.
func sum(ctx context.Context, world *mpi.Comm, v int) error {
	total, err := mpi.Reduce(ctx, world, mpi.Root, v, mpi.Sum[int])
	if world.IsRoot() && err == nil {
		fmt.Println("sum", total)
	}
	return err
}

func ExampleManaged() {
	numbers := []int{3, 1, 4, 1, 5, 9, 2, 6}
	run(3, func(ctx context.Context, world *mpi.Comm) error {
		mine := 0
		loop := split.Managed(ctx, world, len(numbers))
		for i := range loop.All() {
			mine += numbers[i]
		}
		if err := loop.Err(); err != nil {
			return err
		}
		return sum(ctx, world, mine)
	})
	// Output: sum 31
}

func ExampleLoop_All() {
	run(1, func(ctx context.Context, world *mpi.Comm) error {
		loop := split.Managed(ctx, world, 3)
		for i := range loop.All() {
			fmt.Println(i)
		}
		return loop.Err()
	})
	// Output:
	// 0
	// 1
	// 2
}

func ExampleLoop_Err() {
	run(2, func(ctx context.Context, world *mpi.Comm) error {
		loop := split.Managed(ctx, world, 10, split.Chunk(1))
		for range loop.All() {
			break // on all ranks
		}
		if err := loop.Err(); world.IsRoot() {
			fmt.Println(err)
		}
		return nil
	})
	// Output: split: Managed: every rank left the loop: 8 of 10 items are left
}

func ExampleManagedSeq() {
	text := "to be\nor not\nto be\n"
	run(2, func(ctx context.Context, world *mpi.Comm) error {
		words := 0
		loop := split.ManagedSeq(ctx, world, strings.Lines(text))
		for _, line := range loop.All() {
			words += len(strings.Fields(line))
		}
		if err := loop.Err(); err != nil {
			return err
		}
		return sum(ctx, world, words)
	})
	// Output: sum 6
}

func ExampleSeqLoop_All() {
	run(1, func(ctx context.Context, world *mpi.Comm) error {
		loop := split.ManagedSeq(ctx, world, strings.SplitSeq("a,b,c", ","))
		for i, item := range loop.All() {
			fmt.Println(i, item)
		}
		return loop.Err()
	})
	// Output:
	// 0 a
	// 1 b
	// 2 c
}

func ExampleSeqLoop_Err() {
	run(2, func(ctx context.Context, world *mpi.Comm) error {
		endless := func(yield func(int) bool) {
			for i := 0; yield(i); i++ {
			}
		}
		loop := split.ManagedSeq(ctx, world, endless)
		for i := range loop.All() {
			if i > 1000 {
				break // each rank, in its time
			}
		}
		if err := loop.Err(); world.IsRoot() {
			fmt.Println(err)
		}
		return nil
	})
	// Output: <nil>
}

func ExampleMap() {
	names := []string{"ada", "alan", "grace"}
	run(2, func(ctx context.Context, world *mpi.Comm) error {
		results := split.Map(ctx, world, len(names), func(ctx context.Context, i int) (string, error) {
			return strings.ToUpper(names[i]), nil
		})
		for i, name := range results.All() { // at the root
			fmt.Println(i, name)
		}
		return results.Err()
	})
	// Output:
	// 0 ADA
	// 1 ALAN
	// 2 GRACE
}

func ExampleMapUnordered() {
	run(3, func(ctx context.Context, world *mpi.Comm) error {
		results := split.MapUnordered(ctx, world, 4, square)
		for i, v := range results.All() { // as they complete
			fmt.Println(i, v)
		}
		return results.Err()
	})
	// Unordered output:
	// 0 0
	// 1 1
	// 2 4
	// 3 9
}

func square(_ context.Context, i int) (int, error) { return i * i, nil }

func ExampleCollect() {
	run(3, func(ctx context.Context, world *mpi.Comm) error {
		squares, err := split.Collect(ctx, world, 6, square)
		if world.IsRoot() {
			fmt.Println(squares)
		}
		return err
	})
	// Output: [0 1 4 9 16 25]
}

func ExampleResults_All() {
	run(2, func(ctx context.Context, world *mpi.Comm) error {
		results := split.Map(ctx, world, 1000, square)
		for i, v := range results.All() {
			if v > 50 {
				fmt.Println("the first square above 50 is that of", i)
				break // stops the map on all ranks
			}
		}
		if err := results.Err(); !errors.Is(err, split.ErrIncomplete) {
			return err
		}
		return nil
	})
	// Output: the first square above 50 is that of 8
}

func ExampleResults_Err() {
	run(2, func(ctx context.Context, world *mpi.Comm) error {
		// Err alone does the work. There are no results to look at here.
		err := split.Map(ctx, world, 10, func(ctx context.Context, i int) (struct{}, error) {
			return struct{}{}, nil
		}).Err()
		if world.IsRoot() {
			fmt.Println("done:", err)
		}
		return err
	})
	// Output: done: <nil>
}

func ExampleRand() {
	run(3, func(ctx context.Context, world *mpi.Comm) error {
		dice, err := split.Collect(ctx, world, 10, func(ctx context.Context, i int) (int, error) {
			return 1 + split.Rand(42, i).IntN(6), nil
		})
		if world.IsRoot() {
			fmt.Println(dice) // the same on any number of ranks
		}
		return err
	})
	// Output: [6 5 6 1 2 5 6 3 3 6]
}

func ExampleTaskError() {
	run(2, func(ctx context.Context, world *mpi.Comm) error {
		_, err := split.Collect(ctx, world, 5, oddOnly)
		var task *split.TaskError
		if errors.As(err, &task) && world.IsRoot() {
			fmt.Println("item is even:", task.Index%2 == 0, "attempts:", task.Attempts, "cause:", task.Err)
		}
		return nil
	})
	// Output: item is even: true attempts: 1 cause: even
}

var errEven = errors.New("even")

func oddOnly(_ context.Context, i int) (int, error) {
	if i%2 == 0 {
		return 0, errEven
	}
	return i, nil
}

func ExampleTaskError_Error() {
	err := &split.TaskError{Index: 17, Key: "b.txt", Rank: 3, Host: "node7", Attempts: 1, Err: errEven}
	fmt.Println(err)
	// Output: split: item 17 (b.txt) failed on rank 3 (node7): even
}

func ExampleTaskError_Unwrap() {
	err := &split.TaskError{Index: 17, Err: errEven}
	fmt.Println(errors.Is(err, errEven))
	// Output: true
}

// countItems runs a loop over 20 items with opts and prints how many all ranks
// did.
func countItems(opts ...split.Option) {
	run(3, func(ctx context.Context, world *mpi.Comm) error {
		mine := 0
		loop := split.Managed(ctx, world, 20, opts...)
		for range loop.All() {
			mine++
		}
		if err := loop.Err(); err != nil {
			return err
		}
		return sum(ctx, world, mine)
	})
}

func ExampleChunk() {
	countItems(split.Chunk(1)) // each index is a request
	// Output: sum 20
}

func ExamplePolicy() {
	countItems(split.Policy(split.Factoring))
	// Output: sum 20
}

func ExampleChunking_String() {
	fmt.Println(split.Guided)
	// Output: Guided
}

func ExampleProgress() {
	countItems(split.Progress(split.ProgressOff))
	// Output: sum 20
}

func ExampleProgressMode_String() {
	fmt.Println(split.ProgressLog)
	// Output: log
}

func ExampleLabel() {
	run(1, func(ctx context.Context, world *mpi.Comm) error {
		loop := split.Managed(ctx, world, 2, split.Label("measure"))
		for range loop.All() {
			break
		}
		fmt.Println(loop.Err())
		return nil
	})
	// Output: split: Managed "measure": every rank left the loop: 1 of 2 items are left
}

func ExampleOrder() {
	run(1, func(ctx context.Context, world *mpi.Comm) error {
		for i := range split.Managed(ctx, world, 4, split.Order([]int{2, 0, 3, 1})).All() {
			fmt.Print(i, " ")
		}
		return nil
	})
	// Output: 2 0 3 1
}

func ExampleCost() {
	bytes := []int64{10, 3000, 200, 3000}
	run(1, func(ctx context.Context, world *mpi.Comm) error {
		byBytes := split.Cost(func(i int) float64 { return float64(bytes[i]) })
		for i := range split.Managed(ctx, world, len(bytes), byBytes).All() {
			fmt.Print(i, " ")
		}
		return nil
	})
	// Output: 1 3 2 0
}

func ExampleKeys() {
	run(2, func(ctx context.Context, world *mpi.Comm) error {
		files := []string{"a.txt", "b.txt", "c.txt"}
		if world.Rank() == 1 {
			files[1] = "x.txt" // the folder looked different from there
		}
		loop := split.Managed(ctx, world, len(files), split.Keys(func(i int) string { return files[i] }))
		for range loop.All() {
		}
		if err := loop.Err(); world.IsRoot() {
			fmt.Println(err)
		}
		return nil
	})
	// Output: split: Managed: ranks disagree: item 1 is "b.txt" on rank 0 and "x.txt" on rank 1; it is the first that differs
}

func ExampleWorkers() {
	run(2, func(ctx context.Context, world *mpi.Comm) error {
		squares, err := split.Collect(ctx, world, 6, square, split.Workers(4)) // on each rank
		if world.IsRoot() {
			fmt.Println(squares)
		}
		return err
	})
	// Output: [0 1 4 9 16 25]
}

func ExampleWindow() {
	run(2, func(ctx context.Context, world *mpi.Comm) error {
		results := split.Map(ctx, world, 6, square, split.Window(2)) // results may be large
		for _, v := range results.All() {
			fmt.Print(v, " ")
		}
		return results.Err()
	})
	// Output: 0 1 4 9 16 25
}

// A run that ends early leaves its results in the journal; the next one, on another
// number of ranks, does the rest.
func ExampleJournal() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	squares := func(ranks int, work func(ctx context.Context, i int) (int, error)) {
		run(ranks, func(ctx context.Context, world *mpi.Comm) error {
			all, err := split.Collect(ctx, world, 6, work, split.Journal(dir+"/squares.journal"), split.Progress(split.ProgressOff))
			if world.IsRoot() {
				fmt.Println(all, err != nil)
			}
			return nil
		})
	}
	squares(1, func(_ context.Context, i int) (int, error) {
		if i == 4 {
			return 0, errors.New("the power is gone")
		}
		fmt.Println("item", i)
		return i * i, nil
	})
	squares(2, func(_ context.Context, i int) (int, error) {
		if i < 4 {
			return 0, errors.New("this was done before")
		}
		return i * i, nil
	})
	// Output:
	// item 0
	// item 1
	// item 2
	// item 3
	// [] true
	// [0 1 4 9 16 25] false
}

func ExampleMaxFailures() {
	run(2, func(ctx context.Context, world *mpi.Comm) error {
		values, err := split.Collect(ctx, world, 6, oddOnly, split.MaxFailures(3))
		if world.IsRoot() {
			fmt.Println(values)
			fmt.Println(len(strings.Split(err.Error(), "\n")), "items failed")
		}
		return nil
	})
	// Output:
	// [0 1 0 3 0 5]
	// 3 items failed
}

func ExampleRetries() {
	var mu sync.Mutex
	attempts := map[int]int{}
	flaky := func(_ context.Context, i int) (int, error) { // the first attempt at each item fails
		mu.Lock()
		defer mu.Unlock()
		if attempts[i]++; attempts[i] == 1 {
			return 0, errors.New("the server is busy")
		}
		return i * i, nil
	}
	run(2, func(ctx context.Context, world *mpi.Comm) error {
		squares, err := split.Collect(ctx, world, 6, flaky, split.Retries(2))
		if world.IsRoot() {
			fmt.Println(squares)
		}
		return err
	})
	// Output: [0 1 4 9 16 25]
}

func ExampleTaskTimeout() {
	run(2, func(ctx context.Context, world *mpi.Comm) error {
		fetch := func(ctx context.Context, i int) (int, error) {
			if i == 3 { // a server that does not answer
				<-ctx.Done()
				return 0, context.Cause(ctx)
			}
			return i * i, nil
		}
		squares, err := split.Collect(ctx, world, 6, fetch, split.TaskTimeout(50*time.Millisecond), split.MaxFailures(1))
		var failed *split.TaskError
		if world.IsRoot() && errors.As(err, &failed) {
			fmt.Println(squares, failed.Index, failed.Err)
		}
		return nil
	})
	// Output: [0 1 4 0 16 25] 3 TaskTimeout is over after 50ms
}

func ExampleDedicated() {
	run(3, func(ctx context.Context, world *mpi.Comm) error {
		done := 0
		for range split.Managed(ctx, world, 100, split.Dedicated()).All() {
			done++
		}
		if world.IsRoot() {
			fmt.Println("rank 0 has done", done)
		}
		return nil
	})
	// Output: rank 0 has done 0
}

func ExampleTaskError_StackTrace() {
	err := mpi.RunLocal(context.Background(), 1, func(ctx context.Context, world *mpi.Comm) error {
		_, err := split.Collect(ctx, world, 1, func(context.Context, int) (int, error) { panic("out of ideas") })
		return err
	})
	var task *split.TaskError
	if errors.As(err, &task) {
		fmt.Println(task.Err, len(task.StackTrace()) > 0)
	}
	// Output: panic: out of ideas true
}
