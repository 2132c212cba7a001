package launch

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
)

// Meeting is how the ranks of a job find its hub.
type Meeting interface {
	// String says how, for people.
	String() string

	// Listen returns where rank 0 may listen, in the form of ListenHub, best
	// first. It is empty where any address will do.
	Listen() []string

	// Publish lets the other ranks find the hub: its addresses, and the secret.
	// Rank 0 calls it once. It may block until the others have called Find.
	Publish(ctx context.Context, p Invitation) error

	// Find returns what rank 0 has published, as far as is known now. The other
	// ranks call it, and again if nobody with the secret is there.
	Find(ctx context.Context) (Invitation, error)

	// Joined is told, on every rank, that all have joined.
	Joined() error

	// Leave ends this rank's part, with its status.
	Leave(status int) error
}

// Invitation is all that a rank needs to join.
type Invitation struct {
	At     []string // in the form of ListenHub
	Secret Secret
}

// fixed is a meeting at an address that all ranks know before.
type fixed struct{ invitation Invitation }

func newFixed(at string, s Secret) Meeting {
	var addrs []string
	for a := range strings.SplitSeq(at, ",") {
		if !strings.HasPrefix(a, "unix:") && !strings.HasPrefix(a, "tcp:") {
			a = "tcp:" + a // host:port, as people write it
		}
		addrs = append(addrs, a)
	}
	return fixed{Invitation{At: addrs, Secret: s}}
}

func (f fixed) String() string                            { return "DLP_RENDEZVOUS, " + strings.Join(f.invitation.At, ",") }
func (f fixed) Listen() []string                          { return f.invitation.At[:1] }
func (f fixed) Publish(context.Context, Invitation) error { return nil }
func (f fixed) Find(context.Context) (Invitation, error)  { return f.invitation, nil }
func (f fixed) Joined() error                             { return nil }
func (f fixed) Leave(int) error                           { return nil }

// hubSecret returns the secret that rank 0 is to use: the one that the others
// have already, or a new one.
func hubSecret(m Meeting) Secret {
	switch m := m.(type) {
	case fixed:
		return m.invitation.Secret
	case window:
		return m.secret
	}
	return NewSecret()
}

// encode writes an invitation as one word of hexadecimal digits, which every
// store takes.
func (i Invitation) encode() string {
	b, err := json.Marshal(i.At)
	if err != nil {
		panic(err) // strings always can
	}
	return hex.EncodeToString(append(i.Secret[:], b...))
}

func decodeInvitation(s string) (i Invitation, err error) {
	b, err := hex.DecodeString(s)
	if err == nil && len(b) <= len(i.Secret) {
		err = errors.New("too short")
	}
	if err == nil {
		i.Secret = Secret(b)
		err = json.Unmarshal(b[len(i.Secret):], &i.At)
	}
	if err == nil && len(i.At) == 0 {
		err = errors.New("no address")
	}
	if err != nil {
		return Invitation{}, fmt.Errorf("what rank 0 published is broken: %w", err)
	}
	return i, nil
}

// reachable lists the addresses by which others may reach a listener: one that
// listens everywhere is reached by each address of this host, loopback last.
func reachable(ln net.Addr) ([]string, error) {
	a, ok := ln.(*net.TCPAddr)
	if !ok || !a.IP.IsUnspecified() {
		return []string{ln.Network() + ":" + ln.String()}, nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var near, far []string
	for _, addr := range addrs {
		n, ok := addr.(*net.IPNet)
		if !ok || n.IP.IsLinkLocalUnicast() {
			continue
		}
		at := "tcp:" + net.JoinHostPort(n.IP.String(), fmt.Sprint(a.Port))
		if n.IP.IsLoopback() {
			near = append(near, at)
		} else {
			far = append(far, at)
		}
	}
	return append(far, near...), nil
}
