package mpi_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/dlprun/dlp/mpi"
)

// onThree runs body on three ranks, which are goroutines here.
func onThree(body func(ctx context.Context, c *mpi.Comm) error) {
	if err := mpi.RunLocal(context.Background(), 3, body); err != nil {
		fmt.Println(err)
	}
}

// The body of a program. Started by dlprun -np 4 it runs on four ranks, started
// plainly on one.
func ExampleMain() {
	mpi.Main(func(ctx context.Context, world *mpi.Comm) error {
		sum, err := mpi.Reduce(ctx, world, mpi.Root, world.Rank()+1, mpi.Sum[int])
		if world.IsRoot() {
			fmt.Println("sum of", world.Size(), "ranks:", sum)
		}
		return err
	})
	// Output: sum of 1 ranks: 1
}

// What Main does, by hand.
func ExampleInit() {
	ctx := context.Background()
	world, err := mpi.Init(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("rank", world.Rank(), "of", world.Size(), "by", world.Backend())
	if err := world.Finalize(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: rank 0 of 1 by single
}

func ExampleRunLocal() {
	err := mpi.RunLocal(context.Background(), 3, func(ctx context.Context, c *mpi.Comm) error {
		if c.Rank() == 1 {
			return errors.New("out of luck")
		}
		return c.Barrier(ctx) // ends too: rank 1 is gone
	})
	fmt.Println(err)
	// Output: rank 1: out of luck
}

// Four ranks on two hosts, as far as the program can see.
func ExampleRunLocalOn() {
	err := mpi.RunLocalOn(context.Background(), []string{"n1", "n1", "n2", "n2"}, func(ctx context.Context, c *mpi.Comm) error {
		if c.Rank() == 2 {
			fmt.Println(c.Host(2), c.LocalRank(), c.Local(1))
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: n2 0 false
}

func ExampleComm() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		if c.IsRoot() {
			fmt.Println(c.Size(), "ranks")
		}
		return nil
	})
	// Output: 3 ranks
}

func ExampleComm_Rank() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		ranks, err := mpi.Gather(ctx, c, mpi.Root, c.Rank())
		if c.IsRoot() {
			fmt.Println(ranks)
		}
		return err
	})
	// Output: [0 1 2]
}

func ExampleComm_Size() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		if c.Rank() == c.Size()-1 {
			fmt.Println("rank", c.Rank(), "is the last of", c.Size())
		}
		return nil
	})
	// Output: rank 2 is the last of 3
}

func ExampleComm_IsRoot() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		if c.IsRoot() {
			fmt.Println("only rank", c.Rank(), "prints")
		}
		return nil
	})
	// Output: only rank 0 prints
}

func ExampleComm_LocalRank() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		if c.Rank() == 2 {
			fmt.Println("graphics card", c.LocalRank(), "of", c.LocalSize())
		}
		return nil
	})
	// Output: graphics card 2 of 3
}

func ExampleComm_LocalSize() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		if c.LocalRank() == 0 {
			fmt.Println("this host's memory is shared by", c.LocalSize())
		}
		return nil
	})
	// Output: this host's memory is shared by 3
}

func ExampleComm_Hosts() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		if c.IsRoot() {
			fmt.Println(c.Hosts())
		}
		return nil
	})
	// Output: [[0 1 2]]
}

func ExampleComm_Host() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		if c.IsRoot() {
			fmt.Println(c.Host(1) == c.Host(2), c.Host(7) == "")
		}
		return nil
	})
	// Output: true true
}

func ExampleComm_Local() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		if c.IsRoot() {
			fmt.Println(c.Local(1), c.Local(2), c.Local(3))
		}
		return nil
	})
	// Output: true true false
}

func ExampleComm_Backend() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		if c.IsRoot() {
			fmt.Println(c.Backend())
		}
		return nil
	})
	// Output: inproc
}

func ExampleComm_Barrier() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		if c.Rank() == 2 {
			fmt.Println("prepared")
		}
		err := c.Barrier(ctx)
		if c.IsRoot() {
			fmt.Println("all may begin")
		}
		return err
	})
	// Output:
	// prepared
	// all may begin
}

