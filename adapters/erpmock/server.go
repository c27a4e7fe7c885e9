package erpmock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// gate says whether the ERP can be reached at all.
type gate struct {
	mu     sync.Mutex
	began  time.Time
	closed bool
	until  time.Time // zero: until it is opened
}

func (g *gate) close(now time.Time, d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed, g.until = true, time.Time{}
	if d > 0 {
		g.until = now.Add(d)
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = false
}

func (g *gate) isClosed(now time.Time, schedule []Fault) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed && !g.until.IsZero() && !now.Before(g.until) {
		g.closed = false
	}
	if g.closed {
		return true
	}
	since := now.Sub(g.began)
	for _, f := range schedule {
		if f.Kind == Outage && since >= time.Duration(f.From) && since < time.Duration(f.From+f.For) {
			return true
		}
	}
	return false
}

// IsDown reports whether the ERP is unreachable now: by Down, or by the schedule.
func (m *Mock) IsDown() bool { return m.gate.isClosed(m.Now(), m.cfg.Faults) }

// Serve serves the mock on a listener until ctx ends. While the mock is down it closes the
// listener and every connection, so that a client is refused as by a machine that is off; then it
// listens on the same address again. The control API is away as long; a caller outside of the
// process needs a time for Down, or ServeControl.
func Serve(ctx context.Context, ln net.Listener, m Served) error {
	s := &server{mock: m, addr: ln.Addr(), conns: map[net.Conn]struct{}{}}
	s.http = &http.Server{
		Handler: m.Handler(), ConnState: s.track, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0), // clients that leave are what a mock is for
	}
	g, ctx := errgroup.WithContext(ctx)
	for ctx.Err() == nil {
		done := make(chan error, 1)
		g.Go(func() error { done <- s.http.Serve(ln); return nil })
		again, err := s.watch(ctx, ln, done)
		if err != nil || again == nil {
			return errors.Join(err, s.shut(), g.Wait())
		}
		ln = again
	}
	return errors.Join(s.shut(), g.Wait())
}

// ServeControl serves the control API alone, on a listener that faults and outages leave alone.
func ServeControl(ctx context.Context, ln net.Listener, m Controlled) error {
	srv := &http.Server{Handler: m.Control(), ReadHeaderTimeout: 10 * time.Second}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve control API: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		return srv.Close()
	})
	return g.Wait()
}

type server struct {
	mock Served
	http *http.Server
	addr net.Addr

	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
}

func (s *server) track(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.conns[c] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(s.conns, c)
	}
}

const watchEvery = 5 * time.Millisecond

// watch waits while the ERP is up; it goes through one outage and gives the new listener, or nil
// when ctx has ended.
func (s *server) watch(ctx context.Context, ln net.Listener, done <-chan error) (net.Listener, error) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	release := func() {}
	defer func() { release() }()
	for up := true; ; {
		select {
		case <-ctx.Done():
			return nil, nil
		case err := <-done:
			if up && !errors.Is(err, net.ErrClosed) {
				return nil, fmt.Errorf("serve mock: %w", err)
			}
			done = nil
		case <-tick.C:
		}
		switch down := s.mock.IsDown(); {
		case up && down:
			up = false
			_ = ln.Close() // Serve tells on done
			s.drop()
			if held, err := hold(s.addr); err == nil { // else somebody was faster
				release = held
			}
		case !up && !down && done == nil:
			release()
			if again, err := net.Listen(s.addr.Network(), s.addr.String()); err == nil {
				return again, nil
			}
		}
	}
}

// drop resets every connection.
func (s *server) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // then Close sends a reset
		}
		_ = c.Close()
	}
}

// shut ends what is in hand within a second.
func (s *server) shut() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}
