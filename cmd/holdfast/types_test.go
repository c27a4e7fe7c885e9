package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/decimal"
	"holdfast/internal/mapping"
	"holdfast/internal/mes"
	"holdfast/internal/schema"
)

// TestTheTypesOfMessagesAreThoseOfThePlant holds openapi/events.yaml, against which mappings are checked, against the plant's own types: the
// same fields, those required that are always written, and of the same kind.
func TestTheTypesOfMessagesAreThoseOfThePlant(t *testing.T) {
	bodies := map[string]any{
		mes.OrderCreatedKind: mes.OrderCreated{}, mes.OrderStartedKind: mes.OrderStarted{}, mes.OrderCompletedKind: mes.OrderCompleted{},
		mes.OperationConfirmedKind: mes.OperationConfirmed{}, mes.ConfirmationReversedKind: mes.OperationConfirmed{},
		mes.GoodsIssuedKind: mes.GoodsMoved{}, mes.GoodsReceivedKind: mes.GoodsMoved{}, mes.GoodsScrappedKind: mes.GoodsMoved{}, mes.GoodsReversedKind: mes.GoodsMoved{},
		mes.LotCreatedKind: mes.LotCreated{}, mes.LotChangedKind: mes.LotChanged{}, mes.InspectionRecordedKind: mes.InspectionRecorded{},
		mes.OrderReleasedKind: mes.ERPOrder{}, mes.OrderChangedKind: mes.ERPOrder{}, mes.OrderCancelledKind: mes.ERPOrder{}, mes.OrderClosedKind: mes.ERPOrder{},
		mes.MaterialChangedKind: mes.Material{}, mes.UnitChangedKind: mes.Unit{}, mes.WorkCentreChangedKind: mes.WorkCentre{}, mes.BOMChangedKind: mes.BOM{}, mes.RoutingChangedKind: mes.Routing{},
	}
	for _, kind := range mapping.PlantKinds() {
		if body, ok := bodies[kind]; ok {
			compareType(t, kind, reflect.TypeOf(body), mapping.PlantType(kind, 1))
		} else {
			t.Errorf("%s is no kind of the plant's", kind)
		}
	}
	if got, want := len(mapping.PlantKinds()), len(bodies); got != want {
		t.Errorf("%d kinds, want %d", got, want)
	}
}

func compareType(t *testing.T, at string, want reflect.Type, got *schema.Type) {
	t.Helper()
	var names []string
	for _, f := range reflect.VisibleFields(want) {
		tag, ok := f.Tag.Lookup("json")
		if !ok || f.Anonymous || tag == "-" {
			continue
		}
		name, how, _ := strings.Cut(tag, ",")
		names = append(names, name)
		field, ok := got.Field(name)
		if !ok {
			t.Errorf("%s has no field %s", at, name)
			continue
		}
		if required := !strings.Contains(how, "omit"); required != field.Required && name != "reverses" {
			t.Errorf("%s.%s: required is %t, want %t", at, name, field.Required, required)
		}
		compareValue(t, at+"."+name, f.Type, field.Type)
	}
	for _, name := range got.Names() {
		if !slices.Contains(names, name) {
			t.Errorf("%s: the plant has no field %s", at, name)
		}
	}
}

func compareValue(t *testing.T, at string, want reflect.Type, got *schema.Type) {
	t.Helper()
	if want.Kind() == reflect.Pointer {
		want = want.Elem()
	}
	kind := map[reflect.Kind]schema.Kind{reflect.String: schema.Text, reflect.Bool: schema.Bool, reflect.Int: schema.Integer, reflect.Int64: schema.Integer, reflect.Slice: schema.List}[want.Kind()]
	switch {
	case want == reflect.TypeFor[time.Time]():
		kind = schema.Text
	case want == reflect.TypeFor[decimal.Decimal]():
		if kind = schema.Text; got.Format != schema.IsDecimal {
			t.Errorf("%s is no decimal", at)
		}
	case want.Kind() == reflect.Struct:
		if kind = schema.Object; got.Kind == kind {
			compareType(t, at, want, got)
		}
	case want.Kind() == reflect.Slice && got.Kind == schema.List:
		compareValue(t, at, want.Elem(), got.Item)
	}
	if got.Kind != kind {
		t.Errorf("%s is a %s, want a %s", at, got.Kind, kind)
	}
}
