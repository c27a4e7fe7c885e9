package rest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"

	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/openapi/contract"
)

// Ask settles what became of a delivery whose outcome is unknown.
//
// It says Delivered, with the document's number, as soon as the ERP has one for the message. It says Again where the operation is
// idempotent, or where the ERP has none and cannot get one from an earlier attempt any more. It says Unsure where nobody but a
// person can tell. An error means that it is too early to say, or that the ERP did not answer properly: ask again later, not
// before Outcome.After if that is set. The Outcome beside an error is Unsure, and tells by LinkDown and Throttled as one of a
// delivery does whether the link is at fault: it is not when it is merely too early, or an answer proves nothing.
//
// Whether an attempt may still be on its way is told from the time: an ERP may work on a request long after the line broke. The
// time is that of the last attempt of this process or, if it knows of none (it was restarted, or another node sent it), since when it is in
// doubt, or else that of the first Ask: the attempt was before it. Of a delivery that is Quiet none is under way.
func (l *Link) Ask(ctx context.Context, d message.Delivery) (message.Outcome, error) {
	id := d.Event.Message().ID
	op, err := l.find(d.Doc.Target)
	if err != nil {
		return message.Outcome{Verdict: message.Unsure, Err: err}, nil
	}
	switch {
	case op.cfg.Idempotent:
		return message.Outcome{Verdict: message.Again}, nil
	case op.cfg.Ask == nil:
		return message.Outcome{Verdict: message.Unsure, Err: &problem.Error{
			Kind: problem.Conflict, What: op.ID + " for message " + id,
			Why:  "the link names no way to ask the ERP for it: neither ask nor idempotent",
			Hint: "look in the ERP, then mark the message delivered or send it again",
		}}, nil
	}
	since := l.attempts.Since(id, d.Tried(l.now()))
	out, err := l.lookFor(ctx, op.cfg.Ask, id)
	if err != nil {
		out.Verdict = message.Unsure
		return out, err
	}
	if out.Verdict == message.Delivered && d.Forced && d.Redelivery > 0 {
		return message.Outcome{Verdict: message.Unsure, Err: wire.OfWhichSending(op.ID, id, out.Receipt.Document)}, nil
	}
	if out.Verdict != message.Again {
		out = l.receipted(ctx, d, out)
		if out.LinkDown { // the receipt cannot be judged yet
			return out, out.Err
		}
		return out, nil
	}
	if wait := since.Add(l.cfg.AskAfter).Sub(l.now()); wait > 0 && !d.Quiet {
		return message.Outcome{Verdict: message.Unsure, After: wait}, &problem.Error{
			Kind: problem.Unavailable, What: "question after message " + id,
			Why:  fmt.Sprintf("the ERP does not have it, but may still be working on it for %s", wait.Round(time.Millisecond)),
			Hint: "nothing; it is asked again then",
		}
	}
	l.attempts.Drop(id)
	return out, nil
}

// lookFor calls the ask operation. Again means: not there.
func (l *Link) lookFor(ctx context.Context, ask *Ask, id string) (message.Outcome, error) {
	oid, _ := l.doc.Operation(ask.Operation)
	op := l.operation(oid)
	params := map[string]string{}
	maps.Copy(params, ask.Params)
	params[ask.Param] = id
	req, wrong := l.place(op, params, nil, nil)
	if len(wrong) > 0 {
		return message.Outcome{Verdict: message.Unsure, Err: violated("question after message "+id, wrong)}, nil
	}
	a, err := l.read(ctx, op, req)
	if err != nil { // no answer, half of one, or no secret
		return message.Outcome{LinkDown: wire.Broke(err)}, err
	}
	if err := l.unproven(a); err != nil {
		return message.Outcome{LinkDown: true}, err
	}
	what := op.ID + " for message " + id
	if p, _ := op.param(ask.Param); a.Status == http.StatusNotFound && p.In == "path" {
		return notThere(op, what, a)
	}
	if a.Status != http.StatusOK {
		return l.unanswered(op, a), l.said(op, what, a)
	}
	body, wrong := op.CheckResponse(a.Status, a.Header, a.Body)
	if len(wrong) > 0 {
		e := violated(what, wrong)
		e.Hint = "correct the contract, or the ERP; nothing is sent until it can be asked"
		return message.Outcome{}, e
	}
	return l.found(ask, what, id, a, body)
}

