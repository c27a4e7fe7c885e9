package sap

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"holdfast/adapters/odata"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/schema"
	"holdfast/openapi/contract"
)

// inspection is the target whose place in an inspection lot is looked up: one measured value or code of a characteristic.
const inspection = Inspections + "/A_InspectionResultValue"

// unitOf is the field with the unit of a characteristic's values.
const unitOf = "InspectionSpecificationUnit"

// wanted is the characteristic that a result belongs to, as the plant knows it: QM alone knows the keys. It is made of the parameters of a
// document. What is "" is not asked for.
type wanted struct {
	order, batch, material string
	operation              string // the order's number of it
	spec, text             string // the master characteristic, or what the characteristic is called
	unit                   string // in which it was measured
}

// finders are the parameters of an inspection result, each with the set whose field it is compared with.
func finders() map[string]string {
	return map[string]string{
		"ManufacturingOrder": "A_InspectionLot", "Batch": "A_InspectionLot", "Material": "A_InspectionLot", "InspectionOperation": "A_InspectionOperation",
		"InspectionSpecification": "A_InspectionCharacteristic", "InspectionSpecificationText": "A_InspectionCharacteristic",
		unitOf: "A_InspectionCharacteristic",
	}
}

// search reads the parameters.
func search(params map[string]string) (wanted, error) {
	known := finders()
	for name := range params {
		if known[name] == "" {
			return wanted{}, unfound("it has the parameter "+name, "the parameters by which a characteristic is found are ManufacturingOrder (or Batch and Material), InspectionOperation, and InspectionSpecification or InspectionSpecificationText")
		}
	}
	q := wanted{
		order: params["ManufacturingOrder"], batch: params["Batch"], material: params["Material"], operation: params["InspectionOperation"],
		spec: params["InspectionSpecification"], text: params["InspectionSpecificationText"],
		unit: params[unitOf],
	}
	if q.spec == "" && q.text == "" || q.order == "" && (q.batch == "" || q.material == "") {
		return q, unfound("it names no characteristic of an order, or of a batch and its material", "have the mapping's params name them; without any params it has to make the keys itself")
	}
	return q, nil
}

// unfound is the problem of a result that has no place: a person's to settle.
func unfound(why, hint string) error {
	return &problem.Error{Kind: problem.Invalid, What: "inspection result", Why: why, Hint: hint}
}

// Fits tells whether a delivery would be sent, as that of odata does. What SAP alone can look up is not looked at.
func (l *Link) Fits(d message.Delivery) error {
	if d.Doc.Target == inspection && len(d.Doc.Params) > 0 {
		if _, err := search(d.Doc.Params); err != nil {
			return err
		}
		d.Doc.Params = nil
	}
	return l.Link.Fits(d)
}

// TargetType is that of odata. An inspection result has parameters besides, by which the link finds what it belongs to.
func (l *Link) TargetType(name string) (*schema.Operation, bool) {
	o, ok := l.Link.TargetType(name)
	if !ok || name != inspection {
		return o, ok
	}
	known := finders()
	for _, param := range slices.Sorted(maps.Keys(known)) {
		of, ok := l.Link.DocumentType(Inspections + "/" + known[param])
		if !ok {
			continue
		}
		if f, ok := of.Field(param); ok {
			typ := *f.Type
			if param == unitOf { // it is compared and not sent: one that SAP has no room for is another one
				typ.MaxLength = 0
			}
			o.Params = append(o.Params, &schema.Field{Name: param, Type: &typ, Label: f.Label})
		}
	}
	return o, true
}

// placed fills in the lot, operation and characteristic of an inspection result, and takes out the parameters by which they were found. A
// result without parameters has its keys from the mapping, and is as it was; failed says why nothing can be sent.
func (l *Link) placed(ctx context.Context, d message.Delivery) (out message.Delivery, failed *message.Outcome) {
	v, err := contract.Decode(d.Doc.Body)
	doc, _ := v.(map[string]any)
	if err != nil || doc == nil || len(d.Doc.Params) == 0 {
		return d, nil // odata says what is wrong with it
	}
	q, err := search(d.Doc.Params)
	var at spot
	if err == nil {
		at, err = l.find(ctx, q)
	}
	if err != nil {
		o := odata.NotSent(err)
		return d, &o
	}
	doc["InspectionLot"], doc["InspPlanOperationInternalID"], doc["InspectionCharacteristic"] = at.lot, at.node, at.characteristic
	if d.Doc.Body, err = json.Marshal(doc); err != nil {
		return d, &message.Outcome{Verdict: message.Refused, Err: fmt.Errorf("write the inspection result: %w", err)}
	}
	d.Doc.Params = nil
	return d, nil
}

// spot is one characteristic of an inspection lot: its keys, and by what else it is known.
type spot struct {
	lot, node, characteristic string
	operation, spec, text     string
	unit                      string // of its values; a result has none of its own
}

// is tells whether a characteristic is the one that is wanted.
func (s spot) is(q wanted) bool {
	return (q.operation == "" || s.operation == q.operation) && (q.spec == "" || s.spec == q.spec) && (q.text == "" || s.text == q.text)
}

