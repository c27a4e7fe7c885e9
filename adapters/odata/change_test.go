package odata

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/adapters/erpmock/edmx"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// TestAChangeIsNotSentAgainOverALaterOne: the answer to a change is lost. What became of it is told by what the entity holds: ours is done; as before is
// sent again; and what somebody has decided meanwhile stands, and a person is told of it. With and without an ETag.
func TestAChangeIsNotSentAgainOverALaterOne(t *testing.T) {
	const theirs, ours, before = "theirs", "ours", "before"
	tests := []struct {
		name    string
		after   bool   // the answer is lost after the effect
		then    string // what somebody gives the field meanwhile
		restart bool   // of our process
		asked   message.Verdict
		sent    message.Verdict // what it is if it is sent again whatever the question says; "" is not tried
		want    string
	}{
		{"it was done", true, "", false, message.Delivered, "", ours},
		{"it was done, and we were restarted", true, "", true, message.Delivered, "", ours},
		{"it was done and taken back", true, theirs, false, message.Refused, "", theirs},
		{"it was done and taken back after we had asked", true, theirs, false, "", message.Refused, theirs},
		{"it was done after we had asked", true, "", false, "", message.Delivered, ours},
		{"it was done and set to what it was", true, before, false, message.Refused, "", before},
		{"it was not done", false, "", false, message.Again, message.Delivered, ours},
		{"it was not done, and somebody decided", false, theirs, false, message.Refused, "", theirs},
		{"it was not done, and we were restarted", false, "", true, message.Unsure, "", before},
		{"it was done and taken back, and we were restarted", true, theirs, true, message.Unsure, "", theirs},
	}
	for name, d := range map[string]dialect{
		"V2": {"V2", "order-v2.xml", "A_ProductionOrder_2", "/sap/opu/odata/sap/ORDERS", 1, ""}, "V4": dialects()[1], "no ETag": dialects()[0],
	} {
		for _, tt := range tests {
			if name == "no ETag" && tt.then == before {
				continue // nothing of it tells
			}
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				key, field := "ManufacturingOrder", "Material"
				row, params := map[string]any{}, map[string]string{"ManufacturingOrder": "7"}
				if name != "V2" {
					key, field = "OrderID", "ConfirmationText"
					row["ConfirmationGroup"], row["ConfirmationCount"] = "1", "2"
					params = map[string]string{"ConfirmationGroup": "1", "ConfirmationCount": "2"}
				}
				row[key], row[field] = "7", before
				var lose atomic.Bool
				w := d.behind(t, func(m *edmx.Mock, rw http.ResponseWriter, r *http.Request) bool {
					if r.Method != "MERGE" && r.Method != http.MethodPatch || !lose.CompareAndSwap(true, false) {
						return false
					}
					if tt.after {
						m.Change(d.set, key, "7", map[string]any{field: ours})
					}
					rw.WriteHeader(http.StatusGatewayTimeout)
					return true
				}, func(c *Config) { c.Writes = map[string]Write{"conf/" + d.set + "/change": {Idempotent: true}} })
				if err := w.mock.Seed(d.set, row); err != nil {
					t.Fatal(err)
				}
				change := w.of(t, "m", d.set+"/change", `{"`+field+`":"`+ours+`"}`)
				change.Doc.Params, change.Quiet = params, true
				lose.Store(true)
				if out := w.one(t, change); out.Verdict != message.Unsure {
					t.Fatalf("after a lost answer: %v", out)
				}
				if tt.then != "" {
					w.mock.Change(d.set, key, "7", map[string]any{field: tt.then})
				}
				if tt.restart {
					c := w.link.cfg
					c.AskAfter = 0
					w.link = open(t, c)
				}
				check := func(out message.Outcome, want message.Verdict) {
					t.Helper()
					if out.Verdict != want {
						t.Errorf("got %v, want %v", out, want)
					}
					if want == message.Refused && (problem.KindOf(out.Err) != problem.Precondition || !strings.HasSuffix(out.Err.Error(), field+" is "+tt.then+" now")) {
						t.Errorf("refused by %v", out.Err)
					}
				}
				if tt.asked != "" {
					out, err := w.link.Ask(t.Context(), change)
					if err != nil {
						t.Error(err)
					}
					check(out, tt.asked)
				}
				if tt.sent != "" {
					check(w.one(t, change), tt.sent)
				}
				if got := w.mock.Documents(d.set)[0][field]; got != tt.want {
					t.Errorf("the ERP has %v, want %v", got, tt.want)
				}
			})
		}
	}
}

