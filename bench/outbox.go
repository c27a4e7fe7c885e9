package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/relay"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

const (
	bareMessages      = 20_000
	relayMessages     = 10_000
	relayLanes        = 2_000
	riverMessages     = 10_000
	watermillMessages = 1_000
)

// rabbit is a link to the queue of a broker.
type rabbit struct {
	ch        *amqp.Channel
	queue     string
	delivered atomic.Int64
}

// Deliver publishes the signed events themselves, as CloudEvents in binary mode, and waits for their confirms.
func (r *rabbit) Deliver(ctx context.Context, ds []message.Delivery) []message.Outcome {
	confirms := make([]*amqp.DeferredConfirmation, len(ds))
	outcomes := make([]message.Outcome, len(ds))
	for i, d := range ds {
		var err error
		if confirms[i], err = r.ch.PublishWithDeferredConfirmWithContext(ctx, "", r.queue, true, false, event(d.Event.Message())); err != nil {
			outcomes[i] = message.Outcome{Verdict: message.Unsure, LinkDown: true, Err: err}
		}
	}
	for i, c := range confirms {
		if c == nil {
			continue
		}
		ok, err := c.WaitContext(ctx)
		if err != nil || !ok {
			outcomes[i] = message.Outcome{Verdict: message.Unsure, LinkDown: true, Err: errors.Join(errors.New("not confirmed"), err)}
			continue
		}
		r.delivered.Add(1)
		outcomes[i] = message.Outcome{Verdict: message.Delivered}
	}
	return outcomes
}

// Ask can find nothing out: nobody reads the queue.
func (r *rabbit) Ask(context.Context, message.Delivery) (message.Outcome, error) {
	return message.Outcome{Verdict: message.Again}, nil
}

func event(m message.Message) amqp.Publishing {
	return amqp.Publishing{
		DeliveryMode: amqp.Persistent, ContentType: "application/json", MessageId: m.ID, Type: m.Kind, Timestamp: m.Time, Body: m.Body,
		Headers: amqp.Table{
			"cloudEvents:specversion": "1.0", "cloudEvents:id": m.ID, "cloudEvents:source": m.Source, "cloudEvents:type": m.Kind,
			"cloudEvents:time": m.Time.Format(time.RFC3339Nano), "cloudEvents:subject": m.Key, "cloudEvents:lane": m.Lane,
			"cloudEvents:lanenumber": m.Number, "cloudEvents:laneprev": m.Prev,
		},
	}
}

// relayFor runs a relay until n messages more are settled, and gives messages a second.
func (y *yard) relayFor(ctx context.Context, b *broker, n int) (float64, error) {
	ch, err := b.confirming()
	if err != nil {
		return 0, err
	}
	defer ch.Close()
	before, err := y.settled(ctx)
	if err != nil {
		return 0, err
	}
	woken, done := y.db.Subscribe(outbox.Settled)
	defer done()
	running, stop := context.WithCancel(ctx)
	defer stop()
	link := relay.Link{Deliverer: &rabbit{ch: ch, queue: b.queue}, Concurrency: window}
	r := relay.New(y.db, y.out, nil, seal.Chain, map[string]relay.Link{benchLink: link}, relay.Config{}, slog.New(slog.DiscardHandler))
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- r.Run(running) }()
	var settled int
	for settled < n && err == nil {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-woken:
			if settled, err = y.settled(ctx); err == nil {
				settled -= before
			}
		}
	}
	took := time.Since(began)
	stop()
	if err = errors.Join(err, <-ended); err != nil {
		return 0, err
	}
	return float64(settled) / took.Seconds(), b.check(settled)
}

// settled is how many messages were ever settled: the counter that the relay keeps, since counting rows would be measured too.
func (y *yard) settled(ctx context.Context) (n int, err error) {
	err = y.db.View(ctx, func(tx *store.Tx) error {
		return tx.Get(ctx, &n, `SELECT COALESCE((SELECT delivered FROM outbox_links WHERE link = ?), 0)`, benchLink)
	})
	return n, err
}

// relayTurn relays n messages in new lanes of a database of its own.
func relayTurn(ctx context.Context, b *broker, dialect store.Dialect, n, lanes int, body []byte) (float64, error) {
	y, err := openYard(ctx, dialect)
	if err != nil {
		return 0, err
	}
	defer y.close()
	if err := y.stock(ctx, n, lanes, body); err != nil {
		return 0, err
	}
	return y.relayFor(ctx, b, n)
}

// outboxRow has everybody bring messages from a database into the same quorum queue, confirmed, and amqp091-go alone beside them.
func outboxRow(ctx context.Context, o options) ([]Result, error) {
	b, err := openBroker()
	if err != nil {
		return nil, err
	}
	defer b.close()
	if err := b.declare(); err != nil {
		return nil, err
	}
	const ceiling, postgres, sqlite, riverName, watermillName = "amqp091-go alone", "Holdfast, PostgreSQL", "Holdfast, SQLite", "River", "Watermill's Forwarder"
	body := kilobyte()
	m, err := contest(ctx, o.rounds,
		contestant{ceiling, func(ctx context.Context) (float64, error) { return b.bare(ctx, o.of(bareMessages), body) }},
		contestant{postgres, func(ctx context.Context) (float64, error) {
			return relayTurn(ctx, b, store.Postgres, o.of(relayMessages), o.of(relayLanes), body)
		}},
		contestant{sqlite, func(ctx context.Context) (float64, error) {
			return relayTurn(ctx, b, store.SQLite, o.of(relayMessages), o.of(relayLanes), body)
		}},
		contestant{riverName, func(ctx context.Context) (float64, error) { return riverTurn(ctx, b, o.of(riverMessages), body) }},
		contestant{watermillName, func(ctx context.Context) (float64, error) {
			return watermillTurn(ctx, b, o.of(watermillMessages), body)
		}},
	)
	if err != nil {
		return nil, err
	}
	told := func(name string) Result {
		r := plain("outbox → RabbitMQ: "+name, "1/s", m[name])
		r.Reference, r.Ratio = m[ceiling], m[name]/m[ceiling]
		return r
	}
	return []Result{
		plain(fmt.Sprintf("ceiling: %s, %d confirms outstanding", ceiling, window), "1/s", m[ceiling]),
		told(riverName),
		told(watermillName),
		atLeast("outbox → RabbitMQ: "+postgres, "1/s", m[postgres], m[ceiling], 0.9),
		atLeast("the same against River", "1/s", m[postgres], m[riverName], 3),
		atLeast("the same against Watermill's Forwarder", "1/s", m[postgres], m[watermillName], 50),
		atLeast("outbox → RabbitMQ: "+sqlite, "1/s", m[sqlite], m[ceiling], 0.9),
	}, nil
}
