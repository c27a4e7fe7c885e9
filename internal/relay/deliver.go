package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
)

// lane is one claim on its way through a worker.
type lane struct {
	*runner
	claim   outbox.Claim
	sentTo  int64          // messages up to this number may have been sent
	gone    bool           // something of the claim may have been sent
	hold    time.Time      // the ERP asked not to be called before
	without string         // the ID of the message in doubt of which the ERP itself has said that it has it not
	heard   bool           // the ERP itself has just answered that it does not have the message in hand
	absent  *outbox.Queued // a replay that the ERP does not have as it was sent before
}

// verdict is what became of one message: done, or the lane stops here.
type verdict struct {
	done *outbox.Done
	next outbox.Next
}

// reportEvery is how long a message that is delivered may go without being settled while its lane goes on. What a node that is killed
// has not settled is asked for, or where a link cannot ask, sent again.
const reportEvery = 250 * time.Millisecond

// serve sends the messages of a claim in order, until one is not delivered, and gives the lane back. ctx ends when the relay is to
// stop: what has not begun then is given back unsent. hard ends the requests under way.
func (w *runner) serve(ctx, hard context.Context, c outbox.Claim) {
	l := &lane{runner: w, claim: c, sentTo: c.SentTo}
	p := newProgress(l)
	for _, q := range c.Messages {
		if !p.add(l.send(ctx, hard, q)) {
			return
		}
	}
}

// progress is what is known of a claim and was not reported yet.
type progress struct {
	*lane
	s        outbox.Settlement
	next     int // message
	reported time.Time
}

func newProgress(l *lane) progress {
	return progress{lane: l, s: outbox.Settlement{Lane: l.claim.Lane, Token: l.claim.Token}, reported: time.Now()}
}

// add takes the verdict on the next message of the claim, and reports what is to be settled. It says whether there is another to send.
func (p *progress) add(v verdict) bool {
	last := v.done == nil
	if last {
		p.s.Next = v.next
	} else {
		q := &p.claim.Messages[p.next]
		p.next++
		last = p.next == len(p.claim.Messages)
		if p.s.Done == nil {
			p.s.Done = make([]outbox.Done, 0, len(p.claim.Messages)-p.next+1)
		}
		p.s.Done = append(p.s.Done, *v.done)
		p.late.Observe(max(0, p.db.Now().Sub(q.CreatedAt).Seconds()))
	}
	if last {
		p.s.Release, p.s.SentTo, p.s.Hold, p.s.Absent = true, p.sentTo, p.hold, p.without
		if q := p.claim.Messages[0]; q.Replay != "" && !p.gone {
			p.s.Unsent = q
		}
		if p.absent != nil {
			p.s.Unsent = *p.absent
		}
		p.reports <- p.s
	} else if time.Since(p.reported) >= reportEvery {
		p.reports <- p.s
		p.s.Done, p.reported = nil, time.Now()
	}
	return !last
}

// send makes the document of a message and delivers it.
func (l *lane) send(ctx, hard context.Context, q outbox.Queued) verdict {
	d, v := l.prepare(ctx, q)
	if v != nil {
		return *v
	}
	if l.mustAsk(q) {
		if v := l.question(ctx, hard, q, &d); v != nil {
			return *v
		}
	}
	return l.deliver(ctx, hard, q, d)
}

// mustAsk tells whether a message may have been sent before, so that it is asked for.
func (l *lane) mustAsk(q outbox.Queued) bool {
	return q.Ask && (q.Again || q.Doubt || q.Number <= l.sentTo)
}

