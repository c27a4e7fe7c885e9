package amqp

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/message"
)

// Take handles one message. It calls done once the message has had its effect, at any time and before or after other messages; until
// then neither it nor anything behind it is acknowledged to the broker. When ctx has ended the message's connection is gone, and the broker gives it again.
type Take func(ctx context.Context, in message.Incoming, done func())

// Each hands on what comes in Config.Receive.Queue, one by one in the broker's order, until ctx ends. It is for a receiver in which
// one message may have to wait for a later one: Run acknowledges whole batches, and would never get to that. No more than
// Receive.InFlight are in hand.
func (l *Link) Each(ctx context.Context, take Take) error {
	sub, err := newSubscriber(l.cfg, l.resolve, l.log, l.guard)
	if err != nil {
		return err
	}
	defer sub.Close()
	in, err := sub.Subscribe(ctx, l.cfg.Receive.Queue)
	if err != nil {
		return err
	}
	for m := range in {
		if h, ok := heldOf(m.Context()); ok {
			take(m.Context(), l.incoming(m.Context(), &h.delivery, h.queue, time.Now()), func() { m.Ack() })
		}
	}
	return nil
}

// Emit publishes events as an ERP does, in order, each under its kind as routing key, and returns when the broker has confirmed them
// all. After an error any of them may be on the broker: emit them again under the same IDs. Unlike what Deliver sends they may have a
// version of their object.
func (l *Link) Emit(ctx context.Context, events ...message.Incoming) error {
	w, err := l.ready(ctx)
	if err != nil || len(events) == 0 {
		return err
	}
	c := newCall(len(events))
	defer c.free()
	var failed error
	for i, e := range events {
		if failed != nil {
			w.skip(c)
			continue
		}
		out := outgoing{exchange: l.cfg.Publish.Exchange, key: e.Kind, msg: encode(e.Message, message.Document{}, true, nil)}
		if e.ObjectVersion != "" {
			out.msg.Headers[prefix+"objectversion"] = e.ObjectVersion
		}
		if failed = out.check(); failed != nil {
			w.skip(c)
			continue
		}
		failed = w.send(ctx, &out, c, i)
	}
	w.wait(ctx, c)
	for i, f := range c.fates {
		if failed != nil {
			return fmt.Errorf("emit %s %s: %w", events[i].Kind, events[i].ID, failed)
		}
		if f != confirmed {
			return f.problem(events[i].ID, events[i].Kind, c.said[i])
		}
	}
	return nil
}

// Remove deletes the queues and exchanges of the configuration, with all that is in them: for who has made them for one run on a broker
// that others use too.
func (l *Link) Remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*l.cfg.ConnectTimeout)
	defer cancel()
	s, err := newKeeper("remove", l.cfg, l.resolve, l.log, l.guard).dial(ctx)
	if err != nil {
		return err
	}
	defer s.close(soon())
	ch, err := s.conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	for _, q := range l.cfg.Queues {
		if _, err := ch.QueueDelete(q.Name, false, false, false); err != nil {
			return misplaced("delete queue", q.Name, err)
		}
	}
	for _, e := range l.cfg.Exchanges {
		if err := ch.ExchangeDelete(e.Name, false, false); err != nil {
			return misplaced("delete exchange", e.Name, err)
		}
	}
	return ch.Close()
}
