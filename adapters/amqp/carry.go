package amqp

import (
	"context"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/internal/message"
)

// Parcel is a document in a format that this package only carries, such as an IDoc.
type Parcel struct {
	Of    message.Message // the event that it is made of
	ID    string          // by which a receiver knows it again, the same at each attempt
	Type  string          // of the document: PPCC2PRETTICKET01
	Media string          // its content type
	Body  []byte
}

// Carry publishes parcels as they are, in order, and gives one Outcome for each, with the meaning of Deliver's. ID stands in the message ID,
// the event's ID in the correlation ID.
func (l *Link) Carry(ctx context.Context, ps []Parcel) []message.Outcome {
	out := make([]message.Outcome, len(ps))
	w, err := l.ready(ctx)
	if err != nil {
		for i := range out {
			out[i] = notSent(err)
		}
		return out
	}
	c := newCall(len(ps))
	defer c.free()
	keys := make([]string, len(ps))
	var ended error // as in Deliver
	for i, p := range ps {
		keys[i] = l.routed(p.Of, p.Type)
		m := outgoing{exchange: l.cfg.Publish.Exchange, key: keys[i], msg: wrap(p)}
		switch err := m.check(); {
		case ended != nil:
			w.skip(c)
			out[i] = notSent(ended)
		case err != nil:
			w.skip(c)
			out[i] = message.Outcome{Verdict: message.Refused, Err: err}
		default:
			if ended = w.send(ctx, &m, c, i); ended != nil {
				out[i] = notSent(ended)
			}
		}
	}
	if len(ps) > 0 {
		w.wait(ctx, c)
	}
	for i, p := range ps {
		if out[i].Verdict == "" {
			out[i] = c.fates[i].outcome(p.ID, keys[i], c.said[i])
		}
	}
	return out
}

// wrap makes a publishing of a parcel.
func wrap(p Parcel) amqp091.Publishing {
	out := amqp091.Publishing{
		ContentType: p.Media, DeliveryMode: amqp091.Persistent, MessageId: short(p.ID), CorrelationId: short(p.Of.ID), Timestamp: p.Of.Time,
		Type: short(p.Type), AppId: "holdfast", Body: p.Body,
	}
	if p.Of.Trace != "" {
		out.Headers = amqp091.Table{"traceparent": p.Of.Trace}
	}
	return out
}

// Read makes messages of a body that came from a queue, of all that is in it. An error says why there are none; it is never of kind Unavailable.
type Read func(body []byte) ([]message.Incoming, error)

// RunReading is Run for a queue whose messages are read by read. All that is in one of them is accepted before it is acknowledged. What cannot
// be read is handed on as a whole, with the reason, so that the inbox puts it into quarantine.
func (l *Link) RunReading(ctx context.Context, read Read, accept Accept) error {
	return l.run(ctx, accept, func(d *amqp091.Delivery, queue string, now time.Time) []message.Incoming {
		ins, err := read(d.Body)
		if err != nil {
			in := raw(d, queue, now)
			in.Unread = err
			return []message.Incoming{in}
		}
		for i := range ins {
			ins[i].Deliveries = deliveries(d)
		}
		return ins
	})
}

// raw is what came as it is, under its message ID or, without one, the digest of its body.
func raw(d *amqp091.Delivery, queue string, now time.Time) message.Incoming {
	in := message.Incoming{Deliveries: deliveries(d), Undated: true}
	in.ID, in.Source, in.Time, in.Body, in.Version, in.Role = d.MessageId, "urn:amqp:queue:"+queue, now, d.Body, 1, message.Event
	if in.ID == "" {
		in.ID = digest(d.Body)
	}
	return in
}
