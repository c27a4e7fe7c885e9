package amqp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// maxWindow bounds what may wait for confirms: each has its place in memory, and the broker its own cost for it.
const maxWindow = 1 << 14

// outgoing is one message ready to be published.
type outgoing struct {
	exchange, key string
	msg           amqp091.Publishing
}

// fate is what became of a message that was written.
type fate int

const (
	unknown   fate = iota // its confirm was lost: the broker may have it
	confirmed             // the broker has it
	returned              // no queue took it
	nacked                // the broker turned it away
	tooLarge              // the broker takes no body of this size, and ended the channel for it
)

// call is one caller's messages on their way to their fates. Its fields are guarded by the mutex of the window that they go
// through; when done has its token, or after window.leave, they are the caller's alone.
type call struct {
	fates []fate
	said  []string // what the broker said of those that were returned
	left  int      // messages without a fate
	done  chan struct{}
	room  []byte // in which bodies are written, one after the other; the caller's alone
}

// keep has the memory of a body used again. It must be one that was made in c.room.
func (c *call) keep(body []byte) {
	if cap(body) < wireRoom {
		c.room = body
	}
}

// calls are used again and again: a Deliver of one message makes no garbage for its wait.
var calls = sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}

func newCall(n int) *call {
	c := calls.Get().(*call)
	if cap(c.fates) < n {
		c.fates, c.said = make([]fate, n), make([]string, n)
	}
	c.fates, c.said = c.fates[:n], c.said[:n]
	clear(c.fates)
	clear(c.said)
	c.left = n
	return c
}

func (c *call) free() {
	select {
	case <-c.done: // of a call that was left just when it was done
	default:
	}
	calls.Put(c)
}

// settle notes one fate. The caller holds the window's mutex.
func (c *call) settle(i int, f fate, said string) {
	c.fates[i], c.said[i] = f, said
	c.less()
}

// less counts a message that needs no further wait. The caller holds the window's mutex.
func (c *call) less() {
	if c.left--; c.left == 0 {
		c.done <- struct{}{} // has room: a call is done once
	}
}

// flight is a message that waits for its confirm.
type flight struct {
	to    *call // nil when its caller has left, or was to be told
	index int
	told  func(message.Outcome) // nil when its caller waits

	// sent tells what the broker said of this message itself. The library's ordered confirmations take one that was turned away before its turn
	// for acknowledged when an acknowledgement of "all up to" a later one comes.
	sent *amqp091.DeferredConfirmation

	size              int    // of the body, in bytes
	id, exchange, key string // by which a return finds it
	returned          bool
	said              string
}

// window is the channel on which the messages of one session go out, and what waits there for its confirm. The place of a message in
// the ring is its delivery tag; amqp091-go gives confirms in the order of the tags.
type window struct {
	s        *session
	ch       *amqp091.Channel
	slots    chan struct{} // holds a token for each message that waits
	confirms chan amqp091.Confirmation
	returns  chan amqp091.Return
	closes   chan *amqp091.Error

	slow   atomic.Bool   // whoever holds mu may be waiting for the network
	mu     sync.Mutex    // also keeps the order of publishes that of the tags
	ring   []flight      // guarded by mu
	oldest uint64        // tag that is confirmed next; guarded by mu
	next   uint64        // tag of the next publish; guarded by mu
	shut   error         // why nothing more is sent; guarded by mu
	seen   uint64        // the oldest tag at the last look, and
	still  int           // how many looks it was there; guarded by mu
	halted chan struct{} // closed when whoever waits for a slot shall not; guarded by mu
	empty  chan struct{} // closed when nothing waits any more after shut; guarded by mu
}

// openWindow opens the confirming channel of a session. It ends with the session, and the session with it.
func openWindow(s *session, size int) (*window, error) {
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	w := &window{
		s: s, ch: ch, slots: make(chan struct{}, size), ring: make([]flight, size), oldest: 1, next: 1,
		halted: make(chan struct{}), empty: make(chan struct{}),
		// One place for each message that can wait: the library drops what finds no room, after five seconds.
		confirms: ch.NotifyPublish(make(chan amqp091.Confirmation, size)),
		returns:  ch.NotifyReturn(make(chan amqp091.Return, size)),
		closes:   ch.NotifyClose(make(chan *amqp091.Error, 1)),
	}
	if err := ch.Confirm(false); err != nil {
		return nil, fmt.Errorf("ask for confirms: %w", err)
	}
	s.window = w
	s.tasks.Go(w.run)
	return w, nil
}

