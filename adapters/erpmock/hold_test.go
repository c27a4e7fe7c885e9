package erpmock

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// TestAPortIsHeldThroughAnOutage: an ERP that is away is not answered for by whoever comes first.
func TestAPortIsHeldThroughAnOutage(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		ln, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial("tcp", ln.Addr().String()) // it waits for its end beyond the outage
		if err != nil {
			t.Fatal(err)
		}
		server, err := ln.Accept()
		if err := errors.Join(err, server.Close(), ln.Close()); err != nil {
			t.Fatal(err)
		}
		release, err := hold(ln.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := net.Dial("tcp", ln.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: a caller hears %v, want that it is refused", at, err)
		}
		if other, err := net.Listen("tcp", ln.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%s: another program gets %v, %v", at, other, err)
		}
		release()
		again, err := net.Listen("tcp", ln.Addr().String())
		if err := errors.Join(err, client.Close()); err != nil {
			t.Fatal(err)
		}
		_ = again.Close()
	}
}
