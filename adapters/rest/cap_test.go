package rest

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/internal/message"
)

// openCAP is a link of kind rest to a V4 service of SAP's CAP server, by an OpenAPI document.
func openCAP(t *testing.T) (*adaptertest.CAP, *Link) {
	t.Helper()
	w := adaptertest.OpenCAP(t, "302", "/odata/v4/movements") // a server with it knows /plain as well
	c := patient(w.URL+"/plain/odata/v4/confirmation", "../adaptertest/cap/confirmation.openapi.yaml")
	c.Headers = map[string]string{"sap-client": w.Client}
	c.IdempotencyHeader = "RequestID"
	c.Envelope = Envelope{MessageID: "ExternalSystemConfirmation"}
	c.Default = Operation{
		Receipt: "/ConfirmationGroup", Kind: "confirmation",
		Ask: &Ask{Operation: "findByMessage", Param: "messageId", Match: "/ExternalSystemConfirmation", Number: "/ConfirmationGroup"},
	}
	w.Find = func(t *testing.T, id string) []string {
		t.Helper()
		r, err := http.Get(w.URL + "/odata/v4/confirmation/ProdnOrdConf2?$filter=ExternalSystemConfirmation%20eq%20" + id)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		var found struct {
			Value []struct{ ConfirmationGroup string } `json:"value"`
		}
		if err := json.NewDecoder(r.Body).Decode(&found); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, v := range found.Value {
			out = append(out, v.ConfirmationGroup)
		}
		return out
	}
	return w, open(t, c)
}

// TestSuiteOnCAP: any service with an OpenAPI document, here one of SAP's own server.
func TestSuiteOnCAP(t *testing.T) {
	adaptertest.Suite(t, func(t *testing.T) adaptertest.Subject {
		w, l := openCAP(t)
		return adaptertest.Subject{Adapter: l, ERP: w, Unknown: adaptertest.CAPUnknown(false), Delivery: func(id string) message.Delivery {
			m := message.Message{
				ID: w.Message(id), Source: "urn:plant:1000", Kind: "operation.confirmed", Version: 1, Key: "o1", Time: time.Unix(0, 0).UTC(),
				Body: []byte(`{}`), Place: message.Place{Link: "erp", Lane: "o1", Epoch: 1, Number: 1, Role: message.Event},
			}
			return adaptertest.Delivery(t, m, message.Document{
				Mapping: "test", Target: "createConfirmation",
				Body: []byte(`{"OrderID":"000001000001","OrderOperation":"0010","ConfirmationUnit":"PC","PostingDate":"2026-11-24"}`),
			})
		}}
	})
}
