package amqp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	wm "github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"

	door "holdfast/adapters/wire"
)

// Subscriber takes messages out of queues, over a connection of its own. It is a Watermill Subscriber and SubscribeInitializer, and
// safe for concurrent use. With Receive.InFlight 1 a message is given out only after the one before it was acknowledged.
//
// A message that is nacked goes back to its queue and counts toward the queue's delivery limit.
type Subscriber struct {
	cfg  Config
	most int // deliveries in one message of Watermill's
	k    *keeper
	stop context.CancelFunc // ends the connection
	done sync.WaitGroup     // the connection

	mu      sync.Mutex
	closed  bool               // guarded by mu
	closing context.Context    // ends when Close begins
	end     context.CancelFunc // of closing
	subs    sync.WaitGroup     // subscriptions
}

// NewSubscriber begins to connect; the broker may be away. The caller closes it.
func NewSubscriber(cfg Config, resolve Resolve, log *slog.Logger) (*Subscriber, error) {
	return newSubscriber(cfg, resolve, log, newGuard())
}

func newSubscriber(cfg Config, resolve Resolve, log *slog.Logger, guard *door.Guard) (*Subscriber, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Receive == nil {
		return nil, wrong("receive", "it is missing", "name the queue")
	}
	s := &Subscriber{cfg: cfg.withDefaults(), most: 1}
	s.k = newKeeper("receive", s.cfg, resolve, log, guard)
	s.k.setup = func(x *session) error { return x.prepare(s.cfg.declares(), s.cfg.Exchanges, s.cfg.Queues) }
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.closing, s.end = context.WithCancel(context.Background())
	s.done.Go(func() { s.k.run(ctx) })
	return s, nil
}

// Status tells how the connection stands.
func (s *Subscriber) Status() Status {
	_, status := s.k.now()
	return status
}

// Close ends all subscriptions: what was acknowledged by then, the broker is told; the rest goes back to the queues, in its place. It may
// be called again.
//
// A quorum queue can forget the last acknowledgements before the end, as it can those before a lost connection: RabbitMQ's channel holds
// them back while many commands to the queue are not confirmed, and drops what it holds when it is closed (rabbitmq-server issue 10327). Such
// messages are given again, before those that were not acknowledged, in order and marked as redelivered. The inbox knows their IDs and
// acknowledges them without effect.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.subs.Wait()
	s.stop()
	s.done.Wait()
	return nil
}

// SubscribeInitialize makes the queue of a topic, so that messages published before the first Subscribe are kept.
func (s *Subscriber) SubscribeInitialize(topic string) error {
	if s.cfg.Receive.Each == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.closing, s.cfg.ConnectTimeout)
	defer cancel()
	x, err := s.k.await(ctx)
	if err != nil {
		return err
	}
	return x.prepare(s.cfg.declares(), nil, []Queue{s.cfg.Receive.Each.of(topic)})
}

// of is the queue for one topic.
func (q Queue) of(topic string) Queue {
	put := strings.NewReplacer("{topic}", topic).Replace
	q.Name = put(q.Name)
	all := make([]Binding, len(q.Bindings))
	for i, b := range q.Bindings {
		all[i] = Binding{Exchange: b.Exchange, Key: put(b.Key)}
	}
	q.Bindings = all
	return q
}

// Subscribe gives the messages of a queue until ctx ends or the Subscriber is closed; then the channel is closed. It does not wait for
// the broker.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *wm.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	out := make(chan *wm.Message)
	s.subs.Go(func() {
		defer close(out)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.closing, cancel)()
		s.subscribe(ctx, topic, out)
	})
	return out, nil
}

// subscribe consumes over one session after the other.
func (s *Subscriber) subscribe(ctx context.Context, topic string, out chan<- *wm.Message) {
	room := newRoom(*s.cfg.Receive)
	for ctx.Err() == nil {
		x, err := s.k.await(ctx)
		if err != nil {
			return
		}
		err = s.consume(ctx, x, topic, room, out)
		switch {
		case errors.Is(err, errHeavy) || errors.Is(err, errLight):
			s.k.log.Info("what may be in hand of a queue has changed", "queue", topic, "messages", room.limit, "err", err)
		case err != nil && ctx.Err() == nil:
			s.k.log.Warn("a queue is not consumed; it is tried again", "queue", topic, "err", err)
			select {
			case <-x.dead: // the next one need not wait
			case <-time.After(10 * firstPause):
			}
		}
	}
}

