package sap

import (
	"context"
	"encoding/json"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/odata"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// world is a mock of all services, and a link to it.
type world struct {
	url    string
	system *edmx.System
	mock   map[string]*edmx.Mock
	link   *Link
}

func start(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	known, err := Config{}.Complete()
	if err != nil {
		t.Fatal(err)
	}
	var sources []edmx.Source
	for name, s := range known.Services {
		text, err := fs.ReadFile(Metadata(), name+".xml")
		if err != nil {
			t.Fatalf("service %s: %v", name, err)
		}
		sources = append(sources, edmx.Source{Metadata: text, Root: s.Path})
	}
	w := &world{mock: map[string]*edmx.Mock{}}
	if w.system, err = edmx.NewSystem(edmx.Config{}, sources...); err != nil {
		t.Fatal(err)
	}
	w.url = erpmock.Listen(t, w.system)
	for name, s := range known.Services {
		for _, m := range w.system.Services() {
			if m.Root() == s.Path {
				w.mock[name] = m
			}
		}
	}
	w.link = open(t, w.url, change...)
	return w
}

// open makes a link to a system.
func open(t *testing.T, url string, change ...func(*Config)) *Link {
	t.Helper()
	c := Config{Config: odata.Config{BaseURL: url, Client: "100", LockWait: time.Millisecond, Timeout: 20 * time.Second}, Plant: "1000", Zone: "Europe/Berlin"}
	for _, f := range change {
		f(&c)
	}
	l, err := Open(c, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(l.Close)
	return l
}

// delivery is a document for a target.
func delivery(t *testing.T, id, target, doc string, params map[string]string) message.Delivery {
	t.Helper()
	m := message.Message{
		ID: id, Source: "urn:plant:1000", Kind: "operation.confirmed", Version: 1, Key: "o1", Time: time.Unix(0, 0).UTC(),
		Body: []byte(`{}`), Place: message.Place{Link: "erp", Lane: id, Epoch: 1, Number: 1, Role: message.Event},
	}
	d := adaptertest.Delivery(t, m, message.Document{Mapping: "test", Target: target, Params: params, Body: []byte(doc)})
	d.Quiet = true // the tests ask only when nothing is under way
	return d
}

func (w *world) deliver(t *testing.T, d message.Delivery) message.Outcome {
	t.Helper()
	return w.link.Deliver(t.Context(), []message.Delivery{d})[0]
}

// lose has the answer to the next write lost after its effect.
func (w *world) lose(t *testing.T) {
	t.Helper()
	for _, method := range []string{"POST", "MERGE"} {
		if _, err := w.system.AddFault(erpmock.Fault{Kind: erpmock.Lost, Method: method, Count: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryWriteWhoseAnswerIsLostIsFoundAgain: each target of this package can be asked for, by an ID or by its effect, and one effect is
// all that there is. Asked before, it is not there.
func TestEveryWriteWhoseAnswerIsLostIsFoundAgain(t *testing.T) {
	const order = `{"ManufacturingOrderType":"PP01","Material":"FG-100","ProductionPlant":"1000","TotalQuantity":"10.000","UnloadingPointName":"PL1000-000007"}`
	moved := `{"GoodsMovementCode":"03","to_MaterialDocumentItem":[{"Material":"RM-1","Plant":"1000","GoodsMovementType":"261","QuantityInEntryUnit":"1.000"}]}`
	tests := []struct {
		target, doc string
		params      map[string]string
		before      func(t *testing.T, w *world) (doc string)
		number      string
		unlike      message.Verdict // of a question before it was sent, if not Again
	}{
		{target: "orders/A_ProductionOrder_2", doc: order, number: "000000000001"},
		{target: "orders/TechlyCmpltOrder", doc: `{"ManufacturingOrder":"000000000001"}`, number: "000000000001", before: func(t *testing.T, w *world) string {
			w.deliver(t, delivery(t, "a1", "orders/A_ProductionOrder_2", order, nil))
			return ""
		}},
		{target: "confirmations/ProdnOrdConf2", doc: `{"OrderID":"1","ConfirmationYieldQuantity":"1.000"}`, number: "0000000001/00000001"},
		{target: "confirmations/CancelProdnOrdConf", doc: `{"ConfirmationGroup":"0000000001","ConfirmationCount":"00000001"}`, number: "0000000002/00000001", before: func(t *testing.T, w *world) string {
			w.deliver(t, delivery(t, "a1", "confirmations/ProdnOrdConf2", `{"OrderID":"1"}`, nil))
			return ""
		}},
		{target: "movements/A_MaterialDocumentHeader", doc: moved, number: "0000000001/YEAR"},
		{target: "movements/Cancel", number: "0000000003/YEAR", before: func(t *testing.T, w *world) string {
			out := w.deliver(t, delivery(t, "a1", "movements/A_MaterialDocumentHeader", moved, nil))
			number, year, _ := strings.Cut(out.Receipt.Document, "/")
			return `{"MaterialDocument":"` + number + `","MaterialDocumentYear":"` + year + `"}`
		}},
		{target: inspection, doc: measured, params: diameter(), number: "10000001/00000010/DIAM/00000001", before: func(t *testing.T, w *world) string {
			w.lot(t, "10000001", false, "0010/DIAMETER/Outer diameter")
			return ""
		}},
		{target: "batches/Batch", doc: `{"Material":"FG-100","BatchBySupplier":"L00000001"}`, number: "0000000001"},
		{target: "batches/Batch/change", doc: restricted, params: lot(), number: "0000000001", unlike: message.Unsure, before: func(t *testing.T, w *world) string {
			w.deliver(t, delivery(t, "a1", "batches/Batch", `{"Material":"FG-100","BatchBySupplier":"L00000001"}`, nil))
			return ""
		}},
	}
	for _, tt := range tests {
		if tt.unlike == "" {
			tt.unlike = message.Again
		}
		t.Run(tt.target, func(t *testing.T) {
			w := start(t)
			doc := tt.doc
			if tt.before != nil {
				if made := tt.before(t, w); made != "" {
					doc = made
				}
			}
			d := delivery(t, "m1", tt.target, doc, tt.params)
			if out, err := w.link.Ask(t.Context(), d); err != nil || out.Verdict != tt.unlike {
				t.Fatalf("asked before it was sent: %v, %v", out, err)
			}
			effects := len(w.system.Effects())
			w.lose(t)
			if out := w.deliver(t, d); out.Verdict != message.Unsure {
				t.Fatalf("after a lost answer: %v", out)
			}
			out, err := w.link.Ask(t.Context(), d)
			if want := strings.ReplaceAll(tt.number, "YEAR", time.Now().Format("2006")); err != nil || out.Verdict != message.Delivered || out.Receipt.Document != want {
				t.Errorf("asked: %v %q, %v, want %q", out, out.Receipt.Document, err, want)
			}
			if got := len(w.system.Effects()) - effects; got != 1 {
				t.Errorf("%d effects", got)
			}
		})
	}
}

// restricted puts a lot in restricted use, and lot is the key of the first one.
const restricted = `{"MatlBatchIsInRstrcdUseStock":true}`

func lot() map[string]string {
	return map[string]string{"Material": "FG-100", "BatchIdentifyingPlant": "", "Batch": "0000000001"}
}

// TestALotsLaterDecisionStands: SAP puts a lot in restricted use and its answer is lost; then quality management frees it. The plant does not put it
// back, and says so.
func TestALotsLaterDecisionStands(t *testing.T) {
	w := start(t)
	w.deliver(t, delivery(t, "a1", "batches/Batch", `{"Material":"FG-100","BatchBySupplier":"L00000001"}`, nil))
	d := delivery(t, "m1", "batches/Batch/change", restricted, lot())
	w.lose(t)
	if out := w.deliver(t, d); out.Verdict != message.Unsure {
		t.Fatalf("after a lost answer: %v", out)
	}
	is := func(want bool) {
		t.Helper()
		if got := w.mock[Batches].Documents("Batch")[0]["MatlBatchIsInRstrcdUseStock"]; got != want {
			t.Errorf("restricted is %v, want %t", got, want)
		}
	}
	is(true)
	w.mock[Batches].Change("Batch", "Batch", "0000000001", map[string]any{"MatlBatchIsInRstrcdUseStock": false})
	out, err := w.link.Ask(t.Context(), d)
	if err != nil || out.Verdict != message.Refused || !strings.HasSuffix(out.Err.Error(), "; in the ERP MatlBatchIsInRstrcdUseStock is false now") {
		t.Errorf("asked: %v, %v", out, err)
	}
	is(false)
}

// TestGoodsMovementsThatFailAreReported: SAP takes the confirmation and keeps a movement for a person.
func TestGoodsMovementsThatFailAreReported(t *testing.T) {
	const doc = `{"OrderID":"1","to_ProdnOrdConfMatlDocItm":[{"Material":"RM-1","GoodsMovementType":"261","QuantityInEntryUnit":"1.000"},{"Material":"RM-2","GoodsMovementType":"261","QuantityInEntryUnit":"2.000"}]}`
	w := start(t)
	if out := w.deliver(t, delivery(t, "m1", confirmation, doc, nil)); out.Verdict != message.Delivered || strings.Contains(string(out.Receipt.Answer), "holdfast:") {
		t.Errorf("with all posted: %v %s", out, out.Receipt.Answer)
	}
	w.mock[Confirmations].DropNested("ProdnOrdConfMatlDocItm", "Material", "RM-2")
	out := w.deliver(t, delivery(t, "m2", confirmation, doc, nil))
	if want := "holdfast: 1 of 2 goods movements were not posted and wait in COGI: 261 RM-2"; out.Verdict != message.Delivered || !strings.HasPrefix(string(out.Receipt.Answer), want) {
		t.Errorf("with one that failed: %v %s", out, out.Receipt.Answer)
	}
	w.lose(t)
	d := delivery(t, "m3", confirmation, doc, nil)
	w.deliver(t, d)
	if out, err := w.link.Ask(t.Context(), d); err != nil || !strings.HasPrefix(string(out.Receipt.Answer), "holdfast: 1 of 2") {
		t.Errorf("found by asking: %v %s, %v", out, out.Receipt.Answer, err)
	}
}

// TestAnOrderComesWithItsZone and without what has no value.
func TestAnOrderComesWithItsZone(t *testing.T) {
	w := start(t)
	err := w.system.Seed("A_ProductionOrder_2",
		map[string]any{
			"ManufacturingOrder": "1", "Material": "FG-100", "ProductionPlant": "1000", "TotalQuantity": "10.000", "MfgOrderScheduledStartDate": "2026-03-29",
			"MfgOrderScheduledStartTime":  "01:30:00",
			"to_ProductionOrderOperation": []any{map[string]any{"OrderInternalBillOfOperations": "1", "OrderIntBillOfOperationsItem": "1", "ManufacturingOrderOperation": "0010"}},
		},
		map[string]any{"ManufacturingOrder": "2", "ProductionPlant": "2000"})
	if err != nil {
		t.Fatal(err)
	}
	batch, _, err := w.link.Polls()[0].Poll(t.Context(), "")
	if err != nil || len(batch) != 1 {
		t.Fatalf("%d documents, %v", len(batch), err)
	}
	var doc map[string]any
	if err := json.Unmarshal(batch[0].Body, &doc); err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for _, name := range []string{"Zone", "MfgOrderScheduledStartDate", "MfgOrderScheduledStartTime", "TotalQuantity", "StorageLocation"} {
		if v, there := doc[name]; there {
			got[name] = v
		}
	}
	want := map[string]any{"Zone": "Europe/Berlin", "MfgOrderScheduledStartDate": "2026-03-29T00:00:00", "MfgOrderScheduledStartTime": "01:30:00", "TotalQuantity": "10.000"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
	if ops, _ := doc["to_ProductionOrderOperation"].([]any); len(ops) != 1 {
		t.Errorf("operations %v", doc["to_ProductionOrderOperation"])
	}
}

// TestWhatAConfigurationSaysReplacesWhatIsKnown, service by service and write by write.
func TestWhatAConfigurationSaysReplacesWhatIsKnown(t *testing.T) {
	c := Config{MovementID: "MaterialDocumentHeaderText", Read: []string{"orders", "materials"}}
	c.Services = map[string]odata.Service{Orders: {Path: "/own"}, "quality": {Path: "/q"}}
	c.Writes = map[string]odata.Write{confirmation: {ID: "ConfirmationText"}}
	c.Polls = []odata.PollConfig{{Name: "orders", Set: "orders/Own"}}
	full, err := c.Complete()
	if err != nil {
		t.Fatal(err)
	}
	if full.Services[Orders].Path != "/own" || full.Services["quality"].Path != "/q" || !strings.HasSuffix(full.Services[Movements].Path, "API_MATERIAL_DOCUMENT_SRV") {
		t.Errorf("services %v", full.Services)
	}
	if full.Writes[confirmation].ID != "ConfirmationText" || full.Writes["movements/A_MaterialDocumentHeader"].ID != "MaterialDocumentHeaderText" {
		t.Errorf("writes %v", full.Writes)
	}
	if len(full.Polls) != 2 || full.Polls[0].Set != "orders/Own" || full.Polls[1].Name != "materials" {
		t.Errorf("polls %v", full.Polls)
	}
	c.Read = []string{"tea"}
	if _, err := c.Complete(); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a poll that is not known: %v", err)
	}
	if !slices.Contains(Reads(), "routings") {
		t.Errorf("reads %v", Reads())
	}
	apart := Config{Zone: "UTC", Config: odata.Config{BaseURL: "http://127.0.0.1:9", Writes: map[string]odata.Write{movement: {ID: "MaterialDocumentHeaderText"}}}}
	if _, err := Open(apart, nil, slog.New(slog.DiscardHandler)); problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), "movement_id") {
		t.Errorf("an id beside another movement_id: %v", err)
	}
	if _, err := Open(Config{Zone: "Europe/Krefeld"}, func(context.Context, string) (string, error) { return "", nil }, slog.New(slog.DiscardHandler)); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a zone that is none: %v", err)
	}
}

// TestAComponentIsIssuedFromItsReservation: the plant knows the item, SAP the number. Where SAP cannot be asked, nothing is sent.
func TestAComponentIsIssuedFromItsReservation(t *testing.T) {
	const doc = `{"GoodsMovementCode":"03","to_MaterialDocumentItem":[{"Material":"RM-1","Plant":"1000","ManufacturingOrder":"1","ReservationItem":"0002","GoodsMovementType":"261","QuantityInEntryUnit":"1.000"}]}`
	w := start(t)
	d := delivery(t, "m1", movement, doc, nil)
	if out := w.deliver(t, d); out.Verdict != message.Refused {
		t.Errorf("without a reservation: %v", out)
	}
	err := w.system.Seed("A_ProductionOrder_2", map[string]any{
		"ManufacturingOrder": "1", "to_ProductionOrderComponent": []any{map[string]any{"Reservation": "0000004711", "ReservationItem": "0002", "ReservationRecordType": ""}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.system.AddFault(erpmock.Fault{Kind: erpmock.Status, Status: 503, Method: "GET", Count: 1}); err != nil {
		t.Fatal(err)
	}
	if out := w.deliver(t, d); out.Verdict != message.Again || !out.LinkDown || len(w.system.Effects()) != 0 {
		t.Errorf("where SAP cannot be asked: %v", out)
	}
	if out := w.deliver(t, d); out.Verdict != message.Delivered {
		t.Fatalf("got %v", out)
	}
	if got := w.mock[Movements].Documents("A_MaterialDocumentItem")[0]["Reservation"]; got != "0000004711" {
		t.Errorf("reservation %v", got)
	}
}

// TestAnOrderStaysTheSameInEveryZone in which the process can run: its start lies in the night in which Europe's clocks change.
func TestAnOrderStaysTheSameInEveryZone(t *testing.T) {
	adaptertest.InZones(t, "TestAnOrderComesWithItsZone")
}
