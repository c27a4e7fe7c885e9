package amqp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	wm "github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/adapters/amqp/amqptest"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// fromQueue is a link that receives from a new quorum queue.
func fromQueue(t testing.TB, b *amqptest.Broker) (Config, string) {
	t.Helper()
	c := config(b)
	queue := b.Queue(t, amqp091.Table{"x-queue-type": "quorum"})
	c.Receive = &Receive{Queue: queue}
	return c, queue
}

// plain are messages with a number each.
func plain(n int) []amqp091.Publishing {
	all := make([]amqp091.Publishing, n)
	for i := range all {
		all[i] = amqp091.Publishing{MessageId: fmt.Sprint(i), DeliveryMode: amqp091.Persistent, Body: []byte("x")}
	}
	return all
}

// running runs a link until the test says so.
func running(t *testing.T, l *Link, accept Accept) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	wait := runningUntil(ctx, t, l, accept)
	return func() { cancel(); wait() }
}

// runningUntil runs a link until ctx ends, and waits for that.
func runningUntil(ctx context.Context, t *testing.T, l *Link, accept Accept) (wait func()) {
	t.Helper()
	var done sync.WaitGroup
	done.Go(func() {
		if err := l.Run(ctx, accept); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return done.Wait
}

func TestMessagesComeInOrderAndInBatches(t *testing.T) {
	b := amqptest.Shared(t)
	quietly(t)
	c, queue := fromQueue(t, b)
	b.Put(t, queue, plain(5000)...)
	l := open(t, b, c)
	var mu sync.Mutex
	var got []string
	largest := 0
	stop := running(t, l, func(_ context.Context, batch []message.Incoming) error {
		mu.Lock()
		defer mu.Unlock()
		for _, in := range batch {
			got = append(got, in.ID)
		}
		largest = max(largest, len(batch))
		return nil
	})
	until(t, "all came", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) >= 5000 })
	stop()
	for i, id := range got {
		if id != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, id)
		}
	}
	if largest < 2 || largest > 100 {
		t.Errorf("the largest batch had %d messages", largest)
	}
	checkRest(t, b, queue, len(got), 5000)
}

// checkRest drains what a stop left on a quorum queue that had all the messages of plain, of which the first so many were accepted and all
// were given out. That is what was not accepted, and before it perhaps the last of what was: Subscriber.Close says why.
func checkRest(t *testing.T, b *amqptest.Broker, queue string, accepted, all int) {
	t.Helper()
	var rest []amqp091.Delivery
	until(t, "what was not accepted is back on the queue", func() bool {
		rest = append(rest, b.Drain(t, queue)...)
		return len(rest) >= all-accepted
	})
	var got []string
	var want []string
	for i, d := range rest {
		got = append(got, fmt.Sprint(d.MessageId, " redelivered ", d.Redelivered))
		want = append(want, fmt.Sprint(all-len(rest)+i, " redelivered true"))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d of %d were accepted, and the queue has %q, want %q", accepted, all, got, want)
	}
}

// Nothing is acknowledged while accept fails; the same batch comes again, then the rest, in order.
func TestAStoreThatIsFullHoldsUpAndLosesNothing(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := fromQueue(t, b)
	c.Receive.InFlight, c.Receive.Batch = 10, 5
	b.Put(t, queue, plain(50)...)
	l := open(t, b, c)
	var mu sync.Mutex
	var got []string
	offers, full := 0, true
	stop := running(t, l, func(_ context.Context, batch []message.Incoming) error {
		mu.Lock()
		defer mu.Unlock()
		if offers++; full {
			return errors.New("the store is full")
		}
		for _, in := range batch {
			got = append(got, in.ID)
		}
		return nil
	})
	until(t, "it is offered again", func() bool { mu.Lock(); defer mu.Unlock(); return offers >= 4 })
	until(t, "40 of 50 messages wait on the broker, and no more than 10 are in hand", func() bool {
		waiting := 0
		err := b.Do(func(ch *amqp091.Channel) error {
			q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
			waiting = q.Messages // 0 while the queue does not answer
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return waiting == 40
	})
	mu.Lock()
	full = false
	mu.Unlock()
	until(t, "all came", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) >= 50 })
	stop()
	for i, id := range got {
		if id != fmt.Sprint(i) {
			t.Fatalf("message %d is %s: %q", i, id, got)
		}
	}
}

// A stop finishes the batch in hand, and what it does not accept goes back in order.
func TestAStopGivesBackTheRest(t *testing.T) {
	b := amqptest.Shared(t)
	quietly(t)
	c, queue := fromQueue(t, b)
	c.Receive.Batch = 10
	b.Put(t, queue, plain(100)...)
	l := open(t, b, c)
	ctx, stop := context.WithCancel(t.Context())
	taken := 0
	runningUntil(ctx, t, l, func(_ context.Context, batch []message.Incoming) error {
		if taken += len(batch); taken > 20 {
			stop() // it is in hand then
		}
		return nil
	})()
	checkRest(t, b, queue, taken, 100)
}