// prepare makes what is to be delivered. A link that takes documents has none for a void, which is settled without a request; one that
// takes the events themselves must see each number.
func (l *lane) prepare(ctx context.Context, q outbox.Queued) (message.Delivery, *verdict) {
	if q.Role == message.Void && q.Mapping != "" {
		if _, v := l.genuine(ctx, q); v != nil { // else who writes in the database would make a void of what is owed
			return message.Delivery{}, v
		}
		return message.Delivery{}, &verdict{done: doneOf(q, "void", message.Receipt{At: l.db.Now()})}
	}
	if q.Expired && !l.mustAsk(q) { // what was before it in its lane is not there, and so it is not
		return message.Delivery{}, &verdict{}
	}
	d, v := l.document(ctx, q, cmp.Or(q.SentBy, l.claim.SentBy))
	if v == nil && q.SentBy != "" && !l.mustAsk(q) {
		v = l.change(ctx, q, &d)
	}
	d.Quiet, d.Redelivery, d.Forced = q.Replay == outbox.AskFirst, q.Redelivery, q.Forced
	d.Anew, d.DoubtAt = q.Replay == outbox.Forced, q.DoubtAt
	l.heard = false
	return d, v
}

// genuine is a message that is what the plant has committed. One that is not stops its lane, with an alarm; a large body that cannot be read just
// now is read later.
func (l *lane) genuine(ctx context.Context, q outbox.Queued) (message.Verified, *verdict) {
	m, err := message.Verify(ctx, l.check(q.Stored), q.Summed())
	switch {
	case err == nil:
		return m, nil
	case problem.KindOf(err) == problem.Unavailable || ctx.Err() != nil:
		return m, l.notNow(ctx, q, err)
	}
	return m, &verdict{next: outbox.Next{State: outbox.Parked, ID: q.ID, Reason: err.Error(), Verdict: message.Refused, Altered: err}}
}

// notNow is the verdict on what cannot be made ready just now. Where the relay stops, whoever takes the lane next need not wait.
func (l *lane) notNow(ctx context.Context, q outbox.Queued, err error) *verdict {
	if ctx.Err() != nil {
		return &verdict{}
	}
	return &verdict{next: l.later(q, message.Outcome{Verdict: message.Again, Err: err, LinkDown: true})}
}

// document verifies a message and maps it by a set of mappings; what cannot be mapped stops the lane.
func (l *lane) document(ctx context.Context, q outbox.Queued, by string) (message.Delivery, *verdict) {
	park := func(err error) (message.Delivery, *verdict) {
		return message.Delivery{}, &verdict{next: outbox.Next{State: outbox.Parked, ID: q.ID, Reason: err.Error(), Verdict: message.Refused}}
	}
	m, v := l.genuine(ctx, q)
	if v != nil {
		return message.Delivery{}, v
	}
	if q.Mapping == "" {
		return message.Delivery{Event: m, Digest: q.Stored}, nil
	}
	doc, err := l.mapper.Apply(mapping.By(ctx, by), q.Mapping, m, l.reference(l.name))
	if err == nil {
		return message.Delivery{Event: m, Digest: q.Stored, Doc: doc}, nil
	}
	if missing, ok := errors.AsType[*mapping.Waiting](err); ok {
		return message.Delivery{}, &verdict{next: outbox.Next{
			State: outbox.Waiting, ID: q.ID, Reason: missing.Error(), Awaits: missing.Object, Verdict: message.Again,
		}}
	}
	p, ok := errors.AsType[*problem.Error](err)
	ok = ok && p.Kind != problem.Unavailable
	switch {
	case q.SentBy != "" && by == q.SentBy && (ok || errors.Is(err, mapping.ErrGone)):
		return message.Delivery{}, &verdict{next: outbox.Next{
			State: outbox.Unknown, ID: q.ID, Verdict: message.Unsure,
			Reason: "it may have been sent, mapped as " + q.SentBy + " had it, and cannot be asked for as that: look in the ERP, then mark it as delivered or have it " +
				"sent again, which sends it by the mappings in use. " + err.Error(),
		}}
	case ok:
		return park(err)
	case errors.Is(err, mapping.ErrGone): // the next claim names the set in use
		return message.Delivery{}, &verdict{}
	}
	return message.Delivery{}, l.notNow(ctx, q, err)
}

