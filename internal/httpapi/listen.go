package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"

	"holdfast/internal/problem"
)

// Listen opens a TCP listener on a loopback address such as 127.0.0.1:8420 or localhost:0; every other address is refused
// (kind denied), because nothing checks yet who calls.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	if err := CheckLoopback(address); err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &problem.Error{
			Kind: problem.Unavailable, What: "listen on " + address, Why: "the address cannot be taken",
			Hint: "end the program that holds it, or choose another port", Cause: err,
		}
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() { // a name that does not mean what it says
		return nil, errors.Join(notLoopback(address), l.Close())
	}
	return l, nil
}

// CheckLoopback tells whether an address of host and port may be listened on; nil if so.
func CheckLoopback(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return &problem.Error{
			Kind: problem.Invalid, What: "listen on " + address, Why: "it is not an address of host and port, from 0 to 65535",
			Hint: "write 127.0.0.1:8420", Cause: err,
		}
	}
	if !loopback(host) {
		return notLoopback(address)
	}
	return nil
}

func notLoopback(address string) error {
	return &problem.Error{
		Kind: problem.Denied, What: "listen on " + address, Why: "it is not a loopback address, and nothing checks yet who calls",
		Hint: fmt.Sprintf("listen on 127.0.0.1 and let a proxy that signs people in stand before it (asked for: %q)", address),
	}
}

// loopback tells whether a host is this machine to itself.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
