package mpi_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/mpitest"
)

// A transport may write a message straight into the buffer of the RecvInto that
// waits for it. These tests are about who else might get at that message, or at
// that buffer.

// bodyOf returns the n bytes of message k.
func bodyOf(k, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(k + 7*i)
	}
	return b
}

func checkBody(b []byte, k, n int) error {
	if len(b) != n {
		return fmt.Errorf("message %d has %d bytes, want %d", k, len(b), n)
	}
	for i := range b {
		if b[i] != byte(k+7*i) {
			return fmt.Errorf("message %d: byte %d of %d is %d, want %d", k, i, n, b[i], byte(k+7*i))
		}
	}
	return nil
}

var bodySizes = []int{0, 1, 100, 4000, 4096, 8192, 8193, 64 << 10, 300<<10 + 1}

func TestRecvIntoSizes(t *testing.T) {
	mpitest.Run(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		for k, n := range bodySizes {
			for _, from := range []int{1, mpi.AnySource} {
				if c.Rank() == 1 {
					if err := c.Send(ctx, 0, 5, bodyOf(k, n)); err != nil {
						return err
					}
					continue
				}
				buf := make([]byte, n+k)
				s, err := c.RecvInto(ctx, from, 5, buf)
				if err != nil {
					return err
				}
				if err := checkBody(buf[:s.Len], k, n); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// A message that is too long stays, whole, and the buffer as it was.
func TestRecvIntoTooShort(t *testing.T) {
	mpitest.Run(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		for k, n := range bodySizes[2:] {
			if c.Rank() == 1 {
				if err := c.Send(ctx, 0, 5, bodyOf(k, n)); err != nil {
					return err
				}
				continue
			}
			buf := make([]byte, n-1)
			if s, err := c.RecvInto(ctx, 1, 5, buf); !errors.Is(err, mpi.ErrTruncated) || s.Len != n {
				return fmt.Errorf("%+v, %w, want ErrTruncated", s, err)
			}
			for _, b := range buf {
				if b != 0 {
					return errors.New("the buffer was written to")
				}
			}
			b, _, err := c.Recv(ctx, 1, 5)
			if err != nil {
				return err
			}
			if err := checkBody(b, k, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// A RecvInto whose ctx has ended leaves its buffer alone from then on, and the
// message to the next call, wherever it was on its way.
func TestRecvIntoGivesUp(t *testing.T) {
	mpitest.Run(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		const rounds = 20
		gaveUp := 0
		for k := range rounds * len(bodySizes) {
			n := bodySizes[k%len(bodySizes)]
			if c.Rank() == 1 {
				time.Sleep(time.Duration(k/len(bodySizes)) * 20 * time.Microsecond)
				if err := c.Send(ctx, 0, 5, bodyOf(k, n)); err != nil {
					return err
				}
				if err := c.Barrier(ctx); err != nil {
					return err
				}
				continue
			}
			buf := make([]byte, n)
			brief, cancel := context.WithTimeout(ctx, 200*time.Microsecond)
			_, err := c.RecvInto(brief, 1, 5, buf)
			cancel()
			if err == nil {
				err = checkBody(buf, k, n)
			} else if errors.Is(err, context.DeadlineExceeded) {
				gaveUp++
				err = receiveAfter(ctx, c, buf, k, n)
			}
			if err != nil {
				return err
			}
			if err := c.Barrier(ctx); err != nil {
				return err
			}
		}
		if c.IsRoot() && gaveUp == 0 {
			return errors.New("no RecvInto gave up: the test shows nothing")
		}
		return nil
	})
}

// receiveAfter receives message k, while buf belongs to somebody else.
func receiveAfter(ctx context.Context, c *mpi.Comm, buf []byte, k, n int) error {
	for i := range buf {
		buf[i] = 0xaa
	}
	b, _, err := c.Recv(ctx, 1, 5)
	if err != nil {
		return err
	}
	for i := range buf {
		if buf[i] != 0xaa {
			return fmt.Errorf("message %d: byte %d was written after RecvInto had returned", k, i)
		}
	}
	return checkBody(b, k, n)
}

// Several calls wait for messages of the same rank and tag, into buffers and
// without: each message goes to one of them, whole.
func TestRecvIntoBesideOthers(t *testing.T) {
	mpitest.Run(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		const each, calls = 30, 4
		size := func(k int) int { return 1 + bodySizes[k%(len(bodySizes)-1)] }
		if c.Rank() == 1 {
			for k := range each * calls {
				if err := c.Send(ctx, 0, 5, bodyOf(k, size(k))); err != nil {
					return err
				}
			}
			return nil
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		seen, errs := map[int]bool{}, make([]error, calls)
		for g := range calls {
			all.Go(func() {
				buf := make([]byte, 100<<10)
				for range each {
					b, err := receiveEitherWay(ctx, c, buf, g%2 == 0)
					if err == nil {
						mu.Lock()
						err = tickOff(seen, b, each*calls, size)
						mu.Unlock()
					}
					if err != nil {
						errs[g] = err
						return
					}
				}
			})
		}
		all.Wait()
		return errors.Join(errs...)
	})
}

func receiveEitherWay(ctx context.Context, c *mpi.Comm, buf []byte, into bool) ([]byte, error) {
	if !into {
		b, _, err := c.Recv(ctx, 1, 5)
		return b, err
	}
	s, err := c.RecvInto(ctx, 1, 5, buf)
	return buf[:s.Len], err
}

// tickOff notes that b, one of n messages, has come.
func tickOff(seen map[int]bool, b []byte, n int, size func(k int) int) error {
	for k := range n {
		if !seen[k] && len(b) == size(k) && byte(k) == b[0] {
			seen[k] = true
			return checkBody(b, k, size(k))
		}
	}
	return fmt.Errorf("a message of %d bytes that begins with %d was not sent, or came twice", len(b), b[0])
}
