package main

import (
	"context"
	"testing"

	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/store"
)

// receiving is an ERP that has received more of every order than the plant has, in a unit of its own.
type receiving struct {
	link
	unit, iso string
	material  map[string]string // of an order's number
}

// Orders is of relay.Reader.
func (e *receiving) Orders(_ context.Context, numbers []string, each func(message.OrderRead) error) error {
	for _, n := range numbers {
		if err := each(message.OrderRead{Number: n, Material: e.material[n], Received: "99999", Unit: e.unit, UnitISO: e.iso}); err != nil {
			return err
		}
	}
	return nil
}

// Documents is of relay.Reader.
func (*receiving) Documents(context.Context, []string, func(message.DocumentRead) error) error {
	return nil
}

// Reads is of relay.Reader.
func (*receiving) Reads() message.Reads {
	return message.Reads{Orders: true, InWork: true, Confirmations: true, Movements: true}
}

// TestQuantitiesAreComparedInAUnitThatTheMappingTranslates: SAP's carton is CAR, and CT in ISO; the plant has it as BX by the table of the mapping
// that brought the order. An order whose unit the mapping does not know is told as such.
func TestQuantitiesAreComparedInAUnitThatTheMappingTranslates(t *testing.T) {
	ctx := t.Context()
	r, check := demonstrated(t, "--erp", "sap")
	var orders mes.List[mes.Order]
	err := r.db.View(ctx, func(tx *store.Tx) (err error) {
		orders, err = r.plant.Orders(ctx, tx, mes.OrderFilter{}, mes.Page{Limit: 1})
		return err
	})
	if err != nil || len(orders.Items) != 1 {
		t.Fatalf("%d orders, %v", len(orders.Items), err)
	}
	for _, tt := range []struct{ plant, unit, iso, want string }{
		{"BX", "CAR", "CT", "received"},
		{"PCE", "ST", "", "received"},
		{"PCE", "PC", "PCE", "received"},
		{"KGM", "CAR", "CT", "unit"},
		{"BX", "XYZ", "CT", "unit"},
	} {
		o := orders.Items[0]
		o.ERPNumber, o.Unit = "1", tt.plant
		c := comparison{Link: "erp", reads: r.cfg.reads("erp", check.units)}
		if err := r.comparePage(ctx, &receiving{unit: tt.unit, iso: tt.iso, material: map[string]string{"1": o.Material}}, &c, []mes.Order{o}); err != nil {
			t.Fatal(err)
		}
		if len(c.Differences) != 1 || c.Differences[0].What != tt.want {
			t.Errorf("the plant's %s, SAP's %s (%s): %+v, want one of %s", tt.plant, tt.unit, tt.iso, c.Differences, tt.want)
		}
	}
}
