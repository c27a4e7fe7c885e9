package mes

import (
	"fmt"
	"slices"
	"time"

	"holdfast/internal/decimal"
)

// MovementType is the ERP's word for a kind of goods movement (SAP: BWART).
type MovementType string

// The movement types that a plant makes. The one after each takes it back.
const (
	Receipt           MovementType = "101" // finished goods of an order into stock
	ReceiptReversal   MovementType = "102"
	Issue             MovementType = "261" // stock to an order
	IssueReversal     MovementType = "262"
	ByProduct         MovementType = "531" // co- or by-product of an order into stock
	ByProductReversal MovementType = "532"
	Scrapping         MovementType = "551" // stock thrown away
	ScrappingReversal MovementType = "552"
)

// reversal is the type that takes t back; false for one that takes back itself.
func (t MovementType) reversal() (MovementType, bool) {
	switch t {
	case Receipt:
		return ReceiptReversal, true
	case Issue:
		return IssueReversal, true
	case ByProduct:
		return ByProductReversal, true
	case Scrapping:
		return ScrappingReversal, true
	default:
		return "", false
	}
}

// adds tells whether the movement adds to stock; the others take from it.
func (t MovementType) adds() bool {
	return slices.Contains([]MovementType{Receipt, ByProduct, IssueReversal, ScrappingReversal}, t)
}

// verb is what people call the movement.
func (t MovementType) verb() string {
	switch t {
	case Receipt, ByProduct:
		return "receipt"
	case Issue:
		return "issue"
	case Scrapping:
		return "scrapping"
	default:
		return "reversal"
	}
}

// Movement is one goods movement (ISA-95 part 4: material consumed and produced actual).
type Movement struct {
	ID          string       `json:"id"` // UUID; also the ID of the message
	Type        MovementType `json:"type"`
	Order       string       `json:"order,omitempty"` // the plant's ID of the order; empty only for scrapping of free stock
	Items       []Item       `json:"items"`
	PostedAt    time.Time    `json:"postedAt"`    // when it counts, with zone
	PostingDate string       `json:"postingDate"` // the day of PostedAt in the plant's zone, "2026-11-24"
	Reason      string       `json:"reason,omitempty"`
	Text        string       `json:"text,omitempty"`
	By          string       `json:"by,omitempty"`
	Reverses    string       `json:"reverses,omitempty"`   // ID of the movement that this one takes back
	ReversedBy  string       `json:"reversedBy,omitempty"` // ID of the reversal
	RecordedAt  time.Time    `json:"recordedAt"`           // when the plant stored it
}

// Item is one material of a movement.
type Item struct {
	Item            string          `json:"item"` // "0001": its place in the movement
	Material        string          `json:"material"`
	Batch           string          `json:"batch,omitempty"` // number of the lot, as people read it
	Lot             string          `json:"lot,omitempty"`   // the plant's ID of the lot, if it knows one of that number
	Serials         []string        `json:"serials,omitempty"`
	Quantity        decimal.Decimal `json:"quantity"` // as entered, in Unit
	Unit            string          `json:"unit"`
	BaseQuantity    decimal.Decimal `json:"baseQuantity"` // the same in BaseUnit, the unit of stock
	BaseUnit        string          `json:"baseUnit"`
	StorageLocation string          `json:"storageLocation,omitempty"`
	Component       string          `json:"component,omitempty"` // item of the component; empty for what is not reserved
	Operation       string          `json:"operation,omitempty"` // the operation that takes or gives it
	Unplanned       bool            `json:"unplanned,omitempty"` // consumption beyond or without a reservation
	Booked          decimal.Decimal `json:"booked,omitzero"`     // in the unit of the component (issue) or of the order (receipt)
}

// NewMovement asks to issue, receive or scrap goods.
type NewMovement struct {
	ID        string    `json:"id,omitempty"`        // UUID; the same again has no second effect; the plant makes one if empty
	Order     string    `json:"order,omitempty"`     // the plant's ID of the order
	ByProduct bool      `json:"byProduct,omitempty"` // a receipt of something other than the order's material
	Items     []NewItem `json:"items"`
	PostedAt  time.Time `json:"postedAt,omitzero"` // default: now
	Reason    string    `json:"reason,omitempty"`  // required for scrapping
	Text      string    `json:"text,omitempty"`
	By        string    `json:"by,omitempty"`
	IfVersion int64     `json:"ifVersion,omitempty"` // version of the order; 0: whatever it is
}

