// Package port finds loopback ports for what listens later, or again.
//
// # Guarantees
//
//   - Nobody listens on a port when it is given, and the ports of one call differ.
//   - None is of the range that a system gives to whoever connects, or asks for any port: such a port can belong to somebody's connection by
//     the time that a program listens on it, and then the program does not start.
package port

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// The ports that are given are below those that Linux (32768 and more), macOS and Windows (49152 and more) give away themselves, and below
// those of deploy/dev/services.
const first, span = 10_000, 10_000

// Free finds n ports on which nobody listens.
func Free(n int) ([]int, error) {
	var ports []int
	begin := rand.N(span)
	for i := 0; i < span && len(ports) < n; i++ {
		p := first + (begin+i)%span
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
		if err != nil {
			continue // it is somebody's
		}
		if err := l.Close(); err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		ports = append(ports, p)
	}
	if len(ports) < n {
		return nil, fmt.Errorf("find %d free ports: there are %d between %d and %d", n, len(ports), first, first+span-1)
	}
	return ports, nil
}

// Listen listens on such a port. Its address can be given up for a while and listened on again.
func Listen() (net.Listener, error) {
	var failed error
	for range 10 { // somebody else may have found the same one at the same time
		ports, err := Free(1)
		if err != nil {
			return nil, err
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", ports[0]))
		if err == nil {
			return l, nil
		}
		failed = err
	}
	return nil, fmt.Errorf("listen on a free port: %w", failed)
}