func ExampleComm_Dup() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		d, err := c.Dup(ctx)
		if err != nil {
			return err
		}
		if !c.IsRoot() {
			return errors.Join(mpi.SendValue(ctx, d, 0, 0, "on the copy"), mpi.SendValue(ctx, c, 0, 0, "on the world"))
		}
		text, _, err := mpi.RecvValue[string](ctx, c, 1, 0)
		fmt.Println(text)
		return err
	})
	// Output: on the world
}

func ExampleComm_Split() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		even, err := c.Split(ctx, c.Rank()%2, c.Rank())
		if err != nil {
			return err
		}
		world, err := mpi.Gather(ctx, even, 0, c.Rank())
		if c.IsRoot() {
			fmt.Println("even ranks:", world)
		}
		return err
	})
	// Output: even ranks: [0 2]
}

// A library talks in private, and user code can't match its messages.
func ExampleComm_Private() {
	total := func(ctx context.Context, c *mpi.Comm, v int) (int, error) {
		p, err := c.Private("stats.Total", 1)
		if err != nil {
			return 0, err
		}
		defer p.Free()
		return mpi.Allreduce(ctx, p, v, mpi.Sum[int])
	}
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		n, err := total(ctx, c, 10)
		if c.IsRoot() {
			fmt.Println(n)
		}
		return err
	})
	// Output: 30
}

// A library has the ranks of each host speak with each other.
func ExampleComm_PrivateOnHost() {
	hosts := []string{"n1", "n1", "n2", "n2", "n2"}
	err := mpi.RunLocalOn(context.Background(), hosts, func(ctx context.Context, c *mpi.Comm) error {
		p, err := c.Private("stats.PerHost", 0)
		if err != nil {
			return err
		}
		defer p.Free()
		here := p.PrivateOnHost()
		defer here.Free()
		n, err := mpi.Reduce(ctx, here, mpi.Root, 1, mpi.Sum[int])
		if here.IsRoot() && !c.IsRoot() {
			fmt.Println(c.Host(c.Rank()), "has", n)
		}
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: n2 has 3
}

func ExampleComm_Free() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		p, err := c.Private("stats.Total", 0)
		if err != nil {
			return err
		}
		defer p.Free()
		return p.Barrier(ctx)
	})
	// Output:
}

func ExampleComm_Send() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		if !c.IsRoot() {
			return c.Send(ctx, mpi.Root, 7, []byte{byte(c.Rank())})
		}
		for r := 1; r < c.Size(); r++ {
			data, _, err := c.Recv(ctx, r, 7)
			if err != nil {
				return err
			}
			fmt.Println(r, data)
		}
		return nil
	})
	// Output:
	// 1 [1]
	// 2 [2]
}

func ExampleComm_Recv() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		if !c.IsRoot() {
			return c.Send(ctx, mpi.Root, mpi.Tag(c.Rank()), []byte("done"))
		}
		sum := 0
		for range c.Size() - 1 { // whoever comes first
			data, from, err := c.Recv(ctx, mpi.AnySource, mpi.AnyTag)
			if err != nil {
				return err
			}
			sum += from.Source + len(data)
		}
		fmt.Println(sum)
		return nil
	})
	// Output: 11
}

func ExampleComm_RecvInto() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		switch c.Rank() {
		case 1:
			return c.Send(ctx, mpi.Root, 0, []byte("a long message"))
		case mpi.Root:
			buf := make([]byte, 4)
			s, err := c.RecvInto(ctx, 1, 0, buf)
			if errors.Is(err, mpi.ErrTruncated) { // it is kept
				buf = make([]byte, s.Len)
				s, err = c.RecvInto(ctx, 1, 0, buf)
			}
			fmt.Println(string(buf[:s.Len]))
			return err
		}
		return nil
	})
	// Output: a long message
}

func ExampleComm_Finalize() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		if err := c.Finalize(ctx); err != nil { // Main and RunLocal do it by themselves
			return err
		}
		err := c.Barrier(ctx)
		if c.IsRoot() {
			fmt.Println(errors.Is(err, mpi.ErrFinalized))
		}
		return nil
	})
	// Output: true
}

