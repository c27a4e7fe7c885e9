package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"holdfast/internal/problem"
)

// ListenTLS opens a listener on any address that takes TLS connections only, for an API with a Gate.
func ListenTLS(ctx context.Context, address string, cfg *tls.Config) (net.Listener, error) {
	if err := CheckAddress(address); err != nil {
		return nil, err
	}
	l, err := open(ctx, address)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(l, cfg), nil
}

// Listen opens a TCP listener on a loopback address such as 127.0.0.1:8420 or localhost:0; every other address is refused
// (kind denied): what is said there could be read and changed on its way.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	if err := CheckLoopback(address); err != nil {
		return nil, err
	}
	l, err := open(ctx, address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() { // a name that does not mean what it says
		return nil, errors.Join(notLoopback(address), l.Close())
	}
	return l, nil
}

func open(ctx context.Context, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &problem.Error{
			Kind: problem.Unavailable, What: "listen on " + address, Why: "the address cannot be taken",
			Hint: "end the program that holds it, or choose another port", Cause: err,
		}
	}
	return l, nil
}

// CheckLoopback tells whether an address of host and port may be listened on without TLS and a Gate; nil if so.
func CheckLoopback(address string) error {
	if err := CheckAddress(address); err != nil {
		return err
	}
	if host, _, _ := net.SplitHostPort(address); !Loopback(host) {
		return notLoopback(address)
	}
	return nil
}

// CheckAddress tells whether an address has a host and a port; nil if so.
func CheckAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return &problem.Error{
			Kind: problem.Invalid, What: "listen on " + address, Why: "it is not an address of host and port, from 0 to 65535",
			Hint: "write 127.0.0.1:8420", Cause: err,
		}
	}
	return nil
}

func notLoopback(address string) error {
	return &problem.Error{
		Kind: problem.Denied, What: "listen on " + address, Why: "it is not a loopback address, and nothing there would check who calls",
		Hint: "listen on 127.0.0.1; for the API to be called from elsewhere, say who may call in access, and give api.tls a certificate (docs/access.md)",
	}
}

// Loopback tells whether a host is this machine to itself.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
