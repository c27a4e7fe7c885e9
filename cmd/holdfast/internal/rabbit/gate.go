package rabbit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Gate passes connections on to a broker that is not ours to stop. While it is shut it ends every connection, as if the broker were
// away.
type Gate struct {
	target string
	listen net.Listener

	mu    sync.Mutex
	shut  bool              // guarded by mu
	conns map[net.Conn]bool // both sides of all that pass; guarded by mu
}

// OpenGate listens on a free port of this machine for what is to go to target, host:port. Run does the work.
func OpenGate(target string) (*Gate, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a gate to %s: %w", target, err)
	}
	return &Gate{target: target, listen: l, conns: map[net.Conn]bool{}}, nil
}

// Addr is where the gate listens, host:port.
func (g *Gate) Addr() string { return g.listen.Addr().String() }

// Shut ends all connections and lets no other pass.
func (g *Gate) Shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	for c := range g.conns {
		_ = c.Close() // it is over either way
	}
}

// Open lets connections pass again.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
}

// Close stops listening; it is for a gate that never ran, and harmless after Run.
func (g *Gate) Close() error {
	if err := g.listen.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Run passes connections on until ctx ends, and ends them then.
func (g *Gate) Run(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error {
		<-ctx.Done()
		g.Shut()
		return g.listen.Close()
	})
	for {
		c, err := g.listen.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return all.Wait()
		case err != nil:
			return fmt.Errorf("take a connection to %s: %w", g.target, err)
		}
		all.Go(func() error {
			g.pass(ctx, c)
			return nil
		})
	}
}

// pass carries one connection until either side ends it.
func (g *Gate) pass(ctx context.Context, c net.Conn) {
	defer c.Close()
	to, err := (&net.Dialer{}).DialContext(ctx, "tcp", g.target)
	if err != nil {
		return // the client is refused as by a broker that is away
	}
	defer to.Close()
	if !g.admit(c, to) {
		return
	}
	var both errgroup.Group
	for _, way := range [][2]net.Conn{{c, to}, {to, c}} {
		both.Go(func() error {
			_, err := io.Copy(way[0], way[1])
			return errors.Join(err, c.Close(), to.Close())
		})
	}
	_ = both.Wait() // how it ended says nothing
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
	delete(g.conns, to)
}

// admit notes a connection, unless the gate is shut.
func (g *Gate) admit(conns ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range conns {
		if !g.shut {
			g.conns[c] = true
		}
	}
	return !g.shut
}
