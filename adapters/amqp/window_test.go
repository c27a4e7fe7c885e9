package amqp

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/internal/message"
)

// stalled is a window whose broker has stopped reading, with as much unwritten as may wait.
func stalled(t *testing.T) *window {
	t.Helper()
	near, far := net.Pipe()
	s := &session{wire: newWire(near, time.Hour), dead: make(chan struct{})}
	t.Cleanup(func() {
		_ = s.wire.Close()
		s.wire.wait()
		_ = far.Close()
	})
	for range 2 { // one is in the hand of the pump
		if _, err := s.wire.Write(make([]byte, wireRoom)); err != nil {
			t.Fatal(err)
		}
	}
	return &window{s: s, slots: make(chan struct{}, 2), ring: make([]flight, 2), oldest: 1, next: 1}
}

// TestAPostNeverWaitsForTheNetwork: neither where as much is unwritten as may be, nor while another message is waiting to be written.
func TestAPostNeverWaitsForTheNetwork(t *testing.T) {
	m := &outgoing{msg: amqp091.Publishing{MessageId: "a", Body: make([]byte, 10)}}
	told := func(message.Outcome) { t.Error("it was told, although it was not sent") }
	t.Run("unwritten", func(t *testing.T) {
		w := stalled(t)
		if room, _ := w.post(m, told); room || len(w.slots) != 0 {
			t.Errorf("room %t, %d slots taken, want none", room, len(w.slots))
		}
	})
	t.Run("being written", func(t *testing.T) {
		w := stalled(t)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.slow.Store(true)
		if room, _ := w.post(m, told); room || len(w.slots) != 0 {
			t.Errorf("room %t, %d slots taken, want none", room, len(w.slots))
		}
	})
	t.Run("with room for its beginning", func(t *testing.T) {
		near, far := net.Pipe()
		w := newWire(near, time.Hour)
		defer func() {
			_ = w.Close()
			w.wait()
			_ = far.Close()
		}()
		if !w.admit() {
			t.Fatal("no room on a new connection")
		}
		for range 3 { // it would wait here
			if _, err := w.Write(make([]byte, wireRoom)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestASendDoesNotBeginAfterItsTime: the wait for the window may have taken longer than the lease of its lane.
func TestASendDoesNotBeginAfterItsTime(t *testing.T) {
	w := stalled(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := newCall(1)
	defer c.free()
	if err := w.send(ctx, &outgoing{}, c, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it not sent", err)
	}
	if len(w.slots) != 0 || c.left != 0 {
		t.Errorf("%d slots taken, %d messages without a fate, want none", len(w.slots), c.left)
	}
}
