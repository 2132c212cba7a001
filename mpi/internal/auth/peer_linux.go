package auth

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// SameUser returns an error if conn is a unix socket with another user's process at
// the other end. The kernel knows.
func SameUser(conn net.Conn) error {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return nil
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return err
	}
	var cred *syscall.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if credErr != nil {
		return credErr
	}
	if uid := uint32(os.Geteuid()); cred.Uid != uid {
		return fmt.Errorf("it belongs to user %d, this job to user %d", cred.Uid, uid)
	}
	return nil
}
