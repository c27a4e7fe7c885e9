package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"holdfast/internal/audit"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/prove"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// check is one thing about a message that was checked while the page was made.
type check struct {
	What, Says string
	Tone       string // positive, negative or neutral
}

// check checks digest, signature and receipt of a message.
func (c *Console) check(ctx context.Context, d outbox.Detail) []check {
	var out []check
	add := func(what, good string, err error) {
		if err != nil {
			out = append(out, check{what, why(err), "negative"})
		} else {
			out = append(out, check{what, good, "positive"})
		}
	}
	_, err := message.Verify(ctx, seal.Chain(d.Digest), d.Message)
	add("Digest", "body, place and attributes are what was committed", err)
	switch {
	case c.cfg.Trust == nil:
		out = append(out, check{"Signature", "this plant has no keys, so nothing is signed", "neutral"})
	case d.Origin == nil:
		out = append(out, check{"Signature", "not signed yet: a message is signed before it leaves", "neutral"})
	default:
		node, err := c.witness(ctx).Check(d.Message)
		add("Signature", "signed by "+node+", by a key that counts", err)
	}
	return append(out, c.checkReceipt(ctx, d)...)
}

// checkReceipt checks what the ERP has signed, if it signs.
func (c *Console) checkReceipt(ctx context.Context, d outbox.Detail) []check {
	r := d.Receipt
	v := c.cfg.Receipts(d.Link)
	switch {
	case !d.Settled || d.Role == message.Void:
		return nil
	case r.Signed != "" && v != nil:
		err := v.VerifyReceipt(ctx, r.Signed, message.Receipted{ID: d.ID, Digest: d.Digest, Document: r.Document, Came: d.SettledAt})
		if err != nil {
			return []check{{"Receipt", why(err), "negative"}}
		}
		return []check{{"Receipt", "the ERP has signed that it took this message as " + cmp.Or(r.Document, "delivered"), "positive"}}
	case r.Document != "":
		return []check{{"Receipt", "the ERP has it as " + r.Document + "; it signs no receipts", "neutral"}}
	default:
		return []check{{"Receipt", "delivered; the ERP gave no number", "neutral"}}
	}
}

// wrongKept says what is wrong with what is kept of deliveries, by their places in a list. While the plant's keyring is not at hand nothing is known.
func (c *Console) wrongKept(ctx context.Context, tx *store.Tx, list []outbox.Detail) (map[int]string, error) {
	var by prove.Checks
	var err error
	wrong := map[int]string{}
	by.Since, by.MACs, err = audit.ReceiptsSince(ctx, tx)
	for i := 0; i < len(list) && err == nil; i++ {
		if wrong[i], _, err = by.Kept(ctx, tx, c.Outbox, list[i]); wrong[i] == "" {
			delete(wrong, i)
		}
	}
	if problem.KindOf(err) == problem.Unavailable {
		return nil, nil
	}
	return wrong, err
}

// witness checks messages by the keys that count now.
func (c *Console) witness(ctx context.Context) *prove.Witness {
	return prove.NewWitness(func() (*seal.Trust, error) { return c.cfg.Trust(ctx) })
}

// why is what an error says to a person.
func why(err error) string {
	if p, ok := errors.AsType[*problem.Error](err); ok {
		return p.Why
	}
	return err.Error()
}

// proof is what was found when a whole lane was checked.
type proof struct {
	Verdict, Tone string
	Says          string
	Messages      int
	First, Last   int64

	epoch    int64  // of the last
	unsigned int    // messages that are to be signed before they leave
	head     string // digest of the last, as it was made
}

// mostProven is how many messages of a lane a page checks; the command line checks any number.
const mostProven = 10_000

