package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"holdfast/internal/decimal"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/relay"
	"holdfast/internal/store"
)

// ordersTogether is for how many orders the documents are in memory at once.
const ordersTogether = 100

// explanation is what the documents of an order say of why its quantities differ; the zero value if nobody has looked at them.
type explanation struct {
	looked  bool
	differ  int      // of its documents differ, each of which is a difference of its own
	gone    []string // messages whose documents the ERP does not show
	repair  string   // of the first of these
	message string   // the first of these
}

// or is the cause and the repair of a quantity of an order that differs, and the message that it is about.
func (e explanation) or(o mes.Order) (cause, repair, id string) {
	switch {
	case e.differ > 0:
		return "documents of the order differ", "see each of them here", ""
	case len(e.gone) > 0:
		return "the ERP does not show the documents of " + strings.Join(e.gone, ", "), e.repair, e.message
	case e.looked:
		return "every report of the order is in the ERP as the plant has made it: something else was booked or cancelled there",
			"no message of the plant's repairs it: have the ERP's people see what order " + cmp.Or(o.ERPNumber, o.Number) + " was booked by. What the shop floor has done, report in the plant", ""
	default:
		return "something was booked or cancelled in the ERP by hand, or a document is lost", "see what is lost, and what the ERP has of the order", ""
	}
}

