package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

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

// send fills the queue with n numbered messages in lanes.
func (b *broker) send(ctx context.Context, n, lanes int, body []byte) error {
	ch, err := b.confirming()
	if err != nil {
		return err
	}
	defer ch.Close()
	var last *amqp.DeferredConfirmation
	for i := range n {
		m := amqp.Publishing{DeliveryMode: amqp.Persistent, ContentType: "application/json", MessageId: fmt.Sprintf("in-%d", i), Body: body, Headers: amqp.Table{
			"cloudEvents:source": "urn:erp:bench", "cloudEvents:type": "order.changed", "cloudEvents:lane": strconv.Itoa(i % lanes),
			"cloudEvents:lanenumber": int64(i/lanes + 1), "cloudEvents:time": "2026-11-24T06:00:00Z",
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

// batches hands over what comes in, up to acceptBatch at a time, and acknowledges it when take returns nil, until n have come.
func (b *broker) batches(ctx context.Context, n int, take func([]amqp.Delivery) error) error {
	return b.do(func(ch *amqp.Channel) error {
		if err := ch.Qos(prefetch, 0, false); err != nil {
			return err
		}
		in, err := ch.ConsumeWithContext(ctx, b.queue, "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		for came := 0; came < n; {
			batch := gather(in)
			if len(batch) == 0 {
				return errors.Join(errors.New("the consumer was ended"), ctx.Err())
			}
			if err := take(batch); err != nil {
				return err
			}
			came += len(batch)
			if err := ch.Ack(batch[len(batch)-1].DeliveryTag, true); err != nil {
				return err
			}
		}
		return nil
	})
}

// gather waits for one delivery and takes what is there beside it.
func gather(in <-chan amqp.Delivery) []amqp.Delivery {
	first, ok := <-in
	if !ok {
		return nil
	}
	batch := []amqp.Delivery{first}
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

// bareConsumer takes n messages and does nothing but acknowledge them in batches.
func (b *broker) bareConsumer(ctx context.Context, n int, body []byte) (float64, error) {
	if err := b.send(ctx, n, inboxLanes, body); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := b.batches(ctx, n, func([]amqp.Delivery) error { return nil }); err != nil {
		return 0, err
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// incoming is what a consumer makes of a delivery.
func incoming(d amqp.Delivery) message.Incoming {
	text := func(name string) string { s, _ := d.Headers["cloudEvents:"+name].(string); return s } // "" is refused by the inbox
	number, _ := d.Headers["cloudEvents:lanenumber"].(int64)
	at, _ := time.Parse(time.RFC3339, text("time"))
	return message.Incoming{Message: message.Message{
		ID: d.MessageId, Source: text("source"), Kind: text("type"), Version: 1, Key: text("lane"), Time: at, Body: d.Body,
		Place: message.Place{Lane: text("lane"), Epoch: 1, Number: number, Role: message.Event},
	}}
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
	if err := b.send(ctx, n, inboxLanes, body); err != nil {
		return 0, err
	}
	var effects atomic.Int64
	all := make(chan struct{})
	apply := func(ctx context.Context, tx *store.Tx, m message.Message) error {
		tx.AfterCommit(func() {
			if effects.Add(1) == int64(n) {
				close(all)
			}
		})
		_, err := tx.Exec(ctx, `INSERT INTO bench_effects (id, lane) VALUES (?, ?)`, m.ID, m.Lane)
		return err
	}
	in := inbox.New(y.db, nil, apply, inbox.Config{}, slog.New(slog.DiscardHandler))
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- in.Run(running) }()
	err = b.batches(ctx, n, func(batch []amqp.Delivery) error {
		return y.db.InTx(ctx, func(tx *store.Tx) error {
			for _, d := range batch {
				if t, err := in.Receive(ctx, tx, incoming(d), benchLink); err != nil || !t.Fresh {
					return errors.Join(fmt.Errorf("message %s was not taken: %s", d.MessageId, t.Reason), err)
				}
			}
			return nil
		})
	})
	if err == nil {
		select {
		case <-all:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	took := time.Since(began)
	stop()
	if err = errors.Join(err, <-ended); err != nil {
		return 0, err
	}
	return float64(n) / took.Seconds(), nil
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
	const bare, postgres, sqlite = "bare consumer", "Holdfast, PostgreSQL", "Holdfast, SQLite"
	body, n := kilobyte(), o.of(inboxMessages)
	m, err := contest(ctx, o.rounds,
		contestant{bare, func(ctx context.Context) (float64, error) { return b.bareConsumer(ctx, n, body) }},
		contestant{postgres, func(ctx context.Context) (float64, error) { return inboxTurn(ctx, b, store.Postgres, n, body) }},
		contestant{sqlite, func(ctx context.Context) (float64, error) { return inboxTurn(ctx, b, store.SQLite, n, body) }},
	)
	if err != nil {
		return nil, err
	}
	told := plain("RabbitMQ → inbox → effect: "+sqlite, "1/s", m[sqlite])
	told.Reference, told.Ratio = m[bare], m[sqlite]/m[bare]
	return []Result{
		plain(fmt.Sprintf("ceiling: bare consumer, acknowledges %d together", acceptBatch), "1/s", m[bare]),
		atLeast("RabbitMQ → inbox → effect: "+postgres, "1/s", m[postgres], m[bare], 0.5), told,
	}, nil
}
