package httpapi_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/httpapi"
	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// event is an inbound message that is a plant's event already.
func event(id, kind string, data any, more ...any) object {
	o := object{
		"specversion": "1.0", "id": id, "source": "urn:erp", "type": kind, "subject": "material/M1", "time": "2026-11-24T06:00:00+01:00", "data": data,
	}
	for i := 0; i+1 < len(more); i += 2 {
		o[more[i].(string)] = more[i+1]
	}
	return o
}

func material(description string) object {
	return object{"number": "M1", "description": description, "baseUnit": "PCE", "batchManaged": false, "serialised": false}
}

// run applies what comes in until the test ends.
func (p *plant) run() {
	ctx, stop := context.WithCancel(p.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.in.Run(ctx); err != nil {
			p.t.Error(err)
		}
	})
	p.t.Cleanup(func() {
		stop()
		wg.Wait()
	})
}

// becomes waits until the newest inbound message is in a state, and gives it.
func (p *plant) becomes(t *testing.T, state httpapi.InboundState) httpapi.Inbound {
	t.Helper()
	for t.Context().Err() == nil {
		var page httpapi.InboundPage
		p.call("GET", "/v1/inbound-messages?limit=1", nil).want(t, 200, &page)
		if len(page.Items) == 1 && page.Items[0].State == state {
			return page.Items[0]
		}
		if len(page.Items) == 1 && page.Items[0].State != httpapi.InboundStateReady {
			t.Fatalf("message %+v, want %s", page.Items[0], state)
		}
	}
	return httpapi.Inbound{}
}

func TestAMessageOfTheERPTakesEffectOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		p.run()
		var got httpapi.InboundReceipt
		e := event("m1", "material.changed", material("first"), "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		p.call("POST", "/v1/inbound-messages", e).want(t, 202, &got)
		if !got.Fresh {
			t.Error("the first time is not fresh")
		}
		p.becomes(t, httpapi.InboundStateDone)
		p.call("POST", "/v1/inbound-messages", e, "Content-Type", "application/cloudevents+json").want(t, 202, &got)
		if got.Fresh {
			t.Error("the second time is fresh")
		}
		var m httpapi.Material
		if p.call("GET", "/v1/materials/M1", nil).want(t, 200, &m); m.Description != "first" {
			t.Errorf("material %+v", m)
		}
		e["data"] = material("another")
		p.call("POST", "/v1/inbound-messages", e).refused(t, 422, "invalid")
		var page httpapi.RejectedPage
		p.call("GET", "/v1/rejected-messages", nil).want(t, 200, &page)
		if len(page.Items) != 1 || page.Items[0].ID != "m1" || page.Items[0].Code != "duplicate" {
			t.Errorf("rejected %+v", page.Items)
		}
	})
}

func TestALargeBodyInQuarantineIsShownBySizeAndDigest(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		p.run()
		wrong := object{"number": "M1", "note": strings.Repeat("x", 300<<10)}
		text, err := json.Marshal(wrong)
		if err != nil {
			t.Fatal(err)
		}
		p.call("POST", "/v1/inbound-messages", event("m1", "material.changed", wrong)).want(t, 202, nil)
		path := fmt.Sprintf("/v1/inbound-messages/%d", p.becomes(t, httpapi.InboundStateQuarantined).Number)
		shows := func(b json.RawMessage) {
			t.Helper()
			var got struct {
				Bytes  int
				SHA256 string
			}
			err := json.Unmarshal(b, &got)
			if want := fmt.Sprintf("%x", sha256.Sum256(text)); err != nil || got.Bytes != len(text) || got.SHA256 != want {
				t.Errorf("shown as %.100s, %v, want %d bytes of %s", b, err, len(text), want)
			}
		}
		var d httpapi.InboundDetail
		p.call("GET", path, nil).want(t, 200, &d)
		shows(d.Body)
		p.call("POST", path+"/amend", object{"body": material("right"), "reason": "too long"}).want(t, 200, nil)
		p.call("GET", path, nil).want(t, 200, &d)
		shows(d.Original)
	})
}

