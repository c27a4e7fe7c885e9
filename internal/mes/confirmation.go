package mes

import (
	"time"

	"holdfast/internal/decimal"
)

// Confirmation says what was done in one operation (ISA-95 part 4: job response). A reversal is a Confirmation of its own that
// names in Reverses what it takes back, with the same quantities.
type Confirmation struct {
	ID         string          `json:"id"`        // UUID; also the ID of the message
	Order      string          `json:"order"`     // the plant's ID of the order
	Operation  string          `json:"operation"` // "0010"
	WorkCentre string          `json:"workCentre"`
	Yield      decimal.Decimal `json:"yield"` // good, in Unit, as entered
	Scrap      decimal.Decimal `json:"scrap"`
	Rework     decimal.Decimal `json:"rework"`
	Unit       string          `json:"unit"`
	Booked     Amounts         `json:"booked"`           // the same in the order's unit
	Reason     string          `json:"reason,omitempty"` // reason code of scrap, rework or reversal

	SetupTime   decimal.Decimal `json:"setupTime,omitzero"` // actual, in TimeUnit
	MachineTime decimal.Decimal `json:"machineTime,omitzero"`
	LabourTime  decimal.Decimal `json:"labourTime,omitzero"`
	TimeUnit    string          `json:"timeUnit,omitempty"`

	Personnel   string    `json:"personnel,omitempty"`
	Start       time.Time `json:"start,omitzero"` // of the work, with zone
	End         time.Time `json:"end,omitzero"`
	PostedAt    time.Time `json:"postedAt"`    // when it counts, with zone
	PostingDate string    `json:"postingDate"` // the day of PostedAt in the plant's zone, "2026-11-24"
	Final       bool      `json:"final"`       // the operation takes no more confirmations
	Text        string    `json:"text,omitempty"`

	Reverses   string    `json:"reverses,omitempty"`   // ID of the confirmation that this one takes back
	ReversedBy string    `json:"reversedBy,omitempty"` // ID of the reversal
	RecordedAt time.Time `json:"recordedAt"`           // when the plant stored it
}

// Amounts are quantities of one confirmation in one unit.
type Amounts struct {
	Yield  decimal.Decimal `json:"yield"`
	Scrap  decimal.Decimal `json:"scrap"`
	Rework decimal.Decimal `json:"rework"`
	Unit   string          `json:"unit"`
}

// NewConfirmation asks to confirm an operation.
type NewConfirmation struct {
	ID          string          `json:"id,omitempty"` // UUID; the same again has no second effect; the plant makes one if empty
	Order       string          `json:"order"`        // the plant's ID of the order
	Operation   string          `json:"operation"`
	Yield       decimal.Decimal `json:"yield"`
	Scrap       decimal.Decimal `json:"scrap"`
	Rework      decimal.Decimal `json:"rework"`
	Unit        string          `json:"unit,omitempty"`   // default: the order's unit
	Reason      string          `json:"reason,omitempty"` // required with scrap or rework
	SetupTime   decimal.Decimal `json:"setupTime,omitzero"`
	MachineTime decimal.Decimal `json:"machineTime,omitzero"`
	LabourTime  decimal.Decimal `json:"labourTime,omitzero"`
	TimeUnit    string          `json:"timeUnit,omitempty"` // required with a time; default: the operation's
	Personnel   string          `json:"personnel,omitempty"`
	Start       time.Time       `json:"start,omitzero"` // both or neither
	End         time.Time       `json:"end,omitzero"`
	PostedAt    time.Time       `json:"postedAt,omitzero"` // default: End, else now
	Final       bool            `json:"final,omitempty"`
	Text        string          `json:"text,omitempty"`
	IfVersion   int64           `json:"ifVersion,omitempty"` // version of the order; 0: whatever it is
}

// Reversal asks to take back a confirmation or a goods movement.
type Reversal struct {
	ID        string    `json:"id,omitempty"` // UUID of the reversal; the same again has no second effect
	Of        string    `json:"of"`           // ID of what is taken back
	Reason    string    `json:"reason"`       // required
	PostedAt  time.Time `json:"postedAt,omitzero"`
	By        string    `json:"by,omitempty"`
	IfVersion int64     `json:"ifVersion,omitempty"` // version of the order; 0: whatever it is
}
