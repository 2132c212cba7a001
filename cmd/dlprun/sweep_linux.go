package main

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// sweep kills the processes that have left the job's group, as timeout(1), setsid(1)
// and debuggers make them do, but still carry the job's folder in their
// environment. It looks again until there are none, since they may fork meanwhile.
func sweep(folder string) {
	if folder == "" {
		return
	}
	mark := []byte(jobEnv + "=" + folder)
	for range 10 {
		found := false
		procs, _ := os.ReadDir("/proc")
		for _, p := range procs {
			if pid, err := strconv.Atoi(p.Name()); err == nil && pid != os.Getpid() && killMarked(pid, mark) {
				found = true
			}
		}
		if !found {
			return
		}
	}
}

// killMarked kills process pid if its environment carries mark. The descriptor
// is opened first, so that no other process can take the number in between.
func killMarked(pid int, mark []byte) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false // gone, or another user's
	}
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if bytes.Equal(v, mark) {
			return unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil
		}
	}
	return false
}
