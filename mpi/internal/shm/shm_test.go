package shm_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi/internal/shm"
)

const each = 100000 // what each process adds

// TestMain is also the other process: it adds to a counter in the arena that it
// is told the name of.
func TestMain(m *testing.M) {
	name := os.Getenv("ARENA")
	if name == "" {
		os.Exit(m.Run())
	}
	mem, err := shm.Open(name)
	if err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(3)
	}
	for range each {
		counter(mem).Add(1)
	}
}

func counter(mem []byte) *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&mem[0])) }

func newArena(t *testing.T) *shm.Arena {
	a, err := shm.New()
	if runtime.GOOS != "linux" {
		require.ErrorIs(t, err, shm.ErrNone)
		t.Skip("there is shared memory on Linux only")
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Hide()) })
	return a
}

func other(t *testing.T, name string) (stderr string, err error) {
	exe, err := os.Executable()
	require.NoError(t, err)
	c := exec.Command(exe)
	c.Env = append(os.Environ(), "ARENA="+name)
	var out bytes.Buffer
	c.Stderr = io.Writer(&out)
	err = c.Run()
	return out.String(), err
}

func TestProcessesShareAnArena(t *testing.T) {
	a := newArena(t)
	offset, block, err := a.Alloc(8)
	require.NoError(t, err)
	require.Zero(t, offset)
	errs := make(chan error)
	for range 3 {
		go func() {
			_, err := other(t, a.Name())
			errs <- err
		}()
	}
	for range each {
		counter(block).Add(1)
	}
	for range 3 {
		require.NoError(t, <-errs)
	}
	require.EqualValues(t, 4*each, counter(block).Load())
}

func TestNamesThatLeadElsewhere(t *testing.T) {
	a, b := newArena(t), newArena(t)
	fields, others := strings.Fields(a.Name()), strings.Fields(b.Name())
	for what, name := range map[string]string{
		"is no arena's name":      "something",
		"is another arena":        strings.Join([]string{fields[0], fields[1], others[2], fields[3]}, " "),
		"is no arena":             strings.Join([]string{fields[0], fields[1], "0", fields[3]}, " "),
		"is in another namespace": strings.Join([]string{"pid:[1]", fields[1], fields[2], fields[3]}, " "),
		"no such file":            strings.Join([]string{fields[0], fields[1], "999", fields[3]}, " "),
	} {
		stderr, err := other(t, name)
		require.Error(t, err, what)
		require.Contains(t, stderr, what)
	}
}

func TestBlocksDoNotOverlap(t *testing.T) {
	a := newArena(t)
	_, first, err := a.Alloc(5000)
	require.NoError(t, err)
	offset, second, err := a.Alloc(1)
	require.NoError(t, err)
	require.Equal(t, 8192, offset)
	first[4999], second[0] = 1, 2
	_, _, err = a.Alloc(shm.Size)
	require.True(t, errors.Is(err, shm.ErrNone))
	a.Free(0, 5000)
	offset, again, err := a.Alloc(8192)
	require.NoError(t, err)
	require.Zero(t, offset)
	require.Equal(t, make([]byte, 8192), again, "a block is all zero")
	require.EqualValues(t, 2, second[0])
}
