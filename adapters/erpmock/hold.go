package erpmock

import (
	"fmt"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// hold keeps a TCP port on which nobody listens: who calls it is refused, and no other program gets it meanwhile, a second demo or whoever
// takes any free port. What it gives back lets it go.
func hold(addr net.Addr) (release func(), err error) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return func() {}, nil
	}
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: tcp.Port, Addr: [16]byte(tcp.IP.To16())})
	if ip := tcp.IP.To4(); ip != nil {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(ip)}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("hold %s: %w", addr, err)
	}
	// Shared for the moment of the bind, in which connections of before may still be closing; then no more.
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil {
		err = unix.Bind(fd, to)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("hold %s: %w", addr, err)
	}
	return sync.OnceFunc(func() { _ = unix.Close(fd) }), nil
}
