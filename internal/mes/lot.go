package mes

import (
	"time"

	"holdfast/internal/decimal"
)

// LotStatus says whether a lot may be used.
type LotStatus string

// The states of a lot.
const (
	Unrestricted LotStatus = "unrestricted"
	InInspection LotStatus = "inspection"
	Blocked      LotStatus = "blocked" // may not be issued
)

// Lot is a batch of a material (ISA-95 part 2: material lot).
type Lot struct {
	ID             string          `json:"id"`                  // UUID; also the ID of the message
	Number         string          `json:"number"`              // what people call it, unique for the material
	ERPNumber      string          `json:"erpNumber,omitempty"` // number that the ERP gave it
	Material       string          `json:"material"`
	Quantity       decimal.Decimal `json:"quantity,omitzero"`
	Unit           string          `json:"unit,omitempty"`
	Origin         Origin          `json:"origin"`
	Order          string          `json:"order,omitempty"` // the plant's ID of the order that makes it
	SupplierBatch  string          `json:"supplierBatch,omitempty"`
	ManufacturedAt time.Time       `json:"manufacturedAt,omitzero"`
	ExpiresAt      time.Time       `json:"expiresAt,omitzero"`
	ManufacturedOn string          `json:"manufacturedOn,omitempty"` // the day in the plant's zone
	ExpiresOn      string          `json:"expiresOn,omitempty"`
	Status         LotStatus       `json:"status"`
	RecordedAt     time.Time       `json:"recordedAt"`
}

// NewLot asks for a lot.
type NewLot struct {
	ID             string          `json:"id,omitempty"`     // UUID; the same again has no second effect; the plant makes one if empty
	Number         string          `json:"number,omitempty"` // default: the next of the plant's range
	Material       string          `json:"material"`
	Quantity       decimal.Decimal `json:"quantity,omitzero"`
	Unit           string          `json:"unit,omitempty"`
	Order          string          `json:"order,omitempty"`
	SupplierBatch  string          `json:"supplierBatch,omitempty"`
	ManufacturedAt time.Time       `json:"manufacturedAt,omitzero"`
	ExpiresAt      time.Time       `json:"expiresAt,omitzero"` // default: ManufacturedAt plus the material's shelf life
	Status         LotStatus       `json:"status,omitempty"`   // default: unrestricted
}

// Valuation is what an inspection comes to.
type Valuation string

// The valuations.
const (
	Accepted Valuation = "accepted"
	Rejected Valuation = "rejected"
)

// Inspection is one result for one characteristic (ISA-95 part 2: QA test result).
type Inspection struct {
	ID             string           `json:"id"` // UUID; also the ID of the message
	Order          string           `json:"order,omitempty"`
	Operation      string           `json:"operation,omitempty"`
	Lot            string           `json:"lot,omitempty"` // the plant's ID of the lot
	Batch          string           `json:"batch,omitempty"`
	Material       string           `json:"material,omitempty"`
	Characteristic string           `json:"characteristic"`
	Value          *decimal.Decimal `json:"value,omitempty"` // measured; or Code
	Code           string           `json:"code,omitempty"`  // attribute, such as "OK"
	Unit           string           `json:"unit,omitempty"`
	Lower          *decimal.Decimal `json:"lowerLimit,omitempty"`
	Upper          *decimal.Decimal `json:"upperLimit,omitempty"`
	Valuation      Valuation        `json:"valuation"`
	At             time.Time        `json:"at"` // when it was inspected, with zone
	By             string           `json:"by,omitempty"`
	Text           string           `json:"text,omitempty"`
	RecordedAt     time.Time        `json:"recordedAt"`
}

// NewInspection asks to record a result. It belongs to an order, a lot or both. A value is judged by the limits; a Valuation
// that says otherwise is refused.
type NewInspection struct {
	ID             string           `json:"id,omitempty"` // UUID; the same again has no second effect; the plant makes one if empty
	Order          string           `json:"order,omitempty"`
	Operation      string           `json:"operation,omitempty"`
	Lot            string           `json:"lot,omitempty"`
	Characteristic string           `json:"characteristic"`
	Value          *decimal.Decimal `json:"value,omitempty"`
	Code           string           `json:"code,omitempty"`
	Unit           string           `json:"unit,omitempty"`
	Lower          *decimal.Decimal `json:"lowerLimit,omitempty"`
	Upper          *decimal.Decimal `json:"upperLimit,omitempty"`
	Valuation      Valuation        `json:"valuation,omitempty"` // required with a Code, or without limits
	At             time.Time        `json:"at,omitzero"`         // default: now
	By             string           `json:"by,omitempty"`
	Text           string           `json:"text,omitempty"`
}
