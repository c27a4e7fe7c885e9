package amqp

import (
	"log/slog"
	"testing"

	wm "github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"holdfast/adapters/amqp/amqptest"
)

// TestWatermillConformance is Watermill's own suite, unmodified, on a broker that it restarts. With ExactlyOnceDelivery false it also
// runs TestContinueAfterSubscribeClose, which finds what is lost when a subscriber is closed. Its TestReconnect shares a slice
// between goroutines, so that the restarts come only without the race detector ("make conformance"). The full numbers of messages take
// minutes, and only with HOLDFAST_TEST_LONG=1.
func TestWatermillConformance(t *testing.T) {
	b := private(t)
	exchange := b.Name(t)
	features := tests.Features{
		ConsumerGroups: true, ExactlyOnceDelivery: false, GuaranteedOrder: true, Persistent: true, ForceShort: !long(),
	}
	if !raced {
		features.RestartServiceCommand = b.RestartCommand()
	}
	whole := t
	group := func(t *testing.T, name string) (wm.Publisher, wm.Subscriber) {
		pub, sub := pubSub(t, b, exchange, name)
		whole.Cleanup(func() { _ = sub.Close() }) // the suite leaves some open, which would connect again during other tests
		return pub, sub
	}
	tests.TestPubSub(t, features, func(t *testing.T) (wm.Publisher, wm.Subscriber) { return group(t, "g") }, group)
}

// pubSub publishes to an exchange and subscribes to a queue for each topic and group; messages are nacked up to 300 times in the suite.
func pubSub(t *testing.T, b *amqptest.Broker, exchange, group string) (wm.Publisher, wm.Subscriber) {
	t.Helper()
	c := config(b)
	dead := exchange + ".dead"
	c.Exchanges = []Exchange{{Name: exchange}, {Name: dead, Kind: "fanout"}}
	c.Publish = &Publish{Exchange: exchange}
	c.Receive = &Receive{InFlight: 1, Each: &Queue{
		Name: "{topic}." + group, Bindings: []Binding{{exchange, "{topic}"}}, SingleActive: true, DeliveryLimit: 10_000, DeadLetter: dead,
	}}
	pub, err := NewPublisher(c, password(b), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	sub, err := NewSubscriber(c, password(b), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return pub, sub
}
