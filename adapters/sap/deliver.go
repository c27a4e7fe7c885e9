package sap

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/odata"
	"holdfast/internal/decimal"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// Deliver sends each document once, as that of odata does. Of a confirmation it reads back which of its goods movements SAP has posted, those
// that it carried, or else those that SAP makes itself: those that failed wait there for a person, and no answer says so. A goods movement that names an item of its order's
// reservation is given the reservation's number first, and an inspection result its lot, operation and characteristic; where they cannot be
// read, nothing is sent.
func (l *Link) Deliver(ctx context.Context, ds []message.Delivery) []message.Outcome {
	out := make([]message.Outcome, len(ds))
	filled := make([]message.Delivery, len(ds))
	failed, notes := make([]*message.Outcome, len(ds)), make([]string, len(ds))
	var g errgroup.Group
	g.SetLimit(together)
	for i, d := range ds {
		g.Go(func() error {
			filled[i], notes[i], failed[i] = l.completed(ctx, d)
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	var ready []message.Delivery
	var at []int
	for i := range ds {
		if failed[i] != nil {
			out[i] = *failed[i]
			continue
		}
		ready, at = append(ready, filled[i]), append(at, i)
	}
	seen := l.look(ready)
	for k, o := range l.DeliverBeside(ctx, ready, seen.beside()) {
		if out[at[k]] = o; o.Verdict == message.Delivered && notes[at[k]] != "" {
			note(&out[at[k]].Receipt, notes[at[k]])
		}
	}
	l.readBack(ctx, ds, out, seen.posted)
	return out
}

// completed fills in what SAP alone knows, and takes out what SAP books itself, which says is noted in the receipt; settled says why nothing
// can be sent, or need be.
func (l *Link) completed(ctx context.Context, d message.Delivery) (out message.Delivery, says string, settled *message.Outcome) {
	switch d.Doc.Target {
	case movement:
		if d, says, settled = l.bookedBySAP(ctx, d, l.patience); settled != nil {
			return d, says, settled
		}
		d, settled = l.reserved(ctx, d)
	case reversal:
		settled = l.keepsReversal(ctx, d)
	case inspection:
		d, settled = l.placed(ctx, d)
	}
	return d, says, settled
}

// Ask settles what became of a delivery whose outcome is unknown, as that of odata does. A document that somebody has reversed in part is
// not reversed: a person must say what is to become of the rest.
func (l *Link) Ask(ctx context.Context, d message.Delivery) (message.Outcome, error) {
	out, err := l.Link.Ask(ctx, d)
	if err == nil && out.Verdict == message.Delivered && d.Doc.Target == reversal {
		out, err = l.wholly(ctx, d, out)
	}
	if err == nil && out.Verdict == message.Delivered && d.Doc.Target == movement {
		if _, says, settled := l.bookedBySAP(ctx, d, 0); settled == nil && says != "" {
			note(&out.Receipt, says)
		}
	}
	if err == nil {
		all := []message.Outcome{out}
		l.readBack(ctx, []message.Delivery{d}, all, nil)
		out = all[0]
	}
	return out, err
}

// goods is what a goods movement is known by.
type goods struct {
	Material          string `json:"Material"`
	Batch             string `json:"Batch"`
	GoodsMovementType string `json:"GoodsMovementType"`
	Quantity          string `json:"QuantityInEntryUnit"`
}

// confirmed is what a confirmation says of goods movements.
type confirmed struct {
	Order     string          `json:"OrderID"`
	Operation string          `json:"OrderOperation"`
	None      bool            `json:"APIConfHasNoGoodsMovements"`
	Yield     decimal.Decimal `json:"ConfirmationYieldQuantity"`
	Scrap     decimal.Decimal `json:"ConfirmationScrapQuantity"`
	Rework    decimal.Decimal `json:"ConfirmationReworkQuantity"`
	Items     []goods         `json:"to_ProdnOrdConfMatlDocItm"`
}

// taken is a confirmation that SAP took, with the goods movements that belong to it.
type taken struct {
	id   string // the message's
	said confirmed
	own  bool    // it carried none: SAP makes them itself
	all  []goods // those that it carried, or that SAP makes
	r    *message.Receipt
}

// takenOf is what a confirmation says, if SAP may post goods movements with it.
func takenOf(d message.Delivery) (t taken, ok bool) {
	if d.Doc.Target != confirmation {
		return t, false
	}
	t.id = d.Event.Message().ID
	if err := json.Unmarshal(d.Doc.Body, &t.said); err != nil {
		return t, false // if SAP takes it, it has no such fields, or of other types
	}
	t.all, t.own = t.said.Items, len(t.said.Items) == 0
	none := t.said.None || t.said.Order == "" || t.said.Yield.IsZero() && t.said.Scrap.IsZero() && t.said.Rework.IsZero()
	return t, !t.own || !none
}

// sightings are the movements that were posted with confirmations, as far as the answer to these shows them.
type sightings struct {
	wants map[string]bool // by message
	mu    sync.Mutex      // guards posted until all are delivered
	// posted are they by the confirmations' numbers.
	posted map[string][]goods
}

// look says of which confirmations the movements are to be read beside: those that carry some, or of whose orders it is known that SAP makes some.
func (l *Link) look(ds []message.Delivery) *sightings {
	s := &sightings{wants: map[string]bool{}, posted: map[string][]goods{}}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range ds {
		if t, ok := takenOf(d); ok && (!t.own || len(l.owns[bare(t.said.Order)].of(t.said)) > 0) {
			s.wants[t.id] = true
		}
	}
	return s
}

func (s *sightings) beside() odata.Beside {
	if len(s.wants) == 0 {
		return odata.Beside{}
	}
	return odata.Beside{Target: confirmation, Expand: movementsOf, Wants: func(id string) bool { return s.wants[id] }, Found: func(e odata.Entity) {
		s.mu.Lock()
		defer s.mu.Unlock()
		number := text(e, "ConfirmationGroup") + "/" + text(e, "ConfirmationCount")
		for _, m := range nested(e, movementsOf) {
			s.posted[number] = append(s.posted[number], goodsOf(m))
		}
	}}
}

// movementsOf is where a confirmation has its goods movements.
const movementsOf = "to_ProdnOrdConfMatlDocItm"

func goodsOf(e odata.Entity) goods {
	return goods{text(e, "Material"), text(e, "Batch"), text(e, "GoodsMovementType"), text(e, "QuantityInEntryUnit")}
}

// readBack holds the movements that SAP has posted with its confirmations against those that were sent, or that SAP makes itself. The
// confirmations stand in any case. What is known to be posted, by the confirmations' numbers, is not read.
func (l *Link) readBack(ctx context.Context, ds []message.Delivery, out []message.Outcome, known map[string][]goods) {
	var all []taken
	for i, d := range ds {
		if out[i].Verdict != message.Delivered {
			continue
		}
		if t, ok := takenOf(d); ok {
			t.r = &out[i].Receipt
			all = append(all, t)
		}
	}
	all = slices.DeleteFunc(l.expect(ctx, all, false), func(t taken) bool { return len(without(t.all, known[t.r.Document])) == 0 })
	for some := range slices.Chunk(all, readTogether) {
		posted, err := l.posted(ctx, some)
		var lack []taken
		for _, t := range some {
			if err != nil {
				l.unread(t, err)
			} else if len(without(t.all, posted[t.r.Document])) > 0 {
				lack = append(lack, t)
			}
		}
		for _, t := range l.expect(ctx, lack, true) { // what was remembered of an order may have changed since
			l.hold(t, posted[t.r.Document])
		}
	}
}

// expect fills in what SAP makes itself with confirmations that carried no movements. One of which that cannot be read is left out, and notes it.
func (l *Link) expect(ctx context.Context, all []taken, fresh bool) (out []taken) {
	var orders []string
	for _, t := range all {
		if t.own {
			orders = append(orders, t.said.Order)
		}
	}
	made, err := l.own(ctx, orders, fresh)
	for _, t := range all {
		if t.own {
			m, ok := made[bare(t.said.Order)]
			if !ok && err != nil {
				l.unread(t, err)
				continue
			}
			t.all = m.of(t.said)
		}
		out = append(out, t)
	}
	return out
}

// unread notes that nobody knows which movements of a confirmation were posted.
func (l *Link) unread(t taken, err error) {
	l.log.Warn("the goods movements of a confirmation could not be read back", "part", "sap", "message", t.id, "err", err)
	note(t.r, "holdfast: the goods movements of this confirmation could not be read back; look in COGI")
}

// hold notes which of the movements of a confirmation were not posted.
func (l *Link) hold(t taken, posted []goods) {
	missing := without(t.all, posted)
	if len(missing) == 0 {
		return
	}
	var names []string
	for _, g := range missing {
		names = append(names, strings.Join(strings.Fields(g.GoodsMovementType+" "+g.Material+" "+g.Batch), " "))
	}
	what := fmt.Sprintf("%d of %d goods movements were not posted and wait in COGI: %s", len(missing), len(t.all), strings.Join(names, ", "))
	if t.own {
		what = fmt.Sprintf("%d of the %d goods movements that SAP books itself with this confirmation were not posted; look in COGI: %s", len(missing), len(t.all), strings.Join(names, ", "))
	}
	l.log.Warn("SAP took a confirmation without all of its goods movements", "part", "sap", "message", t.id, "err", what)
	l.tellUnposted("confirmation of order "+t.said.Order+" by message "+t.id, what)
	note(t.r, "holdfast: "+what)
}

// unpostedEvery is how often it is told that goods movements were not posted; the log and the receipts have each.
const unpostedEvery = time.Hour

// WhenUnposted has f told that SAP has not posted goods movements that belong to what it has: when that begins, and at most once an hour. It is called
// before the link is used, and f must not call the link.
func (l *Link) WhenUnposted(f func(why error)) { l.whenUnposted = f }

func (l *Link) tellUnposted(what, why string) {
	l.mu.Lock()
	now := l.now()
	tells := l.whenUnposted != nil && (l.unpostedTold.IsZero() || now.Sub(l.unpostedTold) >= unpostedEvery)
	if tells {
		l.unpostedTold = now
	}
	l.mu.Unlock()
	if tells {
		l.whenUnposted(&problem.Error{Kind: problem.Conflict, What: what, Why: why, Hint: "post them in COGI; the log has all that are missing"})
	}
}

// posted reads the movements of confirmations, by their numbers, GROUP/COUNT.
func (l *Link) posted(ctx context.Context, some []taken) (map[string][]goods, error) {
	c, err := l.Service(Confirmations)
	if err != nil {
		return nil, err
	}
	var qs []odata.Query
	for few := range slices.Chunk(some, together) {
		keys := make([]odata.Condition, 0, len(few))
		for _, t := range few {
			group, count, _ := strings.Cut(t.r.Document, "/")
			keys = append(keys, odata.And(odata.Equal("ConfirmationGroup", group), odata.Equal("ConfirmationCount", count)))
		}
		qs = append(qs, odata.Query{Set: "ProdnOrdConfMatlDocItm", Where: odata.Or(keys...)})
	}
	out := map[string][]goods{}
	err = c.Together(ctx, qs, func(_ int, e odata.Entity) error {
		of := text(e, "ConfirmationGroup") + "/" + text(e, "ConfirmationCount")
		out[of] = append(out[of], goodsOf(e))
		return nil
	})
	return out, err
}

// without are those of all that have no match in some: the same material, movement type and batch, as far as each is known.
func without(all, some []goods) []goods {
	taken := make([]bool, len(some))
	var out []goods
	for _, g := range all {
		found := false
		for i, p := range some {
			if !taken[i] && like(g.Material, p.Material) && like(g.GoodsMovementType, p.GoodsMovementType) && like(g.Batch, p.Batch) {
				taken[i], found = true, true
				break
			}
		}
		if !found {
			out = append(out, g)
		}
	}
	return out
}

// like tells whether a value is the one that is wanted, where one is.
func like(want, got string) bool { return want == "" || got == want }

// note puts a line before the answer that a receipt keeps, so that it is not cut off.
func note(r *message.Receipt, line string) {
	r.Answer = append([]byte(line+"\n"), bytes.TrimSpace(r.Answer)...)
}
