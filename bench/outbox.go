package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"holdfast/adapters/amqp"
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

// link opens adapters/amqp on the broker of the tests.
func (b *broker) link(cfg amqp.Config) (*amqp.Link, error) {
	u, err := url.Parse(os.Getenv(rabbitEnv))
	if err != nil {
		return nil, err
	}
	password, _ := u.User.Password()
	cfg.User, cfg.Password = u.User.Username(), "env:"+rabbitEnv
	u.User = nil
	cfg.Addresses = []string{u.String()}
	return amqp.Open(cfg, func(context.Context, string) (string, error) { return password, nil }, slog.New(slog.DiscardHandler))
}

// sender is a link that publishes to the queue, with as many confirms outstanding as the ceiling has. It is connected.
func (b *broker) sender(ctx context.Context) (*amqp.Link, error) {
	l, err := b.link(amqp.Config{Publish: &amqp.Publish{Key: b.queue, Window: window}})
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(10 * time.Second); l.Status().State != amqp.Connected; time.Sleep(time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(end) {
			l.Close()
			return nil, errors.Join(errors.New("the link does not connect"), l.Status().Reason, ctx.Err())
		}
	}
	return l, nil
}

// relayFor runs a relay until n messages more are settled, and gives messages a second.
func (y *yard) relayFor(ctx context.Context, b *broker, n int) (float64, error) {
	l, err := b.sender(ctx)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	before, err := y.settled(ctx)
	if err != nil {
		return 0, err
	}
	woken, done := y.db.Subscribe(outbox.Settled)
	defer done()
	running, stop := context.WithCancel(ctx)
	defer stop()
	links := map[string]relay.Link{benchLink: {Deliverer: l, Concurrency: window, Start: window}}
	r := relay.New(y.db, y.out, nil, seal.Chain, links, relay.Config{}, slog.New(slog.DiscardHandler))
	ended := make(chan error, 1)
	used := y.spentSoFar(ctx)
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
	used.tell(y.spentSoFar(ctx), n)
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

// relayRow is Holdfast's turn of the outbox row by itself.
func relayRow(dialect store.Dialect) func(ctx context.Context, o options) ([]Result, error) {
	return func(ctx context.Context, o options) ([]Result, error) {
		b, err := openBroker()
		if err != nil {
			return nil, err
		}
		defer b.close()
		if err := b.declare(); err != nil {
			return nil, err
		}
		name, body := "Holdfast, "+string(dialect), kilobyte()
		m, err := contest(ctx, o.rounds, contestant{name, func(ctx context.Context) (float64, error) {
			return relayTurn(ctx, b, dialect, o.of(relayMessages), o.of(relayLanes), body)
		}})
		return []Result{plain("outbox → RabbitMQ: "+name, "1/s", m[name])}, err
	}
}
