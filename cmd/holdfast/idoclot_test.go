package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/erpmock/idocport"
	"holdfast/adapters/sap/idoc"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// sapPort is a SAP that takes IDocs by HTTP, and remembers each.
type sapPort struct {
	*idocport.Port
	*httptest.Server
	mu  sync.Mutex
	got []string
}

func newSAPPort(t *testing.T, cfg idocport.Config) *sapPort {
	t.Helper()
	port, err := idocport.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &sapPort{Port: port}
	h := port.Handler()
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if len(text) > 0 {
			s.mu.Lock()
			s.got = append(s.got, string(text))
			s.mu.Unlock()
		}
		r.Body = io.NopCloser(bytes.NewReader(text))
		h.ServeHTTP(w, r)
	}))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- port.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		s.Server.Close()
		if err := errors.Join(<-ended, port.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// texts are the IDocs that came, of one type.
func (s *sapPort) texts(basic string) (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range s.got {
		if strings.Contains(text, "<"+basic+">") {
			out = append(out, text)
		}
	}
	return out
}

// numbersInMemory implements idoc.Numbers for one run.
type numbersInMemory struct{ n int }

func (n *numbersInMemory) Number(_ context.Context, _ string, keys []string, _ string) (string, string, error) {
	n.n++
	return fmt.Sprintf("%016d", n.n), keys[len(keys)-1], nil
}

func (n *numbersInMemory) Second(_ context.Context, _, _ string, wanted int64) (int64, error) {
	return wanted, nil
}

func (n *numbersInMemory) Heard(context.Context, string) (idoc.State, error) { return "", nil }

// TestEachShippedIDocIsDelivered: what each example of sap-idoc-out becomes is an IDoc that SAP reads without an unknown segment or field, and books.
func TestEachShippedIDocIsDelivered(t *testing.T) {
	cfg := carriedConfig(t)
	rules, links, err := cfg.compile(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	links["erp"].Close()
	sap := newSAPPort(t, idocport.Config{Silent: true})
	idocs := cfg.Links["erp"].IDoc.Config
	idocs.Send, idocs.Receive = &idoc.Send{URL: sap.URL + idocport.Path}, nil
	link, err := idoc.Open(idocs, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	link.Remember(&numbersInMemory{})
	kinds := map[string]bool{}
	for _, name := range rules.Names() {
		if !strings.HasPrefix(name, "sap-idoc-out/") {
			continue
		}
		examples, err := mapping.Examples(name, mapping.Library())
		if err != nil {
			t.Fatal(err)
		}
		for i, ex := range examples {
			if ex.Waits != "" {
				continue
			}
			m := ex.Message()
			m.ID = fmt.Sprintf("%s-%d", ex.Kind, i)
			v, err := message.Verify(t.Context(), allVerified{}, m)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := rules.Apply(t.Context(), name, v, ex.Resolve)
			if err != nil {
				t.Fatalf("%s: %s: %v", name, ex.Name, err)
			}
			if out := link.Deliver(t.Context(), []message.Delivery{adaptertest.Delivery(t, m, doc)})[0]; out.Verdict != message.Delivered {
				t.Errorf("%s: %s: %s, %v", name, ex.Name, out.Verdict, out.Err)
				continue
			}
			kinds[ex.Kind] = true
			texts := sap.texts(doc.Target)
			ds, err := idoc.ReadXML([]byte(texts[len(texts)-1]), idoc.Shipped(), idoc.Usual())
			if err != nil || len(ds) != 1 || len(ds[0].Unknown) > 0 || ds[0].Control["ARCKEY"] != m.ID {
				t.Errorf("%s: %s: SAP reads %+v, %v", name, ex.Name, ds, err)
			}
		}
	}
	if want := len(cfg.Routes[0].Kinds); len(kinds) != want {
		t.Errorf("of %v an IDoc was delivered, want one of each of the %d kinds of the route", kinds, want)
	}
}

// TestALotOfThePlantKeepsItsNumberInSAP: by IDocs the plant numbers the batch, so that a movement of the lot goes out under that number once SAP's
// confirmation, which names no number, says that the batch is booked; and not before.
func TestALotOfThePlantKeepsItsNumberInSAP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ours := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	sap := newSAPPort(t, idocport.Config{Partner: "http://" + ours + "/idoc", User: "SAP", Password: "secret"})
	t.Setenv("HOLDFAST_TEST_SAP_PASSWORD", "secret")
	f := servePlant(t, written(t, filepath.Join(t.TempDir(), "holdfast.yaml"), fmt.Sprintf(`plant: {number: "1000", zone: Europe/Berlin}
api: {listen: "127.0.0.1:0"}
ops: {listen: "127.0.0.1:0"}
links:
  sap:
    kind: sap-idoc
    client: "100"
    plant: {port: HOLDFAST, system: HFPLANT1}
    sap: {port: SAPS4H, system: S4HCLNT100}
    send: {url: %q}
    receive: {listen: %q, user: SAP, password: "env:HOLDFAST_TEST_SAP_PASSWORD"}
routes:
  - {kinds: [goods.issued, lot.created, lot.changed], link: sap, mapping: sap-idoc-out}
`, sap.URL+idocport.Path, ours)))
	owe := func(id, kind, creates, body string) {
		t.Helper()
		err := f.db.InTx(t.Context(), func(tx *store.Tx) error {
			m, err := message.New(id, kind, id, tx.Now, []byte(body))
			if err != nil {
				return err
			}
			m.Creates, m.Body = creates, []byte(body)
			return f.outbox.Append(t.Context(), tx, m)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	const place = `"plant":"1000","zone":"Europe/Berlin"`
	owe("moved", "goods.issued", "", `{`+place+`,"movement":{"id":"m-9","type":"261","items":[{"item":"0001","material":"RM-200","quantity":"0.1","unit":"KGM","baseQuantity":"100","baseUnit":"GRM","batch":"L000001","lot":"l-1"}],"postedAt":"2026-11-24T23:30:00Z","postingDate":"2026-11-25","recordedAt":"2026-11-24T23:30:01Z"}}`)
	owe("changed", "lot.changed", "", `{`+place+`,"lot":{"id":"l-1","number":"L000001","material":"RM-200","origin":"plant","status":"unrestricted","version":2,"recordedAt":"2026-11-24T23:30:01Z"},"from":"blocked","at":"2026-11-25T00:10:00Z","reason":"good"}`)
	if len(sap.texts("MBGMCR03")) > 0 {
		t.Error("a movement went out before its lot had a number in SAP")
	}
	owe("made", "lot.created", "lot/l-1", `{`+place+`,"lot":{"id":"l-1","number":"L000001","material":"RM-200","origin":"plant","status":"blocked","version":1,"recordedAt":"2026-11-24T23:30:01Z"}}`)
	err = until(t.Context(), patience, "the movement and the change follow the lot", func() (bool, error) {
		return len(sap.texts("MBGMCR03")) == 1 && len(sap.texts("BATMAS03")) == 2, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if texts := append(sap.texts("MBGMCR03"), sap.texts("BATMAS03")...); slices.ContainsFunc(texts, func(s string) bool { return !strings.Contains(s, "<BATCH>L000001</BATCH>") }) {
		t.Errorf("a batch has another number than the lot's: %q", texts)
	}
	var d outbox.Detail
	err = f.db.View(t.Context(), func(tx *store.Tx) (err error) {
		d, err = f.outbox.Message(t.Context(), tx, outbox.MessageID("sap", "made"))
		return err
	})
	if err != nil || d.Receipt.Document != "L000001" {
		t.Errorf("the batch is called %q, %v, want L000001", d.Receipt.Document, err)
	}
}
