package sap

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"holdfast/adapters/odata"
)

// ControlKey is one by which operations of the plant's orders are worked, and whether SAP itself books the receipt of goods with a
// confirmation of such an operation.
type ControlKey struct {
	Key       string
	Automatic bool   // SAP books the receipt itself
	Known     bool   // SAP has said so, or that it does not
	Says      string // by what it is known, or why it is not
	Named     bool   // Config.AutomaticReceipt has it
}

// proposal is the operation that says which goods movements SAP books with a confirmation. It books none.
const proposal = "GetGdsMvtProposal"

// Of the orders that are looked at, the ones that changed last; of the operations with one control key, those that a proposal is asked for.
const (
	mostOrders  = 50
	mostSamples = 3
)

// job is one operation of an order.
type job struct{ order, sequence, operation, key string }

// Automatic are the control keys that AutomaticReceipt names. Without, told is false: nobody has said whether SAP books receipts itself.
func (l *Link) Automatic() (keys []string, told bool) { return l.automatic, l.automatic != nil }

// ControlKeys asks SAP for the control keys of the plant's released orders, those that changed last, and what it does with their
// confirmations: by the receipts that it has booked with some, and by what it proposes for others. It changes nothing. No released order
// is no control key.
func (l *Link) ControlKeys(ctx context.Context) ([]ControlKey, error) {
	jobs, err := l.recent(ctx)
	if err != nil {
		return nil, err
	}
	by := map[string]*ControlKey{}
	for _, j := range jobs {
		by[j.key] = &ControlKey{Key: j.key, Named: slices.Contains(l.automatic, always) || slices.Contains(l.automatic, j.key)}
	}
	if err := l.booked(ctx, jobs, by); err != nil {
		return nil, err
	}
	var out []ControlKey
	for _, key := range slices.Sorted(maps.Keys(by)) {
		if k := by[key]; !k.Known {
			l.propose(ctx, k, jobs)
		}
		out = append(out, *by[key])
	}
	return out, nil
}

// recent are the operations of the released orders that changed last, those of the last change first, an order's last operation first.
func (l *Link) recent(ctx context.Context) (jobs []job, err error) {
	c, err := l.operationsKnow(ctx)
	if err != nil {
		return nil, err
	}
	q := odata.Query{
		Set: "A_ProductionOrder_2", Where: odata.And(odata.Equal("ProductionPlant", l.plant), odata.Equal("OrderIsReleased", "X")),
		Expand: []string{"to_ProductionOrderOperation"}, OrderBy: []odata.Order{{Field: "LastChangeDateTime", Descending: true}}, Top: mostOrders,
	}
	_, err = c.All(ctx, q, func(e odata.Entity) error {
		all := nested(e, "to_ProductionOrderOperation")
		for _, o := range slices.Backward(all) {
			if key := text(o, controlKey); key != "" {
				jobs = append(jobs, job{text(e, "ManufacturingOrder"), text(o, "ManufacturingOrderSequence"), text(o, "ManufacturingOrderOperation"), key})
			}
		}
		return nil
	})
	return jobs, err
}

// booked notes the control keys of operations with whose confirmations SAP has booked a receipt.
func (l *Link) booked(ctx context.Context, jobs []job, by map[string]*ControlKey) error {
	var orders []string
	for _, j := range jobs {
		if !slices.Contains(orders, j.order) {
			orders = append(orders, j.order)
		}
	}
	c, err := l.Service(Confirmations)
	if err != nil || len(orders) == 0 {
		return err
	}
	receipts := map[string]string{} // documents, by the confirmation that they were booked with
	err = chunks(orders, func(some []any) error {
		q := odata.Query{Set: "ProdnOrdConfMatlDocItm", Where: odata.And(odata.AnyOf("OrderID", some...), odata.Equal("GoodsMovementType", receipt))}
		_, err := c.All(ctx, q, func(e odata.Entity) error {
			receipts[text(e, "ConfirmationGroup")+"/"+text(e, "ConfirmationCount")] = document(e)
			return nil
		})
		if err != nil || len(receipts) == 0 {
			return err
		}
		q = odata.Query{Set: "ProdnOrdConf2", Where: odata.AnyOf("OrderID", some...)}
		_, err = c.All(ctx, q, func(e odata.Entity) error {
			number := text(e, "ConfirmationGroup") + "/" + text(e, "ConfirmationCount")
			at := slices.IndexFunc(jobs, func(j job) bool { return j.order == text(e, "OrderID") && j.operation == text(e, "OrderOperation") })
			if receipts[number] != "" && at >= 0 {
				k := by[jobs[at].key]
				k.Automatic, k.Known = true, true
				k.Says = fmt.Sprintf("SAP booked the receipt %s with confirmation %s of operation %s of order %s", receipts[number], number, jobs[at].operation, jobs[at].order)
			}
			return nil
		})
		return err
	})
	return err
}

// propose asks which goods movements SAP would book with a confirmation of one of the operations that have the key. An order may be locked
// or refuse the question: then the next one is asked about.
func (l *Link) propose(ctx context.Context, k *ControlKey, jobs []job) {
	c, err := l.Service(Confirmations)
	if err != nil {
		k.Says = err.Error()
		return
	}
	asked := 0
	for _, j := range jobs {
		if j.key != k.Key || asked == mostSamples || k.Automatic {
			continue
		}
		asked++
		params := map[string]any{
			"OrderID": j.order, "Sequence": j.sequence, "OrderOperation": j.operation, "OrderSuboperation": "",
			"ConfirmationYieldQuantity": "1", "ConfirmationScrapQuantity": "0", "ConfirmationReworkQuantity": "0",
		}
		receives := false
		err := c.Propose(ctx, proposal, params, func(e odata.Entity) error {
			receives = receives || text(e, "GoodsMovementType") == receipt
			return nil
		})
		switch {
		case err != nil && !k.Known:
			k.Says = "SAP has booked no receipt with a confirmation of such an operation yet, and does not say whether it would: " + err.Error()
		case err == nil && receives:
			k.Known, k.Automatic = true, true
			k.Says = fmt.Sprintf("SAP proposes a receipt with a confirmation of operation %s of order %s", j.operation, j.order)
		case err == nil:
			k.Known = true
			k.Says = fmt.Sprintf("SAP proposes no receipt with a confirmation of operation %s of order %s", j.operation, j.order)
		}
	}
}
