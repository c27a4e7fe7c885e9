package mes

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"holdfast/internal/decimal"
)

// The plant and the ERP plan one order: the plant may change dates, priority and storage location, the ERP everything. What the ERP
// said last is kept beside the order, so that a message which repeats it (each message names the whole order, and a poll brings it
// again and again) does not take back what the plant has changed since. Of an order that the plant made, it begins with what the plant
// told the ERP.

// news is what e says that the ERP did not say before.
func (o *Order) news(e, word ERPOrder) ERPOrder {
	n := e.since(word)
	if orTime(n.Start, o.Start).After(orTime(n.End, o.End)) { // the plant's own date does not go with the ERP's: then both are the ERP's
		said := word.with(e)
		n.Start, n.End = said.Start, said.End
	}
	return n
}

// since is e without what w says too.
func (e ERPOrder) since(w ERPOrder) ERPOrder {
	for _, text := range []struct {
		now *string
		old string
	}{
		{&e.Type, w.Type},
		{&e.Material, w.Material},
		{&e.MaterialDescription, w.MaterialDescription},
		{&e.StorageLocation, w.StorageLocation},
		{&e.Batch, w.Batch},
		{&e.Unit, w.Unit},
	} {
		if *text.now == text.old {
			*text.now = ""
		}
	}
	e.Quantity = unless(e.Quantity, w.Quantity, decimal.Decimal.Equal)
	e.OverDelivery = unless(e.OverDelivery, w.OverDelivery, decimal.Decimal.Equal)
	e.Priority = unless(e.Priority, w.Priority, func(a, b int) bool { return a == b })
	if sameTime(e.Start, w.Start) {
		e.Start = time.Time{}
	}
	if sameTime(e.End, w.End) {
		e.End = time.Time{}
	}
	var a, b Order
	a.plan(e.Operations, e.Components)
	b.plan(w.Operations, w.Components)
	if w.Operations != nil && slices.EqualFunc(a.Operations, b.Operations, sameOperation) {
		e.Operations = nil
	}
	if w.Components != nil && slices.EqualFunc(a.Components, b.Components, sameComponent) {
		e.Components = nil
	}
	return e
}

// unless is now, or nil if old is the same.
func unless[T any](now, old *T, same func(a, b T) bool) *T {
	if now != nil && old != nil && same(*now, *old) {
		return nil
	}
	return now
}

// sameTime tells whether two times are one to the second: few ERPs keep more, and a plan is not that fine.
func sameTime(a, b time.Time) bool { return a.Truncate(time.Second).Equal(b.Truncate(time.Second)) }

func orTime(t, otherwise time.Time) time.Time {
	if t.IsZero() {
		return otherwise
	}
	return t
}

// with is e with what newer says over it.
func (e ERPOrder) with(newer ERPOrder) ERPOrder {
	n := newer
	return ERPOrder{
		Type: cmp.Or(n.Type, e.Type), Material: cmp.Or(n.Material, e.Material), Unit: cmp.Or(n.Unit, e.Unit),
		MaterialDescription: cmp.Or(n.MaterialDescription, e.MaterialDescription),
		StorageLocation:     cmp.Or(n.StorageLocation, e.StorageLocation), Batch: cmp.Or(n.Batch, e.Batch),
		Quantity: cmp.Or(n.Quantity, e.Quantity), OverDelivery: cmp.Or(n.OverDelivery, e.OverDelivery), Priority: cmp.Or(n.Priority, e.Priority),
		Start: orTime(n.Start, e.Start), End: orTime(n.End, e.End),
		Operations: orList(n.Operations, e.Operations), Components: orList(n.Components, e.Components),
	}
}

func orList[T any](list, otherwise []T) []T {
	if list != nil {
		return list
	}
	return otherwise
}

// word is what the ERP is told of an order that the plant makes.
func (o *Order) word() ERPOrder {
	e := ERPOrder{
		Material: o.Material, MaterialDescription: o.MaterialDescription, StorageLocation: o.StorageLocation, Unit: o.Unit,
		Quantity: &o.Quantity, OverDelivery: &o.OverDelivery, Priority: &o.Priority, Start: o.Start, End: o.End,
	}
	for _, op := range o.Operations {
		e.Operations = append(e.Operations, PlannedOperation{
			Number: op.Number, Description: op.Description, WorkCentre: op.WorkCentre, Control: op.Control, BaseQuantity: op.BaseQuantity,
			SetupTime: op.SetupTime, MachineTime: op.MachineTime, LabourTime: op.LabourTime, TimeUnit: op.TimeUnit,
		})
	}
	for _, c := range o.Components {
		e.Components = append(e.Components, PlannedComponent{
			Item: c.Item, Material: c.Material, Quantity: c.Quantity, Unit: c.Unit, Operation: c.Operation,
			StorageLocation: c.StorageLocation, BatchManaged: c.BatchManaged, Backflush: c.Backflush,
		})
	}
	return e
}

