package store_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// patience is how long a test waits for what comes in a moment where the machine is not busy.
const patience = 2 * time.Minute

// proxy stands before PostgreSQL and can be cut.
type proxy struct {
	target string
	tried  chan struct{} // holds a token for each connection that was refused
	passed chan struct{} // holds a token for each that was not

	mu    sync.Mutex
	cut   bool       // guarded by mu
	conns []net.Conn // guarded by mu
}

// newProxy returns a proxy and the URL by which rawURL is reached through it.
func newProxy(t *testing.T, rawURL string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal("the URL of the database cannot be read")
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: u.Host, tried: make(chan struct{}, 1000), passed: make(chan struct{}, 1000)}
	u.Host = l.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.carry(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.set(true)
		wg.Wait()
	})
	return p, u.String()
}

func (p *proxy) carry(c net.Conn) {
	defer c.Close()
	if !p.keep(c) {
		p.tried <- struct{}{}
		return
	}
	p.passed <- struct{}{}
	there, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer there.Close()
	if !p.keep(there) {
		return
	}
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{c, there}, {there, c}} {
		wg.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_, _ = c.Close(), there.Close()
		})
	}
	wg.Wait()
}

func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, c)
	return !p.cut
}

// set cuts every connection and refuses new ones, or lets them pass again.
func (p *proxy) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// lines is a log whose messages a test can wait for.
type lines chan string

func (l lines) Enabled(context.Context, slog.Level) bool { return true }
func (l lines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l lines) WithGroup(string) slog.Handler            { return l }
func (l lines) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "what" {
			text += ": " + a.Value.String()
		}
		return true
	})
	l <- text
	return nil
}

func next[T any](t *testing.T, from <-chan T, what string) (thing T) {
	t.Helper()
	select {
	case thing = <-from:
	case <-time.After(patience):
		t.Fatalf("waited %s in vain for %s", patience, what)
	}
	return thing
}

// TestWakesComeBackAfterTheConnectionWasLost cuts the way to PostgreSQL and lets several tries fail.
func TestWakesComeBackAfterTheConnectionWasLost(t *testing.T) {
	direct := storetest.PostgresURL(t)
	way, through := newProxy(t, direct)
	log := make(lines, 100)
	there, here := openAt(t, direct, store.Config{}), openAt(t, through, store.Config{Log: slog.New(log)})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for _, db := range []*store.DB{here, there} {
		wg.Go(func() { _ = db.Run(ctx) })
	}
	heard, done := here.Subscribe("topic")
	defer done()
	wake := func() {
		t.Helper()
		for end := time.Now().Add(patience); time.Now().Before(end); { // the listener may still be connecting
			if err := there.InTx(ctx, func(tx *store.Tx) error { tx.Wake("topic"); return nil }); err != nil {
				t.Fatal(err)
			}
			select {
			case <-heard:
				return
			case <-time.After(150 * time.Millisecond):
			}
		}
		t.Fatal("no wake reached the other process")
	}
	wake()
	way.set(true)
	if got, want := next(t, log, "a warning"), "contact through the database is lost: hear the wakes of other processes; polling bridges the gap"; got != want {
		t.Errorf("log says %q, want %q", got, want)
	}
	for range 3 {
		next(t, way.tried, "another try")
	}
	way.set(false)
	if got, want := next(t, log, "good news"), "contact through the database is back: hear the wakes of other processes; polling bridges the gap"; got != want {
		t.Errorf("log says %q, want %q", got, want)
	}
	wake()
	if len(log) > 0 {
		t.Errorf("log says more: %q", <-log)
	}
}