// question asks for a message that may have been sent, as it was mapped then. nil means that d can be sent: by the mappings in use, or just as it
// was, where only the adapter says so, of a target that takes the same request twice.
func (l *lane) question(ctx, hard context.Context, q outbox.Queued, d *message.Delivery) *verdict {
	if v := l.ask(ctx, hard, q, *d); v != nil || q.SentBy == "" || !l.heard {
		return v
	}
	return l.change(ctx, q, d)
}

// change goes over to the set of mappings that the lane names by now, for a message that is known not to be there as it was mapped before. What
// that makes another document of is given back: the next claim writes down what it is sent by, before it is.
func (l *lane) change(ctx context.Context, q outbox.Queued, d *message.Delivery) *verdict {
	now, v := l.document(ctx, q, l.claim.SentBy)
	if v != nil {
		return v
	}
	if now.Doc.Mapping == d.Doc.Mapping {
		return nil
	}
	if q.Again {
		q.SentBy = ""
		l.absent = &q
	}
	return &verdict{}
}

// ask finds out whether a message took effect that may have been sent. nil means that it can be sent: it took none, or may take effect
// once more.
func (l *lane) ask(ctx, hard context.Context, q outbox.Queued, d message.Delivery) *verdict {
	var failed error
	o, called := l.call(ctx, hard, "ask", q, func(ctx context.Context) (o message.Outcome) {
		o, failed = l.link.Deliverer.Ask(ctx, d)
		o, failed = o.Scrubbed(d.Doc.Secret), message.ScrubError(failed, d.Doc.Secret)
		if failed != nil {
			o.Err, o.LinkDown = failed, o.LinkDown || o.Verdict == ""
		}
		return o
	})
	if !called {
		return &verdict{}
	}
	if o.LinkDown {
		l.suspects.away()
	}
	if failed != nil {
		return &verdict{next: outbox.Next{After: max(o.After, l.out.Config().AskAfter), Verdict: message.Unsure, Reason: failed.Error()}}
	}
	switch o.Verdict {
	case message.Delivered:
		o.Receipt.Asked = true
		l.suspects.forget(q.ID)
		v := l.done(q, d, o)
		return &v
	case message.Again:
		l.heard = o.Receipt.Status > 0
		l.unsent(q)
		if q.Expired && l.heard {
			return &verdict{}
		}
		if q.Attempts >= l.link.Attempts {
			return &verdict{next: outbox.Next{
				State: outbox.Parked, ID: q.ID, Verdict: message.Again, Reason: fmt.Sprintf("given up at attempt %d: each ended without a clear answer, and without effect", q.Attempts),
			}}
		}
		return nil
	case message.Refused:
		l.heard = o.Receipt.Status > 0
		l.unsent(q)
		return &verdict{next: outbox.Next{State: outbox.Parked, ID: q.ID, Reason: words(o), Verdict: o.Verdict}}
	default:
		met := "it may have taken effect, and the ERP cannot say"
		if q.Again {
			met = "it was delivered before, and the ERP cannot say whether it still has it"
		}
		return &verdict{next: outbox.Next{
			State: outbox.Unknown, ID: q.ID, Verdict: message.Unsure,
			Reason: met + ": find out, then mark it as delivered or have it sent again. " + words(o),
		}}
	}
}

// deliver sends, and makes a verdict of the answer.
func (l *lane) deliver(ctx, hard context.Context, q outbox.Queued, d message.Delivery) verdict {
	o, called := l.call(ctx, hard, "deliver", q, func(ctx context.Context) message.Outcome {
		if all := l.link.Deliverer.Deliver(ctx, []message.Delivery{d}); len(all) == 1 {
			return all[0].Scrubbed(d.Doc.Secret)
		}
		return message.Outcome{Verdict: message.Unsure, Err: errNoAnswer}
	})
	if !called {
		return verdict{}
	}
	return l.judge(ctx, q, d, o)
}