// overruled says what the plant had changed since the ERP's last word and the ERP changes now.
func (o *Order) overruled(news, word ERPOrder, now time.Time) []Note {
	var notes []Note
	note := func(field, plant, erp string) {
		notes = append(notes, Note{At: now, Code: Overruled, Text: fmt.Sprintf("the ERP set the %s to %s; the plant had set %s", field, erp, plant)})
	}
	date := func(field string, plant, erp, last time.Time) {
		if !erp.IsZero() && !last.IsZero() && !sameTime(plant, last) && !sameTime(plant, erp) {
			note(field, plant.Format(time.RFC3339), erp.Format(time.RFC3339))
		}
	}
	date("start", o.Start, news.Start, word.Start)
	date("end", o.End, news.End, word.End)
	if news.Priority != nil && word.Priority != nil && o.Priority != *word.Priority && o.Priority != *news.Priority {
		note("priority", fmt.Sprint(o.Priority), fmt.Sprint(*news.Priority))
	}
	if loc := news.StorageLocation; loc != "" && word.StorageLocation != "" && o.StorageLocation != word.StorageLocation && o.StorageLocation != loc {
		note("storage location", o.StorageLocation, loc)
	}
	return notes
}

// plan sets the lists before anything is booked.
func (o *Order) plan(operations []PlannedOperation, components []PlannedComponent) {
	for _, op := range operations {
		o.Operations = append(o.Operations, op.operation())
	}
	for _, c := range components {
		o.Components = append(o.Components, c.component())
	}
	o.sorted()
}

// adopt takes over what the ERP plans; what it leaves out stays. What is booked must still fit, and of an order that is closed only
// what makes no difference to the work may change: an ERP fills in what it was not told.
func (o *Order) adopt(e ERPOrder, l limits) error {
	what := "change of order " + cmp.Or(o.Number, e.ERPNumber) + " by the ERP"
	next := *o
	if err := next.plannedBy(e, what); err != nil {
		return err
	}
	if samePlan(o, &next) {
		return nil
	}
	if err := o.takes(what); err != nil && !sameWork(o, &next) {
		return err
	}
	if err := o.keeps(&next, what); err != nil {
		return err
	}
	if err := next.flow(l, what, "reverse what goes beyond it and replay the message, or take the change back in the ERP"); err != nil {
		return err
	}
	next.ChangedInWork = o.ChangedInWork || o.inWork() && !sameButLabels(o, &next)
	next.settle()
	*o = next
	return nil
}

// plannedBy sets the planned fields that e gives.
func (o *Order) plannedBy(e ERPOrder, what string) error {
	o.Type = cmp.Or(e.Type, o.Type)
	o.Material = cmp.Or(e.Material, o.Material)
	o.MaterialDescription = cmp.Or(e.MaterialDescription, o.MaterialDescription)
	o.StorageLocation = cmp.Or(e.StorageLocation, o.StorageLocation)
	o.Batch = cmp.Or(e.Batch, o.Batch)
	o.Unit = cmp.Or(e.Unit, o.Unit)
	o.Quantity = given(e.Quantity, o.Quantity)
	o.OverDelivery = given(e.OverDelivery, o.OverDelivery)
	o.Priority = given(e.Priority, o.Priority)
	if !e.Start.IsZero() {
		o.Start = e.Start
	}
	if !e.End.IsZero() {
		o.End = e.End
	}
	var err error
	if e.Operations != nil {
		if o.Operations, err = o.mergeOperations(e.Operations, what); err != nil {
			return err
		}
	}
	if e.Components != nil {
		if o.Components, err = o.mergeComponents(e.Components, what); err != nil {
			return err
		}
	}
	o.sorted()
	var ck checks
	ck.that(!o.Start.After(o.End), "/end", "is before the start")
	return ck.err(what)
}

func given[T any](v *T, otherwise T) T {
	if v != nil {
		return *v
	}
	return otherwise
}

// mergeOperations is the ERP's list with what the plant has confirmed.
func (o *Order) mergeOperations(planned []PlannedOperation, what string) ([]Operation, error) {
	out := make([]Operation, len(planned))
	for i, pl := range planned {
		out[i] = pl.operation()
		if j := o.operation(pl.Number); j >= 0 {
			was := o.Operations[j]
			out[i].Yield, out[i].Scrap, out[i].Rework, out[i].Status = was.Yield, was.Scrap, was.Rework, was.Status
		}
	}
	for _, was := range o.Operations {
		gone := !slices.ContainsFunc(out, func(op Operation) bool { return op.Number == was.Number })
		if gone && was.confirmed() {
			return nil, conflict(what, "operation "+was.Number+" is left out, and the plant has confirmed it",
				"reverse its confirmations and replay the message, or take the change back in the ERP",
				field("/operations", "lack operation "+was.Number))
		}
	}
	return out, nil
}

