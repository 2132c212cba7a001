// Contract is a program outside the module that uses every name of the public
// API, as users' programs do: if it stops compiling, theirs do too.
package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/dlprun/dlp/gather"
	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/launch"
	"github.com/dlprun/dlp/split"
)

func main() {
	for n := 1; n <= 3; n++ {
		if err := mpi.RunLocal(context.Background(), n, all); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	mpi.Main(all)
	fmt.Println("the contract holds")
}

func all(ctx context.Context, world *mpi.Comm) error {
	for _, part := range []func(context.Context, *mpi.Comm) error{messages, collectives, static, managed, mapped, gathered, failing} {
		c, err := world.Dup(ctx)
		if err != nil {
			return err
		}
		if err := part(ctx, c); err != nil {
			return err
		}
	}
	return world.Barrier(ctx)
}

func must(ok bool, what string) error {
	if !ok {
		return errors.New(what + " does not hold")
	}
	return nil
}

// By these the compiler compares the signatures.
var (
	_ func(func(context.Context, *mpi.Comm) error)                                               = mpi.Main
	_ func(context.Context) (*mpi.Comm, error)                                                   = mpi.Init
	_ func(context.Context, launch.Job) (*mpi.Comm, error)                                       = mpi.InitJob
	_ func(*mpi.Comm, context.Context) error                                                     = (*mpi.Comm).Finalize
	_ func(*launch.Session) string                                                               = (*launch.Session).Silence
	_ func(*mpi.Comm, int, string)                                                               = (*mpi.Comm).Abort
	_ func(context.Context, []string, func(context.Context, *mpi.Comm) error) error              = mpi.RunLocalOn
	_ func(*mpi.Comm) [][]int                                                                    = (*mpi.Comm).Hosts
	_ func(*mpi.Comm) *mpi.Comm                                                                  = (*mpi.Comm).PrivateOnHost
	_ func(*mpi.Comm) string                                                                     = (*mpi.Comm).Backend
	_ func(*mpi.Comm)                                                                            = (*mpi.Comm).Stop
	_ func(*mpi.Comm) bool                                                                       = (*mpi.Comm).GoesOn
	_ func(context.Context, *mpi.Comm, int, ...split.Option) *split.Loop                         = split.Managed
	_ func(*split.Loop) iter.Seq[int]                                                            = (*split.Loop).All
	_ func(context.Context, *mpi.Comm, iter.Seq[string], ...split.Option) *split.SeqLoop[string] = split.ManagedSeq[string]
	_ func(*split.SeqLoop[string]) iter.Seq2[int, string]                                        = (*split.SeqLoop[string]).All
	_ func(*split.Results[int]) iter.Seq2[int, int]                                              = (*split.Results[int]).All
	_ func(*split.Results[int]) error                                                            = (*split.Results[int]).Err
	_ func(uint64, int) *rand.Rand                                                               = split.Rand
	_ func(context.Context, *mpi.Comm, []int) *gather.Items[int]                                 = gather.Stream[int]
	_ func(*gather.Items[int]) iter.Seq2[int, int]                                               = (*gather.Items[int]).All
	_ func(*gather.Indexed[int], context.Context, *mpi.Comm) ([]int, error)                      = (*gather.Indexed[int]).Gather
	_ func(*gather.Dict[string, int], context.Context, *mpi.Comm) (map[string]int, error)        = (*gather.Dict[string, int]).Gather
	_ func(context.Context, *mpi.Comm, []int) ([]int, error)                                     = gather.Slice[int]
	_ error                                                                                      = (*mpi.RankError)(nil)
	_ error                                                                                      = (*mpi.MismatchError)(nil)
	_ error                                                                                      = (*split.TaskError)(nil)
	_                                                                                            = []error{mpi.ErrAborted, mpi.ErrFinalized, mpi.ErrTruncated, mpi.ErrStopped}
	_                                                                                            = mpi.RankError{Rank: 0, Host: "", Op: "", Err: nil}
	_                                                                                            = split.TaskError{Index: 0, Key: "", Rank: 0, Host: "", Attempts: 0, Err: nil, Stack: nil}
)

func messages(ctx context.Context, c *mpi.Comm) error {
	next, before := (c.Rank()+1)%c.Size(), (c.Rank()+c.Size()-1)%c.Size()
	if err := c.Send(ctx, next, 1, []byte("hi")); err != nil {
		return err
	}
	data, status, err := c.Recv(ctx, mpi.AnySource, mpi.AnyTag)
	if err != nil {
		return err
	}
	if err := must(string(data) == "hi" && status == mpi.Status{Source: before, Tag: 1, Len: 2}, "Recv"); err != nil {
		return err
	}
	if err := c.Send(ctx, next, 2, []byte("hello")); err != nil {
		return err
	}
	buf := make([]byte, 5)
	if _, err := c.RecvInto(ctx, before, 2, buf[:1]); !errors.Is(err, mpi.ErrTruncated) {
		return fmt.Errorf("RecvInto into too little: %w", err)
	}
	if _, err := c.RecvInto(ctx, before, 2, buf); err != nil {
		return err
	}
	if err := mpi.SendValue(ctx, c, next, 3, map[string]int{"a": c.Rank()}); err != nil {
		return err
	}
	m, _, err := mpi.RecvValue[map[string]int](ctx, c, before, 3)
	if err != nil {
		return err
	}
	return must(string(buf) == "hello" && m["a"] == before && c.LocalRank() == c.Rank() && c.LocalSize() == c.Size(), "messages")
}

func collectives(ctx context.Context, c *mpi.Comm) error {
	n := c.Size()
	word, err := mpi.Bcast(ctx, c, n-1, strconv.Itoa(c.Rank()))
	if err != nil {
		return err
	}
	all, err := mpi.Allgather(ctx, c, word)
	if err != nil {
		return err
	}
	mine, err := mpi.Scatter(ctx, c, mpi.Root, slices.Repeat([]int{7}, n))
	if err != nil {
		return err
	}
	some, err := mpi.Gather(ctx, c, mpi.Root, mine)
	if err != nil {
		return err
	}
	sum, err := mpi.Allreduce(ctx, c, 1, mpi.Sum[int])
	if err != nil {
		return err
	}
	low, err := mpi.Reduce(ctx, c, mpi.Root, c.Rank(), mpi.Min[int])
	if err != nil {
		return err
	}
	high, err := mpi.Reduce(ctx, c, mpi.Root, c.Rank(), mpi.Max[int])
	if err != nil {
		return err
	}
	for _, op := range []mpi.Op{mpi.OpSum, mpi.OpProd, mpi.OpMin, mpi.OpMax} {
		if _, err := mpi.ReduceSlice(ctx, c, mpi.Root, []float64{1, 2}, op); err != nil {
			return err
		}
	}
	ones, err := mpi.AllreduceSlice(ctx, c, []int{1}, mpi.OpSum)
	if err != nil {
		return err
	}
	text, err := mpi.OnRoot(ctx, c, func(context.Context) (string, error) { return "root", nil })
	if err != nil {
		return err
	}
	part, err := c.Split(ctx, c.Rank()%2, c.Rank())
	if err != nil {
		return err
	}
	if err := must(c.IsRoot() == (some != nil) && len(all) == n && sum == n && low == 0 && ones[0] == n && text == "root" && part.Size() >= 1, "collectives"); err != nil {
		return err
	}
	if c.IsRoot() {
		if err := must(high == n-1, "Max"); err != nil {
			return err
		}
	}
	_, err = mpi.Bcast(ctx, c, mpi.Root, make(chan int))
	return must(err != nil, "that a chan can't travel")
}

func static(ctx context.Context, c *mpi.Comm) error {
	robin := slices.Collect(split.RoundRobin(c, 10))
	block := slices.Collect(split.Block(c, 10))
	walked := 0
	for i, s := range split.RoundRobinSeq(c, slices.Values([]string{"a", "b", "c"})) {
		if i%c.Size() == c.Rank() && s != "" {
			walked++
		}
	}
	counts, err := mpi.AllreduceSlice(ctx, c, []int{len(robin), len(block), walked}, mpi.OpSum)
	if err != nil {
		return err
	}
	return must(slices.Equal(counts, []int{10, 10, 3}), "static splits")
}

func managed(ctx context.Context, c *mpi.Comm) error {
	done := gather.NewIndexed[int](100)
	loop := split.Managed(ctx, c, 100, split.Chunk(0), split.Label("contract"), split.Keys(strconv.Itoa),
		split.Progress(split.ProgressOff), split.Policy(split.Adaptive))
	for i := range loop.All() {
		done.Set(i, i*i)
	}
	if err := loop.Err(); err != nil {
		return err
	}
	squares, err := done.Gather(ctx, c)
	if err != nil {
		return err
	}
	if c.IsRoot() {
		if err := must(len(squares) == 100 && squares[99] == 99*99, "Managed"); err != nil {
			return err
		}
	}
	letters := split.ManagedSeq(ctx, c, slices.Values([]string{"a", "b", "c"}))
	seen := 0
	for range letters.All() {
		seen++
	}
	if err := letters.Err(); err != nil {
		return err
	}
	seen, err = mpi.Allreduce(ctx, c, seen, mpi.Sum[int])
	if err != nil {
		return err
	}
	return must(seen == 3, "ManagedSeq")
}

func mapped(ctx context.Context, c *mpi.Comm) error {
	double := func(_ context.Context, i int) (float64, error) { return 2 * split.Rand(1, i).Float64(), nil }
	reversed := []int{4, 3, 2, 1, 0}
	ordered := split.Map(ctx, c, 5, double, split.Workers(2), split.Order(reversed), split.Window(2))
	next := 0
	for i := range ordered.All() {
		if i != next {
			return fmt.Errorf("Map yields %d instead of %d", i, next)
		}
		next++
	}
	if err := ordered.Err(); err != nil {
		return err
	}
	unordered := split.MapUnordered(ctx, c, 5, double, split.Cost(func(i int) float64 { return float64(i) }))
	for range unordered.All() {
		next++
	}
	if err := unordered.Err(); err != nil {
		return err
	}
	dir, err := mpi.OnRoot(ctx, c, func(context.Context) (string, error) { return os.MkdirTemp("", "contract") })
	if err != nil {
		return err
	}
	if c.IsRoot() {
		defer os.RemoveAll(dir)
	}
	forget := c.OnStop(func() {})
	forget()
	if err := must(c.Deadline().IsZero() && mpi.StatusStopped == 75, "Deadline"); err != nil {
		return err
	}
	all, err := split.Collect(ctx, c, 5, double, split.Journal(dir+"/journal"))
	if err != nil {
		return err
	}
	return must(!c.IsRoot() || next == 10 && len(all) == 5, "Map, MapUnordered, Collect")
}

func gathered(ctx context.Context, c *mpi.Comm) error {
	n := c.Size()
	ranks, err := gather.Slice(ctx, c, []int{c.Rank()})
	if err != nil {
		return err
	}
	stream := gather.Stream(ctx, c, []string{"x", "y"})
	items := 0
	for range stream.All() {
		items++
	}
	if err := stream.Err(); err != nil {
		return err
	}
	dict := gather.NewDict[int, string]()
	dict.Set(c.Rank(), "v")
	byRank, err := dict.Gather(ctx, c)
	if err != nil {
		return err
	}
	var list gather.List[int]
	list.Append(1, 2)
	both, err := list.Gather(ctx, c)
	if err != nil {
		return err
	}
	return must(!c.IsRoot() || len(ranks) == n && items == 2*n && len(byRank) == n && len(both) == 2*n, "gather")
}

func failing(ctx context.Context, c *mpi.Comm) error {
	r := split.Collect[int]
	_, err := r(ctx, c, 3, func(_ context.Context, i int) (int, error) {
		if i == 1 {
			return 0, errors.New("no")
		}
		return i, nil
	}, split.MaxFailures(1))
	var task *split.TaskError
	if !errors.As(err, &task) && c.IsRoot() {
		return fmt.Errorf("a failing task gives %w", err)
	}
	_, err = r(ctx, c, 3, func(context.Context, int) (int, error) { return 0, errors.New("no") }, split.Retries(2), split.Dedicated(), split.TaskTimeout(time.Minute))
	return must(errors.As(err, &task) && task.Attempts == 3, "Retries")
}
