package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	wmessage "github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// pool is a pgx pool as large as Holdfast's on a schema of its own.
func pool(ctx context.Context) (p *pgxpool.Pool, drop func(), err error) {
	place, dropSchema, err := schema(ctx)
	if err != nil {
		return nil, nil, err
	}
	cfg, err := pgxpool.ParseConfig(place)
	if err != nil {
		dropSchema()
		return nil, nil, err
	}
	cfg.MaxConns = 16
	if p, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		dropSchema()
		return nil, nil, err
	}
	return p, func() { p.Close(); dropSchema() }, nil
}

// watermillTurn forwards n messages by watermill-sql, its Forwarder and watermill-amqp. Settings are their defaults (batches of
// 100, offsets kept in PostgreSQL), a pool of 10 channels, confirms on and mandatory.
func watermillTurn(ctx context.Context, b *broker, n int, body []byte) (float64, error) {
	p, drop, err := pool(ctx)
	if err != nil {
		return 0, err
	}
	defer drop()
	const topic = "bench"
	log := watermill.NopLogger{}
	if err := oweWatermill(p, topic, b.queue, n, body, log); err != nil {
		return 0, fmt.Errorf("fill: %w", err)
	}
	offsets := wsql.DefaultPostgreSQLOffsetsAdapter{}
	sub, err := wsql.NewSubscriber(wsql.BeginnerFromPgx(p), wsql.SubscriberConfig{
		SchemaAdapter: wsql.DefaultPostgreSQLSchema{}, OffsetsAdapter: offsets, InitializeSchema: true,
	}, log)
	if err != nil {
		return 0, err
	}
	cfg := wamqp.NewDurableQueueConfig(os.Getenv(rabbitEnv))
	cfg.Queue.Arguments = quorum()
	cfg.Publish.ConfirmDelivery, cfg.Publish.Mandatory, cfg.Publish.ChannelPoolSize = true, true, 10
	pub, err := wamqp.NewPublisher(cfg, log)
	if err != nil {
		return 0, err
	}
	defer pub.Close()
	f, err := forwarder.NewForwarder(sub, pub, log, forwarder.Config{ForwarderTopic: topic})
	if err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- f.Run(ctx) }()
	query := `SELECT COALESCE((SELECT offset_acked FROM ` + offsets.MessagesOffsetsTable(topic) + `), 0)`
	err = untilAcked(ctx, p, query, n)
	took := time.Since(began)
	err = errors.Join(err, f.Close(), <-ended)
	if err != nil {
		return 0, err
	}
	return float64(n) / took.Seconds(), b.check(n)
}

// oweWatermill writes n messages into watermill-sql's table, as its own publisher does.
func oweWatermill(p *pgxpool.Pool, topic, queue string, n int, body []byte, log watermill.LoggerAdapter) error {
	pub, err := wsql.NewPublisher(wsql.BeginnerFromPgx(p), wsql.PublisherConfig{SchemaAdapter: wsql.DefaultPostgreSQLSchema{}, AutoInitializeSchema: true}, log)
	if err != nil {
		return err
	}
	out := forwarder.NewPublisher(pub, forwarder.PublisherConfig{ForwarderTopic: topic})
	all := make([]*wmessage.Message, n)
	for i := range all {
		all[i] = wmessage.NewMessage(watermill.NewUUID(), body)
	}
	return out.Publish(queue, all...)
}

// untilAcked asks often enough that the error is small beside the seconds measured.
func untilAcked(ctx context.Context, p *pgxpool.Pool, query string, n int) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var acked int
		if err := p.QueryRow(ctx, query).Scan(&acked); err == nil && acked >= n { // the table is made at the subscription
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// publishArgs is River's job: one message to publish.
type publishArgs struct {
	Body json.RawMessage `json:"body"`
	ID   string          `json:"id"`
}

// Kind names the job for River.
func (publishArgs) Kind() string { return "publish" }

// publisher publishes a job's message and waits for its confirm.
type publisher struct {
	river.WorkerDefaults[publishArgs]
	ch    *amqp.Channel
	queue string
}

// Work does one job.
func (p *publisher) Work(ctx context.Context, job *river.Job[publishArgs]) error {
	m := amqp.Publishing{DeliveryMode: amqp.Persistent, ContentType: "application/json", MessageId: job.Args.ID, Body: job.Args.Body}
	c, err := p.ch.PublishWithDeferredConfirmWithContext(ctx, "", p.queue, true, false, m)
	if err != nil {
		return err
	}
	if ok, err := c.WaitContext(ctx); err != nil || !ok {
		return errors.Join(errors.New("not confirmed"), err)
	}
	return nil
}

// riverWorkers is what River's authors found best for their benchmark command, and 500 and 2,000 are slower here too. It lets River
// have twice as many confirms outstanding as the ceiling.
const riverWorkers = 1000

// riverTurn works off n jobs by River, each one message with a confirm of its own. Fetch cooldown and poll are those of River's own
// benchmark command.
func riverTurn(ctx context.Context, b *broker, n int, body []byte) (float64, error) {
	p, drop, err := pool(ctx)
	if err != nil {
		return 0, err
	}
	defer drop()
	driver := riverpgxv5.New(p)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return 0, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return 0, fmt.Errorf("make River's tables: %w", err)
	}
	ch, err := b.confirming()
	if err != nil {
		return 0, err
	}
	defer ch.Close()
	workers := river.NewWorkers()
	river.AddWorker(workers, &publisher{ch: ch, queue: b.queue})
	client, err := river.NewClient(driver, &river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: riverWorkers}},
		Workers: workers, FetchCooldown: 2 * time.Millisecond, FetchPollInterval: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return 0, err
	}
	if err := oweRiver(ctx, client, n, body); err != nil {
		return 0, fmt.Errorf("fill: %w", err)
	}
	completed, done := client.SubscribeConfig(&river.SubscribeConfig{ChanSize: n, Kinds: []river.EventKind{river.EventKindJobCompleted}})
	defer done()
	began := time.Now()
	if err := client.Start(ctx); err != nil {
		return 0, err
	}
	for range n {
		select {
		case <-completed:
		case <-ctx.Done():
			return 0, errors.Join(ctx.Err(), client.Stop(context.WithoutCancel(ctx)))
		}
	}
	took := time.Since(began)
	if err := client.Stop(ctx); err != nil {
		return 0, err
	}
	return float64(n) / took.Seconds(), b.check(n)
}

func oweRiver(ctx context.Context, client *river.Client[pgx.Tx], n int, body []byte) error {
	all := make([]river.InsertManyParams, n)
	for i := range all {
		all[i] = river.InsertManyParams{Args: publishArgs{Body: body, ID: fmt.Sprintf("river-%d", i)}}
	}
	_, err := client.InsertManyFast(ctx, all)
	return err
}