// proveLane checks each message of a lane that is kept: its digest, signature and receipt, that no number is missing, and that the last is the
// lane's own end.
func (c *Console) proveLane(ctx context.Context, link, lane string) (proof, error) {
	p := proof{}
	var w *prove.Witness
	if c.cfg.Trust != nil {
		w = c.witness(ctx)
	}
	var end outbox.End
	for cursor := ""; ; {
		var list []outbox.Detail
		var wrong map[int]string
		err := c.view(ctx, func(tx *store.Tx) (err error) {
			if list, cursor, err = c.Outbox.Messages(ctx, tx, outbox.Filter{Link: link, Lane: lane, OldestFirst: true, Limit: 500}, cursor); err != nil {
				return err
			}
			if wrong, err = c.wrongKept(ctx, tx, list); err != nil || cursor != "" {
				return err
			}
			ends, err := c.Outbox.Ends(ctx, tx, link, lane) // in the transaction of the last page: what is appended now belongs to neither
			if len(ends) == 1 {
				end = ends[0]
			}
			return err
		})
		if err != nil {
			return p, err
		}
		for i, d := range list {
			says := c.wrongIn(ctx, &p, w, d)
			if says == "" && wrong[i] != "" {
				says = fmt.Sprintf("Number %d: %s", d.Number, wrong[i])
			}
			if says != "" {
				return proof{Verdict: "broken", Tone: "negative", Says: says, Messages: p.Messages, First: p.First, Last: p.Last}, nil
			}
		}
		if cursor == "" {
			return p.judged(end, w != nil), nil
		}
		if p.Messages >= mostProven {
			p.Verdict, p.Tone = "unfinished", "neutral"
			p.Says = fmt.Sprintf("Numbers %d to %d are all there and unchanged; a page checks no more. All of it: holdfast msg prove --link %s --lane %s", p.First, p.Last, link, lane)
			return p, nil
		}
	}
}

// judged says what it means that nothing was wrong up to the last message.
func (p proof) judged(end outbox.End, keys bool) proof {
	switch {
	case end.Lost, end.Last > 0 && p.Messages > 0 && (p.Last != end.Last || p.head != end.Digest):
		p.Verdict, p.Tone = "broken", "negative"
		p.Says = fmt.Sprintf("The lane says that it ends at number %d with another message than the last that is here, number %d.", end.Last, p.Last)
	case p.Messages == 0:
		p.Verdict, p.Tone, p.Says = "nothing", "neutral", "nothing of this lane is kept any more"
	case !keys:
		p.Verdict, p.Tone = "whole", "positive"
		p.Says = fmt.Sprintf("Numbers %d to %d are all there, in order and unchanged. This plant has no keys, so nothing is signed.", p.First, p.Last)
	case p.unsigned > 0:
		p.Verdict, p.Tone = "whole", "positive"
		p.Says = fmt.Sprintf("Numbers %d to %d are all there, in order and unchanged; %d of them are not signed yet.", p.First, p.Last, p.unsigned)
	default:
		p.Verdict, p.Tone = "whole", "positive"
		p.Says = fmt.Sprintf("Numbers %d to %d are all there, in order, unchanged and signed.", p.First, p.Last)
	}
	return p
}

// wrongIn counts a message of a lane, and says what is wrong with it or between it and those before; "" if nothing is.
func (c *Console) wrongIn(ctx context.Context, p *proof, w *prove.Witness, d outbox.Detail) string {
	if p.First == 0 {
		p.First, p.Last = d.Number, d.Number-1
	}
	if d.Redelivery > 0 && d.Number <= p.Last {
		return "" // the same again
	}
	if d.Epoch > p.epoch && d.Number == 1 {
		p.Last = 0 // a restored plant counts anew
	}
	p.epoch = d.Epoch
	if d.Number > p.Last+1 {
		return fmt.Sprintf("Number %d is missing.", p.Last+1)
	}
	p.Messages, p.Last, p.head = p.Messages+1, d.Number, cmp.Or(d.Refers, d.Digest)
	if _, err := message.Verify(ctx, seal.Chain(d.Digest), d.Message); err != nil {
		return fmt.Sprintf("Number %d: %s", d.Number, why(err))
	}
	if d.Origin == nil {
		p.unsigned++
	}
	if w != nil && d.Origin != nil {
		if _, err := w.Check(d.Message); err != nil {
			return fmt.Sprintf("Number %d: %s", d.Number, why(err))
		}
	}
	for _, k := range c.checkReceipt(ctx, d) {
		if k.Tone == "negative" {
			return fmt.Sprintf("Number %d: %s", d.Number, k.Says)
		}
	}
	return ""
}
