package mpi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/gather"
	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

// A collective is an operation that all ranks take part in, to which each brings the
// bytes that brought says.
type collective struct {
	name   string
	sized  bool // its messages grow with b
	goesOn bool // it does without lost ranks, where the job does
	do     func(ctx context.Context, c *mpi.Comm, b []byte) error
}

// collectives are all that there are, each of which compares what it gives with what it
// should. In package e2e a rank is killed at each step of each.
var collectives = []collective{
	{"Comm.Barrier", false, true, func(ctx context.Context, c *mpi.Comm, _ []byte) error { return c.Barrier(ctx) }},
	{"Comm.Dup", false, false, func(ctx context.Context, c *mpi.Comm, _ []byte) error {
		d, err := c.Dup(ctx)
		return gives(c.Size(), sizeOf(d), err)
	}},
	{"Comm.Split", false, false, func(ctx context.Context, c *mpi.Comm, _ []byte) error {
		d, err := c.Split(ctx, c.Rank()%2, 0)
		return gives((c.Size()+1-c.Rank()%2)/2, sizeOf(d), err)
	}},
	{"Comm.Finalize", false, true, func(ctx context.Context, c *mpi.Comm, _ []byte) error { return c.Finalize(ctx) }},
	{"mpi.Bcast", true, false, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		got, err := mpi.Bcast(ctx, c, mpi.Root, b)
		return gives(brought(mpi.Root, len(b)), got, err)
	}},
	{"mpi.OnRoot", true, false, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		got, err := mpi.OnRoot(ctx, c, func(context.Context) ([]byte, error) { return b, nil })
		return gives(brought(mpi.Root, len(b)), got, err)
	}},
	{"mpi.Scatter", true, false, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		got, err := mpi.Scatter(ctx, c, mpi.Root, ofAll(c, len(b)))
		return gives(b, got, err)
	}},
	{"mpi.Gather", true, false, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		got, err := mpi.Gather(ctx, c, mpi.Root, b)
		return gives(atRoot(c, ofAll(c, len(b))), got, err)
	}},
	{"mpi.Allgather", true, false, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		got, err := mpi.Allgather(ctx, c, b)
		return gives(ofAll(c, len(b)), got, err)
	}},
	{"mpi.Reduce", true, false, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		got, err := mpi.Reduce(ctx, c, mpi.Root, b, latter)
		return gives(atRoot(c, brought(c.Size()-1, len(b))), got, err)
	}},
	{"mpi.Allreduce", true, false, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		got, err := mpi.Allreduce(ctx, c, b, latter)
		return gives(brought(c.Size()-1, len(b)), got, err)
	}},
	{"mpi.ReduceSlice", true, false, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		got, err := mpi.ReduceSlice(ctx, c, mpi.Root, b, mpi.OpSum)
		return gives(atRoot(c, summed(c, len(b))), got, err)
	}},
	{"mpi.AllreduceSlice", true, false, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		got, err := mpi.AllreduceSlice(ctx, c, b, mpi.OpSum)
		return gives(summed(c, len(b)), got, err)
	}},
	{"gather.Slice", true, false, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		got, err := gather.Slice(ctx, c, pieces(b))
		return gives(atRoot(c, piecesOfAll(c, len(b))), got, err)
	}},
	{"gather.Stream", true, false, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		items := gather.Stream(ctx, c, pieces(b))
		var got [][]byte
		for _, piece := range items.All() {
			got = append(got, piece)
		}
		return gives(len(atRoot(c, piecesOfAll(c, len(b)))), len(got), items.Err()) // in any order
	}},
	{"List.Gather", true, false, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		var l gather.List[[]byte]
		l.Append(pieces(b)...)
		got, err := l.Gather(ctx, c)
		return gives(atRoot(c, piecesOfAll(c, len(b))), got, err)
	}},
	{"Dict.Gather", true, false, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		d := gather.NewDict[string, []byte]()
		for i, piece := range pieces(b) {
			d.Set(fmt.Sprint(i, " of ", c.Rank()), piece)
		}
		got, err := d.Gather(ctx, c)
		return gives(len(atRoot(c, piecesOfAll(c, len(b)))), len(got), err)
	}},
	{"Indexed.Gather", true, false, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		x := gather.NewIndexed[[]byte](perRank * c.Size())
		for i, piece := range pieces(b) {
			x.Set(perRank*c.Rank()+i, piece)
		}
		got, err := x.Gather(ctx, c)
		return gives(atRoot(c, piecesOfAll(c, len(b))), got, err)
	}},
	{"split.Managed", false, true, func(ctx context.Context, c *mpi.Comm, _ []byte) error {
		loop := split.Managed(ctx, c, perRank*c.Size(), quiet, split.Chunk(1))
		for range loop.All() {
			time.Sleep(pause)
		}
		return loop.Err()
	}},
	{"split.ManagedSeq", false, true, func(ctx context.Context, c *mpi.Comm, _ []byte) error {
		loop := split.ManagedSeq(ctx, c, slices.Values(make([]int, perRank*c.Size())), quiet, split.Chunk(1))
		for range loop.All() {
			time.Sleep(pause)
		}
		return loop.Err()
	}},
	{"split.Map", true, true, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		return mapped(c, b, split.Map(ctx, c, perRank*c.Size(), pieceOf(b), quiet, split.Chunk(1)))
	}},
	{"split.MapUnordered", true, true, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		return mapped(c, b, split.MapUnordered(ctx, c, perRank*c.Size(), pieceOf(b), quiet, split.Chunk(1)))
	}},
	{"split.Collect", true, true, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		got, err := split.Collect(ctx, c, perRank*c.Size(), pieceOf(b), quiet, split.Chunk(1))
		return gives(atRoot(c, piecesOfAll(c, len(b))), got, err)
	}},
}

