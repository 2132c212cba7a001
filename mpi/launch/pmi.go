package launch

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// pmi is a client of the Process Management Interface, version 1, which MPICH's
// Hydra, Intel MPI, Flux and srun --mpi=pmi2 serve: a key-value store of the job
// and a barrier. One line of key=value pairs goes each way, strictly request
// and reply.
//
// The server takes a process that has said init and ends without finalize for a
// crash, and Hydra then ends the job.
type pmi struct {
	conn net.Conn
	r    *bufio.Reader
	kvs  string // the name of the job's store

	rank, size int // as the server says, where the environment does not
}

// maxPMI keeps a line below what servers are known to take: at 1000 bytes Slurm
// cancels the step, Hydra cuts a value at 1024 silently.
const maxPMI = 900

// dialPMI connects to the server that the environment names, and says init. It
// returns nil where the environment names none.
func dialPMI(getenv func(string) string) (*pmi, error) {
	var p *pmi
	switch fd, port := getenv("PMI_FD"), getenv("PMI_PORT"); {
	case fd != "":
		n, err := strconv.Atoi(fd)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("PMI_FD is %q, which is no descriptor", fd)
		}
		f := os.NewFile(uintptr(n), "PMI_FD")
		conn, err := net.FileConn(f) // a duplicate that is closed on exec; fails if it is no socket
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("PMI_FD is %s, which is not the socket of a launcher (inherited from a parent that is a rank itself? unset it): %w", fd, err)
		}
		p = &pmi{conn: conn, r: bufio.NewReaderSize(conn, 4096)}
	case port != "":
		conn, err := net.DialTimeout("tcp", port, 10*time.Second)
		if unknown := (*net.DNSError)(nil); errors.As(err, &unknown) { // the launcher gives its host's own name
			return nil, fmt.Errorf("PMI_PORT is %q: %w; has this container no /etc/hosts?", port, err)
		}
		if err != nil {
			return nil, fmt.Errorf("PMI_PORT is %q: %w", port, err)
		}
		p = &pmi{conn: conn, r: bufio.NewReaderSize(conn, 4096)}
		if err := p.introduce(getenv("PMI_ID")); err != nil { // it tells rank and size
			conn.Close()
			return nil, err
		}
	default:
		return nil, nil
	}
	if err := p.init(); err != nil {
		p.conn.Close()
		return nil, err
	}
	return p, nil
}

// introduce says which process this is, on a connection that the server can't
// tell. The answer is four lines; the last three say what the environment does.
func (p *pmi) introduce(id string) error {
	if _, err := p.call("initack pmiid="+id, "initack", time.Now().Add(pmiTimeout)); err != nil {
		return err
	}
	said := map[string]string{}
	for range 3 { // cmd=set size=4, rank=0, debug=0
		reply, err := p.read("set")
		if err != nil {
			return err
		}
		maps.Copy(said, reply)
	}
	var err error
	if p.size, err = strconv.Atoi(said["size"]); err != nil {
		return fmt.Errorf("PMI: the launcher says that the size is %q", said["size"])
	}
	if p.rank, err = strconv.Atoi(said["rank"]); err != nil || p.rank < 0 || p.rank >= p.size {
		return fmt.Errorf("PMI: the launcher says that this is rank %q of %d", said["rank"], p.size)
	}
	return nil
}

// pmiTimeout bounds every request but the barrier.
const pmiTimeout = 30 * time.Second

func (p *pmi) init() error {
	soon := time.Now().Add(pmiTimeout)
	// Alone in its packet: Slurm reads the first message into 64 bytes.
	if _, err := p.call("init pmi_version=1 pmi_subversion=1", "response_to_init", soon); err != nil {
		return err
	}
	reply, err := p.call("get_my_kvsname", "my_kvsname", soon)
	p.kvs = reply["kvsname"]
	return err
}

// put stores a value, which others can get after the next barrier.
func (p *pmi) put(key, value string) error {
	line := "put kvsname=" + p.kvs + " key=" + key + " value=" + value
	if len(line) > maxPMI {
		return fmt.Errorf("PMI: a value of %d bytes is too long", len(value))
	}
	_, err := p.call(line, "put_result", time.Now().Add(pmiTimeout))
	return err
}

// get returns a value that was put before the last barrier.
func (p *pmi) get(key string) (string, error) {
	reply, err := p.call("get kvsname="+p.kvs+" key="+key, "get_result", time.Now().Add(pmiTimeout))
	return reply["value"], err
}

// barrier blocks until all processes of the job have called it.
func (p *pmi) barrier(deadline time.Time) error {
	_, err := p.call("barrier_in", "barrier_out", deadline)
	return err
}

// finalize says that this process ends in order.
func (p *pmi) finalize() error {
	_, err := p.call("finalize", "finalize_ack", time.Now().Add(pmiTimeout))
	return errors.Join(err, p.conn.Close())
}

// abort has the launcher end the job with a status. There is no reply.
func (p *pmi) abort(status int) {
	if p.conn.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		io.WriteString(p.conn, "cmd=abort exitcode="+strconv.Itoa(status)+" message=dlp\n") // the process exits next
	}
}

// call sends a request and reads the reply, which must be of the kind want and
// report no error.
func (p *pmi) call(request, want string, deadline time.Time) (map[string]string, error) {
	if err := p.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(p.conn, "cmd="+request+"\n"); err != nil {
		return nil, fmt.Errorf("PMI: %w", err)
	}
	return p.read(want)
}

func (p *pmi) read(want string) (map[string]string, error) {
	line, err := p.r.ReadSlice('\n')
	if err != nil {
		return nil, fmt.Errorf("PMI: no %s from the launcher: %w", want, err)
	}
	reply := parsePMI(string(line))
	if reply["cmd"] != want {
		return nil, fmt.Errorf("PMI: the launcher answers %q, not %s", strings.TrimSpace(string(line)), want)
	}
	if rc := reply["rc"]; rc != "" && rc != "0" {
		return nil, fmt.Errorf("PMI: the launcher refuses with %q", strings.TrimSpace(string(line)))
	}
	return reply, nil
}

// parsePMI reads a line of pairs. Their order differs between launchers, and so
// do the pairs that need not be there.
func parsePMI(line string) map[string]string {
	pairs := map[string]string{}
	for _, field := range strings.Fields(line) {
		if k, v, ok := strings.Cut(field, "="); ok {
			pairs[k] = v
		}
	}
	return pairs
}
