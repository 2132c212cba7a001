package gather_test

import (
	"context"
	"fmt"
	"log"

	"github.com/dlprun/dlp/gather"
	"github.com/dlprun/dlp/mpi"
)

// onRanks runs body on three ranks of this process.
func onRanks(body func(ctx context.Context, c *mpi.Comm) error) {
	if err := mpi.RunLocal(context.Background(), 3, body); err != nil {
		log.Fatal(err)
	}
}

func ExampleSlice() {
	onRanks(func(ctx context.Context, c *mpi.Comm) error {
		all, err := gather.Slice(ctx, c, []string{fmt.Sprint("first of ", c.Rank()), fmt.Sprint("second of ", c.Rank())})
		if err != nil {
			return err
		}
		if c.IsRoot() {
			fmt.Printf("%q\n", all)
		}
		return nil
	})
	// Output: ["first of 0" "second of 0" "first of 1" "second of 1" "first of 2" "second of 2"]
}

func ExampleStream() {
	onRanks(func(ctx context.Context, c *mpi.Comm) error {
		lines := []string{fmt.Sprint("first of ", c.Rank()), fmt.Sprint("second of ", c.Rank())}
		results := gather.Stream(ctx, c, lines)
		for rank, line := range results.All() { // nothing, but at the root
			fmt.Println(rank, line)
		}
		return results.Err()
	})
	// Output:
	// 0 first of 0
	// 0 second of 0
	// 1 first of 1
	// 1 second of 1
	// 2 first of 2
	// 2 second of 2
}

// The root may leave the loop when it has seen enough.
func ExampleItems_All() {
	onRanks(func(ctx context.Context, c *mpi.Comm) error {
		results := gather.Stream(ctx, c, []int{10 * c.Rank(), 10*c.Rank() + 1})
		for rank, v := range results.All() {
			if v > 0 && v%10 == 0 {
				fmt.Println("rank", rank, "has", v)
				break
			}
		}
		return results.Err()
	})
	// Output: rank 1 has 10
}

func ExampleItems_Err() {
	onRanks(func(ctx context.Context, c *mpi.Comm) error {
		results := gather.Stream(ctx, c, []chan int{})
		err := results.Err() // on every rank
		if c.IsRoot() {
			fmt.Println(err)
		}
		return nil
	})
	// Output: gather: Stream: chan int: cannot leave its process: send what it stands for
}

// Whichever rank does an item, its result has its place.
func ExampleNewIndexed() {
	words := []string{"data", "level", "parallelism"}
	onRanks(func(ctx context.Context, c *mpi.Comm) error {
		lengths := gather.NewIndexed[int](len(words))
		for i := c.Rank(); i < len(words); i += c.Size() {
			lengths.Set(i, len(words[i]))
		}
		all, err := lengths.Gather(ctx, c)
		if c.IsRoot() {
			fmt.Println(all)
		}
		return err
	})
	// Output: [4 5 11]
}

func ExampleIndexed_Set() {
	x := gather.NewIndexed[string](2)
	x.Set(1, "world") // in any order
	x.Set(0, "hello")
	onRanks(func(ctx context.Context, c *mpi.Comm) error {
		if !c.IsRoot() {
			x := gather.NewIndexed[string](2) // these have nothing
			_, err := x.Gather(ctx, c)
			return err
		}
		all, err := x.Gather(ctx, c)
		fmt.Println(all)
		return err
	})
	// Output: [hello world]
}

// What was forgotten or done twice comes out, on every rank.
func ExampleIndexed_Gather() {
	onRanks(func(ctx context.Context, c *mpi.Comm) error {
		x := gather.NewIndexed[int](5)
		x.Set(c.Rank()/2, 1)
		_, err := x.Gather(ctx, c)
		if c.IsRoot() {
			fmt.Println(err)
		}
		return nil
	})
	// Output: gather: Indexed.Gather: 3 of 5 indices are missing: 2, 3 and 4; 1 set more than once: 0 by ranks 0 and 1; set each index once, on one rank
}

func ExampleNewDict() {
	files := []string{"a.txt", "b.txt", "c.txt", "d.txt"}
	onRanks(func(ctx context.Context, c *mpi.Comm) error {
		sizes := gather.NewDict[string, int]()
		for i := c.Rank(); i < len(files); i += c.Size() {
			sizes.Set(files[i], 100*i)
		}
		all, err := sizes.Gather(ctx, c)
		if c.IsRoot() {
			fmt.Println(all)
		}
		return err
	})
	// Output: map[a.txt:0 b.txt:100 c.txt:200 d.txt:300]
}

func ExampleDict_Set() {
	onRanks(func(ctx context.Context, c *mpi.Comm) error {
		hosts := gather.NewDict[int, string]()
		hosts.Set(c.Rank(), fmt.Sprintf("node%d", c.Rank()))
		all, err := hosts.Gather(ctx, c)
		if c.IsRoot() {
			fmt.Println(all)
		}
		return err
	})
	// Output: map[0:node0 1:node1 2:node2]
}

// A key belongs to one rank. Sums over all ranks are for mpi.Reduce.
func ExampleDict_Gather() {
	onRanks(func(ctx context.Context, c *mpi.Comm) error {
		d := gather.NewDict[string, int]()
		d.Set("the", c.Rank())
		_, err := d.Gather(ctx, c)
		if c.IsRoot() {
			fmt.Println(err)
		}
		return nil
	})
	// Output: gather: Dict.Gather: 1 of 1 keys were set more than once: "the" by ranks 0, 1 and 2; set each key once, on one rank
}

func ExampleList_Append() {
	var l gather.List[string]
	l.Append("a", "b")
	l.Append("c")
	err := mpi.RunLocal(context.Background(), 1, func(ctx context.Context, c *mpi.Comm) error {
		all, err := l.Gather(ctx, c)
		fmt.Println(all)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: [a b c]
}

func ExampleList_Gather() {
	onRanks(func(ctx context.Context, c *mpi.Comm) error {
		var odd gather.List[int]
		for i := range 4 {
			if n := 4*c.Rank() + i; n%2 == 1 {
				odd.Append(n)
			}
		}
		all, err := odd.Gather(ctx, c)
		if c.IsRoot() {
			fmt.Println(all)
		}
		return err
	})
	// Output: [1 3 5 7 9 11]
}