// compareDocuments holds what the ERP has booked for some orders, by the ERP's numbers, against what the plant has reported of them.
func (r *records) compareDocuments(ctx context.Context, erp relay.Reader, c *comparison, orders map[string]mes.Order, numbers []string) (map[string]explanation, error) {
	out := map[string]explanation{}
	for some := range slices.Chunk(numbers, ordersTogether) {
		byOrder := map[string][]message.DocumentRead{}
		err := erp.Documents(ctx, some, func(d message.DocumentRead) error {
			byOrder[d.Order] = append(byOrder[d.Order], d)
			return nil
		})
		if err != nil {
			return nil, err
		}
		for _, n := range some {
			if out[n], err = r.compareBooked(ctx, c, orders[n], byOrder[n]); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// compareBooked holds the documents of one order against what was reported of it.
func (r *records) compareBooked(ctx context.Context, c *comparison, o mes.Order, docs []message.DocumentRead) (e explanation, err error) {
	told, err := r.delivered(ctx, c.Link, o.ID)
	if err != nil {
		return e, err
	}
	before, kinds := len(c.Differences)+c.More, map[string]bool{}
	reported := reports(told)
	shown := map[string]bool{}
	for _, d := range docs {
		shown[d.Number] = true
		if _, ours := reported.as(d); ours {
			for _, i := range d.Items {
				kinds[i.Movement] = true
			}
		}
	}
	for _, d := range docs {
		if m, ours := reported.as(d); ours {
			err = r.compareDocument(ctx, c, o, m, d)
		} else {
			err = r.unknownDocument(ctx, c, o, d, kinds)
		}
		if err != nil {
			return e, err
		}
	}
	e = explanation{looked: true, differ: len(c.Differences) + c.More - before}
	if len(docs) > 0 { // an ERP that shows none keeps none, or not here
		e.missing(c, told, shown)
	}
	return e, nil
}

// reports are messages of one lane that were delivered.
type reports []outbox.Detail

// as is the message that a document was booked for: the one that the ERP names beside it, else the last one whose receipt has its number. Only a document
// that takes back another is of a message that does: in many an ERP acts and documents are numbered apart, and their numbers are the same.
func (r reports) as(d message.DocumentRead) (found outbox.Detail, ours bool) {
	for _, m := range r {
		takesBack := m.Kind == mes.ConfirmationReversedKind || m.Kind == mes.GoodsReversedKind
		switch {
		case m.Receipt.Document != d.Number:
		case m.ID == d.Mark:
			return m, true
		case d.Kind == "reversal" || !takesBack:
			found, ours = m, true
		}
	}
	return found, ours
}

// missing notes which reports from before and after the time that is compared the ERP shows no document of. Of those of the time it was asked.
func (e *explanation) missing(c *comparison, told []outbox.Detail, shown map[string]bool) {
	for _, m := range told {
		if c.within(m) || m.Receipt.Document == "" || shown[m.Receipt.Document] || m.Receipt.Kind != "confirmation" && m.Receipt.Kind != "material document" {
			continue
		}
		if e.gone = append(e.gone, m.Receipt.Kind+" "+m.Receipt.Document); e.message == "" {
			e.message, e.repair = m.ID, c.again(m)
		}
	}
}

// compareDocument holds one document of the ERP's against the message that it was booked for.
func (r *records) compareDocument(ctx context.Context, c *comparison, o mes.Order, m outbox.Detail, d message.DocumentRead) error {
	if m.Kind != mes.OperationConfirmedKind && (!d.Reversed || d.Kind == "reversal") {
		return nil
	}
	add := func(what, plant, erp, cause, repair, confirmation string) {
		c.add(difference{
			What: what, Object: d.Kind + " " + d.Number + " of order " + o.Number, Plant: plant, ERP: erp, Cause: cause, Repair: repair,
			Message: m.ID, Document: d.Number, Confirmation: confirmation, lane: m.Lane,
		})
	}
	reversed, confirmed, anew, err := r.reportOf(ctx, o, m)
	if err != nil {
		return err
	}
	if d.Reversed && !reversed {
		add("reversed", "stands", "reversed", "somebody has cancelled it in the ERP by hand",
			"no message of ours takes a reversal back. If it was wrong to report, take it back in the plant too: the ERP will refuse that message, since it has reversed it already, and you mark it delivered. If it was right, have it booked again in the ERP", "")
		return nil
	}
	if confirmed == nil || d.Reversed || reversed || same(confirmed.Yield, d.Yield) || !c.sameUnit(confirmed.Unit, d.Unit, "") {
		return nil
	}
	plant, erp := confirmed.Yield.String()+" "+confirmed.Unit, d.Yield+" "+d.Unit
	switch {
	case m.Role == message.Amendment:
		add("other quantity", plant, erp, "a person has corrected the message before it was sent, and the plant still counts what was confirmed first",
			"no message is made, since nobody but you knows which is right. Is it "+erp+": take the confirmation back in the plant and confirm that; its reversal and its new report then go out by themselves. Is it "+plant+": have it corrected in the ERP", "")
	case o.Status == mes.TechnicallyComplete || o.Status == mes.Cancelled:
		add("other quantity", plant, erp, "the ERP, or somebody in it, has booked another quantity than was reported",
			"no message is made, since the order is "+string(o.Status)+" and takes none: have it corrected in the ERP, or have the ERP open the order again, then compare again", "")
	case anew:
		add("other quantity", plant, erp, "the ERP, or the mapping, changes what is reported: it was reported anew before, and booked otherwise again",
			"no message is made, since it would be booked so once more: holdfast msg show "+m.ID+", and correct the mapping", "")
	default:
		add("other quantity", plant, erp, "the ERP, or somebody in it, has booked another quantity than was reported",
			"--apply takes the confirmation back and reports it anew", confirmed.ID)
	}
	return nil
}

// reportOf is what the plant has of a report: whether it has taken it back, and of a confirmation what it says, and whether it says anew what another has said.
func (r *records) reportOf(ctx context.Context, o mes.Order, m outbox.Detail) (reversed bool, confirmed *mes.Confirmation, anew bool, err error) {
	err = r.db.View(ctx, func(tx *store.Tx) error {
		if m.Kind != mes.OperationConfirmedKind {
			v, err := r.plant.Movement(ctx, tx, m.Event)
			reversed = v.ReversedBy != ""
			return err
		}
		v, err := r.plant.Confirmation(ctx, tx, m.Event)
		if err != nil {
			return err
		}
		reversed, confirmed = v.ReversedBy != "", &v
		for page := (mes.Page{Limit: 500}); ; {
			list, err := r.plant.Confirmations(ctx, tx, mes.ConfirmationFilter{Order: o.ID, Operation: v.Operation}, page)
			if err != nil {
				return err
			}
			anew = anew || slices.ContainsFunc(list.Items, func(other mes.Confirmation) bool { return r.plant.AnewID(other.ID) == v.ID })
			if page.Cursor = list.Next; page.Cursor == "" {
				return nil
			}
		}
	})
	if problem.KindOf(err) == problem.NotFound { // what the plant has no more it counts no more
		return true, nil, false, nil
	}
	return reversed, confirmed, anew, err
}

// unknownDocument tells of a document that no report of the plant's was booked as. kinds are the types of movement that the plant reports of this order:
// others the ERP books by itself, such as what it withdraws with a confirmation.
func (r *records) unknownDocument(ctx context.Context, c *comparison, o mes.Order, d message.DocumentRead, kinds map[string]bool) error {
	if d.Kind == "reversal" || d.Reversed || len(d.Items) > 0 && !slices.ContainsFunc(d.Items, func(i message.ItemRead) bool { return kinds[i.Movement] }) {
		return nil // what is left of it counts nothing, or is told where it is reversed
	}
	var booked []outbox.Booked
	owed := false
	err := r.db.View(ctx, func(tx *store.Tx) (err error) {
		if booked, err = r.out.Booked(ctx, tx, c.Link, o.ERPNumber); err != nil {
			return err
		}
		l, err := r.out.Lane(ctx, tx, c.Link, o.ID)
		owed = l.Owed > 0
		if problem.KindOf(err) == problem.NotFound {
			err = nil
		}
		return err
	})
	if err != nil || slices.ContainsFunc(booked, func(b outbox.Booked) bool { return strings.HasPrefix(b.Item, d.Number) }) {
		return err
	}
	cause, repair := "somebody has booked it in the ERP by hand, or the plant was restored from a copy that is older",
		"no message is made: have it cancelled in the ERP. Has the shop floor done it, report it in the plant then, so that it is booked once"
	if owed {
		cause, repair = "a message of the order is still owed, and this may be its document", "no message is made: let that one end, or say what became of it, then compare again: holdfast lane show "+c.Link+" "+o.ID
	}
	c.add(difference{What: "unknown document", Object: d.Kind + " " + d.Number + " of order " + o.Number, Plant: "does not know it", ERP: documentSays(d), Cause: cause, Repair: repair, Document: d.Number})
	return nil
}

// documentSays is a document of the ERP's in a few words.
func documentSays(d message.DocumentRead) string {
	if len(d.Items) == 0 {
		if n, err := decimal.Parse(d.Yield); err == nil {
			return fmt.Sprintf("%s %s, posted %s", n, d.Unit, orDash(d.Posted))
		}
		return "posted " + orDash(d.Posted)
	}
	i := d.Items[0]
	says := fmt.Sprintf("%s: %s %s of %s, posted %s", i.Movement, i.Quantity, i.Unit, i.Material, orDash(d.Posted))
	if more := len(d.Items) - 1; more > 0 {
		says += fmt.Sprintf(", and %d more", more)
	}
	return says
}

// delivered are the messages of a lane that were delivered, each delivery of them.
func (r *records) delivered(ctx context.Context, link, lane string) (all []outbox.Detail, err error) {
	f := outbox.Filter{Link: link, Lane: lane, Settled: true, OldestFirst: true, Limit: 500}
	for cursor := ""; ; {
		var list []outbox.Detail
		err := r.db.View(ctx, func(tx *store.Tx) (err error) {
			list, cursor, err = r.out.Messages(ctx, tx, f, cursor)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			if d.Settled && d.Role != message.Void {
				all = append(all, d)
			}
		}
		if cursor == "" {
			return all, nil
		}
	}
}
