// Package auth keeps strangers out: before a connection carries its first
// frame, both ends prove that they hold the secret of the job.
//
// The handshake is five records of fixed size, so that nothing is allocated
// from, and nothing decoded of, what a stranger sends:
//
//	client  hello    magic, protocol, purpose, rank, size, build, nonce
//	server  answer   magic, protocol, nonce, HMAC(secret, "server", hello, answer)
//	client  proof    HMAC(secret, "client", hello, answer)
//	server  verdict  0, or a refusal and its text, HMAC(secret, "verdict", hello, answer, verdict)
//	client  ready    one byte
//
// The HMACs are HMAC-SHA256 (RFC 2104) over the transcript with distinct
// labels, so that none can be reflected; the nonces, 32 random bytes each,
// make a transcript worthless for another connection. The last byte is there
// for clients that give up in the middle: a connection counts for both ends or
// for neither.
package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Protocol is the version of everything that follows: the handshake, the
// frames, and what they mean. Ends of different versions refuse each other. The
// first three records are the same in all versions, so that each end learns for
// certain whether the other is one of its own job.
const Protocol = 4

// Timeout bounds a whole handshake.
const Timeout = 10 * time.Second

// Secret is what the processes of one job share and nobody else knows.
type Secret [32]byte

// NewSecret returns 32 random bytes.
func NewSecret() (s Secret) {
	rand.Read(s[:]) // never fails, by its documentation
	return s
}

// Purpose tells the uses of a connection apart.
type Purpose uint8

// The purposes of a connection.
const (
	Session Purpose = 1 + iota // a rank and the hub of its job
	Data                       // two ranks
	Memory                     // two ranks, of whom the client offers to share memory
)

// Hello is who the client says it is. It is to be believed once the handshake
// is over.
type Hello struct {
	Purpose Purpose
	Rank    int
	Size    int
	Build   [16]byte // a digest of the program; zero: unknown, fits every other
}

const (
	helloLen   = 96
	answerLen  = 72
	proofLen   = sha256.Size
	verdictLen = 256 // the text of a refusal is cut to 223 bytes
)

var (
	magic = [4]byte{'D', 'L', 'P', '?'}
	ready = [1]byte{'!'}
)

// A RefusedError tells the client why the server, which holds the right
// secret, does not want it.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// A MisfitError is of a rank that has proved itself to the server and can't take
// part all the same: the program that runs there was built of something else.
// Admit may return one, too.
type MisfitError struct {
	Rank   int
	From   string // the address that it came from; a Server fills it in
	Reason string
}

func (e *MisfitError) Error() string { return e.Reason }

// Errors of a handshake.
var (
	ErrCut      = errors.New("the other end hung up during the handshake")
	ErrSecret   = errors.New("the other end does not hold this job's secret (another job, or DLP_SECRET differs)")
	ErrProtocol = errors.New("build all ranks with one version of dlp")
	ErrStranger = errors.New("the other end does not speak this protocol (another program on this port?)")
)

// Dial is the client's side of the handshake on conn. It blocks for Timeout at
// most, or until ctx ends. The connection is the caller's, to be closed if Dial
// fails.
func Dial(ctx context.Context, conn net.Conn, secret Secret, h Hello) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err := greet(conn, secret, h)
	refused := (*RefusedError)(nil)
	if ended := !stop(); ended && !errors.As(err, &refused) { // a refusal says more
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	if _, err := conn.Write(ready[:]); err != nil {
		return fmt.Errorf("%w: %w", ErrCut, err)
	}
	return conn.SetDeadline(time.Time{})
}

// greet is all of the handshake but its last byte.
func greet(conn net.Conn, secret Secret, h Hello) error {
	if err := conn.SetDeadline(time.Now().Add(Timeout)); err != nil {
		return err
	}
	hello := encodeHello(h)
	if _, err := conn.Write(hello); err != nil {
		return fmt.Errorf("%w: %w", ErrCut, err)
	}
	answer := make([]byte, answerLen)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return fmt.Errorf("%w: no answer to the greeting: %w", ErrCut, err)
	}
	if [4]byte(answer) != magic {
		return ErrStranger
	}
	proved := hmac.Equal(answer[answerLen-sha256.Size:], prove(secret, "dlp server", hello, answer[:answerLen-sha256.Size]))
	proof := prove(secret, "dlp client", hello, answer)
	if v := version(answer); v != Protocol {
		err := fmt.Errorf("this program speaks protocol %d, the other end %d: %w", Protocol, v, ErrProtocol)
		if proved {
			conn.Write(proof) // it may learn who we are; our own case is lost anyhow
			return refuse(conn, err.Error())
		}
		return err
	}
	if !proved {
		return ErrSecret
	}
	if _, err := conn.Write(proof); err != nil {
		return fmt.Errorf("%w: %w", ErrCut, err)
	}
	return hear(conn, secret, hello, answer)
}

