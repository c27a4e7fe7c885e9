package sap

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"holdfast/adapters/odata"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// wholly looks whether every item of the document that a reversal takes back was reversed, by whichever document: SAP lets people reverse
// single items, and one of them is found as ours would be.
func (l *Link) wholly(ctx context.Context, d message.Delivery, out message.Outcome) (message.Outcome, error) {
	var doc struct{ MaterialDocument, MaterialDocumentYear string }
	if err := json.Unmarshal(d.Doc.Body, &doc); err != nil {
		return message.Outcome{Verdict: message.Unsure}, fmt.Errorf("read the reversal: %w", err)
	}
	c, err := l.Service(Movements)
	if err != nil {
		return message.Outcome{Verdict: message.Unsure}, err
	}
	name := doc.MaterialDocument + "/" + doc.MaterialDocumentYear
	back := map[string]bool{}
	err = items(ctx, c, "Reversed", doc.MaterialDocument, doc.MaterialDocumentYear, func(e odata.Entity) {
		back[text(e, "ReversedMaterialDocumentItem")] = true
	})
	var all, left []string
	if err == nil {
		err = items(ctx, c, "", doc.MaterialDocument, doc.MaterialDocumentYear, func(e odata.Entity) {
			item := text(e, "MaterialDocumentItem")
			if all = append(all, item); !back[item] && e.Values["GoodsMovementIsCancelled"] != true {
				left = append(left, item)
			}
		})
	}
	switch {
	case err != nil:
		return message.Outcome{Verdict: message.Unsure}, err
	case len(left) == 0 && len(all) > 0:
		return out, nil
	}
	slices.Sort(left)
	return message.Outcome{Verdict: message.Unsure, Err: &problem.Error{
		Kind: problem.Conflict, What: "reversal of material document " + name + " for message " + d.Event.Message().ID,
		Why:  fmt.Sprintf("it was reversed in part, by %s: %d of its %d items are not (%s)", out.Receipt.Document, len(left), len(all), strings.Join(left, ", ")),
		Hint: "reverse the rest in SAP (MIGO, or cancel the items) and mark the message delivered, or discard it if the rest stands",
	}}, nil
}

// items reads the items of a material document, or with the prefix Reversed those that reverse it.
func items(ctx context.Context, c *odata.Client, prefix, number, year string, each func(odata.Entity)) error {
	q := odata.Query{Set: "A_MaterialDocumentItem", Where: odata.And(odata.Equal(prefix+"MaterialDocument", number), odata.Equal(prefix+"MaterialDocumentYear", year))}
	_, err := c.All(ctx, q, func(e odata.Entity) error {
		each(e)
		return nil
	})
	return err
}
