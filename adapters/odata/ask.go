package odata

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"holdfast/adapters/odata/edm"
	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// askEvery is how often the ERP is asked for what it may still be working on: what it has booked late need not wait for the end.
const askEvery = 30 * time.Second

// Ask settles what became of a delivery whose outcome is unknown, by looking for a document that carries the message's ID.
//
// It says Delivered, with the document's number, as soon as the ERP has one. It says Again where the write is idempotent, or where
// the ERP has none and cannot get one from an earlier attempt any more; of a change where its entity is as the first attempt found it, and Refused where
// somebody has changed it since. It says Unsure where nobody but a person can tell, as of a replay that was forced: what is found may be
// of the sending before. An error
// means that it is too early to say, or that the ERP did not answer properly: ask again later, not before Outcome.After. Of a
// delivery that is Quiet no attempt is under way.
func (l *Link) Ask(ctx context.Context, d message.Delivery) (message.Outcome, error) {
	c, rest, err := l.split(d.Doc.Target)
	if err != nil {
		return message.Outcome{Verdict: message.Unsure, Err: err}, nil
	}
	m, err := c.Model(ctx)
	if err != nil {
		return putOff(message.Outcome{Verdict: message.Unsure, LinkDown: true}, err), err
	}
	t, err := c.target(m, rest)
	if err != nil {
		return message.Outcome{Verdict: message.Unsure, Err: err}, nil
	}
	id, look := d.Event.Message().ID, c.lookFor
	switch {
	case t.again():
		look = c.settleChange
	case t.cfg.Idempotent:
		return message.Outcome{Verdict: message.Again}, nil
	case !t.cfg.asks():
		return message.Outcome{Verdict: message.Unsure, Err: &problem.Error{
			Kind: problem.Conflict, What: d.Doc.Target + " for message " + id,
			Why:  "the link names no way to ask the ERP for it: writes has neither id nor ask_fields nor idempotent",
			Hint: "look in the ERP, then mark the message delivered or send it again",
		}}, nil
	}
	since := l.attempts.Since(id, d.Tried(l.now()))
	out, err := look(ctx, m, t, d)
	if err == nil && out.Verdict == message.Again {
		why, err := c.unkept(ctx, t, d)
		if why != nil {
			return message.Outcome{Verdict: message.Unsure, Err: why}, nil
		}
		if err != nil {
			return message.Outcome{Verdict: message.Unsure, After: askEvery}, err
		}
	}
	if err == nil && out.Verdict == message.Delivered && t.makes() && d.Forced && d.Redelivery > 0 {
		out = message.Outcome{Verdict: message.Unsure, Err: wire.OfWhichSending(d.Doc.Target, id, out.Receipt.Document)}
	}
	l.states.note(id, "", out.Verdict) // what is settled, or is a person's to decide, is not held against the first attempt any more
	if err != nil || out.Verdict != message.Again {
		return out, err
	}
	guarded := t.again() && t.set.Versioned // whatever comes late meets another version, by If-Match
	if wait := since.Add(l.cfg.AskAfter).Sub(l.now()); wait > 0 && !d.Quiet && !guarded {
		return message.Outcome{Verdict: message.Unsure, After: min(wait, askEvery)}, &problem.Error{
			Kind: problem.Unavailable, What: "question after message " + id,
			Why:  fmt.Sprintf("the ERP does not have it, but may still be working on it for %s", wait.Round(time.Millisecond)),
			Hint: "nothing; it is asked again meanwhile, and only sent again if it is not there then",
		}
	}
	l.attempts.Drop(id)
	return out, nil
}

// makes tells whether each sending makes a document: what sets a state, or can be done once, is done whoever did it.
func (t *target) makes() bool { return !t.change && (t.cfg.ID != "" || t.op == nil) }

// lookFor asks for the document of a message, or for another effect of it. Again means: not there.
func (c *Client) lookFor(ctx context.Context, m *edm.Model, t *target, d message.Delivery) (message.Outcome, error) {
	unsure := message.Outcome{Verdict: message.Unsure}
	id := d.Event.Message().ID
	set, field, err := t.asked(m)
	if err != nil {
		unsure.Err = err
		return unsure, err
	}
	marks, err := t.marks(field, d)
	if err != nil {
		return unsure, c.invalid(t.name, err)
	}
	var all []Condition
	for _, name := range slices.Sorted(maps.Keys(marks)) {
		var forms []any
		for _, form := range t.forms(set, name, marks[name]) {
			forms = append(forms, form)
		}
		all = append(all, AnyOf(name, forms...))
	}
	query, err := Query{Where: And(all...), Top: 2}.build(set.Of, m.Version)
	if err != nil {
		return unsure, c.invalid(t.name, err)
	}
	what := "question after message " + id + " in " + c.name + "/" + set.Name
	r := request{method: http.MethodGet, path: "/" + set.Name, query: query}
	for range mostEmpty {
		out, next, err := c.askPage(ctx, m, t, set, marks, what, r)
		if err != nil || next == "" {
			return out, err
		}
		if r, err = c.relative(next, r); err != nil {
			return unsure, c.invalid(what, err)
		}
	}
	return unsure, &problem.Error{
		Kind: problem.Unavailable, What: what, Why: "the ERP gives page after page with nothing on it", Hint: "have the service mended; nothing is sent until it can be asked",
	}
}

