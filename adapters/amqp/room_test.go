package amqp

import (
	"context"
	"errors"
	"fmt"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/adapters/amqp/amqptest"
)

func TestFewerAreInHandWhereMessagesAreLarge(t *testing.T) {
	const mib = 1 << 20
	type step struct {
		come, size int   // messages, and bytes of each
		go_        int   // that are acknowledged before the next ones come
		want       error // of the last one
		limit      int
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"small ones", []step{{500, 1024, 500, nil, 500}}},
		{"large ones", []step{{129, mib, 0, errHeavy, 128}, {128, mib, 0, nil, 128}}},
		{"the largest", []step{{3, 64 * mib, 0, errHeavy, 2}, {2, 64 * mib, 0, nil, 2}}},
		{"one over all bounds", []step{{1, 200 * mib, 0, nil, 500}}},
		{"one over all bounds among others", []step{{2, 200 * mib, 0, errHeavy, 1}, {1, 200 * mib, 0, nil, 1}}},
		{"small ones after large ones", []step{{3, 64 * mib, 0, errHeavy, 2}, {500, 1024, 500, nil, 2}, {500, 1024, 500, errLight, 500}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(*(Config{Receive: &Receive{}}).withDefaults().Receive)
			for n, s := range tt.steps {
				r.begin()
				var err error
				for i := range s.come {
					if err != nil {
						t.Fatalf("step %d: given up after %d of %d", n, i, s.come)
					}
					if err = r.take(int64(s.size)); i < s.go_ {
						err = errors.Join(err, r.leave(int64(s.size)))
					}
				}
				if !errors.Is(err, s.want) || r.limit != s.limit {
					t.Errorf("step %d: %v, and %d may be in hand, want %v and %d", n, err, r.limit, s.want, s.limit)
				}
			}
		})
	}
}

// ready is how many messages of a queue nobody has in hand.
func ready(t *testing.T, b *amqptest.Broker, queue string) (n int) {
	t.Helper()
	err := b.Do(func(ch *amqp091.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		n = q.Messages
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLargeMessagesAreFewInHand has a queue give large messages to somebody who takes his time: few of them leave the broker, all come in
// their order, and of the small ones behind them as many are in hand as before.
func TestLargeMessagesAreFewInHand(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := fromQueue(t, b)
	c.Receive.InFlight, c.Receive.InFlightBytes = 100, 2<<20
	const large, small = 12, 400
	all := plain(large + small)
	for n := range large {
		all[n].Body = make([]byte, 512<<10)
	}
	b.Put(t, queue, all...)
	sub, err := NewSubscriber(c, password(b), testlog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	in, err := sub.Subscribe(context.WithoutCancel(t.Context()), queue)
	if err != nil {
		t.Fatal(err)
	}
	first := <-in // and it is not acknowledged
	until(t, "four are in hand", func() bool { return ready(t, b, queue) == large+small-4 })
	<-first.Context().Done() // its channel was given up
	for next := 0; next < large+small-100; {
		m := <-in
		if m.UUID == fmt.Sprint(next) {
			next++
		} else if n := 0; n < next {
			if _, err := fmt.Sscan(m.UUID, &n); err != nil || n > next {
				t.Fatalf("message %s came before %d", m.UUID, next)
			}
		}
		m.Ack()
	}
	last := <-in
	until(t, "a hundred are in hand", func() bool { return ready(t, b, queue) == 0 })
	last.Nack()
}
