package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"holdfast/adapters/amqp"
	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/store"
)

const (
	inboxMessages = 10_000
	inboxLanes    = 1_000
	prefetch      = 500
	acceptBatch   = 100 // messages accepted in one transaction, or acknowledged together
)

// send fills a new queue with n numbered messages in lanes. What is left of the turn before, whose last acknowledgements a quorum queue may not have
// heard of, would else come first: those lanes would wait for what is missing before it, which no database of a plant does.
func (b *broker) send(ctx context.Context, n, lanes int, body []byte) error {
	if err := b.do(func(ch *amqp091.Channel) error { _, err := ch.QueueDelete(b.queue, false, false, false); return err }); err != nil {
		return err
	}
	if err := b.declare(); err != nil {
		return err
	}
	ch, err := b.confirming()
	if err != nil {
		return err
	}
	defer ch.Close()
	var last *amqp091.DeferredConfirmation
	for i := range n {
		m := amqp091.Publishing{DeliveryMode: amqp091.Persistent, ContentType: "application/json", MessageId: fmt.Sprintf("in-%d", i), Body: body, Headers: amqp091.Table{
			"cloudEvents_specversion": "1.0", "cloudEvents_id": fmt.Sprintf("in-%d", i), "cloudEvents_source": "urn:erp:bench",
			"cloudEvents_type": "order.changed", "cloudEvents_subject": strconv.Itoa(i % lanes), "cloudEvents_time": "2026-11-24T06:00:00Z",
			"cloudEvents_lane": strconv.Itoa(i % lanes), "cloudEvents_laneepoch": "1", "cloudEvents_lanenumber": strconv.Itoa(i/lanes + 1),
		}}
		if last, err = ch.PublishWithDeferredConfirmWithContext(ctx, "", b.queue, true, false, m); err != nil {
			return err
		}
		if i%window == window-1 || i == n-1 {
			if ok, err := last.WaitContext(ctx); err != nil || !ok {
				return errors.Join(errors.New("not confirmed"), err)
			}
		}
	}
	return nil
}

// bareConsumer takes n messages and does nothing but acknowledge them in batches of at least so many, after each; y is the yard that each
// works on, nil if none.
func (b *broker) bareConsumer(ctx context.Context, y *yard, n, least int, body []byte, each func([]amqp091.Delivery) error) (float64, error) {
	if err := b.send(ctx, n, inboxLanes, body); err != nil {
		return 0, err
	}
	used, began := y.spentSoFar(ctx), time.Now()
	err := b.do(func(ch *amqp091.Channel) error {
		if err := ch.Qos(prefetch, 0, false); err != nil {
			return err
		}
		in, err := ch.ConsumeWithContext(ctx, b.queue, "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		for came := 0; came < n; {
			batch := gather(in, min(least, n-came))
			if len(batch) == 0 {
				return errors.Join(errors.New("the consumer was ended"), ctx.Err())
			}
			came += len(batch)
			if err := each(batch); err != nil {
				return err
			}
			if err := ch.Ack(batch[len(batch)-1].DeliveryTag, true); err != nil {
				return err
			}
		}
		return nil
	})
	took := time.Since(began)
	used.tell(y.spentSoFar(ctx), n)
	return float64(n) / took.Seconds(), err
}

// floorTurn is the least that anybody can do who wants an effect once: the bare consumer, which before it acknowledges a batch commits an
// ID and a business row of each message, both in sets. It keeps no body, no order, and no word for who asks later.
func floorTurn(ctx context.Context, b *broker, n int, body []byte) (float64, error) {
	y, err := openYard(ctx, store.Postgres)
	if err != nil {
		return 0, err
	}
	defer y.close()
	err = y.db.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `CREATE TABLE bench_effects (id TEXT PRIMARY KEY, lane TEXT NOT NULL)`)
		if err == nil {
			_, err = tx.Exec(ctx, `CREATE TABLE bench_seen (source TEXT, id TEXT, PRIMARY KEY (source, id))`)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return b.bareConsumer(ctx, y, n, acceptBatch, body, func(batch []amqp091.Delivery) error {
		ids, lanes := make([]string, len(batch)), make([]string, len(batch))
		for i, d := range batch {
			ids[i], lanes[i] = d.MessageId, fmt.Sprint(d.Headers["cloudEvents_lane"])
		}
		return y.db.InTx(ctx, func(tx *store.Tx) error {
			err := tx.Later(ctx, `INSERT INTO bench_seen (source, id) SELECT 'urn:erp:bench', unnest(CAST(? AS TEXT[]))`, ids)
			if err != nil {
				return err
			}
			return tx.Later(ctx, `INSERT INTO bench_effects (id, lane) SELECT * FROM unnest(CAST(? AS TEXT[]), CAST(? AS TEXT[]))`, ids, lanes)
		})
	})
}

