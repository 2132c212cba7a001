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

// window is a meeting at one of a few ports of rank 0's host, which all ranks
// reckon from the name of their job. It needs no common folder, but a secret that
// they share. Rank 0 takes a port that is free; the others knock at all of them,
// and only somebody with the secret counts. That is made of the shared one and
// the job's name, so that two jobs with one DLP_SECRET never meet.
type window struct {
	host   string
	low    int // the first port
	secret Secret
}

// newWindow makes the window of a Slurm step.
func newWindow(getenv func(string) string, p *place) (Meeting, error) {
	shared, err := secret(getenv)
	if err != nil {
		return nil, err
	}
	host, err := slurmFirstHost(getenv)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, shared[:])
	mac.Write([]byte("dlp window " + p.id))
	own := mac.Sum(nil)
	name := sha256.Sum256([]byte(p.id)) // not of the secret, which a port would tell something of
	spread := binary.LittleEndian.Uint32(name[:]) % (windowHigh - windowLow - windowSize + 1)
	return window{host: host, low: windowLow + int(spread), secret: Secret(own)}, nil
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

func (w window) String() string {
	return fmt.Sprintf("ports %d to %d of %s", w.low, w.low+windowSize-1, w.host)
}

func (w window) at(host string) (all []string) {
	for port := w.low; port < w.low+windowSize; port++ {
		all = append(all, "tcp:"+net.JoinHostPort(host, strconv.Itoa(port)))
	}
	return all
}

func (w window) Listen() []string                          { return w.at("") }
func (w window) Publish(context.Context, Invitation) error { return nil }
func (w window) Find(context.Context) (Invitation, error) {
	return Invitation{At: w.at(w.host), Secret: w.secret}, nil
}
func (w window) Joined() error   { return nil }
func (w window) Leave(int) error { return nil }
