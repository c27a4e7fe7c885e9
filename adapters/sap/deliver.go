package sap

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"holdfast/adapters/odata"
	"holdfast/internal/message"
)

// Deliver sends each document once, as that of odata does. Of a confirmation that carries goods movements it reads back which of them SAP
// has posted: those that failed wait there for a person, and no answer says so. A goods movement that names an item of its order's
// reservation is given the reservation's number first; where that cannot be read, nothing is sent.
func (l *Link) Deliver(ctx context.Context, ds []message.Delivery) []message.Outcome {
	out := make([]message.Outcome, len(ds))
	var ready []message.Delivery
	var at []int
	for i, d := range ds {
		d, failed := l.reserved(ctx, d)
		if failed != nil {
			out[i] = *failed
			continue
		}
		ready, at = append(ready, d), append(at, i)
	}
	for k, o := range l.Link.Deliver(ctx, ready) {
		out[at[k]] = o
	}
	for i, d := range ds {
		if out[i].Verdict == message.Delivered && d.Doc.Target == confirmation {
			l.readBack(ctx, d, &out[i].Receipt)
		}
	}
	return out
}

// Ask settles what became of a delivery whose outcome is unknown, as that of odata does.
func (l *Link) Ask(ctx context.Context, d message.Delivery) (message.Outcome, error) {
	out, err := l.Link.Ask(ctx, d)
	if err == nil && out.Verdict == message.Delivered && d.Doc.Target == confirmation {
		l.readBack(ctx, d, &out.Receipt)
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

// readBack holds the movements that SAP has posted with a confirmation against those that were sent. The confirmation stands in any case.
func (l *Link) readBack(ctx context.Context, d message.Delivery, r *message.Receipt) {
	var sent struct {
		Items []goods `json:"to_ProdnOrdConfMatlDocItm"`
	}
	if err := json.Unmarshal(d.Doc.Body, &sent); err != nil || len(sent.Items) == 0 {
		return
	}
	posted, err := l.posted(ctx, r.Document)
	id := d.Event.Message().ID
	if err != nil {
		l.log.Warn("the goods movements of a confirmation could not be read back", "part", "sap", "message", id, "err", err)
		note(r, "holdfast: the goods movements of this confirmation could not be read back; look in COGI")
		return
	}
	missing := without(sent.Items, posted)
	if len(missing) == 0 {
		return
	}
	var names []string
	for _, g := range missing {
		names = append(names, strings.TrimSpace(g.GoodsMovementType+" "+g.Material+" "+g.Batch))
	}
	what := fmt.Sprintf("%d of %d goods movements were not posted and wait in COGI: %s", len(missing), len(sent.Items), strings.Join(names, ", "))
	l.log.Warn("SAP took a confirmation without all of its goods movements", "part", "sap", "message", id, "err", what)
	note(r, "holdfast: "+what)
}

// posted reads the movements of a confirmation by its number, GROUP/COUNT.
func (l *Link) posted(ctx context.Context, number string) ([]goods, error) {
	c, err := l.Service(Confirmations)
	if err != nil {
		return nil, err
	}
	group, count, _ := strings.Cut(number, "/")
	var out []goods
	_, err = c.All(ctx, odata.Query{
		Set: "ProdnOrdConfMatlDocItm", Where: odata.And(odata.Equal("ConfirmationGroup", group), odata.Equal("ConfirmationCount", count)),
	}, func(e odata.Entity) error {
		text := func(name string) string { s, _ := e.Values[name].(string); return s }
		out = append(out, goods{text("Material"), text("Batch"), text("GoodsMovementType"), text("QuantityInEntryUnit")})
		return nil
	})
	return out, err
}

// without are those of all that have no match in some: the same material and movement type, and the same batch where one was sent.
func without(all, some []goods) []goods {
	taken := make([]bool, len(some))
	var out []goods
	for _, g := range all {
		found := false
		for i, p := range some {
			if !taken[i] && p.Material == g.Material && p.GoodsMovementType == g.GoodsMovementType && (g.Batch == "" || p.Batch == g.Batch) {
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

// note puts a line before the answer that a receipt keeps, so that it is not cut off.
func note(r *message.Receipt, line string) {
	r.Answer = append([]byte(line+"\n"), bytes.TrimSpace(r.Answer)...)
}