// consume gives out messages of one queue on one channel of one session, until either or ctx ends.
func (s *Subscriber) consume(ctx context.Context, x *session, topic string, room *room, out chan<- *wm.Message) error {
	queue := topic
	if each := s.cfg.Receive.Each; each != nil {
		q := each.of(topic)
		queue = q.Name
		if err := x.prepare(s.cfg.declares(), nil, []Queue{q}); err != nil {
			return err
		}
	}
	ch, err := x.conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	c := &consumer{
		s: x, ch: ch, queue: queue, room: room, limit: room.limit, most: s.most, out: out, closes: ch.NotifyClose(make(chan *amqp091.Error, 1)),
		cancels: ch.NotifyCancel(make(chan string, 1)),
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	defer c.cancel()
	room.begin()
	if err := c.begin(); err != nil {
		_ = ch.Close() // the first error is the one to tell
		return misplaced("consume queue", queue, err)
	}
	err = c.run()
	c.finish()
	return err
}

// consumer is one channel that takes messages out of one queue. All of it belongs to one goroutine.
//
// All that may be in hand is asked for at once. A quorum queue that gets back a part of what it had got back before puts that part
// after the rest: with fewer messages in hand than it has to give again, two lost connections in a row would change their order.
type consumer struct {
	s       *session
	ch      *amqp091.Channel
	queue   string
	room    *room
	limit   int // of deliveries in hand
	most    int // deliveries in one message
	out     chan<- *wm.Message
	ctx     context.Context // of the messages; ends with the channel
	cancel  context.CancelFunc
	closes  chan *amqp091.Error
	cancels chan string

	deliveries <-chan amqp091.Delivery
	arrived    []amqp091.Delivery // and have no place in a message yet
	held       []*held            // given out and not acknowledged, in order
	next       *held              // to be given out
	after      *held              // to be given out then, and not together with next
	count      uint64             // of deliveries
	done       uint64             // of these, no longer in hand
}

// held is a message in hand: one delivery, or several that are acknowledged together.
type held struct {
	delivery   amqp091.Delivery
	more       []amqp091.Delivery // that follow it
	queue      string
	generation uint64 // of the connection
	channel    *consumer
	number     uint64 // of the first; counts the deliveries of the channel from 1
	message    *wm.Message
	cancel     context.CancelFunc
}

// suspect tells whether the broker has had it back more than once: it may be what brings us down.
func (h *held) suspect() bool { return deliveries(&h.delivery) > 1 }

func (h *held) all() []amqp091.Delivery { return append([]amqp091.Delivery{h.delivery}, h.more...) }

func (h *held) last() *amqp091.Delivery {
	if len(h.more) > 0 {
		return &h.more[len(h.more)-1]
	}
	return &h.delivery
}

type heldKey struct{}

// heldOf finds what a message of ours was made of.
func heldOf(ctx context.Context) (*held, bool) {
	h, ok := ctx.Value(heldKey{}).(*held)
	return h, ok
}

// begin starts to consume.
func (c *consumer) begin() error {
	if err := c.ch.Qos(c.limit, 0, false); err != nil {
		return err
	}
	var err error
	c.deliveries, err = c.ch.Consume(c.queue, "holdfast", false, false, false, false, nil)
	return err
}

// run gives out messages and acknowledges them until ctx or the channel ends.
func (c *consumer) run() error {
	for {
		c.gather()
		var out chan<- *wm.Message
		var message *wm.Message
		if c.next != nil && (!c.takes() || len(c.held) == 0) {
			out, message = c.out, c.next.message
		}
		var acked, nacked <-chan struct{}
		if len(c.held) > 0 {
			acked, nacked = c.held[0].message.Acked(), c.held[0].message.Nacked()
		}
		select {
		case <-c.ctx.Done():
			return nil
		case err := <-c.closes:
			return closedBecause(err)
		case _, open := <-c.cancels:
			if !open {
				return closedBecause(<-c.closes)
			}
			return errors.New("the broker ended it: the queue was deleted, or its node is down")
		case d, open := <-c.deliveries:
			if !open {
				return closedBecause(<-c.closes)
			}
			c.arrived = append(c.arrived, d)
			if err := c.room.take(int64(len(d.Body))); err != nil {
				return err
			}
		case out <- message:
			c.held, c.next, c.after = append(c.held, c.next), c.after, nil
		case <-acked:
			if err := c.ackAll(); err != nil {
				return err
			}
		case <-nacked:
			if c.ctx.Err() != nil { // nacked because it ends: the channel gives it back in its place
				return nil
			}
			if err := c.reject(); err != nil {
				return err
			}
		}
	}
}

func closedBecause(err *amqp091.Error) error {
	if err == nil {
		return errors.New("the channel was closed")
	}
	return err
}

// takes tells whether one more delivery may be in hand, and has a place. While those in hand are worked on, what comes is gathered in the
// next message.
func (c *consumer) takes() bool {
	if int(c.count-c.done) >= c.limit || c.after != nil { //nolint:gosec // what is in hand is at most the limit
		return false
	}
	return c.next == nil || len(c.next.more) < c.most-1 && !c.next.delivery.Redelivered
}

// gather has deliveries find their places. They are taken from the channel at once, since what they weigh counts from then on.
func (c *consumer) gather() {
	for len(c.arrived) > 0 && c.takes() {
		c.add(c.arrived[0])
		c.arrived[0] = amqp091.Delivery{} // it may be large
		c.arrived = c.arrived[1:]
	}
}

// add gathers a delivery. One that the broker gives again is a message of its own.
func (c *consumer) add(d amqp091.Delivery) {
	switch {
	case c.next == nil:
		c.next = c.hold(d)
	case d.Redelivered:
		c.after = c.hold(d)
	default:
		c.count++
		c.next.more = append(c.next.more, d)
	}
}

// hold makes a message of a delivery.
func (c *consumer) hold(d amqp091.Delivery) *held {
	c.count++
	h := &held{delivery: d, queue: c.queue, generation: c.s.generation, channel: c, number: c.count}
	id := d.MessageId
	if id == "" {
		id = digest(d.Body)
	}
	h.message = wm.NewMessage(id, d.Body)
	if c.most == 1 {
		for name, v := range d.Headers {
			if s, ok := scalar(v); ok {
				h.message.Metadata[name] = s
			}
		}
	}
	ctx, cancel := context.WithCancel(context.WithValue(c.ctx, heldKey{}, h))
	h.cancel = cancel
	h.message.SetContext(ctx)
	return h
}

// ackAll acknowledges the oldest message in hand and all that follow it without a gap, at once. The channel is that of the
// connection on which they came: when that is gone it refuses, and the broker has put them back already.
func (c *consumer) ackAll() error {
	n := 0
	for n < len(c.held) && isAcked(c.held[n].message) {
		n++
	}
	last := c.held[n-1]
	err := c.ch.Ack(last.last().DeliveryTag, n > 1 || len(last.more) > 0)
	if err == nil && last.suspect() {
		err = c.ch.Qos(c.limit, 0, false) // its answer tells that the broker has heard of the acknowledgement
	}
	return errors.Join(err, c.leave(n))
}

func isAcked(m *wm.Message) bool {
	select {
	case <-m.Acked():
		return true
	default:
		return false
	}
}

// reject gives the oldest message back, and has the broker count that: from RabbitMQ 4.3 on, a nack would not count.
func (c *consumer) reject() error {
	var err error
	for _, d := range c.held[0].all() {
		err = errors.Join(err, c.ch.Reject(d.DeliveryTag, true))
	}
	return errors.Join(err, c.leave(1))
}

// leave drops the oldest messages, of which the broker has heard. It tells whether the channel has to be given up.
func (c *consumer) leave(n int) error {
	var over error
	for _, h := range c.held[:n] {
		for _, d := range h.all() {
			over = cmp.Or(over, c.room.leave(int64(len(d.Body))))
		}
	}
	c.drop(n)
	return over
}

func (c *consumer) drop(n int) {
	for _, h := range c.held[:n] {
		h.cancel()
		c.done += uint64(1 + len(h.more))
	}
	c.held = slices.Delete(c.held, 0, n)
}

// finish acknowledges what is acknowledged by now and closes the channel, which gives the rest back in its place. A nack would put it at
// the end of a queue that has no delivery limit. The contexts of the messages end before.
//
// A basic.cancel before the close would make sure that the queue has heard of the acknowledgements (see Close), but the queue would then
// go on to the next consumer while messages are in hand here, and what is behind them would overtake them: to come twice is the lesser
// harm.
func (c *consumer) finish() {
	c.cancel()
	if len(c.held) > 0 && isAcked(c.held[0].message) {
		_ = c.ackAll() // it may be that the connection is gone, and the broker has put them back
	}
	c.drop(len(c.held))
	var rest sync.WaitGroup
	rest.Go(func() { // what the broker still has on its way is let go of: it comes again
		for range c.deliveries {
		}
	})
	_ = c.ch.Close() // as above
	rest.Wait()
}