// The reasons why a message was certainly not sent.
var (
	errBlocked  = errors.New("the broker takes nothing now")
	errRetiring = errors.New("the connection is being closed")
)

// send writes one message as soon as there is room in the window. An error means that the broker has certainly not got it; without one
// its fate comes to place i of c. The message must have passed outgoing.check.
func (w *window) send(ctx context.Context, m *outgoing, c *call, i int) error {
	var err error
	select {
	case w.slots <- struct{}{}:
	default:
		err = w.waitForSlot(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		err = w.writeSlowly(ctx, m, flight{to: c, index: i})
	}
	if err != nil {
		c.less()
	}
	return err
}

// writeSlowly is write for who can wait, for the lock as well as for the network: it does not begin once ctx has ended. The caller holds mu.
func (w *window) writeSlowly(ctx context.Context, m *outgoing, to flight) error {
	if ctx.Err() != nil {
		<-w.slots
		return context.Cause(ctx)
	}
	w.slow.Store(!w.s.wire.fits(len(m.msg.Body)))
	defer w.slow.Store(false)
	return w.write(m, to)
}

// post is send for a caller who does not wait, neither for a slot nor for the network: told is called with what becomes of the message,
// while the window is locked. It returns false if there is no room now. Errors are those of send.
func (w *window) post(m *outgoing, told func(message.Outcome)) (room bool, err error) {
	for !w.mu.TryLock() {
		if w.slow.Load() {
			return false, errBlocked
		}
		runtime.Gosched()
	}
	defer w.mu.Unlock()
	over := w.shut != nil || w.s.blocked.Load()
	if !over && !w.s.wire.admit() {
		return false, errBlocked
	}
	defer w.s.wire.over()
	select {
	case w.slots <- struct{}{}:
		return true, w.write(m, flight{told: told})
	default:
		return over, cmp.Or(w.shut, errBlocked)
	}
}

// write puts a message that has a slot on the wire. The caller holds mu.
func (w *window) write(m *outgoing, to flight) error {
	err := w.shut
	if err == nil && w.s.blocked.Load() {
		err = errBlocked
	}
	if err != nil {
		<-w.slots
		return err
	}
	f := w.at(w.next)
	*f = to
	f.id, f.exchange, f.key, f.size = m.msg.MessageId, m.exchange, m.key, len(m.msg.Body)
	w.next++
	if f.sent, err = w.ch.PublishWithDeferredConfirm(m.exchange, m.key, true, false, m.msg); err != nil {
		// The library gives the tag back, and whatever was written of it is no whole message. The connection is over.
		w.next--
		*f = flight{}
		w.close(err)
		<-w.slots
	}
	return err
}

func (w *window) waitForSlot(ctx context.Context) error {
	w.mu.Lock()
	halted, shut := w.halted, w.shut
	w.mu.Unlock()
	switch {
	case shut != nil:
		return shut
	case w.s.blocked.Load():
		return errBlocked
	}
	select {
	case w.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-halted:
		return errBlocked
	case <-w.s.dead:
		return errRetiring
	}
}

// halt lets go of whoever waits for a slot: the broker takes nothing.
func (w *window) halt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.halted)
	w.halted = make(chan struct{})
}

func (w *window) at(tag uint64) *flight { return &w.ring[tag%uint64(len(w.ring))] }

// run settles confirms as they come, and what is left when the channel is closed.
func (w *window) run() {
	for c := range w.confirms {
		w.mu.Lock()
		w.confirm(c)
		for n := len(w.confirms); n > 0; n-- { // what has come meanwhile: one lock for all
			if c, open := <-w.confirms; open {
				w.confirm(c)
			}
		}
		w.mu.Unlock()
	}
	reason, told := <-w.closes
	w.lose(reason)
	if told && !w.s.conn.IsClosed() { // the channel alone; the end of a connection is told by the keeper
		w.s.kill(misplaced("publish in virtual host", w.s.conn.Config.Vhost, reason))
	}
}

// confirm settles one message. The caller holds mu.
func (w *window) confirm(c amqp091.Confirmation) {
	w.readReturns()
	if c.DeliveryTag != w.oldest || w.oldest == w.next {
		w.close(fmt.Errorf("confirm %d came where %d was due", c.DeliveryTag, w.oldest))
		w.s.kill(w.shut)
		return
	}
	f := w.at(w.oldest)
	switch {
	case f.returned:
		w.settle(f, returned, f.said)
	case f.sent.Acked():
		w.settle(f, confirmed, "")
	default:
		w.settle(f, nacked, "")
	}
}