// TestAPersonSendsARefusedChangeAgain: once a question has refused it, what the first attempt found counts no more. A resumed lane waits for a person, who has
// it sent again over what the ERP holds by then.
func TestAPersonSendsARefusedChangeAgain(t *testing.T) {
	for _, d := range dialects()[:2] {
		t.Run(d.name, func(t *testing.T) {
			var lose atomic.Bool
			w := d.behind(t, func(_ *edmx.Mock, rw http.ResponseWriter, r *http.Request) bool {
				if r.Method != "MERGE" && r.Method != http.MethodPatch || !lose.CompareAndSwap(true, false) {
					return false
				}
				rw.WriteHeader(http.StatusGatewayTimeout)
				return true
			}, func(c *Config) { c.Writes = map[string]Write{"conf/" + d.set + "/change": {Idempotent: true}} })
			if err := w.mock.Seed(d.set, map[string]any{"ConfirmationGroup": "1", "ConfirmationCount": "2", "OrderID": "7"}); err != nil {
				t.Fatal(err)
			}
			change := w.of(t, "m", d.set+"/change", `{"ConfirmationText":"ours"}`)
			change.Doc.Params, change.Quiet = map[string]string{"ConfirmationGroup": "1", "ConfirmationCount": "2"}, true
			lose.Store(true)
			if out := w.one(t, change); out.Verdict != message.Unsure {
				t.Fatalf("after a lost answer: %v", out)
			}
			w.mock.Change(d.set, "OrderID", "7", map[string]any{"ConfirmationText": "theirs"})
			for i, want := range []message.Verdict{message.Refused, message.Unsure} {
				if out, err := w.link.Ask(t.Context(), change); err != nil || out.Verdict != want || !strings.Contains(out.Err.Error(), "theirs") {
					t.Errorf("question %d: %v, %v, want %v", i+1, out, err, want)
				}
			}
			if out := w.one(t, change); out.Verdict != message.Delivered {
				t.Errorf("by a person's word: %v", out)
			}
			if got := w.mock.Documents(d.set)[0]["ConfirmationText"]; got != "ours" {
				t.Errorf("the ERP has %v", got)
			}
		})
	}
}

// TestAPersonSendsAnUnknownChangeAgain: what the first attempt found is not held against a person's word either where no question has been answered, or
// one has said nothing to the contrary; but against the attempts after it.
func TestAPersonSendsAnUnknownChangeAgain(t *testing.T) {
	for _, d := range dialects()[:2] {
		t.Run(d.name, func(t *testing.T) {
			var lose atomic.Bool
			w := d.behind(t, func(_ *edmx.Mock, rw http.ResponseWriter, r *http.Request) bool {
				if r.Method != "MERGE" && r.Method != http.MethodPatch || !lose.CompareAndSwap(true, false) {
					return false
				}
				rw.WriteHeader(http.StatusGatewayTimeout)
				return true
			}, func(c *Config) { c.Writes = map[string]Write{"conf/" + d.set + "/change": {Idempotent: true}} })
			if err := w.mock.Seed(d.set, map[string]any{"ConfirmationGroup": "1", "ConfirmationCount": "2", "OrderID": "7"}); err != nil {
				t.Fatal(err)
			}
			change := w.of(t, "m", d.set+"/change", `{"ConfirmationText":"ours"}`)
			change.Doc.Params, change.Quiet = map[string]string{"ConfirmationGroup": "1", "ConfirmationCount": "2"}, true
			told := change
			told.Anew = true
			attempt := func(d message.Delivery, lost bool, want message.Verdict) {
				t.Helper()
				if lose.Store(lost); w.one(t, d).Verdict != want {
					t.Fatalf("lost %t: want %v", lost, want)
				}
			}
			attempt(change, true, message.Unsure)
			w.mock.Change(d.set, "OrderID", "7", map[string]any{"ConfirmationText": "theirs"})
			attempt(told, true, message.Unsure) // over what they have written
			w.mock.Change(d.set, "OrderID", "7", map[string]any{"ConfirmationText": "theirs again"})
			attempt(change, false, message.Refused)
			attempt(told, false, message.Delivered)
			if got := w.mock.Documents(d.set)[0]["ConfirmationText"]; got != "ours" {
				t.Errorf("the ERP has %v", got)
			}
		})
	}
}

