package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	postgresEnv = "HOLDFAST_TEST_POSTGRES"
	rabbitEnv   = "HOLDFAST_TEST_RABBITMQ"
	window      = 500 // confirms outstanding, for everybody who can have them
)

// broker is a connection to the RabbitMQ of the tests, with one quorum queue of this run.
type broker struct {
	conn  *amqp.Connection
	queue string
}

// openBroker connects; the queue is made by declare.
func openBroker() (*broker, error) {
	conn, err := amqp.Dial(os.Getenv(rabbitEnv))
	if err != nil {
		return nil, fmt.Errorf("%s does not name a RabbitMQ (deploy/dev/services up prints one): %w", rabbitEnv, err)
	}
	return &broker{conn, fmt.Sprintf("bench%d", time.Now().UnixNano())}, nil
}

func (b *broker) declare() error {
	return b.do(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(b.queue, true, false, false, false, quorum())
		return err
	})
}

// flushing fails unless PostgreSQL writes each commit to the disk: without that a figure would be no product's.
func flushing(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, os.Getenv(postgresEnv))
	if err != nil {
		return fmt.Errorf("%s does not name a PostgreSQL (deploy/dev/services up prints one): %w", postgresEnv, err)
	}
	var fsync string
	err = conn.QueryRow(ctx, "SHOW fsync").Scan(&fsync)
	if err == nil && fsync != "on" {
		err = errors.New("the PostgreSQL of the tests does not flush to its disk, so that no figure counts: call deploy/dev/services fsync on, or make bench")
	}
	return errors.Join(err, conn.Close(ctx))
}

func quorum() amqp.Table { return amqp.Table{"x-queue-type": "quorum"} }

func (b *broker) do(f func(ch *amqp.Channel) error) error {
	ch, err := b.conn.Channel()
	if err != nil {
		return err
	}
	return errors.Join(f(ch), ch.Close())
}

// taken counts what has come into the queue and empties it.
func (b *broker) taken() (n int, err error) {
	err = b.do(func(ch *amqp.Channel) (err error) {
		n, err = ch.QueuePurge(b.queue, false)
		return err
	})
	return n, err
}

// check fails unless n messages have come into the queue: a figure of messages that went nowhere is none.
func (b *broker) check(n int) error {
	got, err := b.taken()
	if err == nil && got < n {
		err = fmt.Errorf("%d messages are in the queue, %d were confirmed", got, n)
	}
	return err
}

// close removes the queue.
func (b *broker) close() {
	_ = b.do(func(ch *amqp.Channel) error { _, err := ch.QueueDelete(b.queue, false, false, false); return err }) // it may not be there
	_ = b.conn.Close()
}

// confirming opens a channel on which publishes are confirmed.
func (b *broker) confirming() (*amqp.Channel, error) {
	ch, err := b.conn.Channel()
	if err != nil {
		return nil, err
	}
	return ch, ch.Confirm(false)
}

// bare publishes n messages by amqp091-go alone, with a window of deferred confirms, and gives messages a second. It is the
// ceiling of everything that is sent through the same client, broker and queue.
func (b *broker) bare(ctx context.Context, n int, body []byte) (float64, error) {
	ch, err := b.confirming()
	if err != nil {
		return 0, err
	}
	defer ch.Close()
	used := (*yard)(nil).spentSoFar(ctx)
	began := time.Now()
	ring := make([]*amqp.DeferredConfirmation, window)
	for i := range n + window {
		if c := ring[i%window]; c != nil {
			if ok, err := c.WaitContext(ctx); err != nil || !ok {
				return 0, errors.Join(errors.New("not confirmed"), err)
			}
		}
		ring[i%window] = nil
		if i < n {
			m := amqp.Publishing{DeliveryMode: amqp.Persistent, ContentType: "application/json", MessageId: fmt.Sprintf("bare-%d", i), Body: body}
			if ring[i%window], err = ch.PublishWithDeferredConfirmWithContext(ctx, "", b.queue, true, false, m); err != nil {
				return 0, err
			}
		}
	}
	took := time.Since(began)
	used.tell((*yard)(nil).spentSoFar(ctx), n)
	return float64(n) / took.Seconds(), b.check(n)
}
