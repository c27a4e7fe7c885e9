package odata

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

func (w *world) one(t *testing.T, d message.Delivery) message.Outcome {
	t.Helper()
	return w.link.Deliver(t.Context(), []message.Delivery{d})[0]
}

func TestADocumentIsMadeWithAllThatBelongsToIt(t *testing.T) {
	for _, d := range dialects() {
		t.Run(d.name, func(t *testing.T) {
			w := d.start(t, edmx.Config{})
			links := w.mock.Model().Sets[d.set].Of.Links
			out := w.one(t, w.of(t, "m1", d.set, `{"OrderID":"000001000001","ConfirmationYieldQuantity":"9999999999.999","PostingDate":"2026-03-29",
				"ConfirmedExecutionStartTime":"01:30:00","IsFinalConfirmation":true,"`+links[0].Name+`":[{"Material":"M1","QuantityInEntryUnit":"1.000","Batch":"B1"},{"Material":"M2"}]}`))
			if out.Verdict != message.Delivered || out.Receipt.Kind != "confirmation" || out.Receipt.Status != 201 {
				t.Fatalf("got %v", out)
			}
			got := w.mock.Documents(d.set)[0]
			items := w.mock.Documents(w.mock.Model().Sets[d.set].Targets[links[0].Name] + itemSet(d))
			if got["ConfirmationYieldQuantity"] != "9999999999.999" || got["ConfirmedExecutionStartTime"] != "01:30:00" ||
				!strings.HasPrefix(got["PostingDate"].(string), "2026-03-29") || got["ExternalSystemConfirmation"] != guid("m1").String() {
				t.Errorf("the ERP got %v", got)
			}
			if len(items) != 2 || items[0]["Batch"] != "B1" || items[1]["ConfirmationGroup"] != got["ConfirmationGroup"] {
				t.Errorf("the ERP got the items %v", items)
			}
		})
	}
}

func itemSet(d dialect) string {
	if strings.HasPrefix(d.name, "V2") {
		return "ProdnOrdConfMatlDocItm"
	}
	return "ConfirmationItem"
}

