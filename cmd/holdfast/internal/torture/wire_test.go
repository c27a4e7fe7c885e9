package torture

import (
	"bufio"
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// TestAWireDoesWhatItIsToldTo has an echo at its other end.
func TestAWireDoesWhatItIsToldTo(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	var reached atomic.Int64
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	w, err := OpenWire(t.Context(), echo.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	say := func(c net.Conn) error {
		if _, err := c.Write([]byte("hello\n")); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		_, err := bufio.NewReader(c).ReadString('\n')
		return err
	}
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", w.Address())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}

	c := dial()
	if err := say(c); err != nil {
		t.Errorf("a wire that was told nothing: %v", err)
	}
	resume := w.stall()
	answered := make(chan error, 1)
	go func() { answered <- say(c) }()
	select {
	case err := <-answered:
		t.Errorf("a wire that keeps answers back let one pass: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	resume()
	if err := <-answered; err != nil {
		t.Errorf("after it was told to go on: %v", err)
	}
	begun := time.Now()
	w.during(ctx, 0, func() { w.delay = 30 * time.Millisecond }, func() {})
	if err := say(c); err != nil || time.Since(begun) < 60*time.Millisecond {
		t.Errorf("a slow wire: %v after %s, want 60 ms at least", err, time.Since(begun))
	}
	w.reset()
	if err := say(c); err == nil {
		t.Error("a connection outlived a reset")
	}
	before := reached.Load()
	w.during(ctx, 0, func() { w.cut = true }, func() {})
	if c, err := net.Dial("tcp", w.Address()); err == nil { // the end may be learned of here or at the first word
		err = say(c)
		if err == nil {
			t.Error("something passed a cut wire")
		}
	}
	if reached.Load() != before {
		t.Error("a cut wire has reached the other end")
	}
	w.during(ctx, 0, func() { w.cut = false }, func() {})
	if err := say(dial()); err != nil {
		t.Errorf("a wire that was mended: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}
