package httpapi_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/internal/httpapi"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// deliver plays the relay: it claims what is due and settles it as the ERP's answer says.
func (p *plant) deliver(next outbox.Next, document string) {
	p.t.Helper()
	err := p.db.InTx(p.t.Context(), func(tx *store.Tx) error {
		claims, err := p.out.Claim(p.t.Context(), tx, "test", "erp", 100, 100)
		if err != nil {
			return err
		}
		all := make([]outbox.Settlement, 0, len(claims))
		for _, c := range claims {
			s := outbox.Settlement{Lane: c.Lane, Token: c.Token, Release: true, Next: next}
			for _, m := range c.Messages {
				if next.State != "" {
					s.Next.ID = m.ID
					break
				}
				s.Done = append(s.Done, outbox.Done{ID: m.ID, Redelivery: m.Redelivery, Creates: m.Creates, Role: m.Role, Receipt: message.Receipt{Document: document, At: tx.Now}})
			}
			all = append(all, s)
		}
		_, _, err = p.out.Settle(p.t.Context(), tx, "erp", all)
		return err
	})
	if err != nil {
		p.t.Error(err)
	}
}

func TestPreferWaitTellsWhichOfTheTwo(t *testing.T) {
	tests := []struct {
		name, prefer string
		deliver      bool
		state        httpapi.ERPProgress
		applied      string
	}{
		{"no wait", "", false, httpapi.ERPProgressQueued, ""},
		{"the ERP answers in time", "respond-async, wait=20", true, httpapi.ERPProgressDelivered, "wait=20"},
		{"the ERP does not answer in time", "wait=1", false, httpapi.ERPProgressQueued, "wait=1"},
		{"longer than is granted", `wait="900"; foo`, true, httpapi.ERPProgressDelivered, "wait=60"},
		{"not a number", "wait=soon", false, httpapi.ERPProgressQueued, ""},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		o := p.order()
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				done, before := make(chan struct{}), p.owed(t, o.ID)
				go func() {
					defer close(done)
					if tt.deliver {
						p.deliverAfter(t, o.ID, before)
					}
				}()
				header := []string{}
				if tt.prefer != "" {
					header = []string{"Prefer", tt.prefer}
				}
				var got httpapi.ConfirmationAct
				a := p.call("POST", "/v1/confirmations", object{"order": o.ID, "operation": "0010", "yield": "1"}, header...).want(t, 201, &got)
				<-done
				if got.ERP.State != tt.state || a.header.Get("Preference-Applied") != tt.applied {
					t.Errorf("state %q, applied %q; want %q, %q", got.ERP.State, a.header.Get("Preference-Applied"), tt.state, tt.applied)
				}
				if tt.deliver && got.ERP.Messages[0].Document != "4711" {
					t.Errorf("messages %+v, want document 4711", got.ERP.Messages)
				}
			})
		}
	})
}

// deliverAfter waits until the order's lane has counted on from before, and delivers all.
func (p *plant) deliverAfter(t *testing.T, order string, before int64) {
	woken, done := p.db.Subscribe(outbox.Topic)
	defer done()
	for p.owed(t, order) == before {
		select {
		case <-woken:
		case <-t.Context().Done():
			return
		}
	}
	p.deliver(outbox.Next{}, "4711")
}

func (p *plant) owed(t *testing.T, order string) int64 {
	t.Helper()
	var next int64
	err := p.db.View(t.Context(), func(tx *store.Tx) error {
		l, err := p.out.Lane(t.Context(), tx, "erp", order)
		next = l.Next
		return err
	})
	if err != nil {
		t.Error(err)
		return -1
	}
	return next
}

