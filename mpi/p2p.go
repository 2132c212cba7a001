package mpi

import (
	"context"
	"fmt"
	"sync"

	"github.com/dlprun/dlp/internal/codec"
	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// Send sends data to rank dst. It returns when data may be reused: the bytes
// were copied or handed to the system, the receiver need not have asked for
// them. It blocks while the receiver has too much waiting already. Messages
// from one rank to another keep their order. dst may be the rank itself.
//
// Errors: an unknown dst or a tag below 0; a RankError if dst is gone;
// ErrFinalized, ErrAborted; the cause of ctx's end.
func (c *Comm) Send(ctx context.Context, dst int, tag Tag, data []byte) error {
	return c.send(ctx, "Send", dst, tag, codec.Raw, data)
}

// Recv waits for a message from rank src (or AnySource) with tag (or AnyTag)
// and returns its bytes, which are the caller's. Of several that fit, it is the
// one that came first. It blocks until there is one, ctx ends, or none can come
// any more: then it is a RankError.
func (c *Comm) Recv(ctx context.Context, src int, tag Tag) ([]byte, Status, error) {
	var m wire.Message
	s, err := c.recv(ctx, "Recv", src, tag, nil, -1, &m)
	return m.Body, s, err
}

// RecvInto is Recv into buf. It copies Status.Len bytes. If buf is too short it
// returns ErrTruncated, with the Status of the message, which is kept for the
// next call.
func (c *Comm) RecvInto(ctx context.Context, src int, tag Tag, buf []byte) (Status, error) {
	var m wire.Message
	s, err := c.recv(ctx, "RecvInto", src, tag, buf, len(buf), &m)
	if place := (transport.Place{Buf: buf}); err == nil && !place.Holds(m.Body) {
		copy(buf, m.Body)
		wire.FreeBody(m.Body)
	}
	return s, err
}

// SendValue sends v as Send sends bytes: as gob, numbers and slices of them raw.
// A type that gob can't carry whole is an error, and nothing is sent.
func SendValue[T any](ctx context.Context, c *Comm, dst int, tag Tag, v T) error {
	form, body, err := codec.Encode(v)
	if err != nil {
		return fmt.Errorf("mpi: SendValue: %w", err)
	}
	return c.send(ctx, "SendValue", dst, tag, form, body)
}

// RecvValue receives what SendValue sent, as Recv receives bytes. T must be the
// type that was sent, or one that gob can decode it into.
func RecvValue[T any](ctx context.Context, c *Comm, src int, tag Tag) (T, Status, error) {
	var zero T
	if err := codec.Check[T](); err != nil {
		return zero, Status{}, fmt.Errorf("mpi: RecvValue: %w", err)
	}
	var m wire.Message
	s, err := c.recv(ctx, "RecvValue", src, tag, nil, -1, &m)
	if err != nil {
		return zero, s, err
	}
	v, err := codec.Decode[T](codec.Form(m.Form), m.Body)
	if err != nil {
		return zero, s, fmt.Errorf("mpi: RecvValue: the message of rank %d: %w", s.Source, err)
	}
	return v, s, nil
}

func (c *Comm) send(ctx context.Context, op string, dst int, tag Tag, form codec.Form, data []byte) error {
	if err := c.checkRank(op, "dst", dst); err != nil {
		return err
	}
	if tag < 0 {
		return fmt.Errorf("mpi: %s: tag is %d; tags are 0 or more", op, tag)
	}
	if c.together {
		if err := c.engine.needs(op, c.group...); err != nil {
			return err
		}
	}
	m := messages.Get().(*wire.Message)
	m.Form, m.Tag, m.Comm, m.Body = uint8(form), int32(tag), c.id, data
	err := c.engine.send(ctx, op, c.world(dst), m)
	m.Body = nil
	messages.Put(m)
	return err
}

// messages are those of users on their way into a transport, which doesn't keep them.
var messages = sync.Pool{New: func() any { return &wire.Message{Kind: wire.User} }}

// recv receives m, of at most size bytes if that is 0 or more. An m that comes with
// an error is nobody's.
func (c *Comm) recv(ctx context.Context, op string, src int, tag Tag, into []byte, size int, m *wire.Message) (Status, error) {
	w := &want{kind: wire.User, c: c, src: AnySource, tag: tag, op: op, into: into, size: size, together: c.together}
	if src != AnySource {
		if err := c.checkRank(op, "src", src); err != nil {
			return Status{}, err
		}
		w.src = c.world(src)
	}
	if tag < AnyTag {
		return Status{}, fmt.Errorf("mpi: %s: tag is %d; tags are 0 or more, or AnyTag", op, tag)
	}
	err := c.engine.recv(ctx, w, m)
	if err != nil && err != ErrTruncated {
		return c.lostSource(err), err
	}
	s := Status{Source: c.local(m.Src), Tag: Tag(m.Tag), Len: len(m.Body)}
	if err != nil {
		return s, fmt.Errorf("mpi: %s: %w: %d bytes for a buffer of %d", op, err, s.Len, size)
	}
	return s, nil
}

// lostSource is the Status of a call that tells of a lost rank.
func (c *Comm) lostSource(err error) Status {
	if r := c.engine.lostRank(err); r > 0 {
		return Status{Source: c.local(r)}
	}
	return Status{}
}

func (c *Comm) checkRank(op, name string, rank int) error {
	if rank < 0 || rank >= len(c.group) {
		return fmt.Errorf("mpi: %s: %s is %d; the communicator has ranks 0 to %d", op, name, rank, len(c.group)-1)
	}
	return nil
}
