package mes

import (
	"fmt"
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

// Recorded is what the audit record keeps of a confirmation: which it is, and of what. What it says is sealed, and stands in the message of the
// same ID, whose digest the chain of its lane holds.
func (c Confirmation) Recorded() any {
	return struct {
		ID        string `json:"id"`
		Order     string `json:"order"`
		Operation string `json:"operation"`
		Reverses  string `json:"reverses,omitempty"`
	}{c.ID, c.Order, c.Operation, c.Reverses}
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

// check refuses a confirmation that is wrong whatever the order says.
func (c NewConfirmation) check() error {
	var ck checks
	ck.named(c.Order, "/order")
	ck.named(c.Operation, "/operation")
	ck.quantity(c.Yield, "/yield")
	ck.quantity(c.Scrap, "/scrap")
	ck.quantity(c.Rework, "/rework")
	ck.quantity(c.SetupTime, "/setupTime")
	ck.quantity(c.MachineTime, "/machineTime")
	ck.quantity(c.LabourTime, "/labourTime")
	ck.that(c.Reason != "" || (c.Scrap.IsZero() && c.Rework.IsZero()), "/reason", "is missing: scrap and rework need one")
	ck.that(c.says(), "/yield", "is 0, and so is everything else: there is nothing to confirm")
	ck.that(c.Start.IsZero() == c.End.IsZero(), "/start", "and the end belong together: give both or neither")
	ck.that(!c.Start.After(c.End), "/end", "is before the start")
	return ck.err(c.what(c.Order))
}

// says tells whether the confirmation says anything.
func (c NewConfirmation) says() bool {
	return c.Final || c.timed() || !c.Yield.IsZero() || !c.Scrap.IsZero() || !c.Rework.IsZero()
}

func (c NewConfirmation) timed() bool {
	return !c.SetupTime.IsZero() || !c.MachineTime.IsZero() || !c.LabourTime.IsZero()
}

// what names the confirmation for a person.
func (c NewConfirmation) what(order string) string {
	if c.Yield.IsZero() {
		return fmt.Sprintf("confirmation in operation %s of order %s", c.Operation, order)
	}
	if c.Unit == "" {
		return fmt.Sprintf("confirmation of %s in operation %s of order %s", c.Yield, c.Operation, order)
	}
	return fmt.Sprintf("confirmation of %s %s in operation %s of order %s", c.Yield, c.Unit, c.Operation, order)
}

// confirm books a confirmation on operation i. The amounts are in the order's unit.
func (o *Order) confirm(i int, a Amounts, final bool, what string) error {
	if err := o.confirmable(i, what); err != nil {
		return err
	}
	if err := o.open(i, a, what); err != nil {
		return err
	}
	op := &o.Operations[i]
	op.Yield, op.Scrap, op.Rework = op.Yield.Add(a.Yield), op.Scrap.Add(a.Scrap), op.Rework.Add(a.Rework)
	if final {
		op.Status = OperationClosed
	}
	o.settle()
	return nil
}

// confirmable refuses what operation i cannot take at all.
func (o *Order) confirmable(i int, what string) error {
	if err := o.takes(what); err != nil {
		return err
	}
	op := o.Operations[i]
	switch {
	case o.StartedAt.IsZero():
		return conflict(what, "the order is not started", "start the order first")
	case op.Control == ControlNone:
		return conflict(what, "nothing is confirmed in this operation", "confirm the operation that follows it", field("/operation", "takes no confirmations"))
	case op.Status == OperationClosed:
		return conflict(what, "the operation is finally confirmed", "reverse its final confirmation first", field("/operation", "is finally confirmed"))
	default:
		return nil
	}
}

// open refuses more than is still open in operation i: what its predecessor yielded, and what the order allows.
func (o *Order) open(i int, a Amounts, what string) error {
	op, asked := &o.Operations[i], a.Yield.Add(a.Scrap).Add(a.Rework)
	most, err := o.allowed()
	if err != nil {
		return err
	}
	if left := most.Sub(op.processed()); asked.Cmp(left) > 0 {
		return conflict(what, fmt.Sprintf("only %s of %s %s are still open", left, most, o.Unit),
			"raise the order's quantity or its over-delivery allowance in the ERP, or correct what is confirmed",
			field("/yield", fmt.Sprintf("yield, scrap and rework come to %s, and %s are open", asked, left)))
	}
	j := o.before(i)
	if j < 0 {
		return nil
	}
	prev := &o.Operations[j]
	if left := prev.Yield.Sub(op.processed()); asked.Cmp(left) > 0 {
		return conflict(what, fmt.Sprintf("operation %s before it has yielded %s %s, of which %s are left", prev.Number, prev.Yield, o.Unit, left),
			"confirm operation "+prev.Number+" first",
			field("/yield", fmt.Sprintf("yield, scrap and rework come to %s, and %s are left by operation %s", asked, left, prev.Number)))
	}
	return nil
}

// unconfirm takes a confirmation back; a final one opens its operation again.
func (o *Order) unconfirm(c Confirmation, l limits, what string) error {
	if err := o.takes(what); err != nil {
		return err
	}
	i := o.operation(c.Operation)
	if i < 0 {
		return conflict(what, "the ERP has taken operation "+c.Operation+" out of the order", "correct it in the ERP")
	}
	op := &o.Operations[i]
	op.Yield, op.Scrap, op.Rework = op.Yield.Sub(c.Booked.Yield), op.Scrap.Sub(c.Booked.Scrap), op.Rework.Sub(c.Booked.Rework)
	if c.Final {
		op.Status = OperationOpen
	}
	if err := o.flow(l, what, "reverse the later confirmations and receipts that build on it first"); err != nil {
		return err
	}
	o.settle()
	return nil
}