// NewItem is one material of a NewMovement.
type NewItem struct {
	Material        string          `json:"material,omitempty"`  // default: the component's, or for a receipt the order's
	Component       string          `json:"component,omitempty"` // item of the component; default: the one component of that material
	Batch           string          `json:"batch,omitempty"`
	Serials         []string        `json:"serials,omitempty"`
	Quantity        decimal.Decimal `json:"quantity"`
	Unit            string          `json:"unit,omitempty"` // default: the component's, the order's or the material's
	StorageLocation string          `json:"storageLocation,omitempty"`
	Operation       string          `json:"operation,omitempty"`
	Unplanned       bool            `json:"unplanned,omitempty"`
}

// Stock is what the plant's own movements have added to (or, below zero, taken from) one lot of one material. What the ERP moved
// is not in it.
type Stock struct {
	Material string          `json:"material"`
	Batch    string          `json:"batch,omitempty"`
	Quantity decimal.Decimal `json:"quantity"`
	Unit     string          `json:"unit"`
}

// maxItems is the most items that a movement may have.
const maxItems = 1000

// check refuses a movement that is wrong whatever the order says.
func (c NewMovement) check(t MovementType) error {
	var ck checks
	ck.that(c.Order != "" || t == Scrapping, "/order", "is missing")
	ck.that(c.Reason != "" || t != Scrapping, "/reason", "is missing: scrapping needs one")
	ck.that(len(c.Items) > 0, "/items", "is empty")
	ck.that(len(c.Items) <= maxItems, "/items", fmt.Sprintf("has more than %d items", maxItems))
	for i, it := range c.Items {
		at := itemPointer(i)
		ck.positive(it.Quantity, at+"/quantity")
		ck.that(it.Material != "" || it.Component != "" || t == Receipt, at+"/material", "is missing")
		ck.text(it.Material, at+"/material")
		ck.text(it.Batch, at+"/batch")
		ck.text(it.Unit, at+"/unit")
		ck.that(!it.Unplanned || t == Issue, at+"/unplanned", "is for issues only")
		ck.that(unique(it.Serials), at+"/serials", "names one twice")
	}
	return ck.err(t.verb() + " of goods")
}

func itemPointer(i int) string { return fmt.Sprintf("/items/%d", i) }

func unique(serials []string) bool {
	sorted := slices.Sorted(slices.Values(serials))
	return len(slices.Compact(sorted)) == len(serials)
}

// what names one item of a movement for a person.
func (it NewItem) what(t MovementType, o *Order) string {
	s := fmt.Sprintf("%s of %s %s of material %s", t.verb(), it.Quantity, it.Unit, it.Material)
	if o == nil {
		return s
	}
	return s + " for order " + o.Number
}

// component is the index of the component that an issue is for.
func (o *Order) component(it NewItem, pointer string) (int, error) {
	var found []int
	for i, c := range o.Components {
		if (it.Component == "" || c.Item == it.Component) && (it.Material == "" || c.Material == it.Material) &&
			(it.Operation == "" || c.Operation == it.Operation) {
			found = append(found, i)
		}
	}
	what := it.what(Issue, o)
	switch {
	case len(found) == 0:
		return 0, conflict(what, "the order has no such component", "issue it as unplanned consumption, or have the component added in the ERP",
			field(pointer+"/material", "is no component of the order"))
	case len(found) > 1:
		return 0, conflict(what, fmt.Sprintf("%d components of the order have this material", len(found)), "name the component's item or its operation",
			field(pointer+"/component", "is needed to tell which"))
	case o.Components[found[0]].Backflush:
		return 0, conflict(what, "the ERP issues component "+o.Components[found[0]].Item+" itself when its operation is confirmed",
			"leave it out, or issue what was used beyond it as unplanned consumption", field(pointer+"/component", "is issued by the ERP"))
	default:
		return found[0], nil
	}
}

