package odata

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/odata/edm"
	"holdfast/internal/message"
)

// TestAForcedReplayIsNotSettledByTheDocumentBefore: a document was cancelled in the ERP, and its message is sent anew by force. The answer is lost. What is
// found may be the cancelled document: a person decides.
func TestAForcedReplayIsNotSettledByTheDocumentBefore(t *testing.T) {
	for _, d := range dialects()[:2] {
		w := d.start(t, edmx.Config{})
		one := w.delivery(t, "m1")
		first := w.link.Deliver(t.Context(), []message.Delivery{one})[0]
		if first.Verdict != message.Delivered {
			t.Fatal(first.Err)
		}
		one.Redelivery, one.Forced = 1, true
		w.mock.SetFaults(erpmock.Fault{Kind: erpmock.Lost, Phase: erpmock.Before, Method: "POST", Count: 1})
		if out := w.link.Deliver(t.Context(), []message.Delivery{one})[0]; out.Verdict != message.Unsure {
			t.Fatalf("%s: %+v", d.name, out)
		}
		out, err := w.link.Ask(t.Context(), one)
		if err != nil || out.Verdict != message.Unsure || out.Err == nil || !strings.Contains(out.Err.Error(), first.Receipt.Document) {
			t.Errorf("%s: the replay is settled by %s: %+v, %v", d.name, first.Receipt.Document, out, err)
		}
		one.Forced = false
		if out, err := w.link.Ask(t.Context(), one); err != nil || out.Verdict != message.Delivered {
			t.Errorf("%s: without force: %+v, %v", d.name, out, err)
		}
	}
}

// TestAnEmptyPageDoesNotSayThatADocumentIsNotThere: a service may end a page before it has found any, and says where to go on.
func TestAnEmptyPageDoesNotSayThatADocumentIsNotThere(t *testing.T) {
	for _, d := range dialects()[:2] {
		endless := false
		w := d.start(t, edmx.Config{})
		one := w.delivery(t, "m1")
		if out := w.link.Deliver(t.Context(), []message.Delivery{one})[0]; out.Verdict != message.Delivered {
			t.Fatal(out.Err)
		}
		srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/"+d.set) || r.URL.Query().Get("$skiptoken") != "" && !endless {
				r.URL.RawQuery = strings.TrimSuffix(r.URL.RawQuery, "&$skiptoken=1")
				w.mock.Handler().ServeHTTP(rw, r)
				return
			}
			rw.Header().Set("Content-Type", "application/json")
			next := d.set + "?" + r.URL.RawQuery + "&$skiptoken=1"
			body := `{"value":[],"@odata.nextLink":%q}`
			if m, _ := w.link.services["conf"].metadata.known(); m.Version == edm.V2 {
				body = `{"d":{"results":[],"__next":%q}}`
			}
			_, _ = fmt.Fprintf(rw, body, next) // the client has left if this fails
		}))
		t.Cleanup(srv.Close)
		link := open(t, w.config(srv.URL))
		if out, err := link.Ask(t.Context(), one); err != nil || out.Verdict != message.Delivered {
			t.Errorf("%s: %+v, %v; want the document of the second page", d.name, out, err)
		}
		endless = true
		if out, err := link.Ask(t.Context(), one); err == nil || out.Verdict != message.Unsure {
			t.Errorf("%s: pages without an end: %+v, %v", d.name, out, err)
		}
	}
}