func ExampleComm_Abort() {
	err := mpi.RunLocal(context.Background(), 3, func(ctx context.Context, c *mpi.Comm) error {
		if c.Rank() == 2 {
			c.Abort(3, "the input is corrupt")
		}
		return c.Barrier(ctx)
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, mpi.ErrAborted))
	// Output:
	// rank 2: the job was aborted with status 3: aborted: the input is corrupt
	// true
}

type reading struct {
	Station string
	Celsius float64
}

func ExampleSendValue() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		switch c.Rank() {
		case 1:
			return mpi.SendValue(ctx, c, mpi.Root, 0, reading{"harbour", 11.5})
		case mpi.Root:
			v, s, err := mpi.RecvValue[reading](ctx, c, mpi.AnySource, 0)
			fmt.Println(v, "from", s.Source)
			return err
		}
		return nil
	})
	// Output: {harbour 11.5} from 1
}

func ExampleRecvValue() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		next, before := (c.Rank()+1)%c.Size(), (c.Rank()+c.Size()-1)%c.Size()
		if err := mpi.SendValue(ctx, c, next, 0, fmt.Sprint("from ", c.Rank())); err != nil {
			return err
		}
		text, _, err := mpi.RecvValue[string](ctx, c, before, 0)
		if c.IsRoot() {
			fmt.Println(text)
		}
		return err
	})
	// Output: from 2
}

func ExampleBcast() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		var settings map[string]int
		if c.IsRoot() {
			settings = map[string]int{"depth": 5} // read from a file, say
		}
		settings, err := mpi.Bcast(ctx, c, mpi.Root, settings)
		if c.Rank() == 2 {
			fmt.Println(settings)
		}
		return err
	})
	// Output: map[depth:5]
}

func ExampleScatter() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		var parts []string
		if c.IsRoot() {
			parts = []string{"a-f", "g-p", "q-z"}
		}
		part, err := mpi.Scatter(ctx, c, mpi.Root, parts)
		if c.Rank() == 1 {
			fmt.Println(part)
		}
		return err
	})
	// Output: g-p
}

func ExampleGather() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		words, err := mpi.Gather(ctx, c, mpi.Root, strings.Repeat("x", c.Rank()+1))
		if c.IsRoot() {
			fmt.Println(words)
		}
		return err
	})
	// Output: [x xx xxx]
}

func ExampleAllgather() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		squares, err := mpi.Allgather(ctx, c, c.Rank()*c.Rank())
		if c.Rank() == 2 {
			fmt.Println(squares)
		}
		return err
	})
	// Output: [0 1 4]
}

func ExampleReduce() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		text, err := mpi.Reduce(ctx, c, mpi.Root, fmt.Sprint(c.Rank()), func(a, b string) string { return a + "," + b })
		if c.IsRoot() {
			fmt.Println(text)
		}
		return err
	})
	// Output: 0,1,2
}

func ExampleAllreduce() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		most, err := mpi.Allreduce(ctx, c, 10*c.Rank(), mpi.Max[int])
		if c.Rank() == 1 {
			fmt.Println(most)
		}
		return err
	})
	// Output: 20
}

func ExampleReduceSlice() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		histogram := make([]int, 4)
		histogram[c.Rank()] = 1
		histogram[3] = 5
		sum, err := mpi.ReduceSlice(ctx, c, mpi.Root, histogram, mpi.OpSum)
		if c.IsRoot() {
			fmt.Println(sum)
		}
		return err
	})
	// Output: [1 1 1 15]
}

func ExampleAllreduceSlice() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		low, err := mpi.AllreduceSlice(ctx, c, []float64{float64(c.Rank()), -float64(c.Rank())}, mpi.OpMin)
		if c.Rank() == 1 {
			fmt.Println(low)
		}
		return err
	})
	// Output: [0 -2]
}

func ExampleOnRoot() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		files, err := mpi.OnRoot(ctx, c, func(context.Context) ([]string, error) {
			return []string{"a.txt", "b.txt"}, nil // one look at the disk, the same list everywhere
		})
		if c.Rank() == 2 {
			fmt.Println(files)
		}
		return err
	})
	// Output: [a.txt b.txt]
}

