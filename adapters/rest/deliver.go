package rest

import (
	"cmp"
	"context"
	"net/http"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/openapi/contract"
)

// Deliver sends each document once and classifies each answer once. There is one Outcome per delivery, in order. Up to
// Config.Parallel are under way at a time; who needs an order among them must not hand them over together.
//
// A ctx that ends makes an outcome like any other: Again if nothing was sent, else Unsure.
func (l *Link) Deliver(ctx context.Context, ds []message.Delivery) []message.Outcome {
	out := make([]message.Outcome, len(ds))
	var g errgroup.Group
	g.SetLimit(l.cfg.Parallel)
	for i, d := range ds {
		g.Go(func() error {
			out[i] = l.deliver(ctx, d)
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	return out
}

// Fits tells whether a delivery would be sent, and sends nothing. Its error is a *problem.Error with every violation of the contract.
func (l *Link) Fits(d message.Delivery) error {
	op, err := l.find(d.Doc.Target)
	if err != nil {
		return err
	}
	if _, wrong := l.compose(op, d); len(wrong) > 0 {
		return violated(op.ID+" for message "+d.Event.Message().ID, wrong)
	}
	return nil
}

func (l *Link) deliver(ctx context.Context, d message.Delivery) message.Outcome {
	id := d.Event.Message().ID
	op, err := l.find(d.Doc.Target)
	if err != nil {
		return message.Outcome{Verdict: message.Refused, Err: err}
	}
	what := op.ID + " for message " + id
	req, wrong := l.compose(op, d)
	if len(wrong) > 0 {
		return message.Outcome{Verdict: message.Refused, Err: violated(what, wrong)}
	}
	hr, err := l.httpRequest(ctx, op, req)
	if err != nil { // no secret: as if the ERP had refused it
		return message.Outcome{Verdict: message.Again, LinkDown: true, Err: err}
	}
	if t := d.Event.Message().Trace; hr.Header.Get("Traceparent") == "" && t != "" && validHeader("Traceparent", t) {
		hr.Header.Set("Traceparent", t)
	}
	if s := statement(d); s != "" {
		hr.Header.Set(wire.Statement, s)
	}
	release, err := l.load(hr, req.Body, d)
	if err != nil {
		return message.Outcome{Verdict: message.Again, LinkDown: true, Err: err}
	}
	defer release()
	l.introduce(hr, d)
	out := l.receipted(ctx, d, l.send(op, what, hr, req))
	if out.Verdict == message.Unsure {
		l.attempts.Note(id, l.now())
	} else {
		l.attempts.Drop(id)
	}
	return out
}

// statement is what the plant has signed of the event, "" if it is not signed.
func statement(d message.Delivery) string {
	m := d.Event.Message()
	if m.Origin == nil {
		return ""
	}
	return m.Statement(cmp.Or(d.Digest, m.Digest()))
}

// send puts the request on the wire, once.
func (l *Link) send(op *operation, what string, hr *http.Request, req *contract.Request) message.Outcome {
	a, sent, err := l.exchange(hr, req)
	switch {
	case err != nil && sent:
		return message.Outcome{Verdict: message.Unsure, LinkDown: true, Err: unreachable(what, sent, err)}
	case err != nil:
		return message.Outcome{Verdict: message.Again, LinkDown: true, Err: unreachable(what, sent, err)}
	}
	if err := l.unproven(a); err != nil { // whatever it says, somebody else may have said it
		return message.Outcome{Verdict: message.Unsure, LinkDown: true, Receipt: message.Receipt{Status: a.Status}, Err: err}
	}
	return l.classify(op, what, a)
}

// read calls an operation that changes nothing and gives its answer, whatever it is.
func (l *Link) read(ctx context.Context, op *operation, req *contract.Request) (wire.Answer, error) {
	hr, err := l.httpRequest(ctx, op, req)
	if err != nil {
		return wire.Answer{}, err
	}
	a, sent, err := l.exchange(hr, req)
	if err == nil {
		err = a.Cut
	}
	if err != nil {
		e := unreachable("call of "+op.ID, false, err)
		switch {
		case sent:
			e.Why, e.Hint = "the ERP did not answer in full", hintReach
		case e.Kind != problem.Denied:
			e.Hint = hintReach
		}
		return wire.Answer{}, e
	}
	return a, nil
}
