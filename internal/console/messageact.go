package console

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"holdfast/internal/access"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// messageActs are the acts on one message: their action, and what they do within tx.
func (c *Console) messageActs(r *http.Request) map[string]messageAct {
	reason, out := r.PostFormValue("reason"), c.Outbox
	return map[string]messageAct{
		"retry": {access.MsgRetry, func(ctx context.Context, tx *store.Tx, d outbox.Detail) error {
			return out.Retry(ctx, tx, d.ID, reason)
		}},
		"discard": {access.MsgDiscard, func(ctx context.Context, tx *store.Tx, d outbox.Detail) error { return c.discard(ctx, tx, d, r) }},
		"approve": {access.MsgApprove, func(ctx context.Context, tx *store.Tx, d outbox.Detail) error {
			w, err := out.Approve(ctx, tx, r.PostFormValue("request"), actorOf(r.Context()).Name, reason, c.Checker.Check)
			return errors.Join(err, sameMessage(w, d, err))
		}},
		"refuse": {access.MsgRefuse, func(ctx context.Context, tx *store.Tx, d outbox.Detail) error {
			w, err := out.Refuse(ctx, tx, r.PostFormValue("request"), actorOf(r.Context()).Name, reason)
			return errors.Join(err, sameMessage(w, d, err))
		}},
		"accept": {access.AnomalyAccept, func(ctx context.Context, tx *store.Tx, d outbox.Detail) error {
			return c.acceptDoubtful(ctx, tx, d, actorOf(r.Context()), reason)
		}},
		"undiscard": {access.MsgUndiscard, func(ctx context.Context, tx *store.Tx, d outbox.Detail) error {
			if out.Config().FourEyes {
				return c.ask(ctx, tx, r, outbox.Wish{Message: d.ID, Act: outbox.ToUndiscard, Reason: reason})
			}
			_, err := out.Undiscard(ctx, tx, d.ID, reason)
			return err
		}},
		"note":  {access.MsgNote, func(ctx context.Context, tx *store.Tx, d outbox.Detail) error { return out.Note(ctx, tx, d.ID, reason) }},
		"amend": {access.MsgAmend, func(ctx context.Context, tx *store.Tx, d outbox.Detail) error { return c.amend(ctx, tx, d, r) }},
		"mark-delivered": {access.MsgMarkDelivered, func(ctx context.Context, tx *store.Tx, d outbox.Detail) error {
			if out.Config().FourEyes {
				return c.ask(ctx, tx, r, outbox.Wish{Message: d.ID, Act: outbox.ToMarkDelivered, Document: r.PostFormValue("document"), Reason: reason})
			}
			return out.MarkDelivered(ctx, tx, d.ID, r.PostFormValue("document"), reason)
		}},
		"send-again": {access.MsgSendAgain, func(ctx context.Context, tx *store.Tx, d outbox.Detail) error {
			return out.SendAgain(ctx, tx, d.ID, reason)
		}},
		"postpone": {access.MsgPostpone, func(ctx context.Context, tx *store.Tx, d outbox.Detail) error {
			until, err := timeIn(r.PostFormValue("until"), c.zone(r))
			if err == nil {
				_, err = out.Postpone(ctx, tx, d.ID, until, reason)
			}
			return err
		}},
		"replay": {access.MsgReplay, func(ctx context.Context, tx *store.Tx, d outbox.Detail) error {
			_, err := c.Jobs.Replay(ctx, tx, actorOf(ctx).Name, d.Link, d.Lane, outbox.Range{Epoch: d.Epoch, From: d.Number, To: d.Number}, reason)
			return err
		}},
	}
}

// discard gives a message up, or asks somebody else to approve that, as policy has it.
func (c *Console) discard(ctx context.Context, tx *store.Tx, d outbox.Detail, r *http.Request) error {
	why, err := outbox.Because(outbox.Cause(r.PostFormValue("cause")), r.PostFormValue("reason"))
	if err != nil {
		return err
	}
	inDoubt := r.PostFormValue("force") == "yes" && d.MaySent()
	switch {
	case c.Outbox.Config().FourEyes:
		return c.ask(ctx, tx, r, outbox.Wish{Message: d.ID, Act: outbox.ToDiscard, InDoubt: inDoubt, Reason: string(why)})
	case inDoubt:
		return c.Outbox.DiscardInDoubt(ctx, tx, d.ID, why)
	}
	return c.Outbox.Discard(ctx, tx, d.ID, why)
}

// messageAct is one act on a message.
type messageAct struct {
	action string
	do     func(ctx context.Context, tx *store.Tx, d outbox.Detail) error
}

// amend gives a message another body, if that can be sent. Whoever has read an earlier version is told what it is by now.
func (c *Console) amend(ctx context.Context, tx *store.Tx, d outbox.Detail, r *http.Request) error {
	if r.PostFormValue("version") != d.Digest {
		return errChanged(d)
	}
	if err := CheckJSON("correct the message", []byte(r.PostFormValue("body"))); err != nil {
		return err
	}
	if c.Outbox.Config().FourEyes {
		return c.ask(ctx, tx, r, outbox.Wish{Message: d.ID, Act: outbox.ToAmend, Body: compact(r.PostFormValue("body")), Reason: r.PostFormValue("reason")})
	}
	if err := c.Outbox.Amend(ctx, tx, d.ID, compact(r.PostFormValue("body")), r.PostFormValue("reason")); err != nil {
		return err
	}
	amended, err := c.Outbox.Message(ctx, tx, d.ID)
	if err != nil {
		return err
	}
	return c.Checker.Check(ctx, tx, amended)
}