// Defect 3.2.5 of amqp091-go's recovery: m1 is held over a lost connection, and its late acknowledgement removed m2.
func TestALateAcknowledgementRemovesNoOtherMessage(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := fromQueue(t, b)
	c.Receive.InFlight = 1
	b.Put(t, queue, plain(4)...)
	sub, err := NewSubscriber(c, password(b), testlog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	messages, err := sub.Subscribe(t.Context(), queue)
	if err != nil {
		t.Fatal(err)
	}
	next := func(want string) *wm.Message {
		t.Helper()
		select {
		case m := <-messages:
			if m.UUID != want {
				t.Fatalf("got message %s, want %s", m.UUID, want)
			}
			return m
		case <-time.After(patience):
			t.Fatalf("message %s does not come", want)
			return nil
		}
	}
	cut := func() {
		t.Helper()
		s, err := sub.k.await(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = s.wire.Close()
		until(t, "there is a new connection", func() bool { n, _ := sub.k.now(); return n != nil && n != s })
	}
	next("0").Ack()
	held := next("1") // tag 2 of the first connection
	cut()
	next("1").Ack()
	m2 := next("2") // tag 2 of the second
	held.Ack()
	h, _ := heldOf(held.Context())
	if err := h.channel.ch.Ack(h.delivery.DeliveryTag, false); !errors.Is(err, amqp091.ErrClosed) {
		t.Errorf("an acknowledgement on the old connection: got %v, want %v", err, amqp091.ErrClosed)
	}
	select {
	case m := <-messages:
		t.Fatalf("message %s came although %s is not acknowledged", m.UUID, m2.UUID)
	case <-time.After(200 * time.Millisecond):
	}
	cut()
	next("2").Ack()
	next("3").Ack()
}

// The broker counts against everything that was in hand when a connection ended. Only the message whose turn it was is told its count.
func TestOnlyTheMessageThatBringsUsDownIsCounted(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := fromQueue(t, b)
	c.Receive.Batch = 3
	b.Put(t, queue, plain(20)...)
	p := newProxy(t, b)
	c.Addresses = []string{"amqp://" + p.address}
	l := open(t, b, c)
	worst := map[string]int{}
	var ids []string
	var mu sync.Mutex
	stop := running(t, l, func(_ context.Context, batch []message.Incoming) error {
		mu.Lock()
		defer mu.Unlock()
		for _, in := range batch {
			if !slices.Contains(ids, in.ID) {
				worst[in.ID] = max(worst[in.ID], in.Deliveries)
			}
			if in.ID == "7" && in.Deliveries < 5 { // as a crash would
				before := p.cut()
				until(t, "it connects again", func() bool { return p.accepted.Load() > before })
				return &problem.Error{Kind: problem.Unavailable, What: "accept", Why: "the process is gone"}
			}
		}
		for _, in := range batch {
			if !slices.Contains(ids, in.ID) {
				ids = append(ids, in.ID)
			}
		}
		return nil
	})
	until(t, "all came", func() bool { mu.Lock(); defer mu.Unlock(); return slices.Contains(ids, "19") })
	stop()
	if worst["7"] < 5 {
		t.Errorf("message 7 was told the count %d, want 5", worst["7"])
	}
	for i, id := range ids {
		if id != fmt.Sprint(i) {
			t.Fatalf("message %d is %s: %q", i, id, ids)
		}
	}
	for id, n := range worst {
		if id != "7" && n > 2 {
			t.Errorf("message %s was told the count %d, as if it had brought us down", id, n)
		}
	}
}

func TestANackGoesBackAndIsCounted(t *testing.T) {
	b := amqptest.Shared(t)
	c, _ := fromQueue(t, b)
	dead, queue := b.Queue(t, nil), b.Name(t)
	c.Queues = []Queue{{Name: queue, DeliveryLimit: 3, DeadLetter: "", DeadLetterKey: dead}}
	c.Receive = &Receive{Queue: queue, InFlight: 1}
	c.Exchanges = []Exchange{{Name: dead, Kind: "fanout"}}
	c.Queues[0].DeadLetter, c.Queues[0].DeadLetterKey = dead, ""
	c.Queues = append(c.Queues, Queue{Name: dead, Kind: "classic", Bindings: []Binding{{Exchange: dead}}})
	sub, err := NewSubscriber(c, password(b), testlog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	messages, err := sub.Subscribe(t.Context(), queue)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sub.k.await(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Put(t, queue, plain(1)...)
	var got []int
	for m := range messages {
		h, _ := heldOf(m.Context())
		got = append(got, deliveries(&h.delivery))
		m.Nack()
		if len(got) == 4 {
			break
		}
	}
	if want := []int{0, 1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("got the counts %v, want %v", got, want)
	}
	until(t, "it is a dead letter", func() bool { return len(b.Drain(t, dead)) == 1 })
}