// judge makes a verdict of the answer to a delivery.
func (l *lane) judge(ctx context.Context, q outbox.Queued, d message.Delivery, o message.Outcome) verdict {
	switch {
	case o.Verdict == message.Again && o.LinkDown:
		l.suspects.away()
	case o.Verdict == message.Delivered, o.Verdict == message.Again, o.Verdict == message.Refused:
		l.suspects.answer(q.ID)
	}
	if o.Verdict == message.Delivered {
		l.gone = true
		if !q.Again { // should this not be recorded, it is asked for, and not sent again
			l.sentTo = max(l.sentTo, q.Number)
		}
		v := l.done(q, d, o)
		v.done.Sent = true
		return v
	}
	level := slog.LevelInfo
	if o.LinkDown { // there may be many, and the breaker tells of it
		level = slog.LevelDebug
	}
	l.log.Log(ctx, level, "not delivered", "link", l.name, "message", q.ID, "kind", q.Kind, "key", q.Key, "attempt", q.Attempts+1, "outcome", o.String())
	l.markSent(q, o)
	return verdict{next: l.later(q, o)}
}

// heed slows the link down as the ERP asks in the answer to a request begun at that time.
func (l *lane) heed(o message.Outcome, begun time.Time) {
	if o.Throttled {
		l.pace.throttled(begun)
	}
	if o.LinkDown && o.After > 0 {
		l.pace.holdFor(o.After)
		l.hold = l.db.Now().Add(o.After)
	}
}

// later says when a message that was not delivered is tried again, if it is.
func (l *lane) later(q outbox.Queued, o message.Outcome) outbox.Next {
	n := outbox.Next{ID: q.ID, Reason: words(o), Verdict: o.Verdict}
	switch {
	case o.Verdict == message.Refused:
		n.State, n.Sent = outbox.Parked, o.Receipt.Status > 0
		return n
	case o.Verdict == message.Again && o.LinkDown:
		// says nothing about the message: not even its history hears of it
		n.ID, n.After = "", max(o.After, l.cfg.Probe)
		return n
	case o.Verdict == message.Again && o.Locked:
		n.Sent, n.After = true, max(o.After, l.cfg.Backoff)
		return n
	case o.Verdict == message.Again:
		n.Spent, n.Sent, n.After = true, true, max(o.After, backoff(q.Attempts+1, l.cfg.Backoff, l.out.Config().Backoff))
	default:
		// While the link is down, or taken to be, an answer that is lost says nothing about the message either.
		n.Verdict, n.Spent, n.Sent = message.Unsure, !o.LinkDown && !l.breaker.probing(), true
		n.After = max(o.After, l.out.Config().AskAfter)
		if tries := l.suspects.unanswered(q.ID, l.heard); tries >= l.link.Attempts {
			l.suspects.forget(q.ID)
			meanwhile := "answers others"
			if l.heard {
				meanwhile = "answers questions and does not have it"
			}
			n.State, n.Reason = outbox.Unknown, fmt.Sprintf("sent %d times without an answer, while the ERP %s: "+
				"find out what the ERP makes of it, then resume the lane, or amend or discard the message. %s", tries, meanwhile, n.Reason)
		}
		return n
	}
	if q.Attempts+1 >= l.link.Attempts {
		n.State, n.Reason = outbox.Parked, fmt.Sprintf("given up at attempt %d: %s", q.Attempts+1, n.Reason)
	}
	return n
}

func (l *lane) done(q outbox.Queued, d message.Delivery, o message.Outcome) verdict {
	if o.Receipt.At.IsZero() {
		o.Receipt.At = l.db.Now()
	}
	if q.Creates != "" && o.Receipt.Document == "" && q.Role != message.Void {
		l.log.Info("the ERP has it and has not told its number yet; what names it waits for that", "link", l.name, "message", q.ID, "creates", q.Creates)
	}
	return verdict{done: doneOf(q, d.Doc.Mapping, o.Receipt)}
}

