package sock

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"github.com/dlprun/dlp/mpi/internal/wire"
)

// readStream brings in what comes by the socket of l. It returns nil after a
// goodbye.
func (t *Transport) readStream(l *link) error {
	src := io.Reader(l.conn)
	if l.far {
		src = ear{l.conn, &l.peer.heard}
	}
	r := wire.NewReader(src, wire.MaxBody)
	for {
		m, err := r.Read()
		switch {
		case err == io.EOF:
			return errEnd
		case err != nil:
			return err
		case m.Kind == wire.Bye:
			return nil
		case m.Kind == wire.Alive:
			continue
		}
		m.Src = l.peer.rank
		if err := t.inbox.Put(context.Background(), m); err != nil {
			return err
		}
	}
}

// small bodies are copied behind their header: one write, no vector.
const small = 16 << 10

// frame makes p.bufs those of m.
func (p *peer) frame(m *wire.Message) {
	p.buf = wire.AppendHeader(p.buf[:0], m)
	p.bufs = p.room[:1]
	if len(m.Body) <= small {
		p.buf = append(p.buf, m.Body...)
	} else {
		p.bufs = append(p.bufs, m.Body)
	}
	p.bufs[0] = p.buf
}

// write writes one frame to the socket and gives the turn back. If ctx ends in the middle, the
// rest is copied and written in the background, so that the stream stays whole
// and m.Body is the caller's again.
func (t *Transport) write(ctx context.Context, p *peer, m *wire.Message) error {
	t.inbox.Block()
	defer t.inbox.Unblock()
	p.frame(m)
	if _, ok := p.link.conn.(*tls.Conn); ok {
		return t.writeApart(ctx, p, slices.Concat(p.bufs...))
	}
	p.watch(ctx)
	for {
		err := p.writeAll()
		switch {
		case err == nil:
			p.turn <- struct{}{}
			return nil
		case !timedOut(err):
			err = t.lose(p, err)
			p.turn <- struct{}{}
			return err
		}
		p.link.conn.SetWriteDeadline(time.Time{}) // it may have been meant for the Send before this one
		if ctx.Err() != nil {
			rest := slices.Concat(p.bufs...)
			go p.finish(rest)
			return context.Cause(ctx)
		}
	}
}

// writeApart is write where the connection can't take up a write that was
// interrupted, as is so in TLS: the frame is written in the background, and only
// the waiting for it ends with ctx.
func (t *Transport) writeApart(ctx context.Context, p *peer, frame []byte) error {
	done := make(chan error, 1)
	go func() {
		_, err := p.link.conn.Write(frame)
		if err != nil {
			err = t.lose(p, err)
		}
		p.turn <- struct{}{}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// watch lets the end of ctx interrupt a write. It stays in place from one Send
// to the next while they end together, which makes it free.
func (p *peer) watch(ctx context.Context) {
	if ctx.Done() == p.watched {
		return
	}
	if p.unwatch != nil {
		p.unwatch()
		p.unwatch = nil
	}
	if p.watched = ctx.Done(); p.watched != nil {
		conn := p.link.conn
		p.unwatch = context.AfterFunc(ctx, func() { conn.SetWriteDeadline(time.Unix(1, 0)) })
	}
}

func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// finish writes a sign of life, or the rest of a Send whose ctx has ended, and gives the
// turn back.
func (p *peer) finish(rest []byte) {
	defer func() { p.turn <- struct{}{} }()
	for len(rest) > 0 {
		n, err := p.link.conn.Write(rest)
		rest = rest[n:]
		if err != nil && !timedOut(err) {
			return // the next Send meets it too, or knows better
		}
		p.link.conn.SetWriteDeadline(time.Time{}) // an error: the next Write has it too
	}
}

// writeAll writes all of p.bufs, by a plain Write where there is only one.
func (p *peer) writeAll() error {
	if len(p.bufs) == 1 {
		n, err := p.link.conn.Write(p.bufs[0])
		p.bufs[0] = p.bufs[0][n:]
		return err
	}
	_, err := p.bufs.WriteTo(p.link.conn)
	return err
}
