package amqp

import (
	"context"
	"errors"
	"strings"
	"sync"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// Deliver publishes each message as a CloudEvent and gives one Outcome for each, in order. Many calls may be under way at once: they
// share one window of Config.Publish.Window messages, and messages of one call go out in its order.
//
// A ctx that ends makes an outcome like any other: Again if nothing was sent, else Unsure.
func (l *Link) Deliver(ctx context.Context, ds []message.Delivery) []message.Outcome {
	out := make([]message.Outcome, len(ds))
	w, err := l.ready(ctx)
	if err != nil {
		for i := range out {
			out[i] = notSent(err)
		}
		return out
	}
	ds, release, err := l.load(ctx, ds)
	if err != nil {
		for i := range out {
			out[i] = notSent(err)
		}
		return out
	}
	defer release()
	c := newCall(len(ds))
	defer c.free()
	var ended error // why nothing more is sent: what follows must not overtake what was not
	for i, d := range ds {
		if ended != nil {
			w.skip(c)
			out[i] = notSent(ended)
			continue
		}
		m, err := l.outgoing(d, c.room[:0])
		if m.msg.ContentType == structured {
			c.keep(m.msg.Body) // it was made there, and is free again when it was written
		}
		if err != nil {
			w.skip(c)
			out[i] = unmade(err)
			continue
		}
		if ended = w.send(ctx, &m, c, i); ended != nil {
			out[i] = notSent(ended)
		}
	}
	if len(ds) > 0 {
		w.wait(ctx, c)
	}
	for i, d := range ds {
		if out[i].Verdict == "" {
			out[i] = c.fates[i].outcome(d.Event.Message().ID, l.key(d), c.said[i])
		}
	}
	return out
}

// Send publishes an event, of which told is called with the Outcome as soon as the broker has confirmed it; false if the window is full.
// The document must be the event itself, with its body in memory.
func (l *Link) Send(d message.Delivery, told func(message.Outcome)) bool {
	w, err := l.ready(context.Background())
	if err == nil && bodyOf(d) != nil {
		err = errNotInMemory
	}
	if err != nil {
		told(notSent(err))
		return true
	}
	room := rooms.Get().(*[]byte)
	defer rooms.Put(room)
	m, err := l.outgoing(d, (*room)[:0])
	if b := m.msg.Body; m.msg.ContentType == structured && cap(b) < wireRoom {
		*room = b // it was made there, and is free again when it was written
	}
	if err != nil {
		told(unmade(err))
		return true
	}
	has, err := w.post(&m, told)
	if has && err != nil {
		told(notSent(err))
	}
	return has
}

// rooms is memory in which bodies are written.
var rooms = sync.Pool{New: func() any { return new([]byte) }}

var errNotInMemory = errors.New("its body is not in memory")

// ready gives the window to send through, or the reason why nothing can be sent now.
func (l *Link) ready(ctx context.Context) (*window, error) {
	if l.out == nil {
		return nil, wrong("publish", "the link receives only", "name the exchange, or route the message to another link")
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	s, status := l.out.k.now()
	if s == nil {
		return nil, status.Reason
	}
	return s.window, nil
}

// notSent is the outcome of a message of which the broker has certainly nothing: for want of a connection, or of time.
func notSent(err error) message.Outcome {
	if _, ok := errors.AsType[*problem.Error](err); !ok {
		err = &problem.Error{
			Kind: problem.Unavailable, What: "publish to RabbitMQ", Why: "it was not sent: " + words(err), Hint: "nothing to do: it is sent again",
		}
	}
	return message.Outcome{Verdict: message.Again, LinkDown: true, Err: err}
}

// unmade is the outcome of a message of which nothing can be made that the broker takes: a person must look, unless it only cannot be
// encrypted at present.
func unmade(err error) message.Outcome {
	if problem.KindOf(err) == problem.Unavailable {
		return notSent(err)
	}
	return message.Outcome{Verdict: message.Refused, Err: err}
}

// outcome is what the fate of a message means for the relay.
//
// A message that is nacked has nothing wrong with it: the queue is full, or the broker in trouble. It counts as the link's failure,
// so that it spends no attempt and the breaker keeps the rest back until there is room. Of several queues behind the exchange others may
// have taken it, so that it counts as sent: it is neither changed nor given up as one that nobody has seen.
func (f fate) outcome(id, key, said string) message.Outcome {
	if f == confirmed {
		return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Kind: "message"}}
	}
	err := f.problem(id, key, said)
	switch f {
	case returned, tooLarge:
		return message.Outcome{Verdict: message.Refused, Err: err}
	case nacked:
		return message.Outcome{Verdict: message.Again, LinkDown: true, Sent: true, Err: err}
	}
	return message.Outcome{Verdict: message.Unsure, LinkDown: true, Err: err}
}

// Ask answers Again, always: a broker cannot be asked for a message. It may be sent once more, since it keeps its ID, and whoever
// receives from this link drops an ID that it has seen.
func (l *Link) Ask(context.Context, message.Delivery) (message.Outcome, error) {
	return message.Outcome{Verdict: message.Again, Err: &problem.Error{
		Kind: problem.Unavailable, What: "ask RabbitMQ for a message", Why: "a broker cannot tell what it was sent",
		Hint: "nothing to do: it is sent again under the same message ID, which receivers drop if they have it",
	}}, nil
}

// key is the routing key of a delivery.
func (l *Link) key(d message.Delivery) string {
	if d.Doc.Target != "" {
		return d.Doc.Target
	}
	return l.routed(d.Event.Message(), "")
}

// routed is the routing key of what is made of an event. The usual templates take no time: every message passes here.
func (l *Link) routed(m message.Message, typ string) string {
	template := l.cfg.Publish.Key
	switch {
	case template == "{kind}":
		return m.Kind
	case !strings.Contains(template, "{"):
		return template
	}
	return strings.NewReplacer("{kind}", m.Kind, "{key}", m.Key, "{lane}", m.Lane, "{link}", m.Link, "{source}", m.Source, "{type}", typ).Replace(template)
}

// outgoing makes a publishing of a delivery, in room: the signed event itself, or the document that a mapping has made of it.
func (l *Link) outgoing(d message.Delivery, room []byte) (outgoing, error) {
	m := d.Event.Message()
	binary := l.cfg.Publish.Binary
	if large := bodyOf(d); large != nil { // in structured mode it would be copied once more
		binary, m.Body = true, d.Doc.Body
	}
	out := outgoing{exchange: l.cfg.Publish.Exchange, key: l.key(d)}
	digest := d.Digest
	if digest == "" {
		digest = m.Digest()
	}
	data := plainData(m, d.Doc)
	if l.seal != nil {
		var err error
		if data, err = data.sealed(l.seal, m.ID); err != nil {
			return out, err
		}
	}
	out.msg = encodeDigested(m, digest, d.Doc, data, binary, room)
	return out, out.check()
}