// call makes one request when the pace, the breaker and the lease allow it; otherwise it says that none was made. It tells pace and
// breaker how it went.
func (l *lane) call(ctx, hard context.Context, what string, q outbox.Queued, request func(context.Context) message.Outcome) (o message.Outcome, made bool) {
	if ctx.Err() != nil || l.breaker.rest() > 0 {
		return o, false
	}
	begun, err := l.pace.enter(ctx)
	if err != nil {
		return o, false
	}
	within, cancel := l.term(hard, l) // before the lease is looked at: a process that is stopped in between must not send afterwards
	defer cancel()
	if ctx.Err() != nil || !l.may() || !l.breaker.acquire() {
		l.pace.cancel()
		return o, false
	}
	within, span := l.span(within, what, q)
	o = request(within)
	l.ended(what, o, begun, span)
	return o, true
}

// ended tells pace, breaker and instruments how a request went that began at that time.
func (l *lane) ended(what string, o message.Outcome, begun time.Time, span trace.Span) {
	defer span.End()
	l.answer(o)
	l.took.Observe(time.Since(begun).Seconds())
	if o.Err != nil {
		span.SetStatus(codes.Error, string(o.Verdict))
	}
	said := healthOf(what, o)
	if said == ill || said == barred {
		l.mu.Lock()
		l.trouble = words(o)
		l.mu.Unlock()
	}
	l.feed(said)
	l.heed(o, begun)
}

// answer counts an answer of the link.
func (w *runner) answer(o message.Outcome) {
	if o.Verdict == message.Delivered {
		w.delivered.Inc()
		return
	}
	w.metrics.answer(w.name, o)
}

// health is what an answer says about the link.
type health int

const (
	nothing health = iota // it may have been given without asking the ERP, or be about the message alone
	well
	ill
	barred // we may not: it would say the same of each other message
)

// healthOf judges one answer. A question counts as an answer of the link only where it found the message: an adapter may say of
// itself that it took no effect, or that it is too early to ask, and an outage in which each delivery is lost must not look well
// because of that.
func healthOf(what string, o message.Outcome) health {
	answered := o.Verdict == message.Delivered || o.Verdict == message.Again || o.Verdict == message.Refused
	switch {
	case o.LinkDown && o.After > 0 && problem.KindOf(o.Err) == problem.Denied: // a token that has only ended is had anew at once
		return barred
	case o.LinkDown, what == "deliver" && !answered:
		return ill
	case what == "deliver", o.Verdict == message.Delivered:
		return well
	default:
		return nothing
	}
}

// feed tells pace and breaker how a request went.
func (l *lane) feed(said health) {
	switch said {
	case well:
		l.pace.leave(true)
		l.breaker.RecordSuccess()
	case ill:
		l.pace.leave(false)
		l.breaker.RecordFailure()
	case barred:
		l.pace.leave(false)
		l.breaker.Open()
	case nothing:
		l.pace.cancel()
		l.breaker.giveBack()
	}
}

// span continues the trace of the call that made the message.
func (l *lane) span(ctx context.Context, what string, q outbox.Queued) (context.Context, trace.Span) {
	if q.Trace != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": q.Trace})
	}
	ctx, span := l.tracer.Start(ctx, what+" "+q.Kind, trace.WithSpanKind(trace.SpanKindProducer))
	if span.IsRecording() { // most are not: what is said of them would be for nobody
		span.SetAttributes(
			attribute.String("messaging.message.id", q.ID), attribute.String("messaging.destination.name", l.name),
			attribute.String("holdfast.lane", q.Lane), attribute.Int64("holdfast.number", q.Number),
		)
	}
	return ctx, span
}

// words is what went wrong, for a person.
func words(o message.Outcome) string {
	if o.Err != nil {
		return o.Err.Error()
	}
	return o.String()
}
