package auth

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	secret = Secret{1, 2, 3}
	hello  = Hello{Purpose: Data, Rank: 3, Size: 7, Build: [16]byte{9}}
)

func welcome(Hello) error { return nil }

// result is how a handshake went at both ends.
type result struct {
	client, server error
	hello          Hello
}

// shake lets a client greet a server. Each record that one of them writes
// passes through alter, which gets its number (0 hello, 1 answer, 2 proof, 3
// verdict, 4 ready) and returns what arrives.
func shake(client, server Secret, admit func(Hello) error, alter func(record int, b []byte) []byte) (r result) {
	atClient, toClient := net.Pipe()
	atServer, toServer := net.Pipe()
	done, greeted := make(chan struct{}, 4), make(chan struct{})
	step := func(f func()) {
		go func() {
			f()
			done <- struct{}{}
		}()
	}
	pass := func(from, to net.Conn, records, sizes []int) {
		defer to.Close()
		for i, n := range sizes {
			b := make([]byte, n)
			if _, err := io.ReadFull(from, b); err != nil {
				return
			}
			if alter != nil {
				b = alter(records[i], b)
			}
			if _, err := to.Write(b); err != nil || len(b) != n {
				return
			}
		}
		io.Copy(io.Discard, from)
	}
	step(func() { pass(toClient, toServer, []int{0, 2, 4}, []int{helloLen, proofLen, 1}) })
	step(func() { pass(toServer, toClient, []int{1, 3}, []int{answerLen, verdictLen}) })
	step(func() {
		defer close(greeted)
		r.client = Dial(context.Background(), atClient, client, hello)
		if r.client != nil {
			atClient.Close()
		}
	})
	step(func() {
		r.hello, r.server = Accept(atServer, server, admit)
		if r.server == nil {
			<-greeted
		}
		atServer.Close()
	})
	for range 4 {
		<-done
	}
	return r
}

func TestHandshake(t *testing.T) {
	r := shake(secret, secret, welcome, nil)
	require.NoError(t, r.client)
	require.NoError(t, r.server)
	require.Equal(t, hello, r.hello)
}

func TestWrongSecret(t *testing.T) {
	for _, wrong := range []Secret{{}, {1, 2, 4}, NewSecret()} {
		admit := func(Hello) error { t.Error("a stranger was looked at"); return nil }
		r := shake(wrong, secret, admit, nil)
		require.ErrorIs(t, r.client, ErrSecret)
		require.Error(t, r.server)
		r = shake(secret, wrong, admit, nil)
		require.ErrorIs(t, r.client, ErrSecret)
		require.Error(t, r.server)
	}
}

// A client that does not check the server's proof still has to prove itself.
func TestWrongSecretIsSeenByTheServer(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		client.Write(encodeHello(hello))
		io.ReadFull(client, make([]byte, answerLen))
		client.Write(make([]byte, proofLen))
	}()
	_, err := Accept(server, secret, welcome)
	require.ErrorIs(t, err, ErrSecret)
	server.Close()
}

// A client can't use the server's own proof as its own.
func TestReflection(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		client.Write(encodeHello(hello))
		answer := make([]byte, answerLen)
		io.ReadFull(client, answer)
		client.Write(answer[answerLen-proofLen:])
	}()
	_, err := Accept(server, secret, welcome)
	require.ErrorIs(t, err, ErrSecret)
	server.Close()

	// Nor can a server that only knows what the client says.
	mirror, here := net.Pipe()
	go func() {
		b := make([]byte, helloLen)
		io.ReadFull(mirror, b)
		mirror.Write(b[:answerLen])
	}()
	require.ErrorIs(t, Dial(t.Context(), here, secret, hello), ErrSecret)
	here.Close()
	mirror.Close()
}

