package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

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
	case d.Origin == nil && d.Settled && d.Role != message.Void:
		out = append(out, check{"Signature", "it left without one: the plant had no keys then, or it was taken away since", "negative"})
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
	by.Since, by.MACs, err = c.macs.Receipts(ctx, tx)
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
	Wrong         []string // what is wrong, by number
}

// mostProven is how many messages of a lane a page checks; the command line checks any number.
const mostProven = 10_000

// proveLane checks a lane as msg prove does: each message that is kept, its signatures and receipts, that no number is missing, that the lane ends
// where it says, and that nothing is gone which the audit record holds.
func (c *Console) proveLane(ctx context.Context, link, lane string) (p proof, err error) {
	by := prove.Checks{Receipt: c.receiptCounts, Shredded: prove.Shreddings}
	if c.cfg.Trust != nil {
		trust, err := c.cfg.Trust(ctx)
		if err != nil {
			return proof{}, err
		}
		by.Origin = func(m message.Message) error { _, err := trust.Genuine(m); return err }
		now := c.DB.Now()
		by.Ended = func(m message.Message) (time.Time, bool) {
			w, err := trust.Genuine(m)
			return w.Until, err == nil && w.Late(now)
		}
	}
	err = c.view(ctx, func(tx *store.Tx) error {
		ends, err := c.Outbox.Ends(ctx, tx, link, lane)
		if err != nil {
			return err
		}
		if len(ends) > 0 && ends[0].Last-ends[0].Purged[ends[0].Epoch] > mostProven {
			p = proof{Verdict: "unfinished", Tone: "neutral", Says: fmt.Sprintf(
				"It has more than %d messages, and a page checks no more. All of it: holdfast msg prove --link %s --lane %s -o json", mostProven, link, lane)}
			return nil
		}
		chain, there, err := prove.One(ctx, tx, c.Outbox, link, lane, by)
		if err == nil {
			p = proofOf(chain, there, by.Origin != nil)
		}
		return err
	})
	return p, err
}

// receiptCounts is nil for what the ERP of a link has signed.
func (c *Console) receiptCounts(ctx context.Context, link, signed string, of message.Receipted) error {
	v := c.cfg.Receipts(link)
	if v == nil {
		return &problem.Error{Kind: problem.Denied, What: "check a receipt of link " + link, Why: "the configuration names no keys that it could be checked by", Hint: "write links." + link + ".verify"}
	}
	return v.VerifyReceipt(ctx, signed, of)
}

// proofOf says what was found in words.
func proofOf(c prove.Chain, there, keys bool) proof {
	if c.State == prove.Broken {
		p := proof{Verdict: c.State, Tone: "negative", Says: "It is not what the plant has written: the database was changed behind Holdfast, or a disk has lost something."}
		if len(c.Wrong) == c.Unvouched {
			p.Says = "Nothing is missing or changed by what is here. Keys of some messages count no more, and nothing vouches that these were signed before: holdfast verify refuses them too."
		}
		for _, d := range c.Wrong {
			p.Wrong = append(p.Wrong, fmt.Sprintf("Number %d: %s.", d.Number, d.What))
		}
		return p
	}
	p := proof{Verdict: prove.Whole, Tone: "positive"}
	switch {
	case !there:
		return proof{Verdict: "empty", Tone: "neutral", Says: "Nothing was ever owed in this lane."}
	case c.Messages == 0:
		p.Says = "All that was in it was deleted for its age, by the plant."
	case !keys:
		p.Says = fmt.Sprintf("Numbers %d to %d are all there, in order and unchanged. This plant has no keys, so nothing is signed.", c.First, c.Last)
	default:
		p.Says = fmt.Sprintf("Numbers %d to %d are all there, in order and unchanged. %d messages are signed, and %d of %d receipts by the ERP.", c.First, c.Last, c.Signed, c.Vouched, c.Receipts)
	}
	return p
}
