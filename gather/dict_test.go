package gather

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
)

func TestDict(t *testing.T) {
	matrix(t, func(ctx context.Context, c *mpi.Comm, size int) error {
		return errors.Join(
			dictIs(ctx, c, func(rank int) map[string]record {
				m := map[string]record{}
				for i, r := range recordsOf(rank, size) {
					m[fmt.Sprint(rank, " ", i)] = r
				}
				return m
			}),
			dictIs(ctx, c, func(rank int) map[[2]int][]byte {
				return map[[2]int][]byte{{rank, 0}: bytesOf(rank, size), {rank, 1}: nil, {rank, 2}: {}}
			}),
			dictIs(ctx, c, func(rank int) map[float64]bool {
				m := map[float64]bool{}
				for i := range numbersOf(rank, size*(rank%2)/64) {
					m[float64(rank)+float64(i)/1e9] = true
				}
				return m
			}),
		)
	})
}

func dictIs[K comparable, V any](ctx context.Context, c *mpi.Comm, f func(rank int) map[K]V) error {
	d := NewDict[K, V]()
	for k, v := range f(c.Rank()) {
		d.Set(k, v)
	}
	got, err := d.Gather(ctx, c)
	if err != nil {
		return err
	}
	if !c.IsRoot() {
		return want(got == nil, "rank %d has %d keys", c.Rank(), len(got))
	}
	wanted := map[K]V{}
	for rank := range c.Size() {
		maps.Copy(wanted, f(rank))
	}
	return want(reflect.DeepEqual(got, wanted), "wrong %T of %d", got, len(got))
}

func TestDictErrors(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(d *Dict[string, int], rank int)
		want string
	}{
		"two ranks": {func(d *Dict[string, int], rank int) { d.Set("the", rank); d.Set(fmt.Sprint(rank), 0) },
			`1 of 4 keys were set more than once: "the" by ranks 0, 1 and 2; set each key once, on one rank`},
		"one rank": {func(d *Dict[string, int], rank int) {
			d.Set(fmt.Sprint(rank), 0)
			if rank == 2 {
				d.Set("2", 1)
			}
		}, `1 of 3 keys were set more than once: "2" twice by rank 2; set each key once, on one rank`},
		"many": {func(d *Dict[string, int], rank int) {
			for i := range 9 {
				d.Set(fmt.Sprint(i), 0)
			}
		}, `9 of 9 keys were set more than once: "0" by ranks 0, 1 and 2, "1" by ranks 0, 1 and 2, "2" by ranks 0, 1 and 2, ` +
			`"3" by ranks 0, 1 and 2, "4" by ranks 0, 1 and 2 and 4 more; set each`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, err := range errorsOf(t, 3, func(ctx context.Context, comm *mpi.Comm) error {
				d := NewDict[string, int]()
				c.set(d, comm.Rank())
				_, err := d.Gather(ctx, comm)
				return err
			}) {
				require.ErrorContains(t, err, "gather: Dict.Gather: "+c.want)
			}
		})
	}
}

func TestDictBadTypes(t *testing.T) {
	for _, err := range errorsOf(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		_, err := NewDict[string, leaky]().Gather(ctx, c)
		_, err2 := NewDict[leaky, string]().Gather(ctx, c)
		return errors.Join(err, err2)
	}) {
		require.ErrorContains(t, err, "gather: Dict.Gather: gather.leaky: field total is unexported; ")
	}
	for bad := range 3 {
		for _, err := range errorsOf(t, 3, func(ctx context.Context, c *mpi.Comm) error {
			d := NewDict[any, any]()
			for i, v := range anys(c.Rank(), bad) {
				d.Set(fmt.Sprint(c.Rank(), i), v)
			}
			_, err := d.Gather(ctx, c)
			return err
		}) {
			require.ErrorContains(t, err, "type not registered for interface: gather.unregistered")
		}
	}
}

func TestBatchParts(t *testing.T) {
	n, keys, values, err := splitBatch(joinBatch(-7, []byte("ab"), []byte("c")))
	require.NoError(t, err)
	require.Equal(t, -7, n)
	require.Equal(t, "ab", string(keys))
	require.Equal(t, "c", string(values))
	for _, b := range [][]byte{nil, {0xff}, {0}, {0, 0xff}, {0, 2, 'a'}, {0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}} {
		_, _, _, err := splitBatch(b)
		require.Error(t, err)
	}
}
