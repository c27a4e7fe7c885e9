package amqp

import (
	"context"
	"fmt"
	"testing"

	"holdfast/adapters/amqp/amqptest"
	"holdfast/internal/message"
)

// TestANackIsNotLostAmongAcks: a queue that is full turns a message away before a slower queue has confirmed the message before it. The broker
// then acknowledges those around it "up to" a number. What was turned away must not count as delivered by that.
func TestANackIsNotLostAmongAcks(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := toQueue(t, b)
	full := queue + ".full"
	c.Queues = append(c.Queues, Queue{Name: full, Kind: "classic", MaxLength: 1, Reject: true})
	l := open(t, b, c)
	t.Cleanup(func() { _ = l.Remove(context.WithoutCancel(t.Context())) })
	to := func(id, target string) message.Delivery {
		d := delivery(t, id)
		d.Doc.Target = target
		return d
	}
	l.Deliver(t.Context(), []message.Delivery{to("first", full), to("second", full)}) // it is full now
	var ds []message.Delivery
	for n := range 200 {
		ds = append(ds, to(fmt.Sprint("good-", n), queue), to(fmt.Sprint("bad-", n), full))
	}
	wrong := 0
	for i, o := range l.Deliver(t.Context(), ds) {
		want := message.Delivered
		if i%2 == 1 {
			want = message.Again
		}
		if o.Verdict != want {
			wrong++
			if wrong <= 3 {
				t.Errorf("%s: got %v, want %s", ds[i].Event.Message().ID, o, want)
			}
		}
	}
	if n := ready(t, b, queue); n != 200 {
		t.Errorf("%d messages are on the queue that has room, want 200", n)
	}
	t.Logf("%d of %d outcomes are wrong; on the full queue are %d messages, on the other %d", wrong, len(ds), ready(t, b, full), ready(t, b, queue))
}