func TestARefusedMessageIsSeenAndRepaired(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		o := p.order()
		p.deliver(outbox.Next{State: outbox.Parked, Reason: "period closed", Spent: true}, "")
		var lanes httpapi.LanePage
		p.call("GET", "/v1/lanes?link=erp&state=parked", nil).want(t, 200, &lanes)
		if len(lanes.Items) != 1 || lanes.Items[0].Lane != o.ID || lanes.Items[0].Reason != "period closed" || lanes.Items[0].Owed != 2 {
			t.Fatalf("parked lanes %+v", lanes.Items)
		}
		var list httpapi.MessagePage
		p.call("GET", "/v1/messages?owed=true&lane="+o.ID, nil).want(t, 200, &list)
		if len(list.Items) != 2 || list.Items[1].State != httpapi.MessageStateParked || list.Items[0].State != httpapi.MessageStateQueued {
			t.Fatalf("messages %+v", list.Items)
		}
		first, second := "/v1/messages/"+list.Items[1].ID, "/v1/messages/"+list.Items[0].ID
		var m httpapi.Message
		p.call("POST", second+"/retry", object{"reason": "period is open"}).refused(t, 409, "conflict")
		p.call("POST", first+"/retry", object{}).refused(t, 400, "contract")
		p.call("POST", first+"/retry", object{"reason": "period is open"}, "Idempotency-Key", "retry-00000000001").want(t, 200, &m)
		p.call("POST", first+"/retry", object{"reason": "period is open"}, "Idempotency-Key", "retry-00000000001").want(t, 200, nil)
		if m.State != httpapi.MessageStateQueued {
			t.Errorf("after retry %q, want queued", m.State)
		}
		var d httpapi.MessageDetail
		p.deliver(outbox.Next{State: outbox.Parked, Reason: "unknown material", Spent: true}, "")
		p.call("POST", first+"/amend", object{"body": object{"oder": "corrected"}, "reason": "wrong material"}).refused(t, 422, "invalid")
		p.call("GET", first, nil).want(t, 200, &d)
		if d.Message.Role != "event" || d.Message.State != httpapi.MessageStateParked {
			t.Errorf("after an amendment that was refused: %+v", d.Message)
		}
		p.call("POST", first+"/amend", object{"body": object{"order": "corrected"}, "reason": "wrong material"}).want(t, 200, &m)
		if m.Role != "amendment" {
			t.Errorf("role %q, want amendment", m.Role)
		}
		p.call("POST", second+"/discard", object{"cause": "not-wanted", "reason": "not wanted"}).want(t, 200, &m)
		p.call("POST", second+"/discard", object{"cause": "other", "reason": "once more"}).refused(t, 409, "conflict")
		p.deliver(outbox.Next{}, "4711")
		p.call("GET", first, nil).want(t, 200, &d)
		if d.Message.State != httpapi.MessageStateDelivered || d.Receipt.Document != "4711" || len(d.History) < 2 || string(d.Body) != `{"order":"corrected"}` {
			t.Errorf("the amended message %+v", d)
		}
		p.call("GET", second, nil).want(t, 200, &d)
		if d.Message.State != httpapi.MessageStateVoided {
			t.Errorf("the discarded message is %q", d.Message.State)
		}
		p.call("GET", "/v1/messages/none", nil).refused(t, 404, "not-found")
		p.replayed(t, o.ID)
	})
}

func (p *plant) replayed(t *testing.T, lane string) {
	t.Helper()
	p.call("POST", "/v1/messages/replay", object{"link": "erp", "lane": lane, "epoch": 2, "from": 1, "reason": "another epoch"}).refused(t, 422, "invalid")
	var n httpapi.ReplayResult
	p.call("POST", "/v1/messages/replay", object{"link": "erp", "lane": lane, "epoch": 1, "from": 1, "reason": "ERP restored"}).want(t, 200, &n)
	if n.Messages != 1 {
		t.Errorf("%d replayed, want the one that is not void", n.Messages)
	}
	p.call("GET", "/v1/audit-entries", nil).want(t, 200, nil)
	for query, want := range map[string]int{
		"q=GONE+msg.discard": 0, "q=RESTORED": 1, "q=RESTORED&outcome=refused": 0, "q=RESTORED&until=2000-01-01T00:00:00Z": 0, "q=RESTORED&since=2000-01-01T00:00:00%2B01:00": 1,
		"person=nobody": 0,
	} {
		var found httpapi.AuditPage
		if p.call("GET", "/v1/audit-entries?"+query, nil).want(t, 200, &found); len(found.Items) != want {
			t.Errorf("%s: %d entries, want %d", query, len(found.Items), want)
		}
	}
	var record httpapi.AuditPage
	p.call("GET", "/v1/audit-entries?object=message/", nil).want(t, 200, &record)
	outcomes := []string{}
	for _, e := range record.Items {
		outcomes = append(outcomes, e.Action+" "+e.Outcome)
	}
	want := "msg.discard refused, msg.discard done, msg.amend done, msg.amend refused, msg.retry done, msg.retry refused"
	if got := strings.Join(outcomes, ", "); got != want {
		t.Errorf("record %s, want %s", got, want)
	}
}

// TestWhatTheERPMayHaveIsDiscardedByForceOnly has a message whose answer was lost.
func TestWhatTheERPMayHaveIsDiscardedByForceOnly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		o := p.order()
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			claims, err := p.out.Claim(t.Context(), tx, "test", "erp", 1, 1)
			if err != nil {
				return err
			}
			c := claims[0]
			lost := outbox.Next{State: outbox.Unknown, ID: c.Messages[0].ID, Reason: "the answer was lost"}
			_, _, err = p.out.Settle(t.Context(), tx, "erp", []outbox.Settlement{{Lane: c.Lane, Token: c.Token, Release: true, SentTo: 1, Next: lost}})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		var list httpapi.MessagePage
		p.call("GET", "/v1/messages?owed=true&kind=order.created&lane="+o.ID, nil).want(t, 200, &list)
		discard := "/v1/messages/" + list.Items[0].ID + "/discard"
		p.call("POST", discard, object{"cause": "booked-by-hand", "reason": "made by hand"}).refused(t, 409, "conflict")
		p.call("POST", discard, object{"cause": "booked-by-hand", "reason": "made by hand", "force": false}).refused(t, 409, "conflict")
		var m httpapi.Message
		p.call("POST", discard, object{"cause": "booked-by-hand", "reason": "made by hand", "force": true}).want(t, 200, &m)
		if m.Role != "void" {
			t.Errorf("after a discard by force it is %q, want void", m.Role)
		}
	})
}

