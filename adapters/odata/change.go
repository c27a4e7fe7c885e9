package odata

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"

	"holdfast/adapters/odata/edm"
	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// foundStates are the states in which the first attempts of changes found their entities, as long as what became of them is not known. What is changed
// since then was changed by this attempt or by somebody else, and is not overwritten by another attempt.
type foundStates struct {
	mu sync.Mutex
	by map[string]string // guarded by mu; by message ID
}

// mostStates bounds what is remembered. Of what is forgotten a person is asked.
const mostStates = 100_000

func (f *foundStates) of(id string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.by[id]
}

// forget is for a message of which a person has decided.
func (f *foundStates) forget(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.by, id)
}

// note takes in the outcome of an attempt on what was in that state, "" where that was not looked at.
func (f *foundStates) note(id, state string, v message.Verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case v == message.Delivered || v == message.Refused:
		delete(f.by, id)
	case v == message.Unsure && state != "" && f.by[id] == "":
		if f.by == nil || len(f.by) >= mostStates {
			f.by = map[string]string{}
		}
		f.by[id] = state
	}
}

// state is the version of an entity: its ETag, or where it has none, all that it holds.
func state(e Entity) string {
	if e.ETag != "" {
		return e.ETag
	}
	return wire.Hash(fmt.Sprint(e.Values)) // in the order of the names
}

// match reads the entity that a write is about, where it may be changed only by who knows its version, and puts that in If-Match. A change that is
// sent again is held against what its first attempt found; settled is the outcome if there is nothing to be sent.
func (c *Client) match(ctx context.Context, w *write, d message.Delivery) (settled *message.Outcome, err error) {
	t := w.target
	versioned := t.set != nil && t.set.Versioned && (t.change || t.op != nil && t.op.Bound != nil)
	if !versioned && !t.again() {
		return nil, nil
	}
	e, a, err := c.present(ctx, w, "read of "+t.set.Name+" before its change")
	if err != nil {
		return nil, err
	}
	if versioned {
		if e.ETag == "" {
			return nil, c.unread(errors.New("the entity has no ETag, without which it cannot be changed"))
		}
		w.req.header.Set("If-Match", e.ETag)
	}
	if !t.again() {
		return nil, nil
	}
	w.state = state(e)
	if d.Anew {
		c.link.states.forget(d.Event.Message().ID)
	}
	if first := c.link.states.of(d.Event.Message().ID); first != "" && first != w.state {
		out := c.overtaken(w, e, a)
		return &out, nil
	}
	return nil, nil
}

// again tells whether a change is sent again where its answer was lost.
func (t *target) again() bool { return t.change && t.cfg.Idempotent }

// present reads the entity that a write is about.
func (c *Client) present(ctx context.Context, w *write, what string) (Entity, wire.Answer, error) {
	path := strings.TrimSuffix(w.req.path, "/"+opName(w.target))
	a, err := c.read(ctx, what, request{method: http.MethodGet, path: path})
	if err != nil {
		return Entity{}, a, err
	}
	e, err := c.entity(w.model, w.target.set.Of, a)
	return e, a, err
}

// overtaken is the outcome of a change whose entity is another than its first attempt found: done where it holds what was to be changed, by whoever;
// else somebody else has decided, and a person says which of both is right.
func (c *Client) overtaken(w *write, e Entity, a wire.Answer) message.Outcome {
	if w.holds(e) {
		return c.foundDone(w, e, a)
	}
	return message.Outcome{Verdict: message.Refused, Err: &problem.Error{
		Kind: problem.Precondition, What: w.what, Why: "it was changed after the first attempt, by that or by somebody else" + w.inERP(e), Hint: hintStale,
	}}
}

// stale is the outcome of a change under a version that is not the entity's any more. An earlier attempt may have brought that about; else it says
// what the fields hold by now, for whoever decides which of both is right.
func (c *Client) stale(ctx context.Context, w *write, out message.Outcome, refused *problem.Error) message.Outcome {
	e, a, err := c.present(ctx, w, "read of "+w.target.set.Name+" after its change was overtaken")
	if err != nil {
		return out
	}
	if w.target.again() && w.holds(e) {
		return c.foundDone(w, e, a)
	}
	refused.Why += w.inERP(e)
	return out
}

func (c *Client) foundDone(w *write, e Entity, a wire.Answer) message.Outcome {
	return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{
		Document: w.target.numberOf(e), Kind: w.target.kind(), Answer: a.Body[:min(len(a.Body), c.link.cfg.MaxReceipt)], Status: a.Status, At: a.At, Asked: true,
	}}
}

// holds tells whether an entity has each value that a change is to give it.
func (w *write) holds(e Entity) bool {
	has := map[string]any{}
	for name := range w.doc {
		v, ok := e.Values[name]
		if !ok {
			return false
		}
		has[name] = v
	}
	as := edm.Wire{Version: w.model.Version, IEEE754: w.client.cfg.IEEE754}
	want, bad := w.target.set.Of.Wire(w.doc, as, edm.Change)
	got, worse := w.target.set.Of.Wire(has, as, edm.Change)
	return len(bad)+len(worse) == 0 && reflect.DeepEqual(got, want)
}

// inERP says what the fields of a change hold in the ERP.
func (w *write) inERP(e Entity) string {
	var said []string
	for _, field := range slices.Sorted(maps.Keys(w.doc)) {
		if v, ok := e.Values[field]; ok {
			said = append(said, fmt.Sprintf("%s is %v", field, v))
		}
	}
	return "; in the ERP " + clip(strings.Join(said, ", ")) + " now"
}

// settleChange says what became of a change whose answer was lost, by what the entity holds now: done; Again where it is as the first attempt found
// it; refused where it was changed meanwhile. After a restart nobody knows what the first attempt found, and a person is asked.
func (c *Client) settleChange(ctx context.Context, m *edm.Model, t *target, d message.Delivery) (message.Outcome, error) {
	unsure := message.Outcome{Verdict: message.Unsure}
	w := &write{client: c, what: d.Doc.Target + " for message " + d.Event.Message().ID, model: m, target: t}
	var bad []edm.Violation
	if w.req, bad = c.compose(m, t, d); len(bad) > 0 {
		unsure.Err = violated(w.what, bad)
		return unsure, nil
	}
	w.doc, _ = object(d.Doc.Body)
	e, a, err := c.present(ctx, w, "question after message "+d.Event.Message().ID)
	if err != nil {
		unsure.LinkDown = problem.KindOf(err) != problem.Invalid
		return putOff(unsure, err), err
	}
	first := c.link.states.of(d.Event.Message().ID)
	switch {
	case w.holds(e):
		return c.foundDone(w, e, a), nil
	case first == "":
		unsure.Err = &problem.Error{
			Kind: problem.Conflict, What: w.what, Why: "what it was like before the attempt is not known any more, so it may have been done and changed since" + w.inERP(e),
			Hint: "look in the ERP who has changed it last, then mark the message delivered or send it again",
		}
		return unsure, nil
	case first == state(e):
		return message.Outcome{Verdict: message.Again, Receipt: message.Receipt{Status: a.Status}}, nil
	}
	return c.overtaken(w, e, a), nil
}
