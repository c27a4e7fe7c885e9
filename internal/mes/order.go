package mes

import (
	"time"

	"holdfast/internal/decimal"
)

// Status is where a production order stands in its life.
type Status string

// The states of an order, in the order of its life. An order that the ERP changed while it was in work keeps its state and has
// Order.ChangedInWork set.
const (
	Created             Status = "created"               // known, not yet released for production
	Released            Status = "released"              // may be started
	Started             Status = "started"               // in work, nothing confirmed
	PartlyConfirmed     Status = "partly-confirmed"      // something is confirmed, something is open
	Completed           Status = "completed"             // every operation is finally confirmed and what was made is received
	TechnicallyComplete Status = "technically-completed" // closed by a person or the ERP; takes nothing
	Cancelled           Status = "cancelled"             // withdrawn by the ERP; takes nothing
)

// Origin tells who made an object.
type Origin string

// The origins.
const (
	FromERP   Origin = "erp"
	FromPlant Origin = "plant"
)

// Order is a production order (ISA-95 part 4: job order). Its quantities are in Unit.
type Order struct {
	ID          string `json:"id"`                    // the plant's own unchanging ID, a UUID; the key of every message about it
	Number      string `json:"number"`                // what people call it: the ERP's number, or the plant's until that arrives
	PlantNumber string `json:"plantNumber,omitempty"` // number that the plant gave it; empty for the ERP's orders
	ERPNumber   string `json:"erpNumber,omitempty"`   // number that the ERP gave it; empty while nobody knows it
	Origin      Origin `json:"origin"`
	Type        string `json:"type,omitempty"` // the ERP's order type, such as "PP01"

	Material            string          `json:"material"`
	MaterialDescription string          `json:"materialDescription,omitempty"`
	Plant               string          `json:"plant"`
	StorageLocation     string          `json:"storageLocation,omitempty"` // where finished goods go
	Batch               string          `json:"batch,omitempty"`           // lot that the ERP foresees for the finished goods
	Quantity            decimal.Decimal `json:"quantity"`                  // planned
	Unit                string          `json:"unit"`
	OverDelivery        decimal.Decimal `json:"overDeliveryPercent"` // allowance above Quantity, in percent

	Start    time.Time `json:"start"`    // planned, with zone
	End      time.Time `json:"end"`      // planned, with zone
	Priority int       `json:"priority"` // 0 to 9; 9 is the most urgent
	Status   Status    `json:"status"`

	ChangedInWork bool      `json:"changedInWork"`        // the ERP changed it after work on it had begun
	StartedAt     time.Time `json:"startedAt,omitzero"`   // when work began
	CompletedAt   time.Time `json:"completedAt,omitzero"` // when it was technically completed or cancelled

	Yield    decimal.Decimal `json:"yield"`    // confirmed good, by the last operation that is confirmed
	Scrap    decimal.Decimal `json:"scrap"`    // confirmed scrap, over all operations
	Rework   decimal.Decimal `json:"rework"`   // confirmed for rework, over all operations
	Received decimal.Decimal `json:"received"` // received into stock, net of reversals

	Operations []Operation `json:"operations"`
	Components []Component `json:"components"`

	Version    int64     `json:"version"`              // grows by one with each change; the ETag
	ERPVersion string    `json:"erpVersion,omitempty"` // the ERP's version or change time of what was last taken from it
	CreatedAt  time.Time `json:"createdAt"`
	ChangedAt  time.Time `json:"changedAt"`
}

// ControlKey says how an operation is confirmed.
type ControlKey string

// The control keys.
const (
	ControlConfirm   ControlKey = "confirm"   // each piece is confirmed here
	ControlMilestone ControlKey = "milestone" // a confirmation here stands for the operations before it
	ControlNone      ControlKey = "none"      // nothing is confirmed here
)

// OperationStatus is where an operation stands.
type OperationStatus string

// The states of an operation.
const (
	OperationOpen   OperationStatus = "open"             // nothing confirmed
	OperationPartly OperationStatus = "partly-confirmed" // something confirmed, more may come
	OperationClosed OperationStatus = "confirmed"        // finally confirmed: takes no more
)

// Operation is one step of an order (ISA-95 part 4: job order of a segment). Its quantities are in the order's unit.
type Operation struct {
	Number       string          `json:"number"` // "0010": its place in the sequence
	Description  string          `json:"description,omitempty"`
	WorkCentre   string          `json:"workCentre"`
	Control      ControlKey      `json:"controlKey"`
	BaseQuantity decimal.Decimal `json:"baseQuantity,omitzero"` // what MachineTime and LabourTime are for
	SetupTime    decimal.Decimal `json:"setupTime,omitzero"`    // standard, in TimeUnit
	MachineTime  decimal.Decimal `json:"machineTime,omitzero"`
	LabourTime   decimal.Decimal `json:"labourTime,omitzero"`
	TimeUnit     string          `json:"timeUnit,omitempty"`

	Yield  decimal.Decimal `json:"yield"`  // confirmed good, net of reversals
	Scrap  decimal.Decimal `json:"scrap"`  // confirmed scrap
	Rework decimal.Decimal `json:"rework"` // confirmed for rework: still in this operation, so not part of the balance
	Status OperationStatus `json:"status"`
}

// Component is one reservation of an order: a material that an operation takes.
type Component struct {
	Item            string          `json:"item"` // "0010"
	Material        string          `json:"material"`
	Quantity        decimal.Decimal `json:"quantity"` // required for the whole order
	Unit            string          `json:"unit"`
	Operation       string          `json:"operation,omitempty"` // the operation that takes it
	StorageLocation string          `json:"storageLocation,omitempty"`
	BatchManaged    bool            `json:"batchManaged"`
	Backflush       bool            `json:"backflush"` // the ERP issues it when its operation is confirmed; the plant must not
	Withdrawn       decimal.Decimal `json:"withdrawn"` // issued, in Unit, net of reversals
}

// NewOrder asks for an order of the plant's own. Operations and components come from the plant's copy of routing and bill of
// material.
type NewOrder struct {
	ID              string           `json:"id,omitempty"` // UUID; the plant makes one if empty
	Material        string           `json:"material"`
	Quantity        decimal.Decimal  `json:"quantity"`
	Unit            string           `json:"unit,omitempty"` // default: the material's base unit
	OverDelivery    *decimal.Decimal `json:"overDeliveryPercent,omitempty"`
	StorageLocation string           `json:"storageLocation,omitempty"`
	Start           time.Time        `json:"start,omitzero"` // default: now
	End             time.Time        `json:"end,omitzero"`   // default: Start
	Priority        int              `json:"priority,omitempty"`
	By              string           `json:"by,omitempty"`
}

// OrderAct starts or completes an order.
type OrderAct struct {
	ID        string    `json:"id,omitempty"` // UUID of the act; the same again has no second effect
	Order     string    `json:"order"`        // the plant's ID of the order
	At        time.Time `json:"at,omitzero"`  // when it happened; default: now
	By        string    `json:"by,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	IfVersion int64     `json:"ifVersion,omitempty"` // 0: whatever the version is
}

// OrderChange changes what the plant may plan itself; nil and zero fields stay as they are.
type OrderChange struct {
	Order           string    `json:"order"`
	Start           time.Time `json:"start,omitzero"`
	End             time.Time `json:"end,omitzero"`
	Priority        *int      `json:"priority,omitempty"`
	StorageLocation *string   `json:"storageLocation,omitempty"`
	IfVersion       int64     `json:"ifVersion,omitempty"`
}
