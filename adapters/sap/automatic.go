package sap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/adapters/odata"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/openapi/contract"
)

// receipt is the movement type by which finished goods of an order go into stock.
const receipt = "101"

// always is the entry of Config.AutomaticReceipt that stands for every order.
const always = "*"

// checkAutomatic refuses what cannot be a control key.
func checkAutomatic(keys []string) error {
	for i, key := range keys {
		if key == "" || len(key) > 4 {
			return wrong(fmt.Sprintf("automatic_receipt[%d]", i), fmt.Sprintf("%q is no control key", key), `write keys as transaction OPK4 has them, such as PP05, or "*" for every order`)
		}
	}
	return nil
}

// Warnings are those of odata, and that receipts are not sent.
func (l *Link) Warnings() []string {
	out := l.Link.Warnings()
	if keys := l.automatic; len(keys) > 0 {
		out = append(out, "automatic_receipt: receipts of orders with control key "+strings.Join(keys, ", ")+" are not sent, since SAP books them itself; each is noted with SAP's own document")
	}
	return out
}

// Check is that of odata, and holds what this package needs besides against the $metadata.
func (l *Link) Check(ctx context.Context) error {
	err := l.Link.Check(ctx)
	if len(l.automatic) > 0 && !slices.Contains(l.automatic, always) {
		if _, missing := l.operationsKnow(ctx); problem.KindOf(missing) == problem.Invalid { // else odata has said it
			err = errors.Join(err, missing)
		}
	}
	return err
}

// The list of a material document's items, and the fields of one that tell what SAP books itself.
const (
	movedItems = "to_MaterialDocumentItem"
	movedOrder = "ManufacturingOrder"
	movedType  = "GoodsMovementType"
)

// bookedBySAP takes those items out of a goods movement by which goods of an order are received whose receipts SAP books itself: sent, they
// would be booked twice. rest is what remains to be sent, and says what the receipt notes of the others. Where nothing remains, settled has
// the document that SAP made; where SAP cannot be asked, or has not booked all and patience is not at its end yet, it says that nothing was sent.
func (l *Link) bookedBySAP(ctx context.Context, d message.Delivery, patience time.Duration) (rest message.Delivery, says string, settled *message.Outcome) {
	if len(l.automatic) == 0 {
		return d, "", nil
	}
	v, err := contract.Decode(d.Doc.Body)
	doc, _ := v.(map[string]any)
	all, _ := doc[movedItems].([]any)
	if err != nil || len(all) == 0 {
		return d, "", nil // odata says what is wrong with it
	}
	own, why, keep, err := l.ownItems(ctx, all)
	if err != nil {
		out := odata.NotSent(err)
		return d, "", &out
	}
	if len(own) == 0 {
		return d, "", nil
	}
	if err := l.ownReceipts(ctx, d.Event.Message().ID, own); problem.KindOf(err) == problem.Precondition {
		return d, "", &message.Outcome{Verdict: message.Again, Locked: true, After: time.Second, Err: err}
	} else if err != nil {
		out := odata.NotSent(err)
		return d, "", &out
	}
	if out := l.awaited(d.Event.Message().ID, own, why, patience); out != nil {
		return d, "", out
	}
	number, says := l.tell(d.Event.Message().ID, own, why, len(keep) > 0)
	if len(keep) == 0 {
		out := message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: number, Kind: "receipt booked by SAP"}}
		note(&out.Receipt, says)
		return d, "", &out
	}
	doc[movedItems] = keep
	if d.Doc.Body, err = json.Marshal(doc); err != nil {
		return d, "", &message.Outcome{Verdict: message.Refused, Err: fmt.Errorf("write the goods movement: %w", err)}
	}
	return d, says, nil
}

// ownItems are the items that SAP books itself, by what it does so for each order, and those that remain.
func (l *Link) ownItems(ctx context.Context, all []any) (own []*ownItem, why map[string]string, keep []any, err error) {
	why = map[string]string{}
	for _, item := range all {
		i, _ := item.(map[string]any)
		order, _ := i[movedOrder].(string)
		if i[movedType] != receipt || order == "" {
			keep = append(keep, item)
			continue
		}
		by, known := why[order]
		if !known {
			if by, err = l.receivesItself(ctx, order); err != nil {
				return nil, nil, nil, err
			}
			why[order] = by
		}
		if by == "" {
			keep = append(keep, item)
			continue
		}
		o := &ownItem{order: order}
		o.batch, _ = i["Batch"].(string)
		said, _ := i["QuantityInEntryUnit"].(string)
		o.said, o.quantity = said, quantity(said)
		own = append(own, o)
	}
	return own, why, keep, nil
}

// SAP books a receipt with the confirmation before it, or a moment later; what has failed there waits in COGI. A message waits so long for it, and looks so often.
const (
	bookedWithin = 15 * time.Minute
	bookedEvery  = 15 * time.Second
)

// awaited is the outcome of a message whose receipts SAP has not booked all, as long as they may still come; nil if there is nothing to wait for.
func (l *Link) awaited(id string, own []*ownItem, why map[string]string, patience time.Duration) *message.Outcome {
	at := slices.IndexFunc(own, func(o *ownItem) bool { return o.document == "" })
	if at < 0 {
		l.waits(id, false)
		return nil
	}
	if l.waits(id, true) >= patience {
		return nil
	}
	o := own[at]
	return &message.Outcome{Verdict: message.Again, Locked: true, After: bookedEvery, Err: &problem.Error{
		Kind: problem.Conflict, What: "receipt of order " + o.order + " for message " + id,
		Why:  "SAP books it itself (" + why[o.order] + "), and has not booked " + strings.TrimSpace(o.said+" "+o.batch) + " yet",
		Hint: "look in COGI; after " + patience.String() + " the message counts as delivered, without this document, and an alert tells of it",
	}}
}

