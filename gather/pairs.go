package gather

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/dlprun/dlp/internal/codec"
)

// pairs are what one rank brings: values, each with an index or a key.
type pairs[K, V any] struct {
	n      int // what the rank passed to NewIndexed
	keys   []K
	values []V
}

// gatherPairs brings the pairs of all ranks to the root, where merge makes one
// result of them, by rank. It returns the result at the root, and the same
// error, if there is one, on every rank.
func gatherPairs[K, V, R any](ctx context.Context, c *call, own pairs[K, V], merge func(parts []pairs[K, V]) (R, error)) (R, error) {
	var none R
	if !c.IsRoot() {
		s := &sender{c: c}
		if err := sendPairs(ctx, s, own); err != nil {
			return none, err
		}
		return none, s.part(ctx)
	}
	all := none
	parts, err := receivePairs(ctx, c, own)
	if err == nil {
		all, err = merge(parts)
	}
	if lost := farewell(ctx, c, 0, err); err == nil {
		err = lost
	}
	if err != nil {
		return none, err
	}
	return all, nil
}

// sendPairs sends the pairs as two streams, side by side in each batch.
func sendPairs[K, V any](ctx context.Context, s *sender, own pairs[K, V]) error {
	keys, values := codec.NewWriter[K](), codec.NewWriter[V]()
	batch := func() []byte {
		k, v := keys.Take(), values.Take()
		defer keys.Reuse(k)
		defer values.Reuse(v)
		return joinBatch(own.n, k, v)
	}
	for i, k := range own.keys {
		if err := errors.Join(keys.Append(k), values.Append(own.values[i])); err != nil {
			return s.fail(ctx, err)
		}
		if keys.Len()+values.Len() < batchSize {
			continue
		}
		if err := s.send(ctx, more, batch()); err != nil {
			return err
		}
		if s.over {
			break
		}
	}
	return s.send(ctx, last, batch())
}

// receivePairs receives and decodes from all ranks at once.
func receivePairs[K, V any](ctx context.Context, c *call, own pairs[K, V]) ([]pairs[K, V], error) {
	parts := make([]pairs[K, V], c.Size())
	problems := make([]error, c.Size())
	lost := eachRank(ctx, c, func(ctx context.Context, rank int) (lost error) {
		if rank == c.Rank() {
			parts[rank], problems[rank] = own.clone()
			return nil
		}
		keys, values := codec.NewReader[K](), codec.NewReader[V]()
		r := receiver{c: c, rank: rank}
		problems[rank], lost = r.each(ctx, func(batch []byte) error {
			return parts[rank].take(batch, keys, values)
		})
		return lost
	})
	if lost != nil {
		return nil, lost
	}
	return parts, first(problems)
}

// clone returns the pairs as if they had travelled.
func (p pairs[K, V]) clone() (pairs[K, V], error) {
	own := pairs[K, V]{p.n, make([]K, len(p.keys)), make([]V, len(p.values))}
	return own, errors.Join(codec.CloneAll(own.keys, p.keys), codec.CloneAll(own.values, p.values))
}

// take adds the pairs of a batch.
func (p *pairs[K, V]) take(batch []byte, keys *codec.Reader[K], values *codec.Reader[V]) error {
	n, k, v, err := splitBatch(batch)
	if err != nil {
		return err
	}
	p.n = n
	keys.Feed(k)
	values.Feed(v)
	if p.keys, err = keys.AppendAll(p.keys); err != nil {
		return err
	}
	if p.values, err = values.AppendAll(p.values); err != nil {
		return err
	}
	if len(p.keys) != len(p.values) {
		return fmt.Errorf("%d keys for %d values", len(p.keys), len(p.values))
	}
	return nil
}

// joinBatch makes one batch of n, keys and values: n as a varint, the length of
// keys as a uvarint, keys, values.
func joinBatch(n int, keys, values []byte) []byte {
	b := make([]byte, 0, 2*binary.MaxVarintLen64+len(keys)+len(values))
	b = binary.AppendVarint(b, int64(n))
	b = binary.AppendUvarint(b, uint64(len(keys)))
	return append(append(b, keys...), values...)
}

var errBatch = io.ErrUnexpectedEOF

// splitBatch is the reverse of joinBatch. The parts share b's memory.
func splitBatch(b []byte) (n int, keys, values []byte, err error) {
	size, k := binary.Varint(b)
	if k <= 0 {
		return 0, nil, nil, errBatch
	}
	b = b[k:]
	length, k := binary.Uvarint(b)
	if k <= 0 || length > uint64(len(b)-k) {
		return 0, nil, nil, errBatch
	}
	b = b[k:]
	return int(size), b[:length], b[length:], nil
}

// clash is a key that more than one pair has, and the ranks of these, ascending.
type clash[K any] struct {
	key   K
	ranks []int
}

// clashes finds the ranks that brought the given keys.
func clashes[K comparable, V any](parts []pairs[K, V], keys map[K]bool) []clash[K] {
	at := map[K]int{} // in found
	var found []clash[K]
	for rank, part := range parts {
		for _, k := range part.keys {
			if !keys[k] {
				continue
			}
			i, ok := at[k]
			if !ok {
				i = len(found)
				at[k] = i
				found = append(found, clash[K]{key: k})
			}
			found[i].ranks = append(found[i].ranks, rank)
		}
	}
	return found
}

// by says who brought the key, as "twice by rank 1" or "by ranks 0, 2 and 2".
func (c clash[K]) by() string {
	if len(c.ranks) == 2 && c.ranks[0] == c.ranks[1] {
		return fmt.Sprintf("twice by rank %d", c.ranks[0])
	}
	return "by ranks " + enumerate(c.ranks, func(r int) string { return fmt.Sprint(r) })
}