func TestADigestThatTheSenderGivesIsChecked(t *testing.T) {
	db := storetest.SQLite(t)
	p := open(t, db)
	at := time.Date(2026, 11, 24, 6, 0, 0, 0, time.FixedZone("", 3600))
	body, err := json.Marshal(material("sealed"))
	if err != nil {
		t.Fatal(err)
	}
	m := message.Message{
		ID: "m1", Source: "urn:erp", Kind: "material.changed", Version: 1, Key: "material/M1", Time: at, Body: body,
		Place: message.Place{Lane: "materials", Epoch: 1, Number: 1, Role: message.Event},
	}
	e := event("m1", "material.changed", json.RawMessage(body), "lane", "materials", "laneepoch", 1, "lanenumber", 1, "digest", m.Digest())
	p.call("POST", "/v1/inbound-messages", e).want(t, 202, nil)
	e["id"], e["lanenumber"] = "m2", 2
	p.call("POST", "/v1/inbound-messages", e).refused(t, 422, "invalid")
}

func TestAMessageInQuarantineIsCorrectedAndReplayedOrDiscarded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		p.run()
		why := object{"reason": "asked the ERP team"}
		p.call("POST", "/v1/inbound-messages", event("m1", "material.changed", object{"number": "M1"})).want(t, 202, nil)
		m := p.becomes(t, httpapi.InboundStateQuarantined)
		if m.Reason == "" || m.Code == "" {
			t.Errorf("no reason in %+v", m)
		}
		path := fmt.Sprintf("/v1/inbound-messages/%d", m.Number)
		p.call("POST", path+"/amend", object{"body": material("corrected"), "reason": "description was missing"}).want(t, 200, nil)
		p.call("POST", path+"/replay", why).want(t, 200, nil)
		p.becomes(t, httpapi.InboundStateDone)
		var d httpapi.InboundDetail
		p.call("GET", path, nil).want(t, 200, &d)
		if !strings.Contains(string(d.Body), "corrected") || string(d.Original) != `{"number":"M1"}` {
			t.Errorf("body %s, original %s", d.Body, d.Original)
		}
		p.call("POST", path+"/replay", why).refused(t, 409, "conflict")
		p.call("POST", "/v1/inbound-messages", event("m2", "no.such.kind", object{})).want(t, 202, nil)
		m = p.becomes(t, httpapi.InboundStateQuarantined)
		p.call("POST", fmt.Sprintf("/v1/inbound-messages/%d/discard", m.Number), why).want(t, 200, &m)
		if m.State != httpapi.InboundStateDiscarded {
			t.Errorf("state %q, want discarded", m.State)
		}
		p.call("GET", "/v1/inbound-messages/999", nil).refused(t, 404, "not-found")
	})
}

func TestAGapIsSeenAndSkipped(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		p.run()
		p.call("POST", "/v1/inbound-messages", event("m2", "material.changed", material("second"), "lane", "materials", "lanenumber", 2)).want(t, 202, nil)
		var lanes httpapi.InboundLanePage
		p.call("GET", "/v1/inbound-lanes?source=urn:erp", nil).want(t, 200, &lanes)
		if len(lanes.Items) != 1 || lanes.Items[0].Next != 1 || lanes.Items[0].Waiting != 1 || lanes.Items[0].GapSince.IsZero() {
			t.Fatalf("lanes %+v", lanes.Items)
		}
		skip := object{"source": "urn:erp", "lane": "materials", "number": 2, "reason": "the ERP lost it"}
		p.call("POST", "/v1/inbound-gaps/skip", skip).refused(t, 409, "conflict")
		skip["number"] = 1
		var l httpapi.InboundLane
		p.call("POST", "/v1/inbound-gaps/skip", skip).want(t, 200, &l)
		p.becomes(t, httpapi.InboundStateDone)
		skip["lane"] = "none"
		p.call("POST", "/v1/inbound-gaps/skip", skip).refused(t, 404, "not-found")
		var record httpapi.AuditPage
		p.call("GET", "/v1/audit-entries?object=inbound-lane/", nil).want(t, 200, &record)
		if len(record.Items) != 3 || record.Items[1].Outcome != "done" || record.Items[0].Outcome != "refused" {
			t.Errorf("record %+v", record.Items)
		}
	})
}

