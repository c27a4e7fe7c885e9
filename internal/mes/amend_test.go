package mes

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/internal/decimal"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// amended is the body of an event with one text in it replaced by another.
func amended(t *testing.T, event any, old, replacement string) (was, now []byte) {
	t.Helper()
	was, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(was), old) {
		t.Fatalf("%s has no %s", was, old)
	}
	return was, []byte(strings.Replace(string(was), old, replacement, 1))
}

// firstField is the first field that an error names.
func firstField(err error) string {
	if p, ok := errors.AsType[*problem.Error](err); ok && len(p.Fields) > 0 {
		return p.Fields[0].Pointer
	}
	return ""
}

func TestAnAmendmentHasNoUnknownMemberThatIsEmpty(t *testing.T) {
	was, now := amended(t, OrderStarted{Order: OrderRef{ID: "o1"}}, `"startedAt"`, `"shift":"","startedAt"`)
	err := Amends(t.Context(), message.Message{Kind: OrderStartedKind, Body: now}, message.Message{Kind: OrderStartedKind, Body: was})
	if p, ok := errors.AsType[*problem.Error](err); !ok || !strings.Contains(p.Why, `unknown field "shift"`) {
		t.Errorf("got %v, want the unknown field", err)
	}
}

func TestAnAmendmentIsOfTheSameObject(t *testing.T) {
	at := time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC)
	place := Place{Plant: "1000", Zone: "Europe/Berlin"}
	order := OrderRef{ID: "o1", Number: "1000042", ERPNumber: "1000042", Material: "BIKE", Unit: "PCE"}
	confirmed := OperationConfirmed{place, order, Confirmation{ID: "c1", Order: "o1", Operation: "0010", Yield: decimal.FromInt(5), Unit: "PCE", PostedAt: at}}
	reversed := OperationConfirmed{place, order, Confirmation{ID: "c2", Order: "o1", Operation: "0010", Yield: decimal.FromInt(5), Unit: "PCE", Reverses: "c1"}}
	created := OrderCreated{Place: place, Order: Order{ID: "o1", Number: "P-1", PlantNumber: "P-1", Unit: "PCE", Operations: []Operation{{Number: "0010"}}}}
	issued := GoodsMoved{place, &order, Movement{ID: "m1", Type: Issue, Order: "o1", Items: []Item{{Item: "0001", Material: "WHEEL"}}}}
	lot := LotChanged{Place: place, Lot: Lot{ID: "l1", Number: "L-1", Status: Blocked}, From: InInspection, At: at, Reason: "cracks"}
	found := InspectionRecorded{Place: place, Inspection: Inspection{ID: "i1", Lot: "l1", Characteristic: "width"}}
	tests := []struct {
		name     string
		kind     string
		event    any
		old, now string
		want     string // the field that is wrong; "" is accepted
	}{
		{"another value", OperationConfirmedKind, confirmed, `"yield":"5"`, `"yield":"4"`, ""},
		{"the same value in other words", OperationConfirmedKind, confirmed, `"yield":"5"`, `"yield":"5.000"`, ""},
		{"a value that was left out", OperationConfirmedKind, confirmed, `"final":false`, `"final":false,"text":"late"`, ""},
		{"a value that is empty", OperationConfirmedKind, confirmed, `"final":false`, `"final":false,"text":""`, ""},
		{"another order", OperationConfirmedKind, confirmed, `"id":"o1"`, `"id":"o2"`, "/order/id"},
		{"another order's number in the ERP", OperationConfirmedKind, confirmed, `"erpNumber":"1000042"`, `"erpNumber":"1000043"`, "/order/erpNumber"},
		{"another confirmation", OperationConfirmedKind, confirmed, `"id":"c1"`, `"id":"c9"`, "/confirmation/id"},
		{"another order within", OperationConfirmedKind, confirmed, `"order":"o1"`, `"order":"o2"`, "/confirmation/order"},
		{"another plant", OperationConfirmedKind, confirmed, `"plant":"1000"`, `"plant":"2000"`, "/plant"},
		{"a reversal of another", ConfirmationReversedKind, reversed, `"reverses":"c1"`, `"reverses":"c7"`, "/confirmation/reverses"},
		{"a reversal of none", ConfirmationReversedKind, reversed, `,"reverses":"c1"`, ``, "/confirmation/reverses"},
		{"an unknown member", OperationConfirmedKind, confirmed, `"yield":"5"`, `"yield":"5","yeild":"4"`, "/confirmation/yeild"},
		{"an unknown member at the top", OperationConfirmedKind, confirmed, `"plant":"1000"`, `"plant":"1000","a/b":1`, "/a~1b"},
		{"an unknown member in a list", OrderCreatedKind, created, `"number":"0010"`, `"number":"0010","x":[1]`, "/order/operations/0/x"},
		{"a member in capitals", OperationConfirmedKind, confirmed, `"yield":"5"`, `"YIELD":"5"`, "/confirmation/YIELD"},
		{"a member twice", OperationConfirmedKind, confirmed, `"yield":"5"`, `"yield":"5","yield":"4"`, "/confirmation/yield"},
		{"a member that is missing", OperationConfirmedKind, confirmed, `"yield":"5",`, ``, "/confirmation/yield"},
		{"a list for a text", OperationConfirmedKind, confirmed, `"unit":"PCE"`, `"unit":["PCE"]`, "/order/unit"},
		{"another movement type", GoodsIssuedKind, issued, `"type":"261"`, `"type":"262"`, "/movement/type"},
		{"the order left out", GoodsIssuedKind, issued, `"order":{"id":"o1","number":"1000042","erpNumber":"1000042","material":"BIKE","unit":"PCE"},`, ``, "/order/id"},
		{"another order that was created", OrderCreatedKind, created, `"id":"o1"`, `"id":"o2"`, "/order/id"},
		{"another lot", LotChangedKind, lot, `"number":"L-1"`, `"number":"L-2"`, "/lot/number"},
		{"another inspected lot", InspectionRecordedKind, found, `"lot":"l1"`, `"lot":"l2"`, "/inspection/lot"},
		{"another kind's body", OrderStartedKind, OrderStarted{Place: place, Order: order, StartedAt: at}, `"startedAt"`, `"completedAt"`, "/completedAt"},
		{"a kind that the plant does not make", "something.else", map[string]string{"id": "a"}, `"a"`, `"b"`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			was, now := amended(t, tt.event, tt.old, tt.now)
			err := Amends(t.Context(), message.Message{ID: "x", Kind: tt.kind, Body: now}, message.Message{ID: "x", Kind: tt.kind, Body: was})
			if got := firstField(err); got != tt.want || (err == nil) != (tt.want == "") {
				t.Errorf("got %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}
