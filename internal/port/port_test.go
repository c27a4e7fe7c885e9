package port_test

import (
	"fmt"
	"net"
	"testing"

	"holdfast/internal/port"
)

const system = 32768 // and more are given to whoever connects

func TestPortsAreFreeAndNotTheSystems(t *testing.T) {
	got, err := port.Free(20)
	if err != nil || len(got) != 20 {
		t.Fatalf("got %v, %v; want 20 ports", got, err)
	}
	seen := map[int]bool{}
	for _, p := range got {
		if seen[p] || p >= system {
			t.Errorf("port %d: given twice %t, or one of the system's", p, seen[p])
		}
		seen[p] = true
	}
}

func TestAnAddressIsListenedOnAgain(t *testing.T) {
	l, err := port.Listen()
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr)
	if at.Port >= system || !at.IP.IsLoopback() {
		t.Errorf("listens on %s", at)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := net.Listen("tcp", fmt.Sprint(at))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
