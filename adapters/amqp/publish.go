package amqp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	wm "github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"

	door "holdfast/adapters/wire"
	"holdfast/internal/problem"
)

// Publisher publishes to one exchange over a connection of its own. It is a Watermill Publisher, and safe for concurrent use.
type Publisher struct {
	cfg  Config
	k    *keeper
	stop context.CancelFunc
	done sync.WaitGroup
}

// NewPublisher begins to connect; the broker may be away. The caller closes it.
func NewPublisher(cfg Config, resolve Resolve, log *slog.Logger) (*Publisher, error) {
	return newPublisher(cfg, resolve, log, newGuard())
}

func newPublisher(cfg Config, resolve Resolve, log *slog.Logger, guard *door.Guard) (*Publisher, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Publish == nil {
		return nil, wrong("publish", "it is missing", "name the exchange")
	}
	p := &Publisher{cfg: cfg.withDefaults()}
	p.k = newKeeper("publish", p.cfg, resolve, log, guard)
	p.k.setup = p.setup
	p.k.ease = func(s *session, by time.Time) { s.window.drain(by) }
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	p.done.Go(func() { p.k.run(ctx) })
	return p, nil
}

// setup makes sure that the exchange is there before anything is published to it: a publish to a missing one would end the channel,
// and make everything in the window unknown.
func (p *Publisher) setup(s *session) error {
	if err := s.prepare(p.cfg.declares(), p.cfg.Exchanges, p.cfg.Queues); err != nil {
		return err
	}
	if err := s.verify([]Exchange{{Name: p.cfg.Publish.Exchange}}, nil); err != nil {
		return err
	}
	_, err := openWindow(s, p.cfg.Publish.Window)
	return err
}

// Status tells how the connection stands.
func (p *Publisher) Status() Status {
	_, status := p.k.now()
	return status
}

// Close waits for outstanding confirms, up to Config.StopTimeout, and ends the connection. It may be called again.
func (p *Publisher) Close() error {
	p.stop()
	p.done.Wait()
	return nil
}

// Publish sends messages under the routing key topic, in order, and returns when the broker has confirmed them all. While there is no
// connection it waits for one, at most Config.ConnectTimeout. After an error any of them may be on the broker: publish them again.
//
// The UUID of a message becomes its message ID, its metadata the headers.
func (p *Publisher) Publish(topic string, messages ...*wm.Message) error {
	ctx, cancel := context.WithTimeout(context.Background(), p.cfg.ConnectTimeout+p.cfg.StopTimeout)
	defer cancel()
	s, err := p.await(ctx)
	if err != nil {
		return err
	}
	w, c := s.window, newCall(len(messages))
	defer c.free()
	var failed []error
	for i, m := range messages {
		if len(failed) > 0 { // what follows must not overtake what is published again
			w.skip(c)
			c.fates[i] = confirmed // the error is told already
			continue
		}
		out := &outgoing{exchange: p.cfg.Publish.Exchange, key: topic, msg: fromWatermill(m)}
		err := out.check()
		if err != nil {
			w.skip(c)
		} else {
			err = w.send(ctx, out, c, i)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("publish message %s: %w", m.UUID, err))
			c.fates[i] = confirmed // told already
		}
	}
	if len(messages) > 0 {
		w.wait(ctx, c)
	}
	for i, f := range c.fates {
		if f != confirmed {
			failed = append(failed, f.problem(messages[i].UUID, topic, c.said[i]))
		}
	}
	return errors.Join(failed...)
}

func (p *Publisher) await(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.ConnectTimeout)
	defer cancel()
	return p.k.await(ctx)
}

// fromWatermill makes a publishing of a message.
func fromWatermill(m *wm.Message) amqp091.Publishing {
	headers := make(amqp091.Table, len(m.Metadata))
	for k, v := range m.Metadata {
		headers[k] = v
	}
	return amqp091.Publishing{MessageId: m.UUID, Headers: headers, Body: m.Payload, DeliveryMode: amqp091.Persistent}
}

// problem is the fate of a message that was not confirmed, in words.
func (f fate) problem(id, key, said string) error {
	p := &problem.Error{Kind: problem.Unavailable, What: "publish message " + id}
	switch f {
	case returned:
		p.Kind = problem.Invalid
		p.Why = fmt.Sprintf("the broker returned it: %s for the routing key %q", said, key)
		p.Hint = "bind a queue to the exchange for this key, then have the message sent again"
	case tooLarge:
		p.Kind = problem.TooLarge
		p.Why = "the broker takes no body of this size: " + said
		p.Hint = "raise max_message_size on the broker, then have the message sent again; until then its lane stands still"
	case nacked:
		p.Why = "the broker turned it away, as it does when a queue is full or has no leader"
		p.Hint = "see the queue's length and consumers; it is sent again by itself"
	default:
		p.Why = "its confirm was lost with the connection, or did not come in time: the broker may have it"
		p.Hint = "it is sent again under the same message ID, by which receivers know it"
	}
	return p
}
