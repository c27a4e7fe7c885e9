package amqp

import (
	"errors"
	"strings"
	"sync"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/adapters/amqp/amqptest"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

func TestDeliveredIsOnTheQueueInOrder(t *testing.T) {
	b := amqptest.Shared(t)
	quietly(t)
	c, queue := toQueue(t, b)
	l := open(t, b, c)
	ds := []message.Delivery{delivery(t, "a"), delivery(t, "b"), delivery(t, "c")}
	for i, o := range l.Deliver(t.Context(), ds) {
		if o.Verdict != message.Delivered || o.Err != nil {
			t.Errorf("delivery %d: got %v", i, o)
		}
	}
	var got []string
	for _, d := range b.Drain(t, queue) {
		got = append(got, d.MessageId)
		if d.DeliveryMode != amqp091.Persistent || d.ContentType != structured {
			t.Errorf("%s is %q, mode %d", d.MessageId, d.ContentType, d.DeliveryMode)
		}
	}
	if strings.Join(got, "") != "abc" {
		t.Errorf("got %q, want a, b, c", got)
	}
	l.Close()
}

func TestHundredsOfCallsShareOneWindow(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := toQueue(t, b)
	c.Publish.Window = 50
	l := open(t, b, c)
	var callers sync.WaitGroup
	for i := range 300 {
		callers.Go(func() {
			for range 5 {
				if o := one(t, l, "m"+string(rune('a'+i%26))); o.Verdict != message.Delivered {
					t.Errorf("got %v", o)
				}
			}
		})
	}
	callers.Wait()
	if n := len(b.Drain(t, queue)); n != 1500 {
		t.Errorf("got %d messages on the queue, want 1500", n)
	}
}

// Defect 3.2.3 of watermill-amqp: a message that no queue takes was taken for sent.
func TestWhatNoQueueTakesIsRefused(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := toQueue(t, b)
	c.Publish.Key = "{key}"
	l := open(t, b, c)
	ds := make([]message.Delivery, 200)
	for i := range ds {
		ds[i] = delivery(t, "m") // one ID for all: returns are told apart by their order
		if i%3 > 0 {
			ds[i].Doc.Target = queue
		}
	}
	for i, o := range l.Deliver(t.Context(), ds) {
		want := message.Delivered
		if i%3 == 0 {
			want = message.Refused
		}
		if o.Verdict != want || o.LinkDown {
			t.Fatalf("message %d: got %v, want %s", i, o, want)
		}
		if want == message.Delivered {
			continue
		}
		if p, ok := errors.AsType[*problem.Error](o.Err); !ok || !strings.Contains(p.Why, "312 NO_ROUTE") || p.Hint == "" {
			t.Errorf("got the error %v", o.Err)
		}
	}
	if n := len(b.Drain(t, queue)); n != 133 {
		t.Errorf("got %d messages on the queue, want 133", n)
	}
}

func TestAFullQueueIsTheLinksTrouble(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := toQueue(t, b)
	c.Queues[0].Kind, c.Queues[0].MaxLength, c.Queues[0].Reject = "classic", 1, true
	l := open(t, b, c)
	until(t, "the queue is full", func() bool { return one(t, l, "filler").Verdict != message.Delivered })
	o := one(t, l, "too much")
	if o.Verdict != message.Again || !o.LinkDown || !o.Sent || o.Err == nil {
		t.Errorf("got %v, link down %t, sent %t", o, o.LinkDown, o.Sent)
	}
	b.Drain(t, queue)
	until(t, "there is room again", func() bool { return one(t, l, "again").Verdict == message.Delivered })
}

func TestAMissingExchangeIsNamed(t *testing.T) {
	b := amqptest.Shared(t)
	c := config(b)
	no := false
	c.Declare, c.Publish = &no, &Publish{Exchange: b.Name(t)}
	l, err := Open(c, password(b), testlog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	until(t, "it is told what is missing", func() bool {
		o := one(t, l, "m")
		return o.Verdict == message.Again && o.LinkDown && strings.Contains(o.Err.Error(), c.Publish.Exchange)
	})
	err = b.Do(func(ch *amqp091.Channel) error {
		return ch.ExchangeDeclare(c.Publish.Exchange, "fanout", true, false, false, false, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	connected(t, l)
	if o := one(t, l, "m"); o.Verdict != message.Refused {
		t.Errorf("an exchange without a queue: got %v", o)
	}
}

// An exchange that is deleted under way ends the channel, and makes the window unknown; the link says which one it misses.
func TestAnExchangeThatIsDeletedMeanwhile(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := toQueue(t, b)
	exchange, no := b.Name(t), false
	err := b.Do(func(ch *amqp091.Channel) error {
		return ch.ExchangeDeclare(exchange, "fanout", true, false, false, false, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Declare, c.Queues, c.Publish = &no, nil, &Publish{Exchange: exchange}
	_ = queue
	l := open(t, b, c)
	if err := b.Do(func(ch *amqp091.Channel) error { return ch.ExchangeDelete(exchange, false, false) }); err != nil {
		t.Fatal(err)
	}
	o := one(t, l, "m")
	if o.Verdict != message.Unsure || !o.LinkDown {
		t.Errorf("got %v, want unknown", o)
	}
	until(t, "it is told what is missing", func() bool {
		o := one(t, l, "m")
		return o.Verdict == message.Again && strings.Contains(o.Err.Error(), "look for exchange \""+exchange)
	})
}

func TestWhatAMQPCannotCarryIsRefusedAndHarmsNoOther(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := toQueue(t, b)
	c.Publish.Binary = true
	l := open(t, b, c)
	long := delivery(t, strings.Repeat("x", 300)) // its ID goes into the header in full
	bad := delivery(t, "bad")
	bad.Doc.Target = strings.Repeat("k", 256)
	out := l.Deliver(t.Context(), []message.Delivery{long, bad, delivery(t, "good")})
	for i, want := range []message.Verdict{message.Delivered, message.Refused, message.Delivered} {
		if out[i].Verdict != want {
			t.Errorf("message %d: got %v, want %s", i, out[i], want)
		}
	}
	if g := l.Status().Generation; g != 1 {
		t.Errorf("the connection was lost: generation %d", g)
	}
	if got := b.Drain(t, queue); len(got) != 2 || len(got[0].MessageId) > 255 || got[0].Headers[prefix+"id"] != strings.Repeat("x", 300) {
		t.Errorf("got %d messages, the first %q", len(got), got[0].MessageId)
	}
}
