package mes

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"holdfast/internal/decimal"
	"holdfast/internal/problem"
)

// Status is where a production order stands in its life.
type Status string

// The states of an order, in the order of its life. An order that the ERP changed while it was in work keeps its state and has
// Order.ChangedInWork set.
const (
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

	ClosedByERP bool `json:"closedByERP,omitempty"` // the ERP has said that it is technically completed: only the ERP can open it again

	Yield    decimal.Decimal `json:"yield"`    // confirmed good, by the last operation that is confirmed
	Scrap    decimal.Decimal `json:"scrap"`    // confirmed scrap, over all operations
	Rework   decimal.Decimal `json:"rework"`   // confirmed for rework, over all operations
	Received decimal.Decimal `json:"received"` // received into stock, net of reversals

	Operations []Operation `json:"operations"`
	Components []Component `json:"components"`

	Notes []Note `json:"notes,omitempty"` // what a person should know; the newest is the last

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

// limits are the allowances that the plant's settings add to an order's own.
type limits struct {
	overIssue   decimal.Decimal // percent
	overReceipt decimal.Decimal // percent
}

// ref names the order in a message.
func (o *Order) ref() OrderRef {
	return OrderRef{
		ID: o.ID, Number: o.Number, PlantNumber: o.PlantNumber, ERPNumber: o.ERPNumber, Material: o.Material, Unit: o.Unit,
	}
}

// takes refuses reports on an order that is not open for them.
func (o *Order) takes(what string) error {
	switch o.Status {
	case Cancelled:
		return conflict(what, "the ERP has cancelled it", "book on another order, or have a new one released in the ERP")
	case TechnicallyComplete:
		return conflict(what, "it is technically completed", "book on another order, or have a new one released in the ERP")
	default:
		return nil
	}
}

// at refuses a change by somebody who has seen another version of the order.
func (o *Order) at(version int64, what string) error { return unchanged(what, o.Version, version) }

// unchanged refuses a change by somebody who has seen another version than has; 0 is whoever does not mind.
func unchanged(what string, has, seen int64) error {
	if seen == 0 || seen == has {
		return nil
	}
	return &problem.Error{
		Kind: problem.Precondition, What: what, Why: fmt.Sprintf("it is at version %d, not %d: somebody changed it first", has, seen),
		Hint: "read it again, and send the change with the version that it has now",
	}
}

// start begins work.
func (o *Order) start(at time.Time) error {
	what := "start of order " + o.Number
	if err := o.takes(what); err != nil {
		return err
	}
	if !o.StartedAt.IsZero() {
		return conflict(what, "it was started at "+o.StartedAt.Format(time.RFC3339), "confirm its operations")
	}
	o.StartedAt = at
	o.settle()
	return nil
}

// complete closes the order for good.
func (o *Order) complete(at time.Time) error {
	if err := o.takes("technical completion of order " + o.Number); err != nil {
		return err
	}
	o.Status, o.CompletedAt = TechnicallyComplete, at
	return nil
}

// confirmed tells whether anything of the operation is confirmed.
func (op *Operation) confirmed() bool {
	return op.Status == OperationClosed || !op.Yield.IsZero() || !op.Scrap.IsZero() || !op.Rework.IsZero()
}

// processed is what has left the operation: good pieces and scrap. Rework is still in it.
func (op *Operation) processed() decimal.Decimal { return op.Yield.Add(op.Scrap) }

// inWork tells whether work on the order has left a trace.
func (o *Order) inWork() bool { return !o.StartedAt.IsZero() || o.booked() }

// booked tells whether anything is confirmed, issued or received, net of reversals.
func (o *Order) booked() bool {
	return !o.Received.IsZero() ||
		slices.ContainsFunc(o.Operations, func(op Operation) bool { return op.confirmed() }) ||
		slices.ContainsFunc(o.Components, func(c Component) bool { return !c.Withdrawn.IsZero() })
}

// operation is the index of an operation, -1 if the order has none of that number.
func (o *Order) operation(number string) int {
	return slices.IndexFunc(o.Operations, func(op Operation) bool { return op.Number == number })
}

// last is the index of the last operation that is confirmed, -1 if none is.
func (o *Order) last() int {
	for i := len(o.Operations) - 1; i >= 0; i-- {
		if o.Operations[i].Control != ControlNone {
			return i
		}
	}
	return -1
}

// before is the index of the operation whose yield operation i works on, -1 for the first. A milestone stands for those before
// it, so that it looks back to the milestone before.
func (o *Order) before(i int) int {
	for j := i - 1; j >= 0; j-- {
		control := o.Operations[j].Control
		if control == ControlMilestone || (control == ControlConfirm && o.Operations[i].Control != ControlMilestone) {
			return j
		}
	}
	return -1
}

// allowed is the quantity with its allowance.
func (o *Order) allowed() (decimal.Decimal, error) { return percentOf(o.Quantity, o.OverDelivery) }

// receivable is how much may be received in all: what the last operation yielded, or the order's quantity where none is confirmed.
func (o *Order) receivable(l limits) (decimal.Decimal, error) {
	if i := o.last(); i >= 0 {
		return percentOf(o.Operations[i].Yield, l.overReceipt)
	}
	return o.allowed()
}

// settle works out totals and state from what is booked.
func (o *Order) settle() {
	o.Yield, o.Scrap, o.Rework = decimal.Decimal{}, decimal.Decimal{}, decimal.Decimal{}
	closed, some, milestone := true, false, false
	for i := len(o.Operations) - 1; i >= 0; i-- {
		op := &o.Operations[i]
		if op.Status != OperationClosed {
			op.Status = OperationOpen
			if op.confirmed() {
				op.Status = OperationPartly
			}
		}
		o.Scrap, o.Rework = o.Scrap.Add(op.Scrap), o.Rework.Add(op.Rework)
		closed = closed && (milestone || op.Status == OperationClosed || op.Control == ControlNone)
		milestone = milestone || (op.Control == ControlMilestone && op.Status == OperationClosed)
		some = some || op.confirmed()
	}
	made := o.Quantity
	if i := o.last(); i >= 0 {
		o.Yield = o.Operations[i].Yield
		made = o.Yield
	}
	switch {
	case o.Status == Cancelled || o.Status == TechnicallyComplete:
	case closed && o.Received.Cmp(made) >= 0:
		o.Status = Completed
	case some || o.Received.Sign() > 0:
		o.Status = PartlyConfirmed
	case !o.StartedAt.IsZero():
		o.Status = Started
	default:
		o.Status = Released
	}
}

// flow refuses a state in which an operation has processed more than it was given, or more is received than was made; what leads
// there is named by what, and the way out by hint.
func (o *Order) flow(l limits, what, hint string) error {
	most, err := o.allowed()
	if err != nil {
		return err
	}
	for i := range o.Operations {
		op, given, source := &o.Operations[i], most, "the order allows"
		if j := o.before(i); j >= 0 {
			given, source = o.Operations[j].Yield, "operation "+o.Operations[j].Number+" yields"
		}
		if op.processed().Cmp(given) > 0 || op.processed().Cmp(most) > 0 {
			return conflict(what, fmt.Sprintf("operation %s would have %s %s behind it, of %s that %s",
				op.Number, op.processed(), o.Unit, cmpMin(given, most), source), hint)
		}
	}
	receivable, err := o.receivable(l)
	if err != nil {
		return err
	}
	if o.Received.Cmp(receivable) > 0 {
		return conflict(what, fmt.Sprintf("%s %s are received, and only %s would be confirmed", o.Received, o.Unit, receivable), hint)
	}
	return nil
}

func cmpMin(a, b decimal.Decimal) decimal.Decimal {
	if a.Cmp(b) <= 0 {
		return a
	}
	return b
}

// sorted brings operations and components in the order of their numbers.
func (o *Order) sorted() {
	o.Operations, o.Components = orList(o.Operations, []Operation{}), orList(o.Components, []Component{})
	slices.SortStableFunc(o.Operations, func(a, b Operation) int { return cmp.Compare(a.Number, b.Number) })
	slices.SortStableFunc(o.Components, func(a, b Component) int { return cmp.Compare(a.Item, b.Item) })
}

// change applies what the plant may plan itself.
func (o *Order) change(c OrderChange) error {
	what := "change of order " + o.Number
	if err := o.takes(what); err != nil {
		return err
	}
	if err := o.at(c.IfVersion, what); err != nil {
		return err
	}
	if !c.Start.IsZero() {
		o.Start = c.Start
	}
	if !c.End.IsZero() {
		o.End = c.End
	}
	if c.Priority != nil {
		o.Priority = *c.Priority
	}
	if c.StorageLocation != nil {
		o.StorageLocation = *c.StorageLocation
	}
	var ck checks
	ck.that(!o.Start.After(o.End), "/end", "is before the start")
	ck.that(o.Priority >= 0 && o.Priority <= 9, "/priority", "is not between 0 and 9")
	return ck.err(what)
}