func TestReplay(t *testing.T) {
	var records [5][]byte
	r := shake(secret, secret, welcome, func(i int, b []byte) []byte {
		records[i] = b
		return b
	})
	require.NoError(t, r.server)

	t.Run("to the server", func(t *testing.T) {
		client, server := net.Pipe()
		go func() {
			client.Write(records[0])
			io.ReadFull(client, make([]byte, answerLen))
			client.Write(records[2])
			client.Write(records[4])
		}()
		_, err := Accept(server, secret, welcome)
		require.ErrorIs(t, err, ErrSecret)
		server.Close()
		client.Close()
	})
	t.Run("to the client", func(t *testing.T) {
		client, server := net.Pipe()
		go func() {
			io.ReadFull(server, make([]byte, helloLen))
			server.Write(records[1])
			io.ReadFull(server, make([]byte, proofLen))
			server.Write(records[3])
		}()
		require.ErrorIs(t, Dial(t.Context(), client, secret, hello), ErrSecret)
		server.Close()
		client.Close()
	})
}

func TestRefusal(t *testing.T) {
	for _, reason := range []string{"no such rank", strings.Repeat("long ", 100), ""} {
		r := shake(secret, secret, func(Hello) error { return errors.New(reason) }, nil)
		require.EqualError(t, r.server, reason)
		var refused *RefusedError
		require.ErrorAs(t, r.client, &refused)
		switch {
		case reason == "":
			require.Equal(t, "refused", refused.Reason)
		default:
			require.NotEmpty(t, refused.Reason)
			require.True(t, strings.HasPrefix(reason, refused.Reason))
		}
	}
}

func TestOtherProtocol(t *testing.T) {
	other := func(record int) func(int, []byte) []byte {
		return func(i int, b []byte) []byte {
			if i == record {
				binary.LittleEndian.PutUint16(b[4:], Protocol+1)
			}
			return b
		}
	}
	r := shake(secret, secret, welcome, other(0))
	require.ErrorContains(t, r.server, fmt.Sprintf("speaks protocol %d, this program %d", Protocol+1, Protocol))
	r = shake(secret, secret, welcome, other(1))
	require.ErrorContains(t, r.client, fmt.Sprintf("speaks protocol %d, the other end %d", Protocol, Protocol+1))
	require.Error(t, r.server)
}

// Ends of two versions that hold one secret know that they are of one job.
func TestOtherProtocolOfOneJob(t *testing.T) {
	t.Run("the client's", func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		go func() {
			greeting := encodeHello(hello)
			binary.LittleEndian.PutUint16(greeting[4:], Protocol+1)
			client.Write(greeting)
			answer := make([]byte, answerLen)
			io.ReadFull(client, answer)
			client.Write(prove(secret, "dlp client", greeting, answer))
		}()
		_, err := Accept(server, secret, welcome)
		server.Close()
		var misfit *MisfitError
		require.ErrorAs(t, err, &misfit)
		require.Equal(t, &MisfitError{Rank: hello.Rank, Reason: fmt.Sprintf("it speaks protocol %d, this program %d: build all ranks with one version of dlp", Protocol+1, Protocol)}, misfit)
	})
	t.Run("the server's", func(t *testing.T) {
		client, server := net.Pipe()
		proof := make(chan []byte, 1)
		go func() {
			greeting := make([]byte, helloLen)
			io.ReadFull(server, greeting)
			answer := encodeAnswer(secret, greeting)
			binary.LittleEndian.PutUint16(answer[4:], Protocol+1)
			unsigned := answer[:answerLen-proofLen]
			answer = append(unsigned, prove(secret, "dlp server", greeting, unsigned)...)
			server.Write(answer)
			got := make([]byte, proofLen)
			io.ReadFull(server, got)
			proof <- got
			server.Close()
		}()
		err := Dial(t.Context(), client, secret, hello)
		client.Close()
		require.Equal(t, &RefusedError{Reason: fmt.Sprintf("this program speaks protocol %d, the other end %d: build all ranks with one version of dlp", Protocol, Protocol+1)}, err)
		require.NotEqual(t, make([]byte, proofLen), <-proof, "the server learns who it was")
	})
}

// A client that is ended while it is refused says why it was refused.
func TestRefusedAndEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		Accept(server, secret, func(Hello) error { return errors.New("no such rank") })
		cancel() // before the connection is closed: the client still waits for that
	}()
	require.Equal(t, &RefusedError{Reason: "no such rank"}, Dial(ctx, client, secret, hello))
	server.Close()
}

