package split

import (
	"context"
	"errors"

	"github.com/dlprun/dlp/mpi"
)

// A mailbox receives messages one after the other, short ones into the same memory, so
// that what ranks and manager say all the time costs none. It is not safe for
// concurrent use.
type mailbox struct {
	comm *mpi.Comm
	tag  mpi.Tag
	buf  [mailboxLen]byte
}

// mailboxLen is room for all requests and grants but those of many pieces.
const mailboxLen = 512

// recv is Recv of comm. lent says that the bytes are the caller's until the next call
// only.
func (m *mailbox) recv(ctx context.Context, src int) (b []byte, from mpi.Status, lent bool, err error) {
	from, err = m.comm.RecvInto(ctx, src, m.tag, m.buf[:])
	if errors.Is(err, mpi.ErrTruncated) { // and is still to be had
		b, from, err = m.comm.Recv(ctx, from.Source, m.tag)
		return b, from, false, err
	}
	if err != nil {
		return nil, from, false, err
	}
	return m.buf[:from.Len], from, true, nil
}