// mergeComponents is the ERP's list with what the plant has withdrawn.
func (o *Order) mergeComponents(planned []PlannedComponent, what string) ([]Component, error) {
	out := make([]Component, len(planned))
	for i, pl := range planned {
		out[i] = pl.component()
	}
	for _, was := range o.Components {
		if was.Withdrawn.IsZero() {
			continue
		}
		i := slices.IndexFunc(out, func(c Component) bool { return c.Item == was.Item && c.Material == was.Material && c.Unit == was.Unit })
		if i < 0 {
			return nil, conflict(what, fmt.Sprintf("component %s is left out or has another material or unit, and the plant has issued %s %s of it", was.Item, was.Withdrawn, was.Unit),
				"reverse the issues and replay the message, or take the change back in the ERP", field("/components", "lack component "+was.Item))
		}
		out[i].Withdrawn = was.Withdrawn
	}
	return out, nil
}

// component is the component before anything is withdrawn.
func (c PlannedComponent) component() Component {
	return Component{
		Item: c.Item, Material: c.Material, Quantity: c.Quantity, Unit: c.Unit, Operation: c.Operation,
		StorageLocation: c.StorageLocation, BatchManaged: c.BatchManaged, Backflush: c.Backflush,
	}
}

// keeps refuses a change of what booked quantities are measured by.
func (o *Order) keeps(next *Order, what string) error {
	if !o.booked() {
		return nil
	}
	hint := "reverse what is booked and replay the message, or take the change back in the ERP"
	if next.Material != o.Material {
		return conflict(what, "it would make material "+next.Material+", and "+o.Material+" is booked", hint, field("/material", "cannot change any more"))
	}
	if next.Unit != o.Unit {
		return conflict(what, "it would be counted in "+next.Unit+", and is booked in "+o.Unit, hint, field("/unit", "cannot change any more"))
	}
	return nil
}

// samePlan tells whether two states of an order are planned alike; 10 is like 10.000.
func samePlan(a, b *Order) bool {
	return a.Type == b.Type && a.Material == b.Material && a.MaterialDescription == b.MaterialDescription && a.Unit == b.Unit &&
		a.StorageLocation == b.StorageLocation && a.Batch == b.Batch && a.Quantity.Equal(b.Quantity) && a.OverDelivery.Equal(b.OverDelivery) &&
		a.Start.Equal(b.Start) && a.End.Equal(b.End) && a.Priority == b.Priority &&
		slices.EqualFunc(a.Operations, b.Operations, sameOperation) && slices.EqualFunc(a.Components, b.Components, sameComponent)
}

// sameWork tells whether two states of an order ask for the same work: what is made of what, how and how much.
func sameWork(a, b *Order) bool {
	c := *b
	c.StorageLocation, c.Batch, c.Start, c.End, c.Priority = a.StorageLocation, a.Batch, a.Start, a.End, a.Priority
	return sameButLabels(a, &c)
}

// sameButLabels tells whether two states of an order are planned alike but for what things are called.
func sameButLabels(a, b *Order) bool {
	c := *b
	c.Type, c.MaterialDescription, c.Operations = a.Type, a.MaterialDescription, slices.Clone(b.Operations)
	for i := range min(len(c.Operations), len(a.Operations)) {
		c.Operations[i].Description = a.Operations[i].Description
	}
	return samePlan(a, &c)
}

func sameOperation(a, b Operation) bool {
	return a.Number == b.Number && a.Description == b.Description && a.WorkCentre == b.WorkCentre && a.Control == b.Control &&
		a.TimeUnit == b.TimeUnit && equal(
		[]decimal.Decimal{a.BaseQuantity, a.SetupTime, a.MachineTime, a.LabourTime},
		[]decimal.Decimal{b.BaseQuantity, b.SetupTime, b.MachineTime, b.LabourTime})
}

func sameComponent(a, b Component) bool {
	return a.Item == b.Item && a.Material == b.Material && a.Quantity.Equal(b.Quantity) && a.Unit == b.Unit && a.Operation == b.Operation &&
		a.StorageLocation == b.StorageLocation && a.BatchManaged == b.BatchManaged && a.Backflush == b.Backflush
}

func equal(a, b []decimal.Decimal) bool { return slices.EqualFunc(a, b, decimal.Decimal.Equal) }
