package edmx

import (
	"maps"
	"strings"

	"holdfast/adapters/odata/edm"
)

// act is what an operation does in SAP, beyond making or touching a document; nil where the plain way will do.
type act func(tx *transaction, doc map[string]any) (*edm.Set, *row, *refusal)

// acts are the operations whose effect is known, by name.
func acts() map[string]act {
	return map[string]act{
		"ReleaseOrder":       flagOrder("OrderIsReleased"),
		"TechlyCmpltOrder":   flagOrder("OrderIsTechnicallyCompleted"),
		"CancelProdnOrdConf": cancelConfirmation,
		"Cancel":             cancelMovement,
	}
}

// known finds the document that an operation names, by its key.
func (tx *transaction) known(set string, doc map[string]any) (*edm.Set, *row, *refusal) {
	s := tx.m.model.Sets[set]
	if s == nil {
		return nil, nil, bad(501, "/IWBEP/CM_MGW_RT/021", "", "the service has no set %s", set)
	}
	r := tx.m.table(set).find(s, doc)
	if r == nil {
		return s, nil, bad(400, "CO/017", "", "Order or document does not exist")
	}
	return s, r, nil
}

// flagOrder sets a flag of an order. One that is set already is refused, as SAP does.
func flagOrder(flag string) act {
	return func(tx *transaction, doc map[string]any) (*edm.Set, *row, *refusal) {
		s, r, refused := tx.known("A_ProductionOrder_2", doc)
		switch {
		case refused != nil:
			return s, nil, refused
		case r.values[flag] == "X":
			return s, nil, bad(400, "CO/688", "", "The order has this status already")
		}
		tx.change(s, r, map[string]any{flag: "X"})
		return s, r, nil
	}
}

// cancelConfirmation takes a confirmation back by one of its own.
func cancelConfirmation(tx *transaction, doc map[string]any) (*edm.Set, *row, *refusal) {
	s, r, refused := tx.known("ProdnOrdConf2", doc)
	switch {
	case refused != nil:
		return s, nil, refused
	case r.values["IsReversed"] == true:
		return s, nil, bad(400, "RU/113", "", "Confirmation is already reversed")
	}
	back := maps.Clone(r.values)
	for _, name := range []string{"ConfirmationCount", "ExternalSystemConfirmation", "ConfirmationText"} {
		delete(back, name)
	}
	for name, v := range doc {
		if name != "ConfirmationCount" && v != nil {
			back[name] = v
		}
	}
	back["IsReversal"], back["ConfirmationGroup"] = true, nil
	effects := len(tx.effects)
	tx.change(s, r, map[string]any{"IsReversed": true})
	tx.effects = tx.effects[:effects] // the reversal is the effect
	made, refused := tx.create(s, back, nil)
	return s, made, refused
}

// cancelMovement takes a material document back by one of its own, item by item.
func cancelMovement(tx *transaction, doc map[string]any) (*edm.Set, *row, *refusal) {
	s, r, refused := tx.known("A_MaterialDocumentHeader", doc)
	items := tx.m.model.Sets["A_MaterialDocumentItem"]
	if refused != nil || items == nil {
		return s, nil, refused
	}
	var back []any
	effects := len(tx.effects)
	for _, item := range tx.m.table(items.Name).list {
		if !below(s, r, item) {
			continue
		}
		if item.values["GoodsMovementIsCancelled"] == true {
			return s, nil, bad(400, "M7/185", "", "The material document is already reversed")
		}
		one := maps.Clone(item.values)
		for _, name := range []string{"MaterialDocument", "MaterialDocumentYear", "MaterialDocumentItem"} {
			one["Reversed"+name] = one[name]
			delete(one, name)
		}
		back = append(back, one)
		tx.change(items, item, map[string]any{"GoodsMovementIsCancelled": true})
	}
	tx.effects = tx.effects[:effects] // the new document is the effect
	head := map[string]any{"GoodsMovementCode": "06", "PostingDate": doc["PostingDate"], itemsOf(s): back}
	made, refused := tx.create(s, head, nil)
	return s, made, refused
}

// itemsOf is the navigation property to the items of a document.
func itemsOf(s *edm.Set) string {
	for _, l := range s.Of.Links {
		if strings.Contains(l.Name, "Item") {
			return l.Name
		}
	}
	return ""
}
