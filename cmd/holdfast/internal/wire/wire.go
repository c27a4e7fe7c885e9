// Package wire is the line between two ends of this machine, which can be made slow, narrow, dead or broken. Torture and the demo lay one
// between the plant and its broker.
//
// # Guarantees
//
//   - What passes is not changed. A connection that is broken loses what was under way on it, as on a network.
//   - On a wire that is cut nobody gets to the other end.
//   - Each fault lasts until the function that began it is undone; several may be on at a time, the same one too.
package wire

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

// Wire passes connections on to a target. It knows nothing of what is said on them. Run does the work.
type Wire struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	conns   map[*net.TCPConn]bool // both sides of all that pass; guarded by mu
	delay   time.Duration         // of each piece that is passed on; guarded by mu
	narrow  int                   // above 0: few bytes at a time; guarded by mu
	cut     int                   // above 0: nobody comes through; guarded by mu
	stalled int                   // above 0: answers are kept back; guarded by mu
	passes  chan struct{}         // closed when answers pass again, which may be kept back anew since; guarded by mu
}

// Open listens on a free port of this machine for who wants to reach target, a host and port.
func Open(ctx context.Context, target string) (*Wire, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a line to %s: %w", target, err)
	}
	return &Wire{listener: l, target: target, conns: map[*net.TCPConn]bool{}, passes: make(chan struct{})}, nil
}

// Address is where the wire begins.
func (w *Wire) Address() string { return w.listener.Addr().String() }

// Close stops listening; it is for a wire that never ran, and harmless after Run.
func (w *Wire) Close() error {
	if err := w.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Run passes connections on until ctx ends, and breaks them then.
func (w *Wire) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() {
		_ = w.listener.Close() // ends Accept
		w.Cut()
	})
	defer stop()
	for {
		c, err := w.listener.Accept()
		if ctx.Err() != nil {
			return g.Wait()
		}
		if err != nil {
			return errors.Join(fmt.Errorf("take a connection to %s: %w", w.target, err), g.Wait())
		}
		g.Go(func() error {
			w.join(ctx, c.(*net.TCPConn))
			return nil
		})
	}
}

// join is one connection, from end to end.
func (w *Wire) join(ctx context.Context, near *net.TCPConn) {
	if !w.admit(near) {
		return
	}
	defer w.forget(near)
	there, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", w.target)
	if err != nil {
		_ = near.Close()
		return
	}
	far := there.(*net.TCPConn)
	if !w.admit(far) {
		return // the cut has ended the near side as well
	}
	defer w.forget(far)
	var both errgroup.Group
	both.Go(func() error { return w.pass(ctx, far, near, false) })
	both.Go(func() error { return w.pass(ctx, near, far, true) })
	_ = both.Wait() // the other side learns of it by the end of its own connection
}

// admit notes one side of a connection, or breaks it if the wire is cut.
func (w *Wire) admit(c *net.TCPConn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut > 0 {
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
	for answers && w.stalled > 0 && ctx.Err() == nil {
		passes := w.passes
		w.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-passes:
		}
		w.mu.Lock()
	}
	delay, narrow := w.delay, w.narrow > 0
	w.mu.Unlock()
	if narrow {
		n, delay = min(n, 256), delay+10*time.Millisecond // some 25 kB a second
	}
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
	return n
}

// until begins a fault, and returns what ends it.
func (w *Wire) until(begin, end func()) (undo func()) {
	locked := func(f func()) {
		w.mu.Lock()
		defer w.mu.Unlock()
		f()
	}
	locked(begin)
	return sync.OnceFunc(func() { locked(end) })
}

// Delay has each piece take longer.
func (w *Wire) Delay(d time.Duration) (undo func()) {
	return w.until(func() { w.delay += d }, func() { w.delay -= d })
}

// Limit lets few bytes pass.
func (w *Wire) Limit() (undo func()) {
	return w.until(func() { w.narrow++ }, func() { w.narrow-- })
}

// Cut breaks every connection and lets no new one come to be.
func (w *Wire) Cut() (undo func()) {
	return w.until(func() { w.cut++; w.reset() }, func() { w.cut-- })
}

// Stall keeps answers back.
func (w *Wire) Stall() (undo func()) {
	return w.until(func() { w.stalled++ }, func() {
		w.stalled--
		close(w.passes)
		w.passes = make(chan struct{})
	})
}

// Reset breaks every connection: both ends learn of it at once, and lose what was under way.
func (w *Wire) Reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reset()
}

// reset needs mu.
func (w *Wire) reset() {
	for c := range w.conns {
		sunder(c)
	}
}