// mostMissing bounds what is remembered; of what is forgotten the time begins anew.
const mostMissing = 10_000

// waits notes whether a message waits for receipts, and tells for how long it has.
func (l *Link) waits(id string, still bool) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	since, known := l.missing[id]
	now := l.now()
	switch {
	case !still:
		delete(l.missing, id)
	case !known && len(l.missing) >= mostMissing:
		clear(l.missing)
		fallthrough
	case !known:
		l.missing[id], since = now, now
	}
	return now.Sub(since)
}

// tell says what became of the items that SAP books itself, and gives the document that stands for them.
func (l *Link) tell(id string, own []*ownItem, why map[string]string, some bool) (number, says string) {
	var orders, documents, lack []string
	for _, o := range own {
		if by := o.order + " itself (" + why[o.order] + ")"; !slices.Contains(orders, by) {
			orders = append(orders, by)
		}
		switch {
		case o.document == "":
			lack = append(lack, strings.TrimSpace(o.said+" "+o.batch))
		case !slices.Contains(documents, o.document):
			documents = append(documents, o.document)
		}
	}
	says = "holdfast: not sent, since SAP books the receipts of order " + strings.Join(orders, ", ")
	if some {
		says = fmt.Sprintf("holdfast: %d of its items not sent, since SAP books the receipts of order %s", len(own), strings.Join(orders, ", "))
	}
	if len(documents) > 0 {
		number = documents[0]
		says += "; as " + strings.Join(documents, ", ")
	}
	if len(lack) > 0 {
		says += "; it has booked none yet of " + strings.Join(lack, ", ") + ": look in COGI"
		l.log.Warn("SAP books the receipts of an order itself, and has not booked all", "part", "sap", "message", id, "order", own[0].order, "err", says)
		l.tellUnposted("receipt of order "+own[0].order+" for message "+id, "SAP books it itself, and has booked none of "+strings.Join(lack, ", "))
	}
	return number, says
}

// keepsReversal refuses to take back a receipt that SAP has booked itself: it is taken back with the confirmation that it was booked by.
func (l *Link) keepsReversal(ctx context.Context, d message.Delivery) *message.Outcome {
	var doc struct{ MaterialDocument, MaterialDocumentYear string }
	if len(l.automatic) == 0 || json.Unmarshal(d.Doc.Body, &doc) != nil {
		return nil
	}
	c, err := l.Service(Movements)
	order := ""
	if err == nil {
		err = items(ctx, c, "", doc.MaterialDocument, doc.MaterialDocumentYear, func(e odata.Entity) {
			if text(e, "GoodsMovementType") == receipt {
				order = text(e, "ManufacturingOrder")
			}
		})
	}
	var why, mark string
	if err == nil && order != "" {
		why, err = l.receivesItself(ctx, order)
	}
	if err == nil && why != "" {
		q := odata.Query{Set: "A_MaterialDocumentHeader", Where: odata.And(
			odata.Equal("MaterialDocument", doc.MaterialDocument), odata.Equal("MaterialDocumentYear", doc.MaterialDocumentYear))}
		_, err = c.All(ctx, q, func(e odata.Entity) error { mark = text(e, l.movementID); return nil })
	}
	switch {
	case err != nil:
		out := odata.NotSent(err)
		return &out
	case why == "" || mark != "": // one with a mark was sent by us
		return nil
	}
	return &message.Outcome{Verdict: message.Refused, Err: &problem.Error{
		Kind: problem.Conflict, What: "reversal of material document " + doc.MaterialDocument + "/" + doc.MaterialDocumentYear,
		Why:  "SAP booked this receipt itself, with a confirmation of order " + order + " (" + why + ")",
		Hint: "reverse the confirmation, which takes the receipt back, and discard this message; or reverse the document in SAP and mark this message delivered",
	}}
}

// receivesItself tells by what SAP books the receipts of an order itself, "" if the plant must tell it. Control keys can be changed, so that
// they are read each time.
func (l *Link) receivesItself(ctx context.Context, order string) (why string, err error) {
	if slices.Contains(l.automatic, always) {
		return "automatic_receipt: every order", nil
	}
	c, err := l.operationsKnow(ctx)
	if err != nil {
		return "", err
	}
	_, err = c.All(ctx, odata.Query{Set: operations, Where: odata.Equal("ManufacturingOrder", order)}, func(e odata.Entity) error {
		if key := text(e, controlKey); slices.Contains(l.automatic, key) {
			why = "control key " + key + " of operation " + text(e, "ManufacturingOrderOperation")
		}
		return nil
	})
	return why, err
}

// The set and the field that have the control keys of orders.
const (
	operations = "A_ProductionOrderOperation_2"
	controlKey = "OperationControlProfile"
)

// operationsKnow is the service of the orders, if its operations have their control keys.
func (l *Link) operationsKnow(ctx context.Context) (*odata.Client, error) {
	c, err := l.Service(Orders)
	if err != nil {
		return nil, err
	}
	m, err := c.Model(ctx)
	if err != nil {
		return nil, err
	}
	if set := m.Sets[operations]; set != nil {
		if _, ok := set.Of.Field(controlKey); ok {
			return c, nil
		}
	}
	return nil, wrong("automatic_receipt", "the service "+Orders+" has no field "+controlKey+" of "+operations+", so that an order's control keys cannot be read",
		`write "*" if SAP books the receipts of every order, else leave goods.received out of the route`)
}