// gather waits for so many deliveries and takes what is there beside them.
func gather(in <-chan amqp091.Delivery, least int) []amqp091.Delivery {
	var batch []amqp091.Delivery
	for len(batch) < least {
		d, ok := <-in
		if !ok {
			return nil
		}
		batch = append(batch, d)
	}
	for len(batch) < acceptBatch {
		select {
		case d, ok := <-in:
			if !ok {
				return batch
			}
			batch = append(batch, d)
		default:
			return batch
		}
	}
	return batch
}

// effects is a plant that keeps one row of each message, and counts those that are committed.
type effects struct {
	want      int64
	committed atomic.Int64
	all       chan struct{} // closed when as many as wanted are committed
}

func (e *effects) apply(ctx context.Context, tx *store.Tx, m message.Message) error {
	tx.AfterCommit(func() {
		if e.committed.Add(1) == e.want {
			close(e.all)
		}
	})
	return tx.Later(ctx, `INSERT INTO bench_effects (id, lane) VALUES (?, ?)`, m.ID, m.Lane)
}

// inboxTurn accepts n messages in batches, acknowledges after the commit, and ends when the effect of the last one is committed.
func inboxTurn(ctx context.Context, b *broker, dialect store.Dialect, n int, body []byte) (float64, error) {
	y, err := openYard(ctx, dialect)
	if err != nil {
		return 0, err
	}
	defer y.close()
	err = y.db.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `CREATE TABLE bench_effects (id TEXT PRIMARY KEY, lane TEXT NOT NULL)`)
		return err
	})
	if err != nil {
		return 0, err
	}
	link, err := b.link(amqp.Config{Receive: &amqp.Receive{Queue: b.queue, InFlight: prefetch, Batch: acceptBatch}})
	if err != nil {
		return 0, err
	}
	defer link.Close()
	if err := b.send(ctx, n, inboxLanes, body); err != nil {
		return 0, err
	}
	e := &effects{want: int64(n), all: make(chan struct{})}
	in := inbox.New(y.db, nil, e.apply, inbox.Config{}, slog.New(slog.DiscardHandler))
	running, stop := context.WithCancel(ctx)
	defer stop()
	g, running := errgroup.WithContext(running)
	used, began := y.spentSoFar(ctx), time.Now()
	g.Go(func() error { return in.Run(running) })
	g.Go(func() error {
		return link.Run(running, func(ctx context.Context, batch []message.Incoming) error { return take(ctx, in, batch) })
	})
	select {
	case <-e.all:
	case <-running.Done():
	}
	took := time.Since(began)
	used.tell(y.spentSoFar(ctx), n)
	stop()
	if err := errors.Join(g.Wait(), ctx.Err()); err != nil {
		return 0, err
	}
	return float64(n) / took.Seconds(), nil
}

// take gives a batch to the inbox. Nothing of it may be turned away: a figure of messages without effect is none.
func take(ctx context.Context, in *inbox.Inbox, batch []message.Incoming) error {
	taken, err := in.ReceiveAll(ctx, batch, benchLink)
	for _, t := range taken {
		if t.Rejected > 0 {
			return fmt.Errorf("a message was rejected: %s", t.Reason)
		}
		err = errors.Join(err, t.Err)
	}
	return err
}

func inboxRow(ctx context.Context, o options) ([]Result, error) {
	b, err := openBroker()
	if err != nil {
		return nil, err
	}
	defer b.close()
	if err := b.declare(); err != nil {
		return nil, err
	}
	const bare, least, postgres, sqlite = "bare consumer", "an ID and a row, PostgreSQL", "Holdfast, PostgreSQL", "Holdfast, SQLite"
	body, n := kilobyte(), o.of(inboxMessages)
	m, err := contest(ctx, o.rounds,
		contestant{bare, func(ctx context.Context) (float64, error) {
			return b.bareConsumer(ctx, nil, n, 1, body, func([]amqp091.Delivery) error { return nil })
		}},
		contestant{least, func(ctx context.Context) (float64, error) { return floorTurn(ctx, b, n, body) }},
		contestant{postgres, func(ctx context.Context) (float64, error) { return inboxTurn(ctx, b, store.Postgres, n, body) }},
		contestant{sqlite, func(ctx context.Context) (float64, error) { return inboxTurn(ctx, b, store.SQLite, n, body) }},
	)
	if err != nil {
		return nil, err
	}
	told := func(name string) Result {
		r := plain("RabbitMQ → inbox → effect: "+name, "1/s", m[name])
		r.Reference, r.Ratio = m[bare], m[name]/m[bare]
		return r
	}
	return []Result{
		plain(fmt.Sprintf("ceiling: bare consumer, acknowledges %d together", acceptBatch), "1/s", m[bare]),
		told(least), atLeast("RabbitMQ → inbox → effect: "+postgres, "1/s", m[postgres], m[bare], 0.5), told(sqlite),
	}, nil
}
