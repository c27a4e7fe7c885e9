package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Wire is the line between the plant and a broker: it passes bytes on, and can be made slow, narrow, dead or broken. What it does to
// connections is what networks do: it knows nothing of what is said on them.
type Wire struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	conns   map[*net.TCPConn]bool // guarded by mu
	delay   time.Duration         // of each piece that is passed on; guarded by mu
	narrow  bool                  // few bytes at a time; guarded by mu
	cut     bool                  // nobody comes through; guarded by mu
	stalled chan struct{}         // closed when answers pass again; nil if they do; guarded by mu
}

// OpenWire listens on a free port of this machine for who wants to reach target, a host and port.
func OpenWire(ctx context.Context, target string) (*Wire, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open the line to the broker: %w", err)
	}
	return &Wire{listener: l, target: target, conns: map[*net.TCPConn]bool{}}, nil
}

// Address is where the wire begins.
func (w *Wire) Address() string { return w.listener.Addr().String() }

// Run passes connections on until ctx ends.
func (w *Wire) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() {
		_ = w.listener.Close() // ends Accept
		w.mu.Lock()
		defer w.mu.Unlock()
		w.cut = true
		w.resetLocked()
	})
	defer stop()
	for {
		c, err := w.listener.Accept()
		if ctx.Err() != nil {
			return g.Wait()
		}
		if err != nil {
			return errors.Join(fmt.Errorf("the line to the broker: %w", err), g.Wait())
		}
		g.Go(func() error {
			w.join(ctx, c.(*net.TCPConn))
			return nil
		})
	}
}

// join is one connection, from end to end. On a wire that is cut it does not get to the broker.
func (w *Wire) join(ctx context.Context, plant *net.TCPConn) {
	if !w.admit(plant) {
		return
	}
	defer w.forget(plant)
	there, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", w.target)
	if err != nil {
		_ = plant.Close()
		return
	}
	broker := there.(*net.TCPConn)
	if !w.admit(broker) {
		return // the cut has ended the plant's side as well
	}
	defer w.forget(broker)
	var both errgroup.Group
	both.Go(func() error { return w.pass(ctx, broker, plant, false) })
	both.Go(func() error { return w.pass(ctx, plant, broker, true) })
	_ = both.Wait() // the other side learns of it by the end of its own connection
}

// admit notes one side of a connection, or breaks it if the wire is cut.
func (w *Wire) admit(c *net.TCPConn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		sunder(c)
		return false
	}
	w.conns[c] = true
	return true
}

func (w *Wire) forget(c *net.TCPConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
}

// sunder ends a connection so that what waits to be sent is thrown away.
func sunder(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// pass passes on what comes from one side until that or the other is gone, which ends both.
func (w *Wire) pass(ctx context.Context, to, from *net.TCPConn, answers bool) error {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		for part := buf[:n]; len(part) > 0; {
			k := w.wait(ctx, len(part), answers)
			if _, werr := to.Write(part[:k]); werr != nil {
				return werr
			}
			part = part[k:]
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// wait keeps a piece back as long as the wire is told to, and says how much of it may pass.
func (w *Wire) wait(ctx context.Context, n int, answers bool) int {
	w.mu.Lock()
	delay, narrow, stalled := w.delay, w.narrow, w.stalled
	w.mu.Unlock()
	if answers && stalled != nil {
		select {
		case <-ctx.Done():
		case <-stalled:
		}
	}
	if narrow {
		n, delay = min(n, 256), delay+10*time.Millisecond // some 25 kB a second
	}
	if delay > 0 {
		pause(ctx, delay)
	}
	return n
}

// during changes the wire for d, and then makes it as it was.
func (w *Wire) during(ctx context.Context, d time.Duration, change, back func()) {
	set := func(f func()) {
		w.mu.Lock()
		defer w.mu.Unlock()
		f()
	}
	set(change)
	defer set(back)
	pause(ctx, d)
}

// slow has each piece take longer for d.
func (w *Wire) slow(ctx context.Context, d time.Duration) {
	w.during(ctx, d, func() { w.delay += 50 * time.Millisecond }, func() { w.delay -= 50 * time.Millisecond })
}

// limit lets few bytes pass for d.
func (w *Wire) limit(ctx context.Context, d time.Duration) {
	w.during(ctx, d, func() { w.narrow = true }, func() { w.narrow = false })
}

// sever breaks every connection and lets no new one come to be for d.
func (w *Wire) sever(ctx context.Context, d time.Duration) {
	w.during(ctx, d, func() { w.cut = true; w.resetLocked() }, func() { w.cut = false })
}

// reset breaks every connection: both ends learn of it at once, and lose what was under way.
func (w *Wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resetLocked()
}

// resetLocked needs mu.
func (w *Wire) resetLocked() {
	for c := range w.conns {
		sunder(c)
	}
}

// stall keeps the broker's answers back until the function that it returns is called.
func (w *Wire) stall() (resume func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch := make(chan struct{})
	w.stalled = ch
	return sync.OnceFunc(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.stalled = nil
		close(ch)
	})
}
