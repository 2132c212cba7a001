package launch

import (
	"fmt"
	"net"
)

// ListenIP returns the address that a rank listens on for other hosts: iface,
// an address or the name of a network interface, if the user gave one
// (DLP_INTERFACE); else toHub, this host's end of the way to the hub; else
// loopback.
func ListenIP(iface, toHub string) (string, error) {
	if iface == "" {
		if toHub == "" {
			return "127.0.0.1", nil
		}
		return toHub, nil
	}
	if ip := net.ParseIP(iface); ip != nil {
		return iface, nil
	}
	nic, err := net.InterfaceByName(iface)
	if err != nil {
		return "", fmt.Errorf("DLP_INTERFACE is %q: neither an address nor a network interface of this host", iface)
	}
	addrs, err := nic.Addrs()
	if err != nil {
		return "", err
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLinkLocalUnicast() {
			return n.IP.String(), nil
		}
	}
	return "", fmt.Errorf("DLP_INTERFACE is %q: that interface has no address", iface)
}
