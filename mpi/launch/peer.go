package launch

import (
	"bufio"
	"os"
	"strings"
)

// Self describes this process as rank of its job: its host, its number there and
// the processors that it may use. It opens nothing that others could connect to.
func Self(rank int) Peer {
	return Peer{Rank: rank, Host: Host(), HostID: hostID(), Pid: os.Getpid(), CPUs: processors()}
}

// Host returns this machine's name, for people.
func Host() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

// hostID tells machines apart that share a name, and containers that share a
// kernel.
func hostID() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		boot = nil // elsewhere the name alone must do
	}
	return Host() + "/" + strings.TrimSpace(string(boot))
}

// processors lists those that this process is bound to, as Linux does: "0-3,8".
// It is "" where there is no telling.
func processors() string {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if list, ok := strings.CutPrefix(lines.Text(), "Cpus_allowed_list:"); ok {
			return strings.TrimSpace(list)
		}
	}
	return ""
}
