package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/dlprun/dlp/mpi/internal/wire"
)

// What a rank and the hub say to each other travels in Control frames: the
// form says which of these it is, the body is its JSON.
const (
	msgRegister  uint8 = 1 + iota // rank: Peer
	msgTable                      // hub: roll, when all have registered
	msgFailed                     // rank: failure
	msgAck                        // hub: the failure is known
	msgFinalized                  // rank: it reached Finalize
	msgEnd                        // hub: every rank reached Finalize
	msgDown                       // hub: Down
	msgAlive                      // both, again and again
)

// maxControl bounds a control frame: the table of a million ranks fits.
const maxControl = 256 << 20

// Peer is what ranks know of each other: where one lives and where it listens.
type Peer struct {
	Rank   int      `json:"rank"`
	Host   string   `json:"host"`           // for people
	HostID string   `json:"host_id"`        // equal for ranks of one host, as far as is known
	Pid    int      `json:"pid"`            //
	CPUs   string   `json:"cpus,omitempty"` // that it may run on, "0-3,8"; "" if unknown
	Unix   string   `json:"unix,omitempty"` // path of its unix socket
	TCP    []string `json:"tcp,omitempty"`  // host:port
}

// Down says that a rank is lost, or (Rank < 0) that the job as a whole is.
type Down struct {
	Rank    int    `json:"rank"`
	Host    string `json:"host"`
	Cause   string `json:"cause"`
	Aborted bool   `json:"aborted,omitempty"` // it called Abort
	GoesOn  bool   `json:"goes_on,omitempty"` // the job does, without that rank
}

// roll is what every rank is told when the job begins.
type roll struct {
	Ranks  []Peer `json:"ranks"`
	GoesOn bool   `json:"goes_on,omitempty"` // when a rank is lost
}

type failure struct {
	Code    int    `json:"code"`
	Reason  string `json:"reason"`
	Aborted bool   `json:"aborted,omitempty"`
	Alone   bool   `json:"alone,omitempty"` // it need not take the job with it
}

func writeControl(conn net.Conn, form uint8, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	m := wire.Message{Kind: wire.Control, Form: form, Body: b}
	_, err = conn.Write(append(wire.AppendHeader(nil, &m), b...))
	return err
}

func readControl(r *wire.Reader) (wire.Message, error) {
	m, err := r.Read()
	if err == nil && m.Kind != wire.Control {
		err = fmt.Errorf("%w: kind %d on a session", wire.ErrFrame, m.Kind)
	}
	return m, err
}

// oneLine makes a reason fit into one line of a log.
func oneLine(s string) string {
	s = strings.TrimSpace(s)
	if first, _, more := strings.Cut(s, "\n"); more {
		return strings.TrimSpace(first)
	}
	return s
}

var errAddress = errors.New("is no address: write unix:/path or tcp:host:port")

// network splits "unix:/path" or "tcp:host:port" for package net.
func network(addr string) (string, string, error) {
	kind, rest, ok := strings.Cut(addr, ":")
	if !ok || rest == "" || kind != "unix" && kind != "tcp" {
		return "", "", fmt.Errorf("%q %w", addr, errAddress)
	}
	return kind, rest, nil
}
