//go:build !linux

package auth

import "net"

// SameUser has nothing to ask here: the folder of the socket, mode 0700, and
// the secret keep others out.
func SameUser(net.Conn) error { return nil }
