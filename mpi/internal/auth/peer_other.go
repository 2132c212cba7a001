//go:build !linux

package auth

import "net"

// checkPeer has nothing to ask here: the folder of the socket, mode 0700, and
// the secret keep others out.
func checkPeer(net.Conn) error { return nil }