// brought is what a rank brings.
func brought(rank, n int) []byte { return bytes.Repeat([]byte{byte(1 + rank)}, n) }

// ofAll is what all ranks bring.
func ofAll(c *mpi.Comm, n int) (all [][]byte) {
	for r := range c.Size() {
		all = append(all, brought(r, n))
	}
	return all
}

// summed is the sum of that, element by element.
func summed(c *mpi.Comm, n int) []byte {
	return bytes.Repeat([]byte{byte(c.Size() * (c.Size() + 1) / 2)}, n)
}

// atRoot is v at the root, and nothing elsewhere.
func atRoot[T any](c *mpi.Comm, v T) T {
	var none T
	if c.IsRoot() {
		return v
	}
	return none
}

// gives is err, or what is wrong with what was got.
func gives[T any](want, got T, err error) error {
	if err == nil && !reflect.DeepEqual(want, got) {
		return errors.New("a wrong result")
	}
	return err
}

func sizeOf(c *mpi.Comm) int {
	if c == nil {
		return 0
	}
	return c.Size()
}

func latter(_, b []byte) []byte { return b }

var quiet = split.Progress(split.ProgressOff)

const (
	perRank = 2                      // pieces that a rank brings in place of one body
	pause   = 200 * time.Microsecond // for an item, so that all ranks get some
)

func pieces(b []byte) [][]byte {
	return slices.Collect(slices.Chunk(b, len(b)/perRank))
}

func piecesOfAll(c *mpi.Comm, n int) (all [][]byte) {
	for _, b := range ofAll(c, n) {
		all = append(all, pieces(b)...)
	}
	return all
}

// pieceOf is a task that gives one of all pieces.
func pieceOf(b []byte) func(context.Context, int) ([]byte, error) {
	return func(_ context.Context, i int) ([]byte, error) {
		time.Sleep(pause)
		return pieces(brought(i/perRank, len(b)))[i%perRank], nil
	}
}

// mapped takes the results of pieceOf, in any order.
func mapped(c *mpi.Comm, b []byte, results *split.Results[[]byte]) error {
	got := map[int][]byte{}
	for i, piece := range results.All() {
		if _, again := got[i]; again {
			return errors.New("a result came twice")
		}
		got[i] = piece
	}
	want := map[int][]byte{}
	for i, piece := range atRoot(c, piecesOfAll(c, len(b))) {
		want[i] = piece
	}
	return gives(want, got, results.Err())
}

// alone are the exported functions with a ctx and a communicator that are of one rank,
// or two.
var alone = []string{"Comm.Send", "Comm.Recv", "Comm.RecvInto", "mpi.SendValue", "mpi.RecvValue"}

func TestTableOfCollectivesIsWhole(t *testing.T) {
	var want, have []string
	for _, dir := range []string{".", "../gather", "../split"} {
		want = append(want, takesComm(t, dir)...)
	}
	for _, c := range collectives {
		have = append(have, c.name)
	}
	require.ElementsMatch(t, want, append(have, alone...))
}

// takesComm lists the exported functions of a package that take a ctx and a
// communicator, or are methods of one.
func takesComm(t *testing.T, dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), dir+"/"+e.Name(), nil, 0)
		require.NoError(t, err)
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() {
				continue
			}
			owner, takes := file.Name.Name, []string{}
			if f.Recv != nil {
				owner = typeIn(f.Recv.List[0].Type)
				takes = append(takes, owner)
			}
			for _, p := range f.Type.Params.List {
				takes = append(takes, typeIn(p.Type))
			}
			if slices.Contains(takes, "Context") && slices.Contains(takes, "Comm") {
				names = append(names, owner+"."+f.Name.Name)
			}
		}
	}
	return names
}

// typeIn returns a type's own name, without package, pointer and parameters.
func typeIn(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeIn(e.X)
	case *ast.IndexExpr:
		return typeIn(e.X)
	case *ast.IndexListExpr:
		return typeIn(e.X)
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.Ident:
		return e.Name
	}
	return ""
}
