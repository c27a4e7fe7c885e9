package line_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/cmd/holdfast/internal/line"
)

// echo is a wire with an echo at its other end.
type echo struct {
	*line.Line
	t       *testing.T
	reached atomic.Int64 // connections that came through
}

func openEcho(t *testing.T) *echo {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{t: t}
	if e.Line, err = line.Open(t.Context(), l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	var run errgroup.Group
	run.Go(func() error {
		for {
			c, err := l.Accept()
			if err != nil {
				return nil
			}
			e.reached.Add(1)
			run.Go(func() error { _, _ = io.Copy(c, c); return c.Close() }) // who cuts it is the test
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	run.Go(func() error { return e.Run(ctx) })
	t.Cleanup(func() {
		stop()
		for _, err := range []error{l.Close(), run.Wait(), e.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return e
}

// say sends a word and waits until it comes back.
func say(c net.Conn) error {
	if _, err := c.Write([]byte("hello\n")); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return err
	}
	_, err := bufio.NewReader(c).ReadString('\n')
	return err
}

// passes tells whether a new connection comes through. The end may be learned of when it is made, or at the first word.
func (e *echo) passes() (net.Conn, error) {
	c, err := net.Dial("tcp", e.Address())
	if err != nil {
		return nil, err
	}
	e.t.Cleanup(func() { _ = c.Close() })
	return c, say(c)
}

func (e *echo) mustPass(when string) net.Conn {
	e.t.Helper()
	c, err := e.passes()
	if err != nil {
		e.t.Fatalf("%s: %v", when, err)
	}
	return c
}

func TestACutWireLetsNobodyThrough(t *testing.T) {
	e := openEcho(t)
	open := e.mustPass("a line that was told nothing")
	before := e.reached.Load()
	first, second := e.Cut(), e.Cut()
	if say(open) == nil {
		t.Error("a connection outlived a cut")
	}
	first()
	first() // undone once
	if _, err := e.passes(); err == nil {
		t.Error("something passed a line that is cut a second time")
	}
	if got := e.reached.Load(); got != before {
		t.Errorf("%d connections reached the other end of a cut wire", got-before)
	}
	second()
	e.mustPass("a line that was mended")
}

func TestAResetBreaksWhatIsThere(t *testing.T) {
	e := openEcho(t)
	open := e.mustPass("before the reset")
	e.Reset()
	if say(open) == nil {
		t.Error("a connection outlived a reset")
	}
	e.mustPass("after the reset")
}

func TestAStalledWireKeepsAnswersBack(t *testing.T) {
	e := openEcho(t)
	c := e.mustPass("a line that was told nothing")
	first, second := e.Stall(), e.Stall()
	answered := make(chan error, 1)
	go func() { answered <- say(c) }()
	first()
	select {
	case err := <-answered:
		t.Errorf("an answer passed: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	second()
	if err := <-answered; err != nil {
		t.Errorf("after it was told to go on: %v", err)
	}
}

func TestASlowWireTakesItsTime(t *testing.T) {
	e := openEcho(t)
	c := e.mustPass("a line that was told nothing")
	for _, tt := range []struct {
		name  string
		begin func() (undo func())
		least time.Duration // of a word and its answer
	}{
		{"delayed", func() func() { return e.Delay(30 * time.Millisecond) }, 60 * time.Millisecond},
		{"narrow", e.Limit, 20 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			undo, begun := tt.begin(), time.Now()
			if err := say(c); err != nil || time.Since(begun) < tt.least {
				t.Errorf("got %v after %s, want %s at least", err, time.Since(begun), tt.least)
			}
			undo()
		})
	}
}