// TestAnERPThatKeepsCapitalsIsFoundByThem: it stores the message's ID in capitals and compares exactly. Its answer is believed, and where that is lost, the
// question finds the document.
func TestAnERPThatKeepsCapitalsIsFoundByThem(t *testing.T) {
	lose, made := false, 0
	l := odd(t, smallV2, func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			if made++; lose {
				rw.WriteHeader(http.StatusGatewayTimeout)
				return
			}
			rw.WriteHeader(http.StatusCreated)
			_, _ = rw.Write([]byte(`{"d":{"ID":"1","Reference":"M1-A"}}`)) // the client has left if it fails
		case strings.Contains(r.URL.Query().Get("$filter"), "'M1-A'"):
			_, _ = rw.Write([]byte(`{"d":{"results":[{"ID":"1","Reference":"M1-A"}]}}`)) // as above
		default:
			_, _ = rw.Write([]byte(`{"d":{"results":[]}}`)) // as above
		}
	})
	d := capDelivery(t, "m1-a", "", "")
	d.Doc.Target, d.Doc.Body, d.Doc.Params, d.Quiet = "conf/Orders", []byte(`{}`), nil, true
	if out := l.Deliver(t.Context(), []message.Delivery{d})[0]; out.Verdict != message.Delivered {
		t.Errorf("answered: %v", out)
	}
	if lose = true; l.Deliver(t.Context(), []message.Delivery{d})[0].Verdict != message.Unsure || made != 2 {
		t.Fatalf("the answer was not lost")
	}
	if out, err := l.Ask(t.Context(), d); err != nil || out.Verdict != message.Delivered || out.Receipt.Document != "1" {
		t.Errorf("asked: %v, %v", out, err)
	}
}

// TestAnEffectThatIsKeptInCapitalsIsFoundByThem: the same where what the document says, and no ID, tells the effect. What the configuration says is exact.
func TestAnEffectThatIsKeptInCapitalsIsFoundByThem(t *testing.T) {
	for _, tt := range []struct {
		values map[string]string
		want   message.Verdict
	}{{nil, message.Delivered}, {map[string]string{"ID": "a1"}, message.Again}} {
		l := odd(t, smallV2, func(rw http.ResponseWriter, r *http.Request) {
			filter, found := r.URL.Query().Get("$filter"), `{"ID":"A1","Reference":"LOT-A"}`
			if !strings.Contains(filter, "'LOT-A'") || strings.Contains(filter, "ID eq") && !strings.Contains(filter, "'A1'") {
				found = ""
			}
			_, _ = rw.Write([]byte(`{"d":{"results":[` + found + `]}}`)) // the client has left if it fails
		}, func(c *Config) {
			c.Writes = map[string]Write{"conf/Orders": {AskSet: "Orders", AskFields: map[string]string{"Reference": "Reference"}, AskValues: tt.values}}
		})
		d := capDelivery(t, "m1", "", "")
		d.Doc.Target, d.Doc.Body, d.Doc.Params, d.Quiet = "conf/Orders", []byte(`{"Reference":"Lot-a"}`), nil, true
		if out, err := l.Ask(t.Context(), d); err != nil || out.Verdict != tt.want {
			t.Errorf("with %v: %v, %v, want %v", tt.values, out, err, tt.want)
		}
	}
}

// TestAChangeWithoutAVersionWaitsForALateAttempt: without an ETag an attempt that the ERP still works on would undo what was decided after the second.
func TestAChangeWithoutAVersionWaitsForALateAttempt(t *testing.T) {
	d := dialects()[0]
	var lose atomic.Bool
	w := d.behind(t, func(_ *edmx.Mock, rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == "MERGE" && lose.CompareAndSwap(true, false) {
			rw.WriteHeader(http.StatusGatewayTimeout)
			return true
		}
		return false
	}, func(c *Config) { c.Writes = map[string]Write{"conf/" + d.set + "/change": {Idempotent: true}} })
	if err := w.mock.Seed(d.set, map[string]any{"ConfirmationGroup": "1", "ConfirmationCount": "2", "OrderID": "7"}); err != nil {
		t.Fatal(err)
	}
	change := w.of(t, "m", d.set+"/change", `{"ConfirmationText":"ours"}`)
	change.Doc.Params = map[string]string{"ConfirmationGroup": "1", "ConfirmationCount": "2"}
	lose.Store(true)
	if out := w.one(t, change); out.Verdict != message.Unsure {
		t.Fatalf("after a lost answer: %v", out)
	}
	at := time.Now()
	w.link.now, w.link.cfg.AskAfter = func() time.Time { return at }, time.Hour
	if out, err := w.link.Ask(t.Context(), change); err == nil || out.Verdict != message.Unsure {
		t.Errorf("too early: got %v", out)
	}
	at = at.Add(2 * time.Hour)
	if out, err := w.link.Ask(t.Context(), change); err != nil || out.Verdict != message.Again {
		t.Errorf("got %v, %v", out, err)
	}
}
