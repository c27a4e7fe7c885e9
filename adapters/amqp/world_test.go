package amqp

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/amqp/amqptest"
	"holdfast/internal/message"
)

// own starts a broker for the tests of this package that stop it, starve it or cut its connections.
var own = sync.OnceValues(func() (*amqptest.Broker, error) {
	b, err := amqptest.Start(context.Background())
	if err == nil {
		started = b
	}
	return b, err
})

var started *amqptest.Broker // written by own before it returns

func TestMain(m *testing.M) {
	code := m.Run()
	if started != nil {
		if err := started.Stop(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "stop the tests' broker:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// private is the broker of this package. It is skipped where the shared one is.
func private(t testing.TB) *amqptest.Broker {
	t.Helper()
	amqptest.Shared(t)
	b, err := own()
	if err != nil {
		t.Fatalf("start a broker: %v", err)
	}
	return b
}

// long tells whether the tests shall take the minutes that the whole of them needs.
func long() bool { return os.Getenv("HOLDFAST_TEST_LONG") != "" && !testing.Short() }

// config is a link to a broker. Its time limits are no matter of a test that does not set one.
func config(b *amqptest.Broker) Config {
	return Config{
		Addresses: []string{b.Address}, User: b.User, Password: "env:PASSWORD", ConnectTimeout: patience, ConfirmTimeout: patience, StopTimeout: patience,
	}
}

func password(b *amqptest.Broker) Resolve {
	return func(_ context.Context, ref string) (string, error) {
		if ref != "env:PASSWORD" {
			return "", fmt.Errorf("no secret %s", ref)
		}
		return b.Password, nil
	}
}

// testlog writes to the test's log, while it runs.
func testlog(t testing.TB) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// open opens a link and waits until it is connected.
func open(t testing.TB, b *amqptest.Broker, c Config) *Link {
	t.Helper()
	l, err := Open(c, password(b), testlog(t))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(l.Close)
	if c.Publish != nil {
		connected(t, l)
	}
	return l
}

func connected(t testing.TB, l *Link) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := l.out.k.await(ctx); err != nil {
		t.Fatal(err)
	}
}

// toQueue is a link that publishes to a new quorum queue.
func toQueue(t testing.TB, b *amqptest.Broker) (c Config, queue string) {
	t.Helper()
	queue = b.Name(t)
	c = config(b)
	c.Queues = []Queue{{Name: queue}}
	c.Publish = &Publish{Key: queue}
	return c, queue
}

// event is a message of the plant.
func sample(id string) message.Message {
	return message.Message{
		ID: id, Source: "urn:plant:1000", Kind: "operation.confirmed", Version: 1, Key: "o1", Time: time.Unix(1_700_000_000, 123456000).UTC(),
		Body: []byte(`{"order":"o1"}`), Cause: "cause-" + id, Creates: "order/7",
		Place: message.Place{Link: "erp", Lane: "o1", Epoch: 2, Number: 7, Prev: "abc", Role: message.Event},
	}
}

func delivery(t testing.TB, id string) message.Delivery {
	t.Helper()
	v, err := message.Verify(t.Context(), adaptertest.Trust{}, sample(id))
	if err != nil {
		t.Fatal(err)
	}
	return message.Delivery{Event: v}
}

// one delivers one message.
func one(t testing.TB, l *Link, id string) message.Outcome {
	t.Helper()
	return l.Deliver(t.Context(), []message.Delivery{delivery(t, id)})[0]
}

// quietly fails the test if it leaves a goroutine behind.
func quietly(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		var left error
		for end := time.Now().Add(patience); time.Now().Before(end); { // each Find waits a second for what is about to end
			if left = goleak.Find(before); left == nil {
				return
			}
		}
		t.Error(left)
	})
}

// patience only ends a test that would never end: no test is to fail because the machine is slow.
const patience = 2 * time.Minute

// until waits for something that comes by itself.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}