// settle gives a flight its fate and its slot to another. The caller holds mu.
func (w *window) settle(f *flight, is fate, said string) {
	switch {
	case f.to != nil:
		f.to.settle(f.index, is, said)
	case f.told != nil:
		f.told(is.outcome(f.id, f.key, said))
	}
	*f = flight{}
	w.oldest++
	<-w.slots
	if w.shut != nil && w.oldest == w.next {
		close(w.empty)
	}
}

// readReturns marks what came back. The broker sends a return before the confirm of the same message, and the library hands both over
// in that order. Which of two publishes of one ID came back nobody can tell: both did, since one that is on no queue must not pass for delivered, and one
// that is there under its ID may be sent again. The caller holds mu.
func (w *window) readReturns() {
	for {
		select {
		case r, open := <-w.returns:
			if !open {
				return
			}
			w.takeBack(r)
		default:
			return
		}
	}
}

func (w *window) takeBack(r amqp091.Return) {
	for tag := w.oldest; tag < w.next; tag++ {
		f := w.at(tag)
		if !f.returned && f.id == r.MessageId && f.exchange == r.Exchange && f.key == r.RoutingKey {
			f.returned, f.said = true, fmt.Sprintf("%d %s", r.ReplyCode, r.ReplyText)
		}
	}
}

// lose settles what was never confirmed: nobody knows whether the broker has it, save of a body for whose size it has ended the channel. The
// first of that size is the one, and were it sent again, it would end the next channel too, with all that waits there.
func (w *window) lose(reason *amqp091.Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.readReturns()
	w.close(errRetiring)
	for refused := refusedSize(reason); w.oldest < w.next; {
		f := w.at(w.oldest)
		switch {
		case f.returned:
			w.settle(f, returned, f.said)
		case refused > 0 && f.size == refused:
			refused = 0
			w.settle(f, tooLarge, reason.Reason)
		default:
			w.settle(f, unknown, "")
		}
	}
}

// refusedSize is the size of the body for which the broker has ended the channel; 0 if that was not the reason.
func refusedSize(reason *amqp091.Error) (n int) {
	if reason != nil && reason.Code == amqp091.PreconditionFailed {
		_, _ = fmt.Sscanf(reason.Reason, "PRECONDITION_FAILED - message size %d is larger than", &n) // else 0
	}
	return n
}

// close lets nothing more out. The caller holds mu.
func (w *window) close(err error) {
	if w.shut != nil {
		return
	}
	w.shut = err
	if w.oldest == w.next {
		close(w.empty)
	}
}

// stuck tells, asked now and then, whether the same message has been waiting for its confirm all the while. No time is taken for each.
func (w *window) stuck() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.oldest == w.next || w.oldest != w.seen || w.s.blocked.Load() {
		w.seen, w.still = w.oldest, 0
		return false
	}
	w.still++
	return w.still >= looks
}

// drain lets nothing more out, and waits for what is outstanding, no longer than until by.
func (w *window) drain(by time.Time) {
	w.mu.Lock()
	w.close(errRetiring)
	w.mu.Unlock()
	t := time.NewTimer(time.Until(by))
	defer t.Stop()
	select {
	case <-w.empty:
	case <-w.s.dead:
	case <-t.C:
	}
}

// wait returns when each message of the call has its fate or was not sent, or when ctx ends; those that have none then stay unknown.
func (w *window) wait(ctx context.Context, c *call) {
	select {
	case <-c.done:
	case <-ctx.Done():
		w.leave(c)
	}
}

// leave forgets whose the messages are: their fates come, and nobody hears of them.
func (w *window) leave(c *call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for tag := w.oldest; tag < w.next; tag++ {
		if f := w.at(tag); f.to == c {
			f.to = nil
		}
	}
}

// check finds what AMQP cannot carry. The library would notice only while it writes, and give up the connection.
func (m *outgoing) check() error {
	for _, p := range [...]struct{ name, value string }{
		{"routing key", m.key},
		{"message ID", m.msg.MessageId},
		{"correlation ID", m.msg.CorrelationId},
		{"content type", m.msg.ContentType},
		{"type", m.msg.Type},
	} {
		if len(p.value) > maxShort {
			return &problem.Error{
				Kind: problem.Invalid, What: "publish message " + m.msg.MessageId,
				Why:  fmt.Sprintf("its %s has %d bytes, more than %d", p.name, len(p.value), maxShort),
				Hint: "set another routing key for the link, or shorten what it is made of",
			}
		}
	}
	return nil
}

// skip counts a message of the call that is not sent at all.
func (w *window) skip(c *call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.less()
}