func TestInboundListsArePaged(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	for i := range 5 {
		e := event(fmt.Sprintf("m%d", i), "material.changed", material("x"), "lane", fmt.Sprintf("lane-%d", i), "lanenumber", 1)
		p.call("POST", "/v1/inbound-messages", e).want(t, 202, nil)
	}
	for path, want := range map[string]string{"/v1/inbound-messages": "m4 m3 m2 m1 m0", "/v1/inbound-lanes": "lane-0 lane-1 lane-2 lane-3 lane-4"} {
		got, cursor := []string{}, ""
		for range 5 {
			var page struct {
				Items      []struct{ ID, Lane string }
				NextCursor string
			}
			p.call("GET", path+"?limit=2"+cursor, nil).want(t, 200, &page)
			for _, it := range page.Items {
				got = append(got, map[bool]string{true: it.ID, false: it.Lane}[it.ID != ""])
			}
			if page.NextCursor == "" {
				break
			}
			cursor = "&cursor=" + page.NextCursor
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s gave %q, want %s", path, got, want)
		}
	}
}

// TestAnInboundMessageCannotChooseByWhatItIsBelieved: one that names a link of nobody, or none where senders are verified, would meet no check.
func TestAnInboundMessageCannotChooseByWhatItIsBelieved(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	for n, tt := range []struct {
		name  string
		cfg   httpapi.Config
		link  string
		taken bool
	}{
		{"no such link", httpapi.Config{Link: "erp", Links: map[string]bool{"erp": true}}, "nosuch", false},
		{"no such link, and none is verified", httpapi.Config{Link: "erp", Links: map[string]bool{"erp": false}}, "nosuch", false},
		{"none of several", httpapi.Config{Links: map[string]bool{"erp": true, "mes": false}}, "", false},
		{"one of several", httpapi.Config{Links: map[string]bool{"erp": true, "mes": false}}, "mes", true},
		{"the only one", httpapi.Config{Link: "erp", Links: map[string]bool{"erp": false}}, "", true},
		{"the only one by its name", httpapi.Config{Link: "erp", Links: map[string]bool{"erp": false}}, "erp", true},
		{"no link, and none is verified", httpapi.Config{Links: map[string]bool{}}, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.CheckAnswers = true
			p.serve(tt.cfg)
			e := event(fmt.Sprint(n), "material.changed", material("x"))
			if tt.link != "" {
				e["link"] = tt.link
			}
			got := p.call("POST", "/v1/inbound-messages", e)
			if tt.taken {
				got.want(t, 202, nil)
				return
			}
			got.refused(t, 422, "invalid")
		})
	}
}

// FuzzInboundMessage sends any bytes as an inbound message: the API may take or refuse them, but never fails, and what it answers
// fits the contract.
func FuzzInboundMessage(f *testing.F) {
	for _, seed := range []any{event("m1", "material.changed", material("x")), event("m2", "a.b", object{}, "lane", "l", "lanenumber", 1)} {
		b, err := json.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"specversion":"1.0","id":"` + strings.Repeat("x", 300) + `","source":"\u0000","type":"a","data":{"n":1e400,"n":2}}`))
	f.Add([]byte(`{"specversion":"1.0","id":"m","source":"s","type":"a","time":"0000-01-01T00:00:00Z","lanenumber":9223372036854775808,"data":{}}`))
	f.Add([]byte(`{"specversion":"1.0","id":"m","source":"urn:s","type":"a.b","datacontenttype":"application/jose","data_base64":"Li4uLg=="}`))
	db := storetest.SQLite(f)
	log := slog.New(slog.DiscardHandler)
	in := inbox.New(db, mapping{}, func(context.Context, *store.Tx, message.Message) error { return nil }, inbox.Config{}, log)
	api := httpapi.New(httpapi.Parts{DB: db, Inbox: in, Doer: access.New(db)}, httpapi.Config{CheckAnswers: true}, log).Handler()
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/v1/inbound-messages", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusServiceUnavailable || w.Code < 400 && w.Code != http.StatusAccepted {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
