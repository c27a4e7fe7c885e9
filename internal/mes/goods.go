package mes

import (
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
