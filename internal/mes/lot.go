package mes

import (
	"time"

	"holdfast/internal/decimal"
)

// LotStatus says whether a lot may be used.
type LotStatus string

// The states of a lot. Only what is unrestricted may be issued.
const (
	Unrestricted LotStatus = "unrestricted"
	InInspection LotStatus = "inspection"
	Blocked      LotStatus = "blocked"
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
	Notes          []Note          `json:"notes,omitempty"` // what a person should know; the newest is the last
	Version        int64           `json:"version"`         // grows by one with each change; the ETag
	RecordedAt     time.Time       `json:"recordedAt"`
	ChangedAt      time.Time       `json:"changedAt"`
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

// LotDecision asks for another state of a lot: the usage decision after an inspection, or a restriction.
type LotDecision struct {
	ID        string    `json:"id,omitempty"` // UUID; the same again has no second effect; the plant makes one if empty
	Lot       string    `json:"lot"`          // the plant's ID of the lot
	Status    LotStatus `json:"status"`
	At        time.Time `json:"at,omitzero"` // when it was decided; default: now
	By        string    `json:"by,omitempty"`
	Reason    string    `json:"reason"`
	IfVersion int64     `json:"ifVersion,omitempty"` // version of the lot; 0: whatever it is
}

func (c LotDecision) check(what string) error {
	var ck checks
	ck.that(c.Status.known(), "/status", "is none of unrestricted, inspection and blocked")
	ck.that(c.Reason != "", "/reason", "is missing: a decision on a lot needs one")
	return ck.err(what)
}

// mayBecome refuses a state that does not follow on the lot's. bad is a characteristic that was last found bad, if any.
func (l *Lot) mayBecome(to LotStatus, bad, what string) error {
	switch {
	case to == l.Status:
		return conflict(what, "it is "+string(to)+" already", "nothing is left to do", field("/status", "is the lot's already"))
	case to == Unrestricted && l.Status == Blocked:
		return conflict(what, "a blocked lot is given free by an inspection only",
			"put it in inspection, record what is found, and decide then", field("/status", "does not follow on blocked"))
	case to == Unrestricted && bad != "":
		return conflict(what, "its last result for "+bad+" is rejected", "inspect it again, or block or scrap it", field("/status", "contradicts the inspection"))
	default:
		return nil
	}
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
