package mpi_test

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/gather"
	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

// A collective is an operation that all ranks take part in, to which each brings b.
type collective struct {
	name  string
	sized bool // its messages grow with b
	do    func(ctx context.Context, c *mpi.Comm, b []byte) error
}

// collectives are all that there are. In package e2e a rank is killed at each step of
// each.
var collectives = []collective{
	{"Comm.Barrier", false, func(ctx context.Context, c *mpi.Comm, _ []byte) error { return c.Barrier(ctx) }},
	{"Comm.Dup", false, func(ctx context.Context, c *mpi.Comm, _ []byte) error { return only(c.Dup(ctx)) }},
	{"Comm.Split", false, func(ctx context.Context, c *mpi.Comm, _ []byte) error { return only(c.Split(ctx, c.Rank()%2, 0)) }},
	{"Comm.Finalize", false, func(ctx context.Context, c *mpi.Comm, _ []byte) error { return c.Finalize(ctx) }},
	{"mpi.Bcast", true, func(ctx context.Context, c *mpi.Comm, b []byte) error { return only(mpi.Bcast(ctx, c, mpi.Root, b)) }},
	{"mpi.OnRoot", true, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		return only(mpi.OnRoot(ctx, c, func(context.Context) ([]byte, error) { return b, nil }))
	}},
	{"mpi.Scatter", true, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		return only(mpi.Scatter(ctx, c, mpi.Root, slices.Repeat([][]byte{b}, c.Size())))
	}},
	{"mpi.Gather", true, func(ctx context.Context, c *mpi.Comm, b []byte) error { return only(mpi.Gather(ctx, c, mpi.Root, b)) }},
	{"mpi.Allgather", true, func(ctx context.Context, c *mpi.Comm, b []byte) error { return only(mpi.Allgather(ctx, c, b)) }},
	{"mpi.Reduce", true, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		return only(mpi.Reduce(ctx, c, mpi.Root, b, either))
	}},
	{"mpi.Allreduce", true, func(ctx context.Context, c *mpi.Comm, b []byte) error { return only(mpi.Allreduce(ctx, c, b, either)) }},
	{"mpi.ReduceSlice", true, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		return only(mpi.ReduceSlice(ctx, c, mpi.Root, b, mpi.OpMax))
	}},
	{"mpi.AllreduceSlice", true, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		return only(mpi.AllreduceSlice(ctx, c, b, mpi.OpMax))
	}},
	{"gather.Slice", true, func(ctx context.Context, c *mpi.Comm, b []byte) error { return only(gather.Slice(ctx, c, pieces(b))) }},
	{"gather.Stream", true, func(ctx context.Context, c *mpi.Comm, b []byte) error { return gather.Stream(ctx, c, pieces(b)).Err() }},
	{"List.Gather", true, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		var l gather.List[[]byte]
		l.Append(pieces(b)...)
		return only(l.Gather(ctx, c))
	}},
	{"Dict.Gather", true, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		d := gather.NewDict[string, []byte]()
		for i, piece := range pieces(b) {
			d.Set(fmt.Sprint(i, " of ", c.Rank()), piece)
		}
		return only(d.Gather(ctx, c))
	}},
	{"Indexed.Gather", true, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		x := gather.NewIndexed[[]byte](perRank * c.Size())
		for i, piece := range pieces(b) {
			x.Set(i*c.Size()+c.Rank(), piece)
		}
		return only(x.Gather(ctx, c))
	}},
	{"split.Managed", false, func(ctx context.Context, c *mpi.Comm, _ []byte) error {
		loop := split.Managed(ctx, c, perRank*c.Size(), quiet, split.Chunk(1))
		for range loop.All() {
			time.Sleep(pause)
		}
		return loop.Err()
	}},
	{"split.ManagedSeq", false, func(ctx context.Context, c *mpi.Comm, _ []byte) error {
		loop := split.ManagedSeq(ctx, c, slices.Values(make([]int, perRank*c.Size())), quiet, split.Chunk(1))
		for range loop.All() {
			time.Sleep(pause)
		}
		return loop.Err()
	}},
	{"split.Map", true, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		return split.Map(ctx, c, perRank*c.Size(), pieceOf(b), quiet, split.Chunk(1)).Err()
	}},
	{"split.MapUnordered", true, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		return split.MapUnordered(ctx, c, perRank*c.Size(), pieceOf(b), quiet, split.Chunk(1)).Err()
	}},
	{"split.Collect", true, func(ctx context.Context, c *mpi.Comm, b []byte) error {
		return only(split.Collect(ctx, c, perRank*c.Size(), pieceOf(b), quiet, split.Chunk(1)))
	}},
}

func only[T any](_ T, err error) error { return err }

func either(a, _ []byte) []byte { return a }

var quiet = split.Progress(split.ProgressOff)

const (
	perRank = 2                      // pieces that a rank brings in place of one body
	pause   = 200 * time.Microsecond // for an item, so that all ranks get some
)

func pieces(b []byte) [][]byte {
	return slices.Collect(slices.Chunk(b, len(b)/perRank))
}

// pieceOf is a task that gives a piece of b.
func pieceOf(b []byte) func(context.Context, int) ([]byte, error) {
	return func(context.Context, int) ([]byte, error) {
		time.Sleep(pause)
		return b[:len(b)/perRank], nil
	}
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