func TestWhatDoesNotFitIsRefusedWithEveryViolationAndNotSent(t *testing.T) {
	w := dialects()[0].start(t, edmx.Config{})
	for target, doc := range map[string]string{
		w.set:                `{"OrderID":"0000010000012","ConfirmationYieldQuantity":"1.2345","Nothing":1}`,
		"Nothing":            `{}`,
		w.set + "/change":    `{"ConfirmationText":"x"}`,
		"CancelProdnOrdConf": `{"ConfirmationGroup":"1"}`,
	} {
		d := w.of(t, "m", target, doc)
		out := w.one(t, d)
		if out.Verdict != message.Refused || out.Err == nil {
			t.Errorf("%s: got %v", target, out)
		}
		if err := w.link.Fits(d); err == nil {
			t.Errorf("%s fits", target)
		}
	}
	out := w.one(t, w.of(t, "m", w.set, `{"OrderID":"0000010000012","ConfirmationYieldQuantity":"1.2345","Nothing":1}`))
	if p, ok := out.Err.(*problem.Error); !ok || len(p.Fields) != 3 { //nolint:errorlint // it is bare
		t.Errorf("got %v, want three fields", out.Err)
	}
	if n := w.mock.Calls()[http.MethodPost]; n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestAnEntityIsChangedUnderItsVersion(t *testing.T) {
	d := dialect{"V2", "order-v2.xml", "A_ProductionOrder_2", "/sap/opu/odata/sap/ORDERS", 1, ""}
	w := d.start(t, edmx.Config{})
	if err := w.mock.Seed(d.set, map[string]any{"ManufacturingOrder": "a'%/ ?#&+", "Material": "M1"}); err != nil {
		t.Fatal(err)
	}
	change := w.of(t, "m", d.set+"/change", `{"Material":"M2"}`)
	change.Doc.Params = map[string]string{"ManufacturingOrder": "a'%/ ?#&+"}
	if out := w.one(t, change); out.Verdict != message.Delivered {
		t.Fatalf("got %v", out)
	}
	if got := w.mock.Documents(d.set)[0]["Material"]; got != "M2" {
		t.Errorf("material %v", got)
	}
	w.mock.SetFaults(erpmock.Fault{Kind: erpmock.Status, Status: 412, Method: "MERGE", Count: 1})
	if out := w.one(t, change); out.Verdict != message.Refused || problem.KindOf(out.Err) != problem.Precondition {
		t.Errorf("a change that was overtaken: %v", out)
	}
	change.Doc.Params["ManufacturingOrder"] = "none"
	if out := w.one(t, change); out.Verdict != message.Refused {
		t.Errorf("a change of what is not there: %v", out)
	}
}

func TestOperationsAreCalledAsEachVersionHasThem(t *testing.T) {
	w := dialects()[0].start(t, edmx.Config{}, func(c *Config) {
		c.Writes["conf/CancelProdnOrdConf"] = Write{ID: "ExternalSystemConfirmation"}
	})
	if err := w.mock.Seed(w.set, map[string]any{"OrderID": "1", "ConfirmationGroup": "1", "ConfirmationCount": "2"}); err != nil {
		t.Fatal(err)
	}
	d := w.of(t, "m1", "CancelProdnOrdConf", `{"ConfirmationGroup":"1","ConfirmationCount":"2","PostingDate":"2026-11-24","ConfirmationText":"it's & so"}`)
	out := w.one(t, d)
	if out.Verdict != message.Delivered || out.Receipt.Document == "" {
		t.Fatalf("got %v", out)
	}
	if got := w.mock.Documents(w.set)[1]["ConfirmationText"]; got != "it's & so" {
		t.Errorf("the ERP got the text %v", got)
	}
	if again, err := w.link.Ask(t.Context(), d); err != nil || again.Verdict != message.Delivered || again.Receipt.Document != out.Receipt.Document {
		t.Errorf("asked: %v, %v", again, err)
	}
	w = dialects()[1].start(t, edmx.Config{})
	if err := w.mock.Seed(w.set, map[string]any{"OrderID": "1", "ConfirmationGroup": "7", "ConfirmationCount": "1"}); err != nil {
		t.Fatal(err)
	}
	d = w.of(t, "m1", "com.example.plant.Cancel", `{"PostingDate":"2026-11-24","Why":"Mistake"}`)
	d.Doc.Params = map[string]string{"ConfirmationGroup": "7", "ConfirmationCount": "1"}
	if out := w.one(t, d); out.Verdict != message.Delivered || out.Receipt.Document != "7/1" {
		t.Errorf("got %v", out)
	}
}

// TestBatchesTakeAwayMostOfTheRequests: 2,000 confirmations need at most a twentieth of the requests, and each has one effect.
func TestBatchesTakeAwayMostOfTheRequests(t *testing.T) {
	numbers := map[string]int{"V2 in batches": 2000}
	for _, d := range dialects()[2:] {
		t.Run(d.name, func(t *testing.T) {
			w := d.start(t, edmx.Config{}, func(c *Config) { c.Batch = 100 })
			n := cmp.Or(numbers[d.name], 400)
			for i, out := range w.many(t, n, 2, nil) {
				if out.Verdict != message.Delivered {
					t.Fatalf("message %d: %v", i, out)
				}
			}
			effects := map[string]int{}
			for _, f := range w.mock.Effects() {
				effects[f.MessageID]++
			}
			for i := range n {
				if got := effects[RequestID(fmt.Sprintf("m%d", i))]; got != 1 {
					t.Errorf("message %d has %d effects", i, got)
				}
			}
			if posts := w.mock.Calls()[http.MethodPost]; posts > n/20 {
				t.Errorf("%d requests for %d messages, want at most a twentieth", posts, n)
			}
		})
	}
}

func TestEachPartOfABatchIsTiedToItsMessage(t *testing.T) {
	for _, d := range dialects()[2:] {
		t.Run(d.name, func(t *testing.T) {
			w := d.start(t, edmx.Config{})
			w.mock.SetRules(
				edmx.Rule{Field: "ExternalSystemConfirmation", Value: guid("m7").String(), Code: "RU/505", Text: "Posting period 011 is not open", Target: "PostingDate"},
				edmx.Rule{Field: "ExternalSystemConfirmation", Value: guid("m9").String(), Code: "CO/469", Text: "Order 1000001 is already being processed by USER", Count: 1},
			)
			for i, o := range w.many(t, 30, 2, nil) {
				want := message.Delivered
				switch i {
				case 7:
					want = message.Refused
				case 9:
					want = message.Again
				}
				if o.Verdict != want || (want == message.Delivered) != (len(w.Documents(fmt.Sprintf("m%d", i))) == 1) {
					t.Errorf("message %d: %v", i, o)
				}
				if i == 9 && (o.LinkDown || o.After == 0) {
					t.Errorf("a lock: %+v, want again after a while, and no fault of the link", o)
				}
				if p, _ := o.Err.(*problem.Error); i == 7 && (!strings.Contains(p.Why, "Posting period") || !strings.Contains(p.Why, "RU/505") || len(p.Fields) == 0) { //nolint:errorlint // it is bare
					t.Errorf("the ERP's words were lost: %v %+v", o.Err, p.Fields)
				}
			}
		})
	}
}

// TestAnswersOfBatchesThatAreLostDoubleNothing: the ERP books a whole batch and its answer is lost, and then our process as well.
func TestAnswersOfBatchesThatAreLostDoubleNothing(t *testing.T) {
	for _, d := range dialects() {
		t.Run(d.name, func(t *testing.T) {
			w := d.start(t, edmx.Config{})
			w.mock.SetFaults(erpmock.Fault{Kind: erpmock.Lost, Method: "POST", Skip: 2, Count: 2})
			out := w.many(t, 40, 8, nil)
			w.link = open(t, w.config(w.server.URL)) // a new process knows nothing of the attempts
			w.link.cfg.AskAfter = 1
			unsure := 0
			for i, o := range out {
				if o.Verdict != message.Unsure {
					continue
				}
				unsure++
				id := fmt.Sprintf("m%d", i)
				for range 3 {
					asked, err := w.link.Ask(t.Context(), w.delivery(t, id))
					if out[i] = asked; err == nil {
						break
					}
				}
			}
			if unsure == 0 {
				t.Fatal("no answer was lost")
			}
			w.mustBeOnce(t, out)
		})
	}
}
