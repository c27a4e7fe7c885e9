package amqp

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/adapters/amqp/amqptest"
	"holdfast/internal/message"
)

// TestEachIsAcknowledgedByItself: a message may be done after later ones; what is not done comes again, behind it what was.
func TestEachIsAcknowledgedByItself(t *testing.T) {
	b := amqptest.Shared(t)
	queue := b.Queue(t, amqp091.Table{"x-queue-type": "quorum", "x-single-active-consumer": true})
	exchange := b.Name(t)
	l, err := Open(Config{
		Addresses: []string{b.Address}, User: b.User, Password: "env:NOTHING", Exchanges: []Exchange{{Name: exchange}},
		Queues:  []Queue{{Name: queue, Bindings: []Binding{{Exchange: exchange, Key: "#"}}}},
		Publish: &Publish{Exchange: exchange}, Receive: &Receive{Queue: queue},
	}, func(context.Context, string) (string, error) { return b.Password, nil }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var events []message.Incoming
	for _, id := range []string{"a", "b", "c", "d"} {
		events = append(events, message.Incoming{Message: sample(id), ObjectVersion: "7"})
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for err := l.Emit(ctx, events...); err != nil; err = l.Emit(ctx, events...) { // it may not be connected yet
		if rest(ctx, 50*time.Millisecond); ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	each := func(done ...string) (ids []string) {
		t.Helper()
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		err := l.Each(ctx, func(_ context.Context, in message.Incoming, ack func()) {
			if ids = append(ids, in.ID); in.ObjectVersion != "7" || in.Claimed != in.Digest() {
				t.Errorf("version %q, digest %s of %s", in.ObjectVersion, in.Claimed, in.Digest())
			}
			if slices.Contains(done, in.ID) {
				ack()
			}
			if in.ID == "d" {
				stop()
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	if got, want := each("a", "c"), []string{"a", "b", "c", "d"}; !slices.Equal(got, want) {
		t.Errorf("first %q, want %q", got, want)
	}
	if got, want := each("b", "c", "d"), []string{"b", "c", "d"}; !slices.Equal(got, want) {
		t.Errorf("then %q, want %q", got, want)
	}
}