// hear reads the verdict.
func hear(conn net.Conn, secret Secret, hello, answer []byte) error {
	verdict := make([]byte, verdictLen)
	if _, err := io.ReadFull(conn, verdict); err != nil {
		return fmt.Errorf("%w: no verdict: %w", ErrCut, err)
	}
	text := verdict[:verdictLen-sha256.Size]
	if !hmac.Equal(verdict[len(text):], prove(secret, "dlp verdict", hello, answer, text)) {
		return ErrStranger
	}
	if n := min(int(text[0]), len(text)-1); n > 0 {
		return refuse(conn, string(text[1:1+n]))
	}
	return nil
}

// refuse returns the error of a client that is not wanted, when the server has made
// its own of it and hung up: it should know why the client's process ends.
func refuse(conn net.Conn, reason string) error {
	conn.Read(make([]byte, 1)) // nothing comes; the deadline of the handshake holds
	return &RefusedError{Reason: reason}
}

// Accept is the server's side. admit looks at a Hello that has been proved and
// returns why it is refused, nil if it is welcome. Accept blocks for Timeout at
// most. The connection is the caller's, to be closed if Accept fails.
func Accept(conn net.Conn, secret Secret, admit func(Hello) error) (Hello, error) {
	if err := conn.SetDeadline(time.Now().Add(Timeout)); err != nil {
		return Hello{}, err
	}
	hello := make([]byte, helloLen)
	if _, err := io.ReadFull(conn, hello); err != nil {
		return Hello{}, err
	}
	if [4]byte(hello) != magic {
		return Hello{}, ErrStranger
	}
	answer := encodeAnswer(secret, hello)
	if _, err := conn.Write(answer); err != nil {
		return Hello{}, err
	}
	h, err := proven(conn, secret, hello, answer)
	if err != nil {
		return Hello{}, err
	}
	refusal := admit(h)
	verdict := encodeVerdict(refusal)
	verdict = append(verdict, prove(secret, "dlp verdict", hello, answer, verdict)...)
	if _, err := conn.Write(verdict); err != nil {
		return Hello{}, err
	}
	if refusal != nil {
		return Hello{}, refusal
	}
	var last [1]byte
	if _, err := io.ReadFull(conn, last[:]); err != nil {
		return Hello{}, err
	}
	if last != ready {
		return Hello{}, ErrStranger
	}
	return h, conn.SetDeadline(time.Time{})
}

// proven reads the client's proof and returns who it is.
func proven(conn net.Conn, secret Secret, hello, answer []byte) (Hello, error) {
	proof := make([]byte, proofLen)
	_, err := io.ReadFull(conn, proof)
	if err == nil && !hmac.Equal(proof, prove(secret, "dlp client", hello, answer)) {
		err = ErrSecret
	}
	h := decodeHello(hello)
	if v := version(hello); v != Protocol {
		other := fmt.Errorf("it speaks protocol %d, this program %d: %w", v, Protocol, ErrProtocol)
		if err == nil {
			return Hello{}, &MisfitError{Rank: h.Rank, Reason: other.Error()}
		}
		return Hello{}, other
	}
	return h, err
}

// version is the protocol of the one who wrote a hello or an answer.
func version(record []byte) uint16 { return binary.LittleEndian.Uint16(record[4:]) }

func encodeHello(h Hello) []byte {
	b := make([]byte, 0, helloLen)
	b = append(b, magic[:]...)
	b = binary.LittleEndian.AppendUint16(b, Protocol)
	b = append(b, byte(h.Purpose), 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.Rank))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.Size))
	b = append(b, h.Build[:]...)
	b = append(b, make([]byte, 32)...) // reserved
	var nonce [32]byte
	rand.Read(nonce[:])
	return append(b, nonce[:]...)
}

func encodeAnswer(secret Secret, hello []byte) []byte {
	b := make([]byte, 0, answerLen)
	b = append(b, magic[:]...)
	b = binary.LittleEndian.AppendUint16(b, Protocol)
	b = append(b, 0, 0)
	var nonce [32]byte
	rand.Read(nonce[:])
	b = append(b, nonce[:]...)
	return append(b, prove(secret, "dlp server", hello, b)...)
}

func decodeHello(b []byte) Hello {
	return Hello{
		Purpose: Purpose(b[6]),
		Rank:    int(int32(binary.LittleEndian.Uint32(b[8:]))),
		Size:    int(int32(binary.LittleEndian.Uint32(b[12:]))),
		Build:   [16]byte(b[16:32]),
	}
}

func encodeVerdict(refusal error) []byte {
	b := make([]byte, verdictLen-sha256.Size, verdictLen)
	if refusal != nil {
		b[0] = byte(copy(b[1:], refusal.Error()))
		if b[0] == 0 {
			b[0] = byte(copy(b[1:], "refused"))
		}
	}
	return b
}

func prove(secret Secret, label string, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte(label))
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(nil)
}