func ExampleSum() {
	fmt.Println(mpi.Sum(2, 3))
	// Output: 5
}

func ExampleProd() {
	fmt.Println(mpi.Prod(2, 3))
	// Output: 6
}

func ExampleMin() {
	fmt.Println(mpi.Min(2, 3))
	// Output: 2
}

func ExampleMax() {
	fmt.Println(mpi.Max(2, 3))
	// Output: 3
}

func ExampleNumber() {
	fmt.Println(mean([]int8{1, 2, 6}), mean([]float32{0.5, 1}))
	// Output: 3 0.75
}

func mean[T mpi.Number](vs []T) float64 {
	total := 0.0
	for _, v := range vs {
		total += float64(v)
	}
	return total / float64(len(vs))
}

func ExampleOp() {
	fmt.Println(mpi.OpSum, mpi.OpProd, mpi.OpMin, mpi.OpMax)
	// Output: OpSum OpProd OpMin OpMax
}

func ExampleOp_String() {
	fmt.Println(mpi.OpMax.String(), mpi.Op(7).String())
	// Output: OpMax Op(7)
}

func ExampleTag() {
	const work, stop mpi.Tag = 1, 2
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		if c.Rank() == 1 {
			return errors.Join(c.Send(ctx, mpi.Root, work, nil), c.Send(ctx, mpi.Root, stop, nil))
		}
		if c.IsRoot() {
			_, s, err := c.Recv(ctx, 1, stop)
			fmt.Println(s.Tag)
			return err
		}
		return nil
	})
	// Output: 2
}

func ExampleStatus() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		if c.Rank() == 2 {
			return c.Send(ctx, mpi.Root, 4, []byte("hello"))
		}
		if c.IsRoot() {
			_, s, err := c.Recv(ctx, mpi.AnySource, mpi.AnyTag)
			fmt.Printf("%+v\n", s)
			return err
		}
		return nil
	})
	// Output: {Source:2 Tag:4 Len:5}
}

func ExampleRankError() {
	mpi.RunLocal(context.Background(), 3, func(ctx context.Context, c *mpi.Comm) error {
		if c.Rank() == 2 {
			return errors.New("no space left on device")
		}
		err := c.Barrier(ctx)
		var gone *mpi.RankError
		if c.IsRoot() && errors.As(err, &gone) {
			fmt.Println(gone.Op, "without rank", gone.Rank, "because of:", gone.Err)
		}
		return err
	})
	// Output: Barrier without rank 2 because of: no space left on device
}

func ExampleRankError_Error() {
	err := &mpi.RankError{Rank: 3, Host: "node7", Op: "Gather", Err: errors.New("killed by signal 9 (killed)")}
	fmt.Println(err)
	// Output: mpi: Gather: rank 3 (node7) is gone: killed by signal 9 (killed)
}

func ExampleRankError_Unwrap() {
	err := &mpi.RankError{Rank: 3, Op: "Recv", Err: mpi.ErrFinalized}
	fmt.Println(errors.Is(err, mpi.ErrFinalized))
	// Output: true
}

func ExampleMismatchError() {
	err := mpi.RunLocal(context.Background(), 2, func(ctx context.Context, c *mpi.Comm) error {
		if c.IsRoot() {
			return c.Barrier(ctx)
		}
		_, err := mpi.Gather(ctx, c, mpi.Root, 1)
		return err
	})
	var differ *mpi.MismatchError
	if errors.As(err, &differ) {
		call, _, _ := strings.Cut(differ.Calls[1], " at ") // followed by the file and line
		fmt.Println("rank", differ.Ranks[1], "called", call)
	}
	// Output: rank 1 called Gather(root 0, int)
}

func ExampleMismatchError_Error() {
	err := &mpi.MismatchError{Seq: 2, Ranks: [2]int{0, 1}, Calls: [2]string{"Barrier at app/main.go:10", "Split at app/main.go:12"}}
	fmt.Println(err)
	// Output: mpi: ranks disagree about collective call 2: rank 0 called Barrier at app/main.go:10, rank 1 called Split at app/main.go:12; every rank must make the same calls in the same order
}
