package mpi

import (
	"context"
	"fmt"
	"reflect"
	"strconv"

	"github.com/dlprun/dlp/internal/codec"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// beginTyped begins a collective operation on values of type T. A type that
// can't travel, or a root that does not exist, is an error on every rank alike.
func beginTyped[T any](c *Comm, op string, root int, skip int) (*call, error) {
	k, err := c.begin(op, "(root "+strconv.Itoa(root)+", "+typeName[T]()+")", skip+1)
	if err != nil {
		return nil, err
	}
	if err := c.checkRank(op, "root", root); err != nil {
		return nil, err
	}
	if err := codec.Check[T](); err != nil {
		return nil, fmt.Errorf("mpi: %s: %w", op, err)
	}
	return k, nil
}

// maxTypeName keeps a note well below what a frame takes.
const maxTypeName = 512

// typeName names T for people, and tells it from other types: a name that is
// too long, of a struct without a name, is cut and ends in a digest of the rest.
func typeName[T any]() string {
	name := reflect.TypeFor[T]().String()
	if len(name) > maxTypeName {
		name = name[:maxTypeName] + "... " + strconv.FormatUint(mix(0, 0, name), 16)
	}
	return name
}

// payload is an encoded value on its way.
type payload struct {
	form codec.Form
	body []byte
}

func encode[T any](v T) (payload, error) {
	form, body, err := codec.Pack(v)
	return payload{form, body}, err
}

// fault is what travels in the place of a value that could not be made, so that
// whoever waits for it hears why.
func fault(err error) payload { return payload{codec.Fault, []byte(err.Error())} }

// decode returns the value that rank src sent in m.
func decode[T any](k *call, src int, m wire.Message) (T, error) {
	if codec.Form(m.Form) == codec.Fault {
		var zero T
		return zero, fmt.Errorf("mpi: %s: %w", k.op, &remoteError{rank: src, text: string(m.Body)})
	}
	v, err := codec.Decode[T](codec.Form(m.Form), m.Body)
	if err != nil {
		return v, fmt.Errorf("mpi: %s: the value of rank %d: %w", k.op, src, err)
	}
	return v, nil
}

// own is v as the other ranks would see it, so that a value is the same
// whichever rank it comes from.
func own[T any](k *call, v T) (T, error) {
	c, err := codec.Clone(v)
	if err != nil {
		return c, fmt.Errorf("mpi: %s: %w", k.op, err)
	}
	return c, nil
}

// Steps tell the messages of one collective call apart.
const (
	stepUp   Tag = iota // towards the root
	stepDown            // away from it
)

// The tree of every broadcast and barrier is binomial: relative to its root,
// rank r's parent is r without its lowest bit, and its children are r plus
// each power of two below that bit. Subtrees are runs of neighbours.

func parentOf(r int) int { return r & (r - 1) }

// childrenOf calls f for the children of relative rank r, nearest first, until
// f fails.
func childrenOf(r, size int, f func(child int) error) error {
	for bit := 1; r+bit < size && r&bit == 0; bit <<= 1 {
		if err := f(r + bit); err != nil {
			return err
		}
	}
	return nil
}

// childrenFarFirst is childrenOf in the other order: the largest subtree has
// the longest way to go.
func childrenFarFirst(r, size int, f func(child int) error) error {
	var children []int
	childrenOf(r, size, func(child int) error {
		children = append(children, child)
		return nil
	})
	for i := len(children) - 1; i >= 0; i-- {
		if err := f(children[i]); err != nil {
			return err
		}
	}
	return nil
}

// fromRoot brings p, which counts at the root, to every rank.
func fromRoot(ctx context.Context, k *call, root int, p payload) (wire.Message, error) {
	size := k.c.Size()
	self := (k.c.rank - root + size) % size
	rank := func(relative int) int { return (relative + root) % size }
	m := wire.Message{Form: uint8(p.form), Body: p.body}
	if self != 0 {
		var err error
		if m, err = k.recv(ctx, rank(parentOf(self)), stepDown); err != nil {
			return m, err
		}
	}
	err := childrenFarFirst(self, size, func(child int) error {
		return k.send(ctx, rank(child), stepDown, m.Form, m.Body)
	})
	return m, err
}
