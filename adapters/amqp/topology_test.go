package amqp

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/adapters/amqp/amqptest"
	"holdfast/internal/message"
)

// From RabbitMQ 4.0 on a queue without a word on it drops what it has offered 20 times; an older broker takes the word for "never again".
func TestWhichBrokersDropByThemselves(t *testing.T) {
	for version, want := range map[any]bool{
		"3.10.8": false, "3.13.7": false, "4.0.1": true, "4.1.0-rc.2": true, "10.0.0": true, "": false, "Qpid": false, nil: false, int32(4): false,
	} {
		if got := dropsByItself(version); got != want {
			t.Errorf("version %v: %v", version, got)
		}
	}
}

// A queue that was made without a word on its limit, and cannot be declared to have none, is used as it is, and the log says what that means.
func TestAQueueThatWasMadeBeforeIsUsedAsItIs(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := toQueue(t, b)
	l := open(t, b, c)
	s, _ := l.out.k.now()
	var said bytes.Buffer
	other := &session{conn: s.conn, drops: true, log: slog.New(slog.NewTextHandler(&said, nil))}
	if err := other.declare(Queue{Name: queue}); err != nil {
		t.Fatalf("the queue is not used: %v", err)
	}
	if !strings.Contains(said.String(), "offered 20 times") || !strings.Contains(said.String(), queue) {
		t.Errorf("the log says %q", said.String())
	}
	said.Reset()
	for _, q := range []Queue{{Name: b.Name(t), DeliveryLimit: 5, DeadLetter: "amq.topic"}, {Name: b.Name(t), Kind: "classic"}} {
		if err := other.declare(q); err != nil || said.Len() > 0 {
			t.Errorf("queue %s: %v, %s", q.Name, err, said.String())
		}
	}
}

// A vault that does not answer when credentials are asked for again holds up neither the end of a connection nor its beginning.
func TestAHangingVaultKeepsNoConnectionFromItsEnd(t *testing.T) {
	b := private(t)
	quietly(t)
	c, _ := toQueue(t, b)
	c.Renew = 20 * time.Millisecond
	var hangs atomic.Bool
	asked := make(chan struct{}, 1)
	resolve := password(b)
	l, err := Open(c, func(ctx context.Context, ref string) (string, error) {
		if !hangs.Swap(false) {
			return resolve(ctx, ref)
		}
		asked <- struct{}{}
		<-ctx.Done()
		return "", ctx.Err()
	}, testlog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	connected(t, l)
	hangs.Store(true)
	<-asked
	generation := l.Status().Generation
	if err := b.CloseConnections(t.Context(), 1, func(int) {}); err != nil {
		t.Fatal(err)
	}
	until(t, "there is another connection", func() bool { return l.Status().Generation > generation && l.Status().State == Connected })
	if o := one(t, l, "m"); o.Verdict != message.Delivered {
		t.Errorf("got %v", o)
	}
}

// A node that takes connections and cannot serve is no reason not to try the others.
func TestAnAddressThatCannotServeIsLeft(t *testing.T) {
	b := amqptest.Shared(t)
	quietly(t)
	c := config(b).withDefaults()
	c.Addresses = append(c.Addresses, strings.Replace(b.Address, "127.0.0.1", "localhost", 1))
	k := newKeeper("publish", c, password(b), testlog(t), newGuard())
	var tried []int
	k.setup = func(*session) error {
		if tried = append(tried, k.address%len(c.Addresses)); len(tried) == 1 {
			return errors.New("its queues have no leader")
		}
		return nil
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { k.run(ctx) })
	if _, err := k.await(ctx); err != nil {
		t.Error(err)
	}
	stop()
	running.Wait()
	if len(tried) != 2 || tried[0] == tried[1] {
		t.Errorf("tried addresses %v", tried)
	}
}
