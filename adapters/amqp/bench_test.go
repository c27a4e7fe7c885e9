package amqp

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	wm "github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/amqp/amqptest"
	"holdfast/internal/message"
)

// window of the benchmark, ours and the ceiling's.
const outstanding = 500

// BenchmarkPublish holds ours against amqp091-go alone, on the same quorum queue with 1 KiB in each message: an event of that size with
// its attributes, and as many bytes without meaning. The broker's work grows with them.
func BenchmarkPublish(b *testing.B) {
	m := sample("8b0c1f9e-7c0b-4f6e-9a53-2f6f0e3f9c11")
	bare := len(encode(m, message.Document{}, false, nil).Body) - len(m.Body)
	m.Body = append(append([]byte(`"`), bytes.Repeat([]byte("x"), 1024-bare-2)...), '"')
	body := encode(m, message.Document{}, false, nil).Body
	b.Run("ceiling", func(b *testing.B) { ceiling(b, body) })
	b.Run("deliver", func(b *testing.B) { benchDeliver(b, m) })
	b.Run("watermill", func(b *testing.B) { benchWatermill(b, body) })
}

func rate(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}

// ceiling is amqp091-go with a window of deferred confirms, one after the other.
func ceiling(b *testing.B, body []byte) {
	broker := amqptest.Shared(b)
	queue := broker.Queue(b, amqp091.Table{"x-queue-type": "quorum"})
	err := broker.Do(func(ch *amqp091.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		waiting := make(chan *amqp091.DeferredConfirmation, outstanding)
		var waiter sync.WaitGroup
		waiter.Go(func() {
			for dc := range waiting {
				if !dc.Wait() {
					b.Error("not confirmed")
				}
			}
		})
		defer waiter.Wait()
		defer close(waiting)
		b.ResetTimer()
		for i := range b.N {
			dc, err := ch.PublishWithDeferredConfirm("", queue, true, false, amqp091.Publishing{
				MessageId: fmt.Sprint(i), DeliveryMode: amqp091.Persistent, ContentType: "application/json", Body: body,
			})
			if err != nil {
				return err
			}
			waiting <- dc
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	rate(b)
}

// benchDeliver is what the relay does: one goroutine for each lane, one message in each call.
func benchDeliver(b *testing.B, m message.Message) {
	broker := amqptest.Shared(b)
	c, _ := toQueue(b, broker)
	l := open(b, broker, c)
	v, err := message.Verify(b.Context(), adaptertest.Trust{}, m)
	if err != nil {
		b.Fatal(err)
	}
	ds := []message.Delivery{{Event: v}}
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var lanes sync.WaitGroup
	for range outstanding {
		lanes.Go(func() {
			for left.Add(-1) >= 0 {
				if o := l.Deliver(b.Context(), ds)[0]; o.Verdict != message.Delivered {
					b.Errorf("got %v", o)
					return
				}
			}
		})
	}
	lanes.Wait()
	rate(b)
}

// benchWatermill publishes through Watermill's interface, many messages in each call.
func benchWatermill(b *testing.B, body []byte) {
	broker := amqptest.Shared(b)
	c, queue := toQueue(b, broker)
	l := open(b, broker, c)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += 5000 {
		ms := make([]*wm.Message, min(5000, b.N-n))
		for i := range ms {
			ms[i] = wm.NewMessage(fmt.Sprint(n+i), body)
		}
		if err := l.out.Publish(queue, ms...); err != nil {
			b.Fatal(err)
		}
	}
	rate(b)
}
