package sap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast/adapters/odata"
	"holdfast/internal/message"
	"holdfast/internal/problem"
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

// bookedBySAP answers for a receipt of an order whose receipts SAP books itself: it is not sent, for it would be booked twice, and has the
// document that SAP made. nil if it is to be sent.
func (l *Link) bookedBySAP(ctx context.Context, d message.Delivery) *message.Outcome {
	var doc struct {
		Items []struct {
			GoodsMovementType, ManufacturingOrder string
			Quantity                              string `json:"QuantityInEntryUnit"`
		} `json:"to_MaterialDocumentItem"`
	}
	if len(l.automatic) == 0 || json.Unmarshal(d.Doc.Body, &doc) != nil {
		return nil // what is wrong with the document, odata says
	}
	for _, i := range doc.Items {
		if i.GoodsMovementType != receipt || i.ManufacturingOrder == "" {
			continue
		}
		why, err := l.receivesItself(ctx, i.ManufacturingOrder)
		var number string
		if err == nil && why != "" {
			number, err = l.ownReceipt(ctx, i.ManufacturingOrder, i.Quantity)
		}
		switch {
		case err != nil:
			out := odata.NotSent(err)
			return &out
		case why == "":
			continue
		}
		out := message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: number, Kind: "receipt booked by SAP"}}
		says := "holdfast: not sent, since SAP books the receipts of order " + i.ManufacturingOrder + " itself (" + why + ")"
		if number == "" {
			says += "; it has booked none yet: look in COGI"
			l.log.Warn("SAP books the receipts of an order itself, and has booked none", "part", "sap", "message", d.Event.Message().ID, "order", i.ManufacturingOrder)
		}
		note(&out.Receipt, says)
		return &out
	}
	return nil
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

// ownReceipt is the latest document by which SAP itself received goods of an order, one of this quantity before all others.
func (l *Link) ownReceipt(ctx context.Context, order, quantity string) (number string, err error) {
	c, err := l.Service(Movements)
	if err != nil {
		return "", err
	}
	same := false
	q := odata.Query{
		Set: "A_MaterialDocumentItem", Where: odata.And(odata.Equal("ManufacturingOrder", order), odata.Equal("GoodsMovementType", receipt)),
		OrderBy: []odata.Order{{Field: "MaterialDocumentYear"}, {Field: "MaterialDocument"}, {Field: "MaterialDocumentItem"}},
	}
	_, err = c.All(ctx, q, func(e odata.Entity) error {
		if is := text(e, "QuantityInEntryUnit") == quantity; e.Values["GoodsMovementIsCancelled"] != true && (is || !same) {
			number, same = document(e), is
		}
		return nil
	})
	return number, err
}
