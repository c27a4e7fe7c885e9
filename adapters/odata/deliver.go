package odata

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/odata/edm"
	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// write is one delivery on its way.
type write struct {
	client  *Client
	what    string    // for a person
	made    time.Time // the message
	message string    // its ID
	model   *edm.Model
	target  *target
	mark    string // what stands for the message's ID in the document, "" if nothing does
	req     request
	doc     map[string]any // what a change is to give its entity, by field
	state   string         // in which a change that may be sent again has found its entity
}

// Fits tells whether a delivery would be sent, and sends nothing. Its error is a *problem.Error with every violation. While the
// $metadata is not known, everything fits.
func (l *Link) Fits(d message.Delivery) error {
	c, rest, err := l.split(d.Doc.Target)
	if err != nil {
		return err
	}
	m, _ := c.metadata.known()
	if m == nil {
		return nil
	}
	t, err := c.target(m, rest)
	if err != nil {
		return err
	}
	if _, wrong := c.compose(m, t, d); len(wrong) > 0 {
		return violated(d.Doc.Target+" for message "+d.Event.Message().ID, wrong)
	}
	return nil
}

// Deliver sends each document once and classifies each answer once. There is one Outcome per delivery, in order. Those of one service go
// together, Config.Batch of them in one $batch. Who needs an order among them must not hand them over together.
//
// A ctx that ends makes an outcome like any other: Again if nothing was sent, else Unsure.
func (l *Link) Deliver(ctx context.Context, ds []message.Delivery) []message.Outcome {
	return l.DeliverBeside(ctx, ds, Beside{})
}

