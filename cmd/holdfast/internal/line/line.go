// Package line is the line between two ends of this machine, which can be made slow, narrow, dead or broken. Torture and the demo lay one
// between the plant and its broker.
//
// # Guarantees
//
//   - What passes is not changed. A connection that is broken loses what was under way on it, as on a network.
//   - On a line that is cut nobody gets to the other end.
//   - Each fault lasts until the function that began it is undone; several may be on at a time, the same one too.
package line

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

// Line passes connections on to a target. It knows nothing of what is said on them. Run does the work.
type Line struct {
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
func Open(ctx context.Context, target string) (*Line, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a line to %s: %w", target, err)
	}
	return &Line{listener: l, target: target, conns: map[*net.TCPConn]bool{}, passes: make(chan struct{})}, nil
}

// Address is where the line begins.
func (l *Line) Address() string { return l.listener.Addr().String() }

// Close stops listening; it is for a line that never ran, and harmless after Run.
func (l *Line) Close() error {
	if err := l.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Run passes connections on until ctx ends, and breaks them then.
func (l *Line) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() {
		_ = l.listener.Close() // ends Accept
		l.Cut()
	})
	defer stop()
	for {
		c, err := l.listener.Accept()
		if ctx.Err() != nil {
			return g.Wait()
		}
		if err != nil {
			return errors.Join(fmt.Errorf("take a connection to %s: %w", l.target, err), g.Wait())
		}
		g.Go(func() error {
			l.join(ctx, c.(*net.TCPConn))
			return nil
		})
	}
}

// join is one connection, from end to end.
func (l *Line) join(ctx context.Context, near *net.TCPConn) {
	if !l.admit(near) {
		return
	}
	defer l.forget(near)
	there, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", l.target)
	if err != nil {
		_ = near.Close()
		return
	}
	far := there.(*net.TCPConn)
	if !l.admit(far) {
		return // the cut has ended the near side as well
	}
	defer l.forget(far)
	var both errgroup.Group
	both.Go(func() error { return l.pass(ctx, far, near, false) })
	both.Go(func() error { return l.pass(ctx, near, far, true) })
	_ = both.Wait() // the other side learns of it by the end of its own connection
}

// admit notes one side of a connection, or breaks it if the line is cut.
func (l *Line) admit(c *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut > 0 {
		sunder(c)
		return false
	}
	l.conns[c] = true
	return true
}

func (l *Line) forget(c *net.TCPConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// sunder ends a connection so that what waits to be sent is thrown away.
func sunder(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// pass passes on what comes from one side until that or the other is gone, which ends both.
func (l *Line) pass(ctx context.Context, to, from *net.TCPConn, answers bool) error {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		for part := buf[:n]; len(part) > 0; {
			k := l.wait(ctx, len(part), answers)
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

// wait keeps a piece back as long as the line is told to, and says how much of it may pass.
func (l *Line) wait(ctx context.Context, n int, answers bool) int {
	l.mu.Lock()
	for answers && l.stalled > 0 && ctx.Err() == nil {
		passes := l.passes
		l.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-passes:
		}
		l.mu.Lock()
	}
	delay, narrow := l.delay, l.narrow > 0
	l.mu.Unlock()
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
func (l *Line) until(begin, end func()) (undo func()) {
	locked := func(f func()) {
		l.mu.Lock()
		defer l.mu.Unlock()
		f()
	}
	locked(begin)
	return sync.OnceFunc(func() { locked(end) })
}

// Delay has each piece take longer.
func (l *Line) Delay(d time.Duration) (undo func()) {
	return l.until(func() { l.delay += d }, func() { l.delay -= d })
}

// Limit lets few bytes pass.
func (l *Line) Limit() (undo func()) {
	return l.until(func() { l.narrow++ }, func() { l.narrow-- })
}

// Cut breaks every connection and lets no new one come to be.
func (l *Line) Cut() (undo func()) {
	return l.until(func() { l.cut++; l.reset() }, func() { l.cut-- })
}

// Stall keeps answers back.
func (l *Line) Stall() (undo func()) {
	return l.until(func() { l.stalled++ }, func() {
		l.stalled--
		close(l.passes)
		l.passes = make(chan struct{})
	})
}

// Reset breaks every connection: both ends learn of it at once, and lose what was under way.
func (l *Line) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reset()
}

// reset needs mu.
func (l *Line) reset() {
	for c := range l.conns {
		sunder(c)
	}
}
