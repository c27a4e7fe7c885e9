package prove

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Checks are what a plant checks its own lanes by.
type Checks struct {
	Origin  func(m message.Message) error // the signature of a message; nil in a plant without keys, which signs nothing
	Receipt func(ctx context.Context, link, signed string, of message.Receipted) error

	// Ended tells of a message whether its key counts no more, as it was revoked or its certificate has ended, and until when it did. Such a message needs
	// something that vouches for it, which Vouch is told; nil: nobody asks.
	Ended func(m message.Message) (until time.Time, is bool)
	Vouch *Voucher

	// MACs tells that the receipt of each message bears a MAC that was made since Since, by the audit record (audit.ReceiptsSince).
	MACs  bool
	Since time.Time

	// Shredded is when a person has destroyed the bodies of a lane, by the audit record.
	Shredded func(ctx context.Context, tx *store.Tx, link, lane string) ([]time.Time, error)
}

// want has a message vouched for, if it needs that.
func (by Checks) want(m message.Message) {
	if by.Ended == nil || by.Vouch == nil || m.Origin == nil {
		return
	}
	if until, is := by.Ended(m); is {
		by.Vouch.Want(m, until)
	}
}

// Chain says whether a lane, as the plant's own database has it, is whole.
type Chain struct {
	Link     string    `json:"link"`
	Lane     string    `json:"lane"`
	State    string    `json:"state"` // whole, or broken
	Epoch    int64     `json:"epoch"`
	First    int64     `json:"first"` // what was before it is no longer kept; 0 if nothing is
	Last     int64     `json:"last"`
	Messages int       `json:"messages"`
	Signed   int       `json:"signed"`
	Receipts int       `json:"receipts"`                  // settled messages with a receipt
	Vouched  int       `json:"vouched"`                   // of these, with a receipt that the ERP has signed
	NoMAC    int       `json:"unauthenticated,omitempty"` // settled messages from before receipts had MACs: what the plant keeps of their delivery is believed
	Head     string    `json:"head"`
	At       time.Time `json:"made_at,omitzero"` // when its last message was made
	Wrong    []Defect  `json:"wrong,omitempty"`
	// Unvouched is how many of Wrong say that nothing vouches for a message whose key counts no more: nothing else is the matter with it.
	Unvouched int `json:"unvouched,omitempty"`

	made []time.Time // when each of its messages was made
}

// MadeWithin tells whether one of its messages was made at from or later and before to; a zero time is no bound.
func (c Chain) MadeWithin(from, to time.Time) bool {
	return slices.ContainsFunc(c.made, func(at time.Time) bool {
		return (from.IsZero() || !at.Before(from)) && (to.IsZero() || at.Before(to))
	}) || (len(c.made) == 0 && from.IsZero() && to.IsZero())
}

// Defect is what is wrong at one number of a lane.
type Defect struct {
	Number int64  `json:"number"`
	What   string `json:"what"`
}

// The states of a Chain.
const (
	Whole  = "whole"
	Broken = "broken"
)

// mostDefects bounds what is told of one lane.
const mostDefects = 20

// Check checks one lane: every message that is kept, each of its deliveries and what it was before a person changed it, from the first to the
// end that the lane itself names. It needs no trust in the database: what a signature covers cannot be changed there, and what is not
// signed must fit to what is.
func Check(ctx context.Context, tx *store.Tx, out *outbox.Outbox, end outbox.End, by Checks) (Chain, error) {
	c := &chain{Chain: Chain{Link: end.Link, Lane: end.Lane, Epoch: end.Epoch, Last: end.Last, Head: end.Digest, State: Whole}, end: end, by: by}
	if end.Lost {
		c.wrong(end.Last, "what the lane says of its own end was removed")
		c.State = Broken
		return c.Chain, nil
	}
	if by.MACs {
		var err error
		if c.end, err = out.Believed(ctx, tx, end); err != nil {
			return Chain{}, err
		}
	}
	list, err := c.read(ctx, tx, out)
	if err != nil {
		if problem.KindOf(err) != problem.Integrity {
			return Chain{}, err
		}
		if g, ok := errors.AsType[*outbox.Garbled](err); ok { // what else is there was not read
			c.wrong(g.Number, "it cannot be read: %s", whyOf(err))
			c.State = Broken
			return c.Chain, nil
		}
		c.wrong(c.First, "it cannot be read: %v", err)
	}
	for _, d := range list {
		by.want(d.Message)
		if err := c.message(ctx, tx, out, d); err != nil {
			return Chain{}, err
		}
	}
	steps := make([]step, 0, len(list))
	for _, d := range list {
		steps = append(steps, stepOf(d))
	}
	c.order(steps)
	if len(c.Wrong) > 0 {
		c.State = Broken
	}
	return c.Chain, nil
}

