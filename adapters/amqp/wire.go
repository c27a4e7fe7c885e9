package amqp

import (
	"net"
	"slices"
	"sync"
	"time"
)

// wireRoom is how many bytes may wait to be written. Beyond it writers wait, no longer than a write may hang.
const wireRoom = 1 << 20

// wire is a network connection that gathers what is written while an earlier write is under way: under load hundreds of messages
// go out in few system calls. No piece of it can hang longer than patience; when one does, the connection is over. amqp091-go itself has
// no write deadline, and holds locks while it writes.
type wire struct {
	net.Conn
	patience time.Duration

	mu      sync.Mutex
	moved   *sync.Cond // something below has changed
	waiting []byte     // guarded by mu
	whole   bool       // what is written now is taken without a wait; guarded by mu
	err     error      // why nothing more is written; guarded by mu
	done    sync.WaitGroup
}

// newWire takes over conn; its Close ends everything.
func newWire(conn net.Conn, patience time.Duration) *wire {
	w := &wire{Conn: conn, patience: patience}
	w.moved = sync.NewCond(&w.mu)
	w.done.Go(w.pump)
	return w
}

// admit has all that is written until over is called taken without a wait, however much it is: one message. It returns false if there is
// no room for it now.
func (w *wire) admit() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.whole = w.err != nil || len(w.waiting) < wireRoom
	return w.whole
}

// over ends what admit has begun.
func (w *wire) over() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.whole = false
}

// fits tells whether a message with a body of so many bytes is certainly written without a wait.
func (w *wire) fits(size int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting)+size < wireRoom/2
}

// Write takes all of p or nothing.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.err == nil && !w.whole && len(w.waiting) >= wireRoom {
		w.moved.Wait()
	}
	if w.err != nil {
		return 0, w.err
	}
	if len(w.waiting) == 0 {
		w.moved.Broadcast()
	}
	w.waiting = append(w.waiting, p...)
	return len(p), nil
}

// pump writes what waits until the connection is over.
func (w *wire) pump() {
	var spare []byte
	for {
		w.mu.Lock()
		for w.err == nil && len(w.waiting) == 0 {
			w.moved.Wait()
		}
		if w.err != nil {
			w.mu.Unlock()
			return
		}
		b := w.waiting
		w.waiting = spare[:0]
		w.moved.Broadcast()
		w.mu.Unlock()

		if err := w.writeAll(b); err != nil {
			w.fail(err)
			return
		}
		if spare = b; cap(spare) > 2*wireRoom {
			spare = nil // a large message is over; its memory is not kept
		}
	}
}

// piece is what must go out within the patience of a wire: a slow line is not one that hangs.
const piece = 32 << 10

func (w *wire) writeAll(b []byte) error {
	for p := range slices.Chunk(b, piece) {
		err := w.SetWriteDeadline(time.Now().Add(w.patience))
		if err == nil {
			_, err = w.Conn.Write(p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fail ends the connection for a reason, and lets go of whoever waits in it.
func (w *wire) fail(err error) {
	w.mu.Lock()
	if w.err == nil {
		w.err = err
	}
	w.moved.Broadcast()
	w.mu.Unlock()
	_ = w.Conn.Close() // it is over either way
}

// Close ends the connection at once.
func (w *wire) Close() error {
	w.fail(net.ErrClosed)
	return nil
}

// wait returns when nothing of the wire is running any more.
func (w *wire) wait() { w.done.Wait() }

// cause is why the wire has ended; nil while it has not.
func (w *wire) cause() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
