package amqp

import (
	"context"
	"errors"
	"strings"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/adapters/amqp/amqptest"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// TestParcelsGoAsTheyAre: body and content type are the document's own, and the message is known by its ID.
func TestParcelsGoAsTheyAre(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := toQueue(t, b)
	l := open(t, b, c)
	m := sample("m1")
	m.Trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	out := l.Carry(t.Context(), []Parcel{
		{Of: m, ID: "m1", Type: "MBGMCR03", Media: "application/xml", Body: []byte("<MBGMCR03/>")},
		{Of: sample("m2"), ID: "m2/0000000000000007", Type: "MBGMCR03", Media: "text/plain", Body: []byte("EDI_DC40")},
	})
	if out[0].Verdict != message.Delivered || out[1].Verdict != message.Delivered {
		t.Fatalf("got %v", out)
	}
	got := b.Drain(t, queue)
	if len(got) != 2 {
		t.Fatalf("%d arrived, want 2", len(got))
	}
	d := got[0]
	if string(d.Body) != "<MBGMCR03/>" || d.ContentType != "application/xml" || d.MessageId != "m1" || d.CorrelationId != "m1" || d.Type != "MBGMCR03" ||
		d.DeliveryMode != amqp091.Persistent || d.Headers["traceparent"] != m.Trace {
		t.Errorf("the first is %+v", d)
	}
	if d := got[1]; string(d.Body) != "EDI_DC40" || d.ContentType != "text/plain" || d.MessageId != "m2/0000000000000007" || d.CorrelationId != "m2" {
		t.Errorf("the second is %+v", d)
	}
}

// TestParcelsAreRoutedByTheirType: the key of the link may have the document's type in it.
func TestParcelsAreRoutedByTheirType(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := toQueue(t, b)
	exchange := b.Name(t)
	c.Exchanges = []Exchange{{Name: exchange}}
	c.Queues[0].Bindings = []Binding{{Exchange: exchange, Key: "idoc.MBGMCR03.operation.confirmed"}}
	c.Publish = &Publish{Exchange: exchange, Key: "idoc.{type}.{kind}"}
	l := open(t, b, c)
	if out := l.Carry(t.Context(), []Parcel{{Of: sample("m1"), ID: "m1", Type: "MBGMCR03"}}); out[0].Verdict != message.Delivered || len(b.Drain(t, queue)) != 1 {
		t.Errorf("got %v", out)
	}
	if out := l.Carry(t.Context(), []Parcel{{Of: sample("m2"), ID: "m2", Type: "LOIPRO01"}}); out[0].Verdict != message.Refused {
		t.Errorf("what no queue takes is %v, want it refused", out)
	}
}

// TestWhatIsReadIsAcceptedWhole: all that is in one message is accepted together, again after a failure, and acknowledged then; what nobody
// can read is handed on as it is, with the reason, and what follows comes in its order.
func TestWhatIsReadIsAcceptedWhole(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := toQueue(t, b)
	c.Publish, c.Receive = nil, &Receive{Queue: queue}
	if err := b.Do(func(ch *amqp091.Channel) error {
		_, err := ch.QueueDeclare(queue, true, false, false, false, amqp091.Table{"x-queue-type": "quorum", "x-single-active-consumer": true})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	b.Put(t, queue, amqp091.Publishing{Body: []byte("1 2")}, amqp091.Publishing{MessageId: "p", Body: []byte("poison")}, amqp091.Publishing{Body: []byte("3")})
	l := open(t, b, c)
	read := func(body []byte) ([]message.Incoming, error) {
		if string(body) == "poison" {
			return nil, &problem.Error{Kind: problem.Invalid, What: "read it", Why: "it is poison"}
		}
		var out []message.Incoming
		for _, id := range strings.Fields(string(body)) {
			out = append(out, message.Incoming{Message: message.Message{ID: id}})
		}
		return out, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got []string
	failures := 0
	err := l.RunReading(ctx, read, func(_ context.Context, batch []message.Incoming) error {
		if failures++; failures == 1 {
			return errors.New("not yet")
		}
		for _, in := range batch {
			if in.Unread != nil {
				got = append(got, "aside "+in.ID+" "+string(in.Body))
			} else {
				got = append(got, in.ID)
			}
		}
		if got[len(got)-1] == "3" {
			cancel()
		}
		return nil
	})
	if want := "1, 2, aside p poison, 3"; err != nil || strings.Join(got, ", ") != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