type chain struct {
	Chain
	end outbox.End
	by  Checks

	shreds []time.Time // when its bodies were destroyed; nil: nobody has asked
}

func (c *chain) wrong(number int64, what string, args ...any) {
	if len(c.Wrong) < mostDefects {
		c.Wrong = append(c.Wrong, Defect{number, fmt.Sprintf(what, args...)})
	}
}

// read is every delivery of every message that is kept of the lane, in the order of its numbers.
func (c *chain) read(ctx context.Context, tx *store.Tx, out *outbox.Outbox) (all []outbox.Detail, err error) {
	f := outbox.Filter{Link: c.Link, Lane: c.Lane, OldestFirst: true, Limit: 1000}
	for cursor := ""; ; {
		var list []outbox.Detail
		if list, cursor, err = out.Messages(ctx, tx, f, cursor); err != nil {
			return all, err
		}
		if all = append(all, list...); cursor == "" {
			break
		}
	}
	slices.SortStableFunc(all, func(a, b outbox.Detail) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Redelivery, b.Redelivery))
	})
	for _, d := range all {
		c.made = append(c.made, d.CreatedAt)
	}
	if n := len(all); n > 0 {
		c.First, c.At = all[0].Number, all[n-1].CreatedAt
	}
	return all, nil
}

// message checks one delivery by itself.
func (c *chain) message(ctx context.Context, tx *store.Tx, out *outbox.Outbox, d outbox.Detail) error {
	if d.Redelivery == 0 || c.Messages == 0 {
		c.Messages++
	}
	digest, err := digestOf(ctx, d.Message)
	if err != nil {
		if problem.KindOf(err) != problem.Integrity && problem.KindOf(err) != problem.NotFound {
			return err
		}
		c.wrong(d.Number, "its body cannot be read: %v", err)
		return nil
	}
	if digest != d.Digest {
		c.wrong(d.Number, "it is not what it was when it was committed: its digest is another")
	}
	if err := c.shredded(ctx, tx, d, d.Large); err != nil {
		return err
	}
	if !unsignedYet(d) && c.signature(d.Number, "it", d.Message) {
		c.Signed++
	}
	if d.ID != outbox.MessageID(d.Link, d.Event) {
		c.wrong(d.Number, "it is not of event %s", d.Event)
	}
	if d.Skipped() {
		c.wrong(d.Number, "it is owed, and its lane was moved past it behind Holdfast: it was never delivered")
	}
	if d.Role != message.Event {
		if err := c.before(ctx, tx, out, d); err != nil {
			return err
		}
	}
	if err := c.mac(ctx, tx, out, d); err != nil {
		return err
	}
	c.receipt(ctx, d)
	return nil
}

// digestOf is the digest of a message, whose large body is read whole: what the table says of it proves nothing. Of a body that was shredded
// nothing but its digest is left, which the signature covers: that it was shredded, the audit record has.
func digestOf(ctx context.Context, m message.Message) (string, error) {
	if m.Large == nil || m.Large.Gone {
		return m.Digest(), nil
	}
	body, err := m.Open(ctx)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(io.Discard, body)
	return m.Digest(), errors.Join(err, body.Close())
}

// signature tells whether the signature of a message counts; which says which of those under its number it is.
func (c *chain) signature(number int64, which string, m message.Message) bool {
	if c.by.Origin == nil {
		return false
	}
	if m.Origin == nil {
		c.wrong(number, "%s is not signed", which)
		return false
	}
	if err := c.by.Origin(m); err != nil {
		c.wrong(number, "the signature of %s does not count: %s", which, whyOf(err))
		return false
	}
	return true
}

// unsignedYet tells whether a message is owed that the plant itself wrote without a signature: by a command, or while its node had no key. It is signed
// before it leaves. The seal holds that it had none, so that whoever takes a signature away is told from that.
func unsignedYet(d outbox.Detail) bool {
	return !d.Settled && d.Sealed && d.Origin == nil && !d.Garbled
}

