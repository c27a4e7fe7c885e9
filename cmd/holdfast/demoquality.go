package main

import (
	"fmt"
	"net/http"
	"strings"
)

// quality has the system's QM make the inspection lot of an order whose lots are asked for, if it has none: with the characteristics that
// the data set names, in the operations of the order. QM makes lots by itself, and through no service.
func (b *sapSide) quality(r *http.Request) error {
	_, literal, asked := strings.Cut(r.URL.Query().Get("$filter"), "ManufacturingOrder eq '")
	if r.Method != http.MethodGet || !asked || !strings.HasSuffix(r.URL.Path, "/A_InspectionLot") {
		return nil
	}
	number := strings.TrimSuffix(literal, "'")
	b.qm.Lock() // the system does not end with half a lot
	defer b.qm.Unlock()
	sys := b.now.Load()
	for _, lot := range sys.Service("A_InspectionLot").Documents("A_InspectionLot") {
		if lot["ManufacturingOrder"] == number {
			return nil
		}
	}
	for _, order := range sys.Service("A_ProductionOrder_2").Documents("A_ProductionOrder_2") {
		if order["ManufacturingOrder"] == number && !b.IsDown() {
			return b.makeLot(number, fmt.Sprint(order["Material"]))
		}
	}
	return nil
}

// makeLot makes the lot of an order, which has the order's number.
func (b *sapSide) makeLot(order, material string) error {
	sys, m := b.now.Load(), b.set.Material(material)
	if m == nil {
		return nil
	}
	nodes := map[string]bool{}
	for i, c := range m.Inspections {
		node := document{"InspectionLot": order, "InspPlanOperationInternalID": "0000" + c.Operation, "InspectionOperation": c.Operation}
		if !nodes[c.Operation] {
			if err := sys.Seed("A_InspectionOperation", node); err != nil {
				return err
			}
		}
		nodes[c.Operation] = true
		spec := ""
		if len(c.Characteristic) <= 8 {
			spec = c.Characteristic
		}
		err := sys.Seed("A_InspectionCharacteristic", document{
			"InspectionLot": order, "InspPlanOperationInternalID": node["InspPlanOperationInternalID"], "InspectionCharacteristic": fmt.Sprintf("%04d", 10*(i+1)),
			"InspectionSpecification": spec, "InspectionSpecificationText": clipped(c.Characteristic, 40),
		})
		if err != nil {
			return err
		}
	}
	return sys.Seed("A_InspectionLot", document{
		"InspectionLot": order, "ManufacturingOrder": order, "Material": material, "Plant": b.set.Plant.Number, "InspectionLotOrigin": "03",
		"InspectionLotHasUsageDecision": false,
	})
}
