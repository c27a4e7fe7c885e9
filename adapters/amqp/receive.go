package amqp

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wm "github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// Accept takes a batch of messages. When it returns nil they are acknowledged; after an error the same batch is offered again. It may be
// offered messages that it has taken before, under the same IDs: the broker has not heard of every acknowledgement when a connection is
// lost, or when a Run ends.
//
// An error of kind Unavailable or Full is trouble of the store. Any other says that something may be wrong with a message: the
// Deliveries of each in the batch then grow with each offer, until whoever accepts puts the bad one aside.
type Accept func(ctx context.Context, batch []message.Incoming) error

// Run hands on what comes in Config.Receive.Queue, in the broker's order, until ctx ends. It then finishes the batch in hand, gives the
// rest back to the queue, and returns nil. What it has accepted last may be given again by a quorum queue: Subscriber.Close says why. While accept fails nothing is acknowledged and nothing more is taken than Receive.InFlight:
// that is the back-pressure of a store that is full.
func (l *Link) Run(ctx context.Context, accept Accept) error {
	return l.run(ctx, accept, func(d *amqp091.Delivery, queue string, now time.Time) []message.Incoming {
		return []message.Incoming{l.incoming(ctx, d, queue, now)}
	})
}

// decoder makes messages of one delivery.
type decoder func(d *amqp091.Delivery, queue string, now time.Time) []message.Incoming

func (l *Link) run(ctx context.Context, accept Accept, decode decoder) error {
	if l.cfg.Receive == nil {
		<-ctx.Done()
		return nil
	}
	sub, err := newSubscriber(l.cfg, l.resolve, l.log, l.guard)
	if err != nil {
		return err
	}
	sub.most = sub.cfg.Receive.Batch // else Watermill's work for each message would cost more than the message
	router, err := wm.NewRouter(wm.RouterConfig{CloseTimeout: l.cfg.StopTimeout}, quiet(l.log))
	if err != nil {
		return err
	}
	b := &batcher{
		accept: accept, decode: decode, receive: *l.cfg.Receive, log: l.log.With("part", "amqp", "queue", l.cfg.Receive.Queue), in: make(chan *held, l.cfg.Receive.InFlight),
		grace: l.cfg.StopTimeout, waiting: map[uint64]*held{},
	}
	router.AddConsumerHandler("receive", l.cfg.Receive.Queue, sub, b.handle)

	var failed error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		failed = router.Run(context.WithoutCancel(ctx))
	}()
	select {
	case <-router.Running():
		b.run(ctx)
	case <-ended:
	}
	closing := router.Close() // and the subscriber: what was accepted is acknowledged, the rest goes back
	_ = sub.Close()           // waits for that
	<-ended
	return errors.Join(failed, closing)
}

// quiet has Watermill log what is a line of ours in its words: only what went wrong.
func quiet(log *slog.Logger) watermill.LoggerAdapter {
	return watermill.NewSlogLoggerWithLevelMapping(log.With("part", "amqp"), map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug})
}

// batcher puts messages together again that the Router's goroutines hand over in any order.
type batcher struct {
	accept  Accept
	decode  decoder
	receive Receive
	log     *slog.Logger
	in      chan *held
	grace   time.Duration

	channel *consumer        // whose messages are waiting; owned by run, as all below
	next    uint64           // number of the delivery that is due
	waiting map[uint64]*held // by the number of the first
	last    *held            // that was accepted
}

// handle is the Router's handler. It returns nil when the message has been accepted and acknowledged.
func (b *batcher) handle(m *wm.Message) error {
	h, ok := heldOf(m.Context())
	if !ok {
		return errClosed
	}
	select {
	case b.in <- h:
	case <-m.Context().Done():
	}
	<-m.Context().Done() // it ends when the message is acknowledged, or its channel is gone
	if isAcked(m) {
		return nil
	}
	return m.Context().Err()
}

// run accepts batch after batch until ctx ends.
func (b *batcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case h := <-b.in:
			b.add(h)
		}
		b.addAll()
		for batch := b.batch(); len(batch) > 0 && ctx.Err() == nil; batch = b.batch() {
			if !b.offer(ctx, batch) {
				return
			}
			b.addAll()
		}
	}
}

// add sorts in one message. What is of a channel that has ended is forgotten: the broker gives it again, in its order.
func (b *batcher) add(h *held) {
	if h.channel.ctx.Err() != nil {
		return
	}
	if h.channel != b.channel {
		b.channel, b.next = h.channel, 1
		clear(b.waiting)
	}
	b.waiting[h.number] = h
}

func (b *batcher) addAll() {
	for {
		select {
		case h := <-b.in:
			b.add(h)
		default:
			return
		}
	}
}

// batch takes what is due, without gaps. A message that the broker has had back twice goes alone: if it is the one that brings us
// down, it is from then on the first that comes, and no other is held to be it. It waits until the broker has heard of those before.
func (b *batcher) batch() []*held {
	var batch []*held
	for n := 0; n < b.receive.Batch; {
		h, ok := b.waiting[b.next]
		if !ok || n > 0 && n+1+len(h.more) > b.receive.Batch {
			break
		}
		suspect := h.suspect()
		if suspect && len(batch) > 0 {
			break
		}
		if suspect && b.last != nil {
			<-b.last.message.Context().Done()
		}
		delete(b.waiting, b.next)
		n += 1 + len(h.more)
		b.next += uint64(1 + len(h.more))
		batch = append(batch, h)
		if suspect {
			break
		}
	}
	return batch
}

// incoming reads a batch. The broker counts against all that was in hand when a connection ended, but only the first message that it
// gives again can have been its end: all before it were acknowledged, and it was never the turn of those after it.
func (b *batcher) incoming(batch []*held) []message.Incoming {
	list := make([]message.Incoming, 0, b.receive.Batch)
	now := time.Now()
	for _, h := range batch {
		for i, d := range h.all() {
			for _, in := range b.decode(&d, h.queue, now) {
				if h.number > 1 || i > 0 {
					in.Deliveries = 0
				}
				list = append(list, in)
			}
		}
	}
	return list
}

// The pauses between two offers of the same batch.
const (
	firstOffer = 100 * time.Millisecond
	lastOffer  = 10 * time.Second
)

// offer has a batch accepted and acknowledges it. It tries until that works, until the messages' channel is gone, and then they come
// again, or until ctx ends, and then it returns false.
func (b *batcher) offer(ctx context.Context, batch []*held) bool {
	list := b.incoming(batch)
	for pause := firstOffer; ; pause = min(2*pause, lastOffer) {
		err := b.once(ctx, list)
		switch {
		case err == nil:
			for _, h := range batch {
				h.message.Ack()
			}
			b.last = batch[len(batch)-1]
			return true
		case ctx.Err() != nil:
			return false
		case batch[0].message.Context().Err() != nil:
			clear(b.waiting) // what was to follow comes again after this batch, and not before it
			return true
		}
		if kind := problem.KindOf(err); kind != problem.Unavailable && kind != problem.Full {
			for i := range list {
				list[i].Deliveries++
			}
		}
		b.log.WarnContext(ctx, "a batch was not accepted; it is offered again", "messages", len(list), "err", err)
		rest(ctx, pause/2+rand.N(pause))
	}
}

// once calls accept, which has some time left when ctx ends.
func (b *batcher) once(ctx context.Context, list []message.Incoming) error {
	soft, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { rest(soft, b.grace); cancel() })()
	return b.accept(soft, list)
}