// issue books a withdrawal of component i, in its unit.
func (o *Order) issue(i int, q decimal.Decimal, l limits, what, pointer string) error {
	c := &o.Components[i]
	most, err := percentOf(c.Quantity, l.overIssue)
	if err != nil {
		return err
	}
	if left := most.Sub(c.Withdrawn); q.Cmp(left) > 0 {
		return conflict(what, fmt.Sprintf("component %s needs %s %s, of which %s are still open", c.Item, most, c.Unit, left),
			"issue what goes beyond it as unplanned consumption", field(pointer+"/quantity", fmt.Sprintf("is more than the %s %s that are open", left, c.Unit)))
	}
	c.Withdrawn = c.Withdrawn.Add(q)
	return nil
}

// receive books a receipt of finished goods, in the order's unit.
func (o *Order) receive(q decimal.Decimal, l limits, what, pointer string) error {
	most, err := o.receivable(l)
	if err != nil {
		return err
	}
	if left := most.Sub(o.Received); q.Cmp(left) > 0 {
		return conflict(what, fmt.Sprintf("of %s %s that are confirmed, %s are not received yet", most, o.Unit, left),
			"confirm the last operation first", field(pointer+"/quantity", fmt.Sprintf("is more than the %s %s that may be received", left, o.Unit)))
	}
	o.Received = o.Received.Add(q)
	return nil
}

// takeBack undoes what the items of m did to the order.
func (o *Order) takeBack(m Movement, what string) error {
	if err := o.takes(what); err != nil {
		return err
	}
	for _, it := range m.Items {
		switch {
		case m.Type == Receipt:
			o.Received = o.Received.Sub(it.Booked)
		case m.Type == Issue && it.Component != "":
			i := slices.IndexFunc(o.Components, func(c Component) bool { return c.Item == it.Component && c.Material == it.Material })
			if i < 0 {
				return conflict(what, "the ERP has taken component "+it.Component+" out of the order", "correct it in the ERP")
			}
			o.Components[i].Withdrawn = o.Components[i].Withdrawn.Sub(it.Booked)
		}
	}
	o.settle()
	return nil
}

// checkBatch refuses an item whose batch does not fit its material. lot is nil if the plant knows none of that number.
func (it Item) checkBatch(t MovementType, managed, known bool, lot *Lot, at time.Time, what, pointer string) error {
	pointer += "/batch"
	switch {
	case managed && it.Batch == "":
		return conflict(what, "the material is managed in batches", "name the batch", field(pointer, "is missing"))
	case !managed && known && it.Batch != "":
		return conflict(what, "the material is not managed in batches", "leave the batch out", field(pointer, "is not for this material"))
	case it.Batch == "":
		return nil
	case lot == nil && (t == Receipt || t == ByProduct):
		return missing(what, "the plant has no lot "+it.Batch+" of this material", "create the lot first", field(pointer, "is not known"))
	case lot == nil || t != Issue:
		return nil
	case lot.Status != Unrestricted:
		return conflict(what, fmt.Sprintf("lot %s is not free for use: its state is %s", lot.Number, lot.Status),
			"take another lot, or have quality release this one", field(pointer, "is "+string(lot.Status)))
	case !lot.ExpiresAt.IsZero() && lot.ExpiresAt.Before(at):
		return conflict(what, fmt.Sprintf("lot %s expired at %s", lot.Number, lot.ExpiresAt.Format(time.RFC3339)), "take another lot", field(pointer, "has expired"))
	default:
		return nil
	}
}

// checkSerials refuses serial numbers that are not one for each piece.
func (it Item) checkSerials(serialised bool, what, pointer string) error {
	if !serialised && len(it.Serials) == 0 {
		return nil
	}
	if got := decimal.FromInt(int64(len(it.Serials))); !got.Equal(it.BaseQuantity) {
		return conflict(what, fmt.Sprintf("%s serial numbers are given for %s %s", got, it.BaseQuantity, it.BaseUnit),
			"give one serial number for each piece", field(pointer+"/serials", "must be one for each piece"))
	}
	return nil
}
