package sap

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/adapters/erpmock"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// lot is an inspection lot of order 1 and batch B1, with characteristics as OPERATION/SPECIFICATION/TEXT.
func (w *world) lot(t *testing.T, number string, decided bool, characteristics ...string) {
	t.Helper()
	err := w.system.Seed("A_InspectionLot", map[string]any{
		"InspectionLot": number, "ManufacturingOrder": "1", "Material": "FG-100", "Batch": "B1", "Plant": "1000", "InspectionLotHasUsageDecision": decided,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.characteristics(t, number, characteristics...)
}

// characteristics adds them to a lot.
func (w *world) characteristics(t *testing.T, lot string, characteristics ...string) {
	t.Helper()
	for _, c := range characteristics {
		operation, name, _ := strings.Cut(c, "/")
		spec, short, _ := strings.Cut(name, "/")
		node := "0000" + operation
		if !w.hasOperation(lot, node) {
			if err := w.system.Seed("A_InspectionOperation", map[string]any{"InspectionLot": lot, "InspPlanOperationInternalID": node, "InspectionOperation": operation}); err != nil {
				t.Fatal(err)
			}
		}
		err := w.system.Seed("A_InspectionCharacteristic", map[string]any{
			"InspectionLot": lot, "InspPlanOperationInternalID": node, "InspectionCharacteristic": spec[:4], "InspectionSpecification": spec, "InspectionSpecificationText": short,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) hasOperation(lot, node string) bool {
	for _, o := range w.mock[Inspections].Documents("A_InspectionOperation") {
		if o["InspectionLot"] == lot && o["InspPlanOperationInternalID"] == node {
			return true
		}
	}
	return false
}

const measured = `{"InspResultFrmtdMeasuredValue":"12.3450","InspectionValuationResult":"A","InspectionStartDate":"2026-03-29","InspectionStartTime":"01:30:00"}`

// diameter are the parameters of a characteristic of order 1.
func diameter() map[string]string {
	return map[string]string{"ManufacturingOrder": "1", "InspectionOperation": "0010", "InspectionSpecification": "DIAMETER"}
}

// TestAnInspectionResultFindsItsCharacteristic: the plant knows an order or a batch, and what a characteristic is called; QM the keys. What is not
// clear is refused in words that say what to do, and nothing is sent.
func TestAnInspectionResultFindsItsCharacteristic(t *testing.T) {
	with := func(name, value string) map[string]string {
		out := diameter()
		if out[name] = value; value == "" {
			delete(out, name)
		}
		return out
	}
	inProcess := func(w *world, t *testing.T) {
		w.lot(t, "10000001", false, "0010/DIAMETER/Outer diameter", "0020/LENGTH/Length")
	}
	both := func(w *world, t *testing.T) {
		inProcess(w, t)
		w.lot(t, "10000002", false, "0010/SURFACE/Surface of the part")
	}
	twice := func(decided bool) func(w *world, t *testing.T) {
		return func(w *world, t *testing.T) {
			w.lot(t, "10000001", decided, "0010/DIAMETER/Outer diameter", "0020/DIAMETER/Outer diameter")
			w.lot(t, "10000002", false, "0010/DIAMETER/Outer diameter")
		}
	}
	tests := []struct {
		name   string
		seed   func(w *world, t *testing.T)
		params map[string]string
		keys   string // lot/node/characteristic, or
		want   string // a part of why it is refused
	}{
		{"by its name and operation", both, diameter(), "10000001/00000010/DIAM", ""},
		{"in the lot of the goods receipt", both, with("InspectionSpecification", "SURFACE"), "10000002/00000010/SURF", ""},
		{"without an operation", both, with("InspectionOperation", ""), "10000001/00000010/DIAM", ""},
		{"by its text", both, map[string]string{"ManufacturingOrder": "1", "InspectionSpecificationText": "Surface of the part"}, "10000002/00000010/SURF", ""},
		{"of a batch", both, map[string]string{"Batch": "B1", "Material": "FG-100", "InspectionSpecification": "LENGTH"}, "10000001/00000020/LENG", ""},
		{"the lot that still takes results", twice(true), diameter(), "10000002/00000010/DIAM", ""},
		{"of an order without a lot", both, with("ManufacturingOrder", "2"), "", "SAP has no inspection lot for order 2"},
		{"of a batch of another material", both, map[string]string{"Batch": "B1", "Material": "FG-200", "InspectionSpecification": "LENGTH"}, "", "no inspection lot for batch B1 of material FG-200"},
		{"not in the lots", both, with("InspectionSpecification", "WEIGHT"), "", "(10000001, 10000002) have no characteristic WEIGHT in operation 0010"},
		{"in another operation", both, with("InspectionOperation", "0020"), "", "have no characteristic DIAMETER in operation 0020"},
		{"in two lots", twice(false), diameter(), "", "more than once: in lot 10000001 operation 0010, 10000002 operation 0010"},
		{"twice in a lot", twice(false), with("InspectionOperation", ""), "", "10000001 operation 0020"},
		{"without a characteristic", both, with("InspectionSpecification", ""), "", "names no characteristic"},
		{"of nothing", both, with("ManufacturingOrder", ""), "", "names no characteristic of an order"},
		{"by what is no parameter", both, with("InspectionLot", "10000001"), "", "it has the parameter InspectionLot"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := start(t)
			tt.seed(w, t)
			out := w.deliver(t, delivery(t, "m1", inspection, measured, tt.params))
			rows := w.mock[Inspections].Documents("A_InspectionResultValue")
			if tt.want != "" {
				if out.Verdict != message.Refused || !strings.Contains(out.Err.Error(), tt.want) || len(rows) != 0 {
					t.Errorf("got %v, want it refused with %q; %d rows", out, tt.want, len(rows))
				}
				return
			}
			if out.Verdict != message.Delivered || out.Receipt.Document != tt.keys+"/00000001" || len(rows) != 1 {
				t.Fatalf("got %v %q, want %q; %d rows", out, out.Receipt.Document, tt.keys, len(rows))
			}
			got := map[string]any{}
			for _, name := range []string{"InspResultFrmtdMeasuredValue", "InspectionStartTime", "InspRsltFreeDefinedTestEquip", "InspectionSpecification"} {
				got[name] = rows[0][name]
			}
			want := map[string]any{"InspResultFrmtdMeasuredValue": "12.3450", "InspectionStartTime": "01:30:00", "InspRsltFreeDefinedTestEquip": "m1", "InspectionSpecification": nil}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("row (-want +got):\n%s", diff)
			}
		})
	}
}

// TestALotThatWasCancelledTakesNoResult: it has no usage decision, and is not open either.
func TestALotThatWasCancelledTakesNoResult(t *testing.T) {
	w := start(t)
	for _, lot := range []string{"10000001", "10000002"} {
		w.lot(t, lot, false, "0010/DIAMETER/Outer diameter")
		canceled := map[string]string{"10000001": "X"}[lot]
		if err := w.system.Seed("A_InspectionLotWithStatus", map[string]any{"InspectionLot": lot, "InspLotStatusCanceled": canceled}); err != nil {
			t.Fatal(err)
		}
	}
	if out := w.deliver(t, delivery(t, "m1", inspection, measured, diameter())); !strings.HasPrefix(out.Receipt.Document, "10000002/") {
		t.Errorf("with a cancelled lot: %v %q", out, out.Receipt.Document)
	}
	w.mock[Inspections].Change("A_InspectionLotWithStatus", "InspectionLot", "10000002", map[string]any{"InspLotStatusCanceled": "X"})
	if out := w.deliver(t, delivery(t, "m2", inspection, measured, diameter())); out.Verdict != message.Refused || !strings.Contains(out.Err.Error(), "no inspection lot") {
		t.Errorf("with all of them cancelled: %v", out)
	}
}

// TestAValueInAnotherUnitIsRefused: a result has no unit of its own, so that 1.2 cm would be 1.2 mm.
func TestAValueInAnotherUnitIsRefused(t *testing.T) {
	for unit, want := range map[string]message.Verdict{"": message.Delivered, "MM": message.Delivered, "mm": message.Delivered, "CM": message.Refused, "CM/BRIX": message.Refused} {
		w := start(t)
		w.lot(t, "10000001", false, "0010/DIAMETER/Outer diameter")
		w.mock[Inspections].Change("A_InspectionCharacteristic", "InspectionLot", "10000001", map[string]any{"InspectionSpecificationUnit": "MM"})
		params := diameter()
		if unit != "" {
			params["InspectionSpecificationUnit"] = unit
		}
		if out := w.deliver(t, delivery(t, "m1", inspection, measured, params)); out.Verdict != want || want == message.Refused && !strings.Contains(out.Err.Error(), "measured in CM") {
			t.Errorf("measured in %q: %v, want %v", unit, out, want)
		}
	}
}

// TestAnInspectionResultFits its target by what the plant says of it; what only SAP can look up is not looked at.
func TestAnInspectionResultFits(t *testing.T) {
	w := start(t)
	c, err := w.link.Service(Inspections)
	if err != nil {
		t.Fatal(err)
	}
	if _, known := w.link.TargetType(inspection); known {
		t.Error("the type of a target is known before its $metadata")
	}
	if _, err := c.Model(t.Context()); err != nil {
		t.Fatal(err)
	}
	op, known := w.link.TargetType(inspection)
	if !known || len(op.Params) != len(finders()) {
		t.Fatalf("parameters %v, known %t", op, known)
	}
	for _, p := range op.Params {
		if p.Name == "InspectionSpecification" && (p.Type.MaxLength != 8 || p.Required) {
			t.Errorf("InspectionSpecification %+v", p)
		}
	}
	if err := w.link.Fits(delivery(t, "m1", inspection, measured, diameter())); err != nil {
		t.Errorf("what fits: %v", err)
	}
	for name, d := range map[string]message.Delivery{
		"a parameter that is none": delivery(t, "m1", inspection, measured, map[string]string{"Order": "1"}),
		"a value that is too long": delivery(t, "m1", inspection, `{"InspResultFrmtdMeasuredValue":"12345678901234567890.123"}`, diameter()),
		"a field that is none":     delivery(t, "m1", inspection, `{"ManufacturingOrder":"1"}`, diameter()),
	} {
		if err := w.link.Fits(d); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestALotIsAskedForEachTime, with what is in it: another one may be there by then, or another characteristic. What is not there yet is found once
// it is.
func TestALotIsAskedForEachTime(t *testing.T) {
	w := start(t)
	w.lot(t, "10000001", false, "0010/LENGTH/Length")
	if out := w.deliver(t, delivery(t, "m1", inspection, measured, diameter())); out.Verdict != message.Refused {
		t.Fatalf("a characteristic that is not there: %v", out)
	}
	w.characteristics(t, "10000001", "0010/DIAMETER/Outer diameter")
	for _, id := range []string{"m1", "m2", "m3"} {
		if out := w.deliver(t, delivery(t, id, inspection, measured, diameter())); out.Verdict != message.Delivered {
			t.Fatalf("result %s: %v", id, out)
		}
	}
	w.characteristics(t, "10000001", "0020/DIAMETER/Outer diameter")
	anywhere := map[string]string{"ManufacturingOrder": "1", "InspectionSpecification": "DIAMETER"}
	if out := w.deliver(t, delivery(t, "m5", inspection, measured, anywhere)); out.Verdict != message.Refused {
		t.Errorf("with a second one of its name in the lot by now: %v", out)
	}
	w.lot(t, "10000002", false, "0010/DIAMETER/Outer diameter")
	if out := w.deliver(t, delivery(t, "m4", inspection, measured, diameter())); out.Verdict != message.Refused {
		t.Errorf("with a second lot of the same characteristic: %v", out)
	}
	if got := len(w.mock[Inspections].Documents("A_InspectionResultValue")); got != 3 {
		t.Errorf("%d results, want one for each message", got)
	}
}

// TestNothingIsSentWhereALotCannotBeRead: it is tried again; a right that is missing, after a minute.
func TestNothingIsSentWhereALotCannotBeRead(t *testing.T) {
	for status, after := range map[int]time.Duration{503: 0, 403: time.Minute} {
		w := start(t)
		w.lot(t, "10000001", false, "0010/DIAMETER/Outer diameter")
		d := delivery(t, "m1", inspection, measured, diameter())
		w.deliver(t, delivery(t, "m0", inspection, measured, map[string]string{"ManufacturingOrder": "2", "InspectionSpecification": "X"})) // reads the $metadata
		if _, err := w.system.AddFault(erpmock.Fault{Kind: erpmock.Status, Status: status, Method: "GET", Count: 1}); err != nil {
			t.Fatal(err)
		}
		if out := w.deliver(t, d); out.Verdict != message.Again || !out.LinkDown || out.After != after || len(w.system.Effects()) != 0 {
			t.Errorf("%d: %v after %s, %d effects", status, out, out.After, len(w.system.Effects()))
		}
		if out := w.deliver(t, d); out.Verdict != message.Delivered {
			t.Errorf("%d, then again: %v", status, out)
		}
	}
}

// TestAResultWhoseProcessIsKilledBetweenLookingAndSendingIsBookedOnce: another process finds that it is not there, looks anew, and sends it.
func TestAResultWhoseProcessIsKilledBetweenLookingAndSendingIsBookedOnce(t *testing.T) {
	w := start(t)
	w.lot(t, "10000001", false, "0010/DIAMETER/Outer diameter")
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	to, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	posts := 0
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			posts++
		}
		proxy.ServeHTTP(rw, r)
		if strings.Contains(r.URL.Path, "A_InspectionCharacteristic") {
			kill() // the answer is out
		}
	}))
	defer srv.Close()
	killed := open(t, srv.URL)
	d := delivery(t, "m1", inspection, measured, diameter())
	if out := killed.Deliver(ctx, []message.Delivery{d})[0]; out.Verdict == message.Delivered || posts != 0 {
		t.Fatalf("killed: %v after %d posts", out, posts)
	}
	next := open(t, w.url)
	if out, err := next.Ask(t.Context(), d); err != nil || out.Verdict != message.Again {
		t.Fatalf("asked: %v, %v", out, err)
	}
	out := next.Deliver(t.Context(), []message.Delivery{d})[0]
	if rows := len(w.mock[Inspections].Documents("A_InspectionResultValue")); out.Verdict != message.Delivered || rows != 1 {
		t.Errorf("sent: %v, %d rows", out, rows)
	}
}