// Whatever bit of whatever record changes on the way, one end refuses, and so
// the connection does not come about.
func TestEveryFlippedBitIsSeen(t *testing.T) {
	for record, size := range []int{helloLen, answerLen, proofLen, verdictLen, 1} {
		for bit := range size * 8 {
			r := shake(secret, secret, welcome, func(i int, b []byte) []byte {
				if i == record {
					b[bit/8] ^= 1 << (bit % 8)
				}
				return b
			})
			require.Error(t, r.server, "record %d, bit %d", record, bit)
			if record < 4 { // the client hears nothing after the last
				require.Error(t, r.client, "record %d, bit %d", record, bit)
			}
		}
	}
}

func TestTruncatedAtEveryByte(t *testing.T) {
	for record, size := range []int{helloLen, answerLen, proofLen, verdictLen, 1} {
		for cut := range size {
			r := shake(secret, secret, welcome, func(i int, b []byte) []byte {
				if i == record {
					return b[:cut]
				}
				return b
			})
			require.Error(t, r.server, "record %d, byte %d", record, cut)
			if record < 4 {
				require.ErrorIs(t, r.client, ErrCut, "record %d, byte %d", record, cut)
			}
		}
	}
}

func TestOtherProgramsAreStrangers(t *testing.T) {
	for _, text := range []string{"GET / HTTP/1.1\r\nHost: localhost\r\n", "\x16\x03\x01", "SSH-2.0-OpenSSH_9.2\r\n"} {
		b := append([]byte(text), make([]byte, helloLen)...)
		r := shake(secret, secret, welcome, func(i int, was []byte) []byte {
			if i == 0 {
				copy(was, b)
			}
			return was
		})
		require.ErrorIs(t, r.server, ErrStranger)
		r = shake(secret, secret, welcome, func(i int, was []byte) []byte {
			if i == 1 {
				copy(was, b)
			}
			return was
		})
		require.ErrorIs(t, r.client, ErrStranger)
	}
}

// A Dial that is cancelled leaves no connection that the server believes in.
func TestCancelledDial(t *testing.T) {
	for record := range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		client, server := net.Pipe()
		accepted := make(chan error)
		go func() {
			_, err := Accept(&countingConn{Conn: server, at: record, do: cancel}, secret, welcome)
			server.Close()
			accepted <- err
		}()
		err := Dial(ctx, client, secret, hello)
		client.Close()
		if serverErr := <-accepted; err != nil {
			require.ErrorIs(t, err, context.Canceled, "record %d", record)
			require.Error(t, serverErr, "record %d", record)
		} else {
			require.NoError(t, serverErr, "record %d", record)
		}
		cancel()
	}
}

// countingConn calls do at the at-th Read or Write.
type countingConn struct {
	net.Conn
	at int
	do func()
}

func (c *countingConn) count() {
	if c.at == 0 {
		c.do()
	}
	c.at--
}

func (c *countingConn) Read(b []byte) (int, error) {
	c.count()
	return c.Conn.Read(b)
}

func (c *countingConn) Write(b []byte) (int, error) {
	c.count()
	return c.Conn.Write(b)
}

// script is a connection whose other end says in, whatever it hears.
type script struct {
	net.Conn
	in *bytes.Reader
}

func (s *script) Read(b []byte) (int, error) { return s.in.Read(b) }

// scripted returns a connection whose other end says in and then hangs up.
func scripted(in []byte) (conn net.Conn, closeAll func()) {
	a, b := net.Pipe()
	go io.Copy(io.Discard, b)
	return &script{a, bytes.NewReader(in)}, func() { a.Close(); b.Close() }
}

func FuzzAccept(f *testing.F) {
	f.Add([]byte{})
	f.Add(append(encodeHello(hello), make([]byte, proofLen+1)...))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		conn, closeAll := scripted(in)
		defer closeAll()
		_, err := Accept(conn, secret, func(Hello) error { t.Error("admitted"); return nil })
		require.Error(t, err)
	})
}

func FuzzDial(f *testing.F) {
	f.Add([]byte{})
	var answer, verdict []byte
	shake(secret, secret, welcome, func(i int, b []byte) []byte {
		switch i {
		case 1:
			answer = b
		case 3:
			verdict = b
		}
		return b
	})
	f.Add(append(answer, verdict...))
	f.Fuzz(func(t *testing.T, in []byte) {
		conn, closeAll := scripted(in)
		defer closeAll()
		require.Error(t, Dial(t.Context(), conn, secret, hello))
	})
}