// unanswered is what a bad answer to a question tells about the link.
func (l *Link) unanswered(op *operation, a wire.Answer) message.Outcome {
	wait, later := wire.RetryAfter(a.Header, l.now(), l.cfg.MaxRetryAfter)
	r := ruleOf(op, a, later)
	return message.Outcome{After: cmp.Or(wait, r.wait), LinkDown: r.link, Throttled: r.throttled}
}

// notThere believes a 404 if it is the ERP's own: the contract declares it for the operation, and it is what is declared. While an
// ERP is put in place anew, the gateway before it answers 404 for every address.
func notThere(op *operation, what string, a wire.Answer) (message.Outcome, error) {
	declared, ok := op.Response(a.Status)
	own := ok && declared.Status == strconv.Itoa(http.StatusNotFound)
	if own && len(declared.MediaTypes()) == 0 {
		own = len(a.Body) == 0
	}
	if _, wrong := op.CheckResponse(a.Status, a.Header, a.Body); own && len(wrong) == 0 {
		return missing(a), nil
	}
	return message.Outcome{}, &problem.Error{
		Kind: problem.Unavailable, What: what, Why: "the ERP answered 404 Not Found, but not as the contract has it: a gateway may have said it",
		Hint: "if the ERP answers so, declare the 404 and its body in the contract; nothing is sent until it can be asked",
	}
}

// found picks the document of the message from the answer.
func (l *Link) found(ask *Ask, what, id string, a wire.Answer, body any) (message.Outcome, error) {
	items := []any{body}
	if ask.Items != "" {
		list, _ := contract.Lookup(body, ask.Items)
		var ok bool
		if items, ok = list.([]any); !ok {
			return message.Outcome{}, &problem.Error{
				Kind: problem.Unavailable, What: what, Why: "the answer has no list at " + ask.Items, Hint: "correct ask.items of the link",
			}
		}
	}
	for _, item := range items {
		if ask.Match != "" {
			if got, _ := text(item, ask.Match); got != id {
				continue
			}
		}
		number, ok := text(item, ask.Number)
		if !ok {
			return message.Outcome{}, &problem.Error{
				Kind: problem.Unavailable, What: what, Why: "the document has no number at " + ask.Number, Hint: "correct ask.number of the link",
			}
		}
		r := message.Receipt{Document: number, Answer: clipBytes(a.Body, l.cfg.MaxReceipt), Status: a.Status, At: a.At, Asked: true, Signed: signedReceipt(a)}
		if ask.Kind != "" {
			r.Kind, _ = text(item, ask.Kind)
		}
		if !l.legible(ask.Operation, r) {
			return message.Outcome{}, &problem.Error{
				Kind: problem.Unavailable, What: what, Why: "the document's number or kind is not one: " + illegible,
				Hint: "look at the document in the ERP; correct ask.number and ask.kind of the link",
			}
		}
		l.attempts.Drop(id)
		return message.Outcome{Verdict: message.Delivered, Receipt: r}, nil
	}
	if len(items) > 0 {
		return message.Outcome{}, &problem.Error{
			Kind: problem.Unavailable, What: what,
			Why:  fmt.Sprintf("the ERP gave %d documents, none of this message: it does not select by %s", len(items), ask.Param),
			Hint: "correct ask.param or ask.match of the link; nothing is sent until it can be asked",
		}
	}
	return missing(a), nil
}

// missing is the ERP's own word that it does not have a message.
func missing(a wire.Answer) message.Outcome {
	return message.Outcome{Verdict: message.Again, Receipt: message.Receipt{Status: a.Status}}
}
