package launch

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
)

// The ports of a window lie below those that systems give to clients (32768 on
// Linux), so that a busy host has free ones.
const (
	windowSize = 16
	windowLow  = 16 << 10
	windowHigh = 32 << 10
)

// ports are a few ports of rank 0's host, which all ranks reckon from the name of
// their job.
type ports struct {
	host string
	low  int // the first of windowSize
}

// slurmPorts returns those of a Slurm step.
func slurmPorts(getenv func(string) string, p *place) (ports, error) {
	host, err := slurmFirstHost(getenv)
	if err != nil {
		return ports{}, err
	}
	name := sha256.Sum256([]byte(p.id)) // not of a secret, which a port would tell something of
	spread := binary.LittleEndian.Uint32(name[:]) % (windowHigh - windowLow - windowSize + 1)
	return ports{host: host, low: windowLow + int(spread)}, nil
}

// slurmFirstHost returns the host of rank 0: the first of the step, or of the first
// component of a heterogeneous job.
func slurmFirstHost(getenv func(string) string) (string, error) {
	for _, name := range []string{"SLURM_JOB_NODELIST_HET_GROUP_0", "SLURM_JOB_NODELIST_PACK_GROUP_0", "SLURM_STEP_NODELIST"} {
		for host, err := range HostList(getenv(name)) {
			if err != nil {
				return "", fmt.Errorf("%s: %w", name, err)
			}
			return host, nil
		}
	}
	return "", errors.New("SLURM_STEP_NODELIST is not set, so nothing says where rank 0 runs: set DLP_RENDEZVOUS, or start with dlprun --with srun")
}

func (p ports) String() string {
	return fmt.Sprintf("ports %d to %d of %s", p.low, p.low+windowSize-1, p.host)
}

// at lists them in the form of ListenHub.
func (p ports) at(host string) (all []string) {
	for port := p.low; port < p.low+windowSize; port++ {
		all = append(all, "tcp:"+net.JoinHostPort(host, strconv.Itoa(port)))
	}
	return all
}

// window is a meeting at one of a few ports. It needs no common folder, but a secret
// that all ranks share. Rank 0 takes a port that is free; the others knock at all of
// them, and only somebody with the secret counts. That is made of the shared one and
// the job's name, so that two jobs with one DLP_SECRET never meet.
type window struct {
	ports
	secret Secret
}

// newWindow makes the window of a Slurm step.
func newWindow(getenv func(string) string, p *place) (Meeting, error) {
	shared, err := secret(getenv)
	if err != nil {
		return nil, err
	}
	at, err := slurmPorts(getenv, p)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, shared[:])
	mac.Write([]byte("dlp window " + p.id))
	return window{ports: at, secret: Secret(mac.Sum(nil))}, nil
}

func (w window) Listen() []string                          { return w.at("") }
func (w window) Publish(context.Context, Invitation) error { return nil }
func (w window) Find(context.Context) (Invitation, error) {
	return Invitation{At: w.at(w.host), Secret: w.secret}, nil
}
func (w window) Joined() error   { return nil }
func (w window) Leave(int) error { return nil }