// mostEmpty is how many pages with nothing on them are followed to find a document: a service may end a page before it has found any.
const mostEmpty = 100

// askPage reads one page of the answer; next is where the document may be yet, if nothing is on this one.
func (c *Client) askPage(ctx context.Context, m *edm.Model, t *target, set *edm.Set, marks map[string]string, what string, r request) (out message.Outcome, next string, err error) {
	unsure := message.Outcome{Verdict: message.Unsure}
	a, _, err := c.call(ctx, r)
	if err == nil {
		err = a.Cut
	}
	if err != nil {
		unsure.LinkDown = wire.Broke(err)
		return putOff(unsure, err), "", c.unreachable(what, false, err)
	}
	if a.Status != http.StatusOK {
		wait, later := wire.RetryAfter(a.Header, c.link.now(), c.link.cfg.MaxRetryAfter)
		r := c.rule(a, listen(a.Body), later)
		if !later {
			wait = r.wait
		}
		return message.Outcome{Verdict: message.Unsure, After: wait, LinkDown: r.link, Throttled: r.throttled}, "", c.said(what, a)
	}
	p, err := c.page(m, set.Of, a)
	if err != nil {
		unsure.LinkDown = c.isPage(a)
		return putOff(unsure, err), "", err
	}
	if len(p.Entities) == 0 && p.Next != "" {
		return unsure, p.Next, nil
	}
	out, err = c.found(t, set, marks, a, p)
	return out, "", err
}

// marks are the values by which the effect of a delivery is known, by field: the message's ID, or what the document itself says.
func (t *target) marks(field *edm.Field, d message.Delivery) (map[string]string, error) {
	if field != nil {
		mark, err := idFor(field, d.Event.Message().ID)
		return map[string]string{field.Name: mark}, err
	}
	doc, ok := object(d.Doc.Body)
	if !ok {
		return nil, errors.New("the document is no JSON object")
	}
	out := maps.Clone(t.cfg.AskValues)
	if out == nil {
		out = map[string]string{}
	}
	for name, from := range t.cfg.AskFields {
		v := str(doc[from])
		if v == "" {
			v = d.Doc.Params[from]
		}
		if v == "" {
			return nil, fmt.Errorf("the document has no %s, by which its effect would be found", from)
		}
		out[name] = v
	}
	return out, nil
}

// found picks the message's document. An ERP that ignores the filter would seem to have every message; so the field must show the ID.
func (c *Client) found(t *target, set *edm.Set, marks map[string]string, a wire.Answer, p Page) (message.Outcome, error) {
	for _, e := range p.Entities {
		if !t.shows(set, e, marks) {
			continue
		}
		finder := &target{name: t.name, set: set, cfg: t.cfg}
		number := finder.numberOf(e)
		if number == "" || !legible(number) {
			return message.Outcome{Verdict: message.Unsure}, c.unread(errors.New("the document that was found has no number"))
		}
		return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{
			Document: number, Kind: t.kind(), Answer: a.Body[:min(len(a.Body), c.link.cfg.MaxReceipt)], Status: a.Status, At: a.At, Asked: true,
		}}, nil
	}
	if len(p.Entities) > 0 {
		return message.Outcome{Verdict: message.Unsure}, &problem.Error{
			Kind: problem.Unavailable, What: "question after a message in " + c.name + "/" + set.Name,
			Why:  "the ERP gave documents, none of this message: it does not select by " + strings.Join(slices.Sorted(maps.Keys(marks)), ", "),
			Hint: "correct how the target is asked for; nothing is sent until it can be asked",
		}
	}
	return message.Outcome{Verdict: message.Again, Receipt: message.Receipt{Status: a.Status}}, nil
}

// shows tells whether an entity has all the values by which an effect is known: the message's ID, or others.
func (t *target) shows(set *edm.Set, e Entity, marks map[string]string) bool {
	for name, mark := range marks {
		if !slices.Contains(t.forms(set, name, mark), str(e.Values[name])) {
			return false
		}
	}
	return true
}

// forms are those in which an ERP may show a value by which an effect is known: a text in capitals or small letters, and of SAP the number of an object
// with leading zeros or without. What the configuration says of the ERP itself is exact.
func (t *target) forms(set *edm.Set, name, mark string) []string {
	f, ok := set.Of.Field(name)
	if _, exact := t.cfg.AskValues[name]; exact || !ok || f.Type != "Edm.String" {
		return []string{mark}
	}
	if t.sap && f.Key && strings.Trim(mark, "0123456789") == "" {
		return padded(mark, f.MaxLength)
	}
	return cases(mark)
}

// padded are the forms of a number that SAP keeps with leading zeros, and shows without (conversion exit ALPHA): all of them are one.
func padded(number string, length int) []string {
	bare := strings.TrimLeft(number, "0")
	all := []string{number}
	for _, form := range []string{bare, strings.Repeat("0", max(0, length-len(bare))) + bare} {
		if form != "" && !slices.Contains(all, form) {
			all = append(all, form)
		}
	}
	return all
}

// cases are the forms in which an ERP may keep a text that it was sent, such as a message's ID: as it was sent, or in capital or small letters throughout. What counts as the message's in
// an answer must be found by a question too, else it would be booked twice.
func cases(mark string) []string {
	all := []string{mark}
	for _, form := range []string{strings.ToUpper(mark), strings.ToLower(mark)} {
		if !slices.Contains(all, form) {
			all = append(all, form)
		}
	}
	return all
}