// ask keeps what somebody wants done to a message, for another person to approve.
func (c *Console) ask(ctx context.Context, tx *store.Tx, r *http.Request, w outbox.Wish) error {
	w.By = actorOf(r.Context()).Name
	_, err := c.Outbox.Ask(ctx, tx, w, c.Checker.Check)
	return err
}

// sameMessage refuses a request that is about another message than its page, for which the right was looked up.
func sameMessage(w outbox.Wish, d outbox.Detail, err error) error {
	if err != nil || w.Message == d.ID {
		return nil
	}
	return &problem.Error{Kind: problem.NotFound, What: "request " + w.ID, Why: "it is about another message", Hint: "open the page of message " + w.Message}
}

// errChanged is told to whoever corrects a message that somebody else has corrected meanwhile.
func errChanged(d outbox.Detail) error {
	return &problem.Error{
		Kind: problem.Conflict, What: "correct message " + d.ID, Why: "somebody else has changed it since you opened it",
		Hint: "both texts stand below: take over what you need, and save again",
	}
}

// actOnMessage answers POST /console/messages/{id}/{act}.
func (c *Console) actOnMessage(r *http.Request) (*page, error) {
	id, name := r.PathValue("id"), r.PathValue("act")
	if name == "draft" {
		return c.tryDraft(r, nil)
	}
	a, err := choose(c.messageActs(r), name)
	if err != nil {
		return nil, err
	}
	err = c.act(r, deed{a.action, access.MessageObject(id), ""}, func(ctx context.Context, tx *store.Tx) (change, error) {
		before, err := c.Outbox.Message(ctx, tx, id)
		asked := ""
		if err == nil {
			asked, err = c.askedOf(ctx, tx, id)
		}
		if err == nil {
			err = c.Doer.Permit(actorOf(r.Context()), a.action, before.Link)
		}
		if err != nil {
			return change{}, err
		}
		if err := a.do(ctx, tx, before); err != nil {
			return change{}, err
		}
		after, err := c.Outbox.Message(ctx, tx, id)
		if err != nil {
			return change{}, err
		}
		now, err := c.askedOf(ctx, tx, id)
		if err != nil {
			return change{}, err
		}
		about, err := c.Outbox.LetGo(ctx, tx, before)
		if err == nil && a.action == access.AnomalyAccept {
			about, err = c.Outbox.ObjectsOf(ctx, tx, before.Event) // all of them are let go
		}
		return change{about: about, before: recorded(before, asked), after: recorded(after, now)}, err
	})
	c.board.forget()
	if err == nil {
		did := name
		if c.Outbox.Config().FourEyes && slices.Contains([]string{outbox.ToAmend, outbox.ToDiscard, outbox.ToUndiscard, outbox.ToMarkDelivered}, name) {
			did = "asked"
		}
		return &page{to: Root + "messages/" + id + "?did=" + did}, nil
	}
	if name == "amend" {
		return c.tryDraft(r, err)
	}
	v, again := c.messageView(r.Context(), id)
	return c.again(r, messagePage(v), errOr(err, again))
}

// askedOf is the request that waits at a message; "" if none does.
func (c *Console) askedOf(ctx context.Context, tx *store.Tx, id string) (string, error) {
	w, err := c.Outbox.WishOf(ctx, tx, id)
	if err != nil || w == nil || w.Changed {
		return "", err
	}
	return w.ID, nil
}

// recorded is a message as the audit record keeps it, with the request that waits at it.
func recorded(d outbox.Detail, asked string) map[string]any {
	state, _, why := stand(foundOf(d))
	m := map[string]any{
		"id": d.ID, "kind": d.Kind, "link": d.Link, "lane": d.Lane, "number": d.Number, "state": state, "why": why, "digest": d.Digest, "replay": d.Redelivery,
	}
	if asked != "" {
		m["request"] = asked
	}
	return m
}

// tryDraft shows what a correction would become, and changes nothing. met is why it was not kept, if somebody tried that.
func (c *Console) tryDraft(r *http.Request, met error) (*page, error) {
	ctx, id, body := r.Context(), r.PathValue("id"), r.PostFormValue("body")
	v, err := c.messageView(ctx, id)
	if err != nil {
		return nil, err
	}
	v.Draft = body
	if r.PostFormValue("version") != v.Digest {
		v.Theirs = diff(pretty([]byte(body)), pretty(v.Body))
		met = cmp.Or(met, errChanged(v.Detail))
	}
	if bad := CheckJSON("try the correction", []byte(body)); bad != nil {
		v.Tried = &mapped{Says: "It is not JSON: there is nothing to map yet."}
		return c.again(r, messagePage(v), cmp.Or(met, bad))
	}
	d := v.Detail
	d.History = append(slices.Clone(d.History), outbox.Happened{Body: d.Body, Large: d.Large})
	d.Body, d.Large = compact(body), nil
	d.Digest = d.Message.Digest()
	err = c.view(ctx, func(tx *store.Tx) error {
		tried, err := c.draft(ctx, tx, d)
		if err != nil {
			return err
		}
		wrong := c.Checker.Check(ctx, tx, d)
		if p, ok := errors.AsType[*problem.Error](wrong); ok {
			tried.Wrong, tried.Good = p, false
		} else if wrong != nil {
			return wrong
		}
		v.Tried = &tried
		return nil
	})
	if err != nil {
		return nil, err
	}
	p := messagePage(v)
	if met != nil {
		return c.again(r, p, met)
	}
	return p, nil
}