// DeliverBeside is Deliver, and reads beside what goes in one $batch what became of it.
func (l *Link) DeliverBeside(ctx context.Context, ds []message.Delivery, b Beside) []message.Outcome {
	out := make([]message.Outcome, len(ds))
	var g errgroup.Group
	g.SetLimit(l.cfg.Parallel)
	made := make([]*write, len(ds))
	for i, d := range ds {
		g.Go(func() error {
			made[i], out[i] = l.prepare(ctx, d)
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	var ready []*write
	var place []int
	for i, w := range made {
		if w != nil {
			ready, place = append(ready, w), append(place, i)
		}
	}
	for _, some := range l.batches(ready) {
		g.Go(func() error {
			ws := make([]*write, 0, len(some))
			for _, k := range some {
				ws = append(ws, ready[k])
			}
			for n, o := range ws[0].client.sendTogether(ctx, ws, b) {
				out[place[some[n]]] = o
			}
			return nil
		})
	}
	_ = g.Wait() // as above
	for i, d := range ds {
		state := ""
		if made[i] != nil {
			state = made[i].state
		}
		l.states.note(d.Event.Message().ID, state, out[i].Verdict)
		l.note(d.Event.Message().ID, out[i])
	}
	return out
}

// note remembers until when a message may still be on its way.
func (l *Link) note(id string, o message.Outcome) {
	if o.Verdict == message.Unsure {
		l.attempts.Note(id, l.now())
	} else {
		l.attempts.Drop(id)
	}
}

// mostBytes is how much goes in one $batch: gateways refuse what is much longer, and then all of it.
const mostBytes = 4 << 20

// batches are the writes that go together, by their places: those of one service. What changes an entity, or is bound to one, goes alone.
func (l *Link) batches(ready []*write) (out [][]int) {
	type open struct{ at, bytes int }
	last := map[*Client]*open{} // the batch of a service that others may join
	for i, w := range ready {
		switch o := last[w.client]; {
		case w.alone():
			out = append(out, []int{i})
		case o == nil || len(out[o.at]) >= l.cfg.Batch || o.bytes+len(w.req.body) > mostBytes:
			last[w.client] = &open{len(out), len(w.req.body)}
			out = append(out, []int{i})
		default:
			o.bytes += len(w.req.body)
			out[o.at] = append(out[o.at], i)
		}
	}
	return out
}

// alone tells whether the write stays out of $batch.
func (w *write) alone() bool {
	return w.target.cfg.Alone || w.target.change || w.target.op != nil && w.target.op.Bound != nil
}

// prepare makes the request of a delivery; without one, the outcome says why.
func (l *Link) prepare(ctx context.Context, d message.Delivery) (*write, message.Outcome) {
	c, rest, err := l.split(d.Doc.Target)
	if err != nil {
		return nil, message.Outcome{Verdict: message.Refused, Err: err}
	}
	return c.prepare(ctx, rest, d)
}

// prepare makes the request of a delivery; without one, the outcome says why.
func (c *Client) prepare(ctx context.Context, rest string, d message.Delivery) (*write, message.Outcome) {
	m, err := c.Model(ctx)
	if err != nil {
		return nil, putOff(message.Outcome{Verdict: message.Again, LinkDown: true, Err: err}, err)
	}
	t, err := c.target(m, rest)
	if err != nil {
		return nil, message.Outcome{Verdict: message.Refused, Err: err}
	}
	w := &write{client: c, what: d.Doc.Target + " for message " + d.Event.Message().ID, made: d.Event.Message().Time, message: d.Event.Message().ID, model: m, target: t}
	r, bad := c.compose(m, t, d)
	if len(bad) > 0 {
		return nil, message.Outcome{Verdict: message.Refused, Err: violated(w.what, bad)}
	}
	event := d.Event.Message()
	if event.Trace != "" {
		r.header.Set("Traceparent", event.Trace)
	}
	if event.Origin != nil {
		r.header.Set(wire.Statement, event.Statement(cmp.Or(d.Digest, event.Digest())))
	}
	w.req = r
	if t.change {
		w.doc, _ = object(d.Doc.Body) // compose has read it
	}
	if settled, err := c.match(ctx, w, d); err != nil {
		return nil, NotSent(err)
	} else if settled != nil {
		return nil, *settled
	}
	if f, ok := t.field(t.cfg.ID); ok {
		if w.mark, err = idFor(f, event.ID); err != nil {
			return nil, message.Outcome{Verdict: message.Refused, Err: c.invalid(t.name, err)}
		}
	}
	return w, message.Outcome{}
}

// NotSent is the outcome of a write for which something that it needs could not be read, such as the entity that it changes: nothing was
// sent, and the link or the lane waits as if the write had been answered so. What is not there is nobody's but a person's to settle.
func NotSent(err error) message.Outcome {
	var p *problem.Error
	if errors.As(err, &p) && p.Kind == problem.Invalid {
		return message.Outcome{Verdict: message.Refused, Err: err}
	}
	return putOff(message.Outcome{Verdict: message.Again, LinkDown: true, Err: err}, err)
}

// sendAlone puts one write on the wire.
func (c *Client) sendAlone(ctx context.Context, w *write) message.Outcome {
	a, sent, err := c.call(ctx, w.req)
	if err != nil {
		return c.failed(w, sent, err)
	}
	out := c.classify(w, a)
	if refused, ok := errors.AsType[*problem.Error](out.Err); ok && refused.Kind == problem.Precondition && w.target.change {
		return c.stale(ctx, w, out, refused)
	}
	return out
}

// failed is the outcome of a write that got no answer.
func (c *Client) failed(w *write, sent bool, err error) message.Outcome {
	out := message.Outcome{Verdict: message.Again, LinkDown: true, Err: c.unreachable(w.what, sent, err)}
	if sent {
		out.Verdict = message.Unsure
	}
	return putOff(out, err)
}

// sendTogether puts several writes in one $batch, each in a change set of its own, and ties each part of the answer to its write.
func (c *Client) sendTogether(ctx context.Context, ws []*write, b Beside) []message.Outcome {
	out := make([]message.Outcome, len(ws))
	if len(ws) == 1 {
		out[0] = c.sendAlone(ctx, ws[0])
		return out
	}
	groups := make([][]request, len(ws))
	for i, w := range ws {
		groups[i] = []request{w.req}
	}
	var reads []beside
	if c.link.now().UnixNano() >= c.alone.Load() {
		reads = b.reads(ws)
	}
	for _, r := range reads {
		groups = append(groups, []request{r.request})
	}
	parts, a, sent, err := c.batch(ctx, ws[0].model, groups)
	if len(reads) > 0 && parts == nil && (err == nil || sent) { // it may be for their sake
		c.alone.Store(c.link.now().Add(aloneFor).UnixNano())
	}
	if err == nil && parts == nil && c.notABatch(a) {
		return c.apart(ctx, ws, a)
	}
	for i, w := range ws {
		switch {
		case err != nil:
			out[i] = c.failed(w, sent, err)
		case parts == nil:
			out[i] = c.whole(w, a)
		case parts[i][0].missing:
			out[i] = message.Outcome{Verdict: message.Unsure, LinkDown: a.Cut != nil, Err: &problem.Error{
				Kind: problem.Unavailable, What: w.what, Why: "the answer to the batch has no part for it", Hint: hintAsk,
			}}
		default:
			out[i] = c.classify(w, parts[i][0].answer)
		}
	}
	for i, r := range reads {
		if parts != nil {
			c.seen(ws[0].model, r, parts[len(ws)+i][0], b)
		}
	}
	return out
}

// notABatch tells whether a service has refused a batch as such: nothing of it was done, since the parts were not even looked at.
func (c *Client) notABatch(a wire.Answer) bool {
	switch a.Status {
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	case http.StatusNotFound:
		return untouched(a)
	}
	_, later := wire.RetryAfter(a.Header, c.link.now(), c.link.cfg.MaxRetryAfter)
	return untouched(a) && c.rule(a, listen(a.Body), later).verdict == message.Refused
}

// untouched tells whether a 4xx to a batch as a whole proves that no part of it was done: it speaks of the sender, of the request's form or
// of its size, or it is SAP's gateway that could not read it. Any other may be what became of one part, after others were done.
func untouched(a wire.Answer) bool {
	switch a.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusProxyAuthRequired,
		http.StatusLengthRequired, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusUnsupportedMediaType,
		http.StatusExpectationFailed, http.StatusMisdirectedRequest, http.StatusTooEarly, http.StatusUpgradeRequired, http.StatusTooManyRequests,
		http.StatusRequestHeaderFieldsTooLarge:
		return true
	case http.StatusBadRequest:
		return strings.HasPrefix(listen(a.Body).Code, "/IWFND/")
	case http.StatusNotFound:
		code := listen(a.Body).Code
		return code == "" || strings.HasPrefix(code, "/IWFND/")
	}
	return false
}

// apart sends one by one what was refused as a batch: one of them may be the reason. Once the link fails, the rest is not sent.
func (c *Client) apart(ctx context.Context, ws []*write, a wire.Answer) []message.Outcome {
	c.link.log.Warn("a batch was refused as a whole; each message goes alone. If the service takes no batches, set batch to 1", "part", "odata",
		"service", c.name, "err", c.said("batch of "+c.name, a))
	out := make([]message.Outcome, len(ws))
	for i, w := range ws {
		if i > 0 && out[i-1].LinkDown {
			out[i] = message.Outcome{Verdict: message.Again, LinkDown: true, Err: out[i-1].Err}
			continue
		}
		out[i] = c.sendAlone(ctx, w)
	}
	return out
}

// whole is the outcome of a write whose whole batch was answered by something else than its parts.
func (c *Client) whole(w *write, a wire.Answer) message.Outcome {
	if c.isPage(a) {
		return c.unsurePage(w)
	}
	if a.Status/100 == 2 {
		return message.Outcome{Verdict: message.Unsure, LinkDown: a.Cut != nil, Err: &problem.Error{
			Kind: problem.Unavailable, What: w.what, Why: "the answer to the batch cannot be read", Hint: hintAsk,
		}}
	}
	if a.Status/100 == 4 && !untouched(a) {
		return message.Outcome{Verdict: message.Unsure, Receipt: message.Receipt{Status: a.Status}, Err: c.said(w.what, a)}
	}
	return c.classify(w, a)
}