// find asks SAP which characteristic a result belongs to. Of several the one is taken whose lot alone takes results still: it has no usage
// decision. Lots come and go and their plans change, so that each result asks anew: by what is remembered it could go to another's place.
func (l *Link) find(ctx context.Context, q wanted) (spot, error) {
	c, err := l.Service(Inspections)
	if err != nil {
		return spot{}, err
	}
	lots, err := l.lots(ctx, c, q)
	if err != nil {
		return spot{}, err
	}
	var found []spot
	for _, lot := range slices.Sorted(maps.Keys(lots)) {
		all, err := characteristics(ctx, c, lot)
		if err != nil {
			return spot{}, err
		}
		found = append(found, slices.DeleteFunc(all, func(s spot) bool { return !s.is(q) })...)
	}
	if open := slices.DeleteFunc(slices.Clone(found), func(s spot) bool { return lots[s.lot] }); len(found) > 1 && len(open) > 0 {
		found = open
	}
	if len(found) != 1 {
		return spot{}, q.unclear(slices.Sorted(maps.Keys(lots)), found)
	}
	if has := found[0].unit; q.unit != "" && has != "" && !strings.EqualFold(q.unit, has) {
		return spot{}, unfound(fmt.Sprintf("it was measured in %s, and SAP takes the values of this characteristic (lot %s) in %s", q.unit, found[0].lot, has),
			"have the mapping convert the value and name SAP's unit, or correct the unit in the inspection plan; a value goes to SAP without a unit")
	}
	return found[0], nil
}

// lots are the numbers of the inspection lots of an order or a batch that were not cancelled, each with whether its usage decision was made.
func (l *Link) lots(ctx context.Context, c *odata.Client, q wanted) (map[string]bool, error) {
	where := odata.Equal("ManufacturingOrder", q.order)
	if q.order == "" {
		where = odata.And(odata.Equal("Batch", q.batch), odata.Equal("Material", q.material), odata.Equal("Plant", l.plant))
	}
	lots := map[string]bool{}
	_, err := c.All(ctx, odata.Query{Set: "A_InspectionLot", Where: where}, func(e odata.Entity) error {
		lots[text(e, "InspectionLot")] = e.Values["InspectionLotHasUsageDecision"] == true
		return nil
	})
	if err == nil && len(lots) > 0 {
		err = l.withoutCancelled(ctx, c, lots)
	}
	return lots, err
}

// withoutCancelled takes out the lots that were cancelled: they have no usage decision and take no results. A system that does not tell is
// taken at its word for the others.
func (l *Link) withoutCancelled(ctx context.Context, c *odata.Client, lots map[string]bool) error {
	const set = "A_InspectionLotWithStatus"
	m, err := c.Model(ctx)
	if err != nil || m.Sets[set] == nil {
		return err
	}
	for some := range slices.Chunk(slices.Sorted(maps.Keys(lots)), together) {
		var numbers []any
		for _, lot := range some {
			numbers = append(numbers, lot)
		}
		_, err := c.All(ctx, odata.Query{Set: set, Where: odata.AnyOf("InspectionLot", numbers...)}, func(e odata.Entity) error {
			if text(e, "InspLotStatusCanceled") != "" {
				delete(lots, text(e, "InspectionLot"))
			}
			return nil
		})
		if problem.KindOf(err) == problem.Invalid {
			l.log.Warn("whether inspection lots were cancelled cannot be read", "part", "sap", "err", err)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// characteristics are those of a lot.
func characteristics(ctx context.Context, c *odata.Client, lot string) (all []spot, err error) {
	operations := map[string]string{}
	where := odata.Equal("InspectionLot", lot)
	_, err = c.All(ctx, odata.Query{Set: "A_InspectionOperation", Where: where}, func(e odata.Entity) error {
		operations[text(e, "InspPlanOperationInternalID")] = text(e, "InspectionOperation")
		return nil
	})
	if err != nil {
		return nil, err
	}
	_, err = c.All(ctx, odata.Query{Set: "A_InspectionCharacteristic", Where: where}, func(e odata.Entity) error {
		node := text(e, "InspPlanOperationInternalID")
		all = append(all, spot{
			lot: lot, node: node, characteristic: text(e, "InspectionCharacteristic"), operation: operations[node],
			spec: text(e, "InspectionSpecification"), text: text(e, "InspectionSpecificationText"), unit: text(e, unitOf),
		})
		return nil
	})
	return all, err
}

// unclear says why a result has no place of its own, and what to do.
func (q wanted) unclear(lots []string, found []spot) error {
	of := "order " + q.order
	if q.order == "" {
		of = "batch " + q.batch + " of material " + q.material
	}
	what := "characteristic " + q.spec + q.text
	if q.operation != "" {
		what += " in operation " + q.operation
	}
	switch {
	case len(lots) == 0:
		return unfound("SAP has no inspection lot for "+of, "create the lot in SAP (an order has one after its release if its material is inspected in process), then send the message again")
	case len(found) == 0:
		return unfound(fmt.Sprintf("the inspection lots of %s (%s) have no %s", of, strings.Join(lots, ", "), what),
			"correct what the mapping calls it, or add it to the lot in SAP, then send the message again")
	}
	var in []string
	for _, s := range found {
		in = append(in, s.lot+" operation "+s.operation)
	}
	return unfound(fmt.Sprintf("%s has %s more than once: in lot %s", of, what, strings.Join(in, ", ")),
		"name the operation with the result, or make the usage decision of the lots that are done, then send the message again")
}