func TestAnUnknownOutcomeIsSettledByAPerson(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		for _, way := range []struct{ path, state string }{{"mark-delivered", "delivered"}, {"send-again", "queued"}} {
			o := p.order()
			p.deliver(outbox.Next{State: outbox.Unknown, Reason: "the answer was lost"}, "")
			var list httpapi.MessagePage
			p.call("GET", "/v1/messages?kind=order.created&owed=true&lane="+o.ID, nil).want(t, 200, &list)
			if len(list.Items) != 1 || list.Items[0].State != httpapi.MessageStateUnknown {
				t.Fatalf("messages %+v", list.Items)
			}
			body := object{"reason": "asked by telephone"}
			if way.path == "mark-delivered" {
				body["document"] = "1000042"
			}
			var m httpapi.Message
			p.call("POST", "/v1/messages/"+list.Items[0].ID+"/"+way.path, body).want(t, 200, &m)
			if string(m.State) != way.state {
				t.Errorf("%s: state %q, want %q", way.path, m.State, way.state)
			}
		}
	})
}

func TestLinksAndLanesArePausedAndResumed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		o := p.order()
		why := object{"reason": "maintenance window"}
		for _, path := range []string{"/v1/links/erp", "/v1/links/erp/lanes/" + o.ID} {
			var got struct{ Paused bool }
			if p.call("POST", path+"/pause", why).want(t, 200, &got); !got.Paused {
				t.Errorf("%s is not paused", path)
			}
			if p.call("POST", path+"/resume", why).want(t, 200, &got); got.Paused {
				t.Errorf("%s is still paused", path)
			}
		}
		p.call("POST", "/v1/links/none/pause", why).refused(t, 404, "not-found")
		p.call("POST", "/v1/links/erp/lanes/none/pause", why).refused(t, 404, "not-found")
		var l httpapi.Link
		p.call("GET", "/v1/links/erp", nil).want(t, 200, &l)
		if l.Owed != 2 || l.Lanes != 1 || l.Breaker != "closed" || time.Since(l.Oldest) > time.Hour {
			t.Errorf("link %+v", l)
		}
		var all httpapi.LinkPage
		if p.call("GET", "/v1/links", nil).want(t, 200, &all); len(all.Items) != 1 {
			t.Errorf("links %+v", all.Items)
		}
	})
}

// TestNobodysCorrectionIsWrittenOverUnseen: who corrects what was corrected says what they have read, of a message and of one that came in.
func TestNobodysCorrectionIsWrittenOverUnseen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		p.run()
		o := p.order()
		p.deliver(outbox.Next{State: outbox.Parked, Reason: "unknown material", Spent: true}, "")
		var list httpapi.MessagePage
		p.call("GET", "/v1/messages?owed=true&lane="+o.ID, nil).want(t, 200, &list)
		out := "/v1/messages/" + list.Items[len(list.Items)-1].ID
		p.call("POST", "/v1/inbound-messages", event("m1", "material.changed", object{"number": "M1"})).want(t, 202, nil)
		in := fmt.Sprintf("/v1/inbound-messages/%d", p.becomes(t, httpapi.InboundStateQuarantined).Number)
		for path, body := range map[string]func(by string) object{out: func(by string) object { return object{"order": by} }, in: material} {
			read := func() (digest string, text string) {
				var d struct {
					Digest, BodyDigest string
					Body               json.RawMessage
				}
				p.call("GET", path, nil).want(t, 200, &d)
				return cmp.Or(d.BodyDigest, d.Digest), string(d.Body)
			}
			first, _ := read()
			p.call("POST", path+"/amend", object{"body": body("anna"), "reason": "wrong", "ifDigest": first}).want(t, 200, nil)
			for _, stale := range []object{{"body": body("ben"), "reason": "wrong"}, {"body": body("ben"), "reason": "wrong", "ifDigest": first}} {
				p.call("POST", path+"/amend", stale).refused(t, 409, "conflict")
			}
			second, text := read()
			if !strings.Contains(text, "anna") || second == first {
				t.Errorf("%s says %s (%s, before %s), want what anna wrote", path, text, second, first)
			}
			p.call("POST", path+"/amend", object{"body": body("ben"), "reason": "seen", "ifDigest": second}).want(t, 200, nil)
			if _, text = read(); !strings.Contains(text, "ben") {
				t.Errorf("%s says %s, want what ben wrote", path, text)
			}
		}
	})
}