// whyOf is what a person is told of an error.
func whyOf(err error) string {
	if p, ok := errors.AsType[*problem.Error](err); ok && p.Why != "" {
		return p.Why
	}
	return err.Error()
}

// before checks what a void or an amendment was before: its successor in the lane follows the original.
func (c *chain) before(ctx context.Context, tx *store.Tx, out *outbox.Outbox, d outbox.Detail) error {
	whole, err := out.Message(ctx, tx, d.ID)
	if err != nil {
		if problem.KindOf(err) == problem.Integrity {
			c.wrong(d.Number, "what it was before cannot be read: %s", whyOf(err))
			return nil
		}
		return err
	}
	first, last := "", time.Time{}
	for i, h := range whole.History {
		if h.Seq != int64(i+1) {
			c.wrong(d.Number, "a part of its history was removed")
			break
		}
		if h.Digest == "" && h.Role == "" {
			continue // nobody has changed it then
		}
		m := d.Message
		m.Role, m.Body, m.Large, m.Origin = h.Role, h.Body, h.Large, h.Origin
		if m.Role == message.Event {
			m.Refers = ""
		}
		digest, err := digestOf(ctx, m)
		if err != nil {
			return err
		}
		if err := c.shredded(ctx, tx, d, h.Large); err != nil {
			return err
		}
		if digest != h.Digest {
			c.wrong(d.Number, "what it was before it was %s is not what was committed", h.What)
		}
		if first == "" {
			first = h.Digest
		}
		vouched, err := c.vouchedFor(ctx, tx, d, h, last)
		if err != nil {
			return err
		}
		if last = h.At; !vouched {
			c.signature(d.Number, "what it was before it was "+h.What, m)
		}
	}
	if first != d.Refers {
		c.wrong(d.Number, "what it was at first is no longer kept, or is something else")
	}
	return c.lastChange(ctx, tx, d, last)
}

// vouchedFor tells whether the plant wrote a version without a signature that was changed again before it left: it has sealed it so, and the audit
// record has it from when it came to be. The original, which came to be by no change, is named by what follows it in the lane.
func (c *chain) vouchedFor(ctx context.Context, tx *store.Tx, d outbox.Detail, h outbox.Happened, since time.Time) (bool, error) {
	if h.Origin != nil || !h.Sealed || since.IsZero() {
		return h.Origin == nil && h.Sealed, nil
	}
	is, _, err := audit.HeldAt(ctx, tx, audit.Head{Link: d.Link, Lane: d.Lane, Epoch: d.Epoch, Number: d.Number, Digest: h.Digest}, since)
	if problem.KindOf(err) == problem.Integrity {
		return false, nil
	}
	return is, err
}

// lastChange checks that a message became what it is when its history says that it was changed for the last time: nothing in the history comes
// after its last row, so that only the audit record, which holds what each change made of it, tells that one was removed.
func (c *chain) lastChange(ctx context.Context, tx *store.Tx, d outbox.Detail, at time.Time) error {
	if at.IsZero() {
		return nil // before has told that
	}
	_, other, err := audit.HeldAt(ctx, tx, audit.Head{Link: d.Link, Lane: d.Lane, Epoch: d.Epoch, Number: d.Number, Digest: d.Digest}, at)
	if problem.KindOf(err) == problem.Integrity {
		c.wrong(d.Number, "what the audit record says of its last change cannot be read")
		return nil
	}
	if err != nil {
		return err
	}
	if other { // nothing at all: the plant had no keys then, or its record begins later
		c.wrong(d.Number, "a part of its history was removed: the audit record has it changed into something else then")
	}
	return nil
}

// receipt checks what the ERP said.
func (c *chain) receipt(ctx context.Context, d outbox.Detail) {
	r := d.Receipt
	if !d.Settled || d.Role == message.Void || r.At.IsZero() {
		return
	}
	c.Receipts++
	if r.Signed == "" {
		return
	}
	if c.by.Receipt == nil {
		return
	}
	if err := c.by.Receipt(ctx, d.Link, r.Signed, message.Receipted{ID: d.ID, Digest: d.Digest, Document: r.Document, Came: d.SettledAt}); err != nil {
		c.wrong(d.Number, "the ERP's receipt does not count: %s", whyOf(err))
		return
	}
	c.Vouched++
}
