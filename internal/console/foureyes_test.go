package console_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"holdfast/internal/access"
	"holdfast/internal/console"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// person is the one who makes each request.
type person string

// Who implements console.Gate.
func (p person) Who(*http.Request, string) (access.Actor, error) {
	return access.Actor{Name: string(p), From: "192.0.2.7"}, nil
}

// as has somebody make the requests from now on.
func (p *plant) as(name string) { p.gate.Store(console.Gate(person(name))) }

// requested is the request that the page of a message shows.
func (p *plant) requested(id string) string {
	p.t.Helper()
	_, page := p.get("/console/messages/" + id)
	m := regexp.MustCompile(`name="request" value="([0-9a-f]{32})"`).FindStringSubmatch(page)
	if m == nil {
		p.t.Fatalf("the page shows no request: %s", p.says(page))
	}
	return m[1]
}

// TestAMarkAndAnUndoneDiscardWaitForAnother, by the page of a message.
func TestAMarkAndAnUndoneDiscardWaitForAnother(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		two := outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp", Mapping: "erp-out"}}, "urn:plant:1000", outbox.Config{FourEyes: true})
		two.SignWith(p.ring)
		p.pages.Outbox = two
		both := func(act, says string, pairs ...string) {
			t.Helper()
			p.as("user:anna")
			if status, to, page := p.post("/console/messages/"+p.stuck+"/"+act, form(pairs...)); status != http.StatusSeeOther || !strings.HasSuffix(to, "?did=asked") {
				t.Fatalf("%s: status %d to %s: %s", act, status, to, p.says(page))
			}
			if _, page := p.get("/console/messages/" + p.stuck); !strings.Contains(page, says) || len(unsound(t, page)) > 0 {
				t.Errorf("%s: the page does not say %q: %s", act, says, p.says(page))
			}
			request := p.requested(p.stuck)
			for _, one := range []struct {
				who  string
				want int
			}{{"user:anna", http.StatusForbidden}, {"user:berta", http.StatusSeeOther}} {
				p.as(one.who)
				if status, _, page := p.post("/console/messages/"+p.stuck+"/approve", form("reason", "looked at it", "request", request)); status != one.want {
					t.Fatalf("%s approves: status %d, want %d: %s", one.who, status, one.want, p.says(page))
				}
			}
		}
		both("discard", "wants this message given up", "cause", "booked-by-hand", "reason", "posted by hand")
		both("undiscard", "wants the discard of this message undone", "reason", "it was not posted")
		if now := p.detail(p.stuck); now.Role == message.Void {
			t.Fatalf("it is void still: %+v", now)
		}
		p.standStill(1)
		both("mark-delivered", "wants this message to count as delivered, as 4711", "document", "4711", "reason", "seen in the ERP")
		if now := p.detail(p.stuck); !now.Settled || now.Receipt.Document != "4711" {
			t.Errorf("it does not count as delivered: %+v", now)
		}
	})
}

// TestACorrectionAndADiscardWaitForAnother: who asked gets a 403, a change after the request voids it, and the record joins what belongs together.
func TestACorrectionAndADiscardWaitForAnother(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		one := p.out
		two := outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp", Mapping: "erp-out"}}, "urn:plant:1000", outbox.Config{FourEyes: true})
		two.SignWith(p.ring)
		p.pages.Outbox = two
		post := func(act string, want int, pairs ...string) string {
			t.Helper()
			status, to, page := p.post("/console/messages/"+p.stuck+"/"+act, form(pairs...))
			if status != want {
				t.Fatalf("%s: status %d, want %d: %s", act, status, want, p.says(page))
			}
			return to
		}
		was := p.detail(p.stuck)
		p.as("user:anna")
		if to := post("discard", http.StatusSeeOther, "cause", "booked-by-hand", "reason", "posted by hand"); !strings.HasSuffix(to, "?did=asked") {
			t.Errorf("it goes to %s", to)
		}
		request := p.requested(p.stuck)
		if _, page := p.get("/console/jobs"); !strings.Contains(page, `href="/console/messages/`+p.stuck+`"`) || len(unsound(t, page)) > 0 {
			t.Errorf("the page of jobs does not lead to what waits: %s", p.says(page))
		}
		post("approve", http.StatusForbidden, "reason", "it is my own", "request", request)
		if now := p.detail(p.stuck); now.Digest != was.Digest {
			t.Fatalf("it is changed by one person: %+v", now)
		}
		post("refuse", http.StatusSeeOther, "reason", "I was wrong", "request", request)
		if to := post("amend", http.StatusSeeOther, "reason", "wrong yield", "version", was.Digest, "body", strings.Replace(string(was.Body), "{", `{"note":"x",`, 1)); !strings.HasSuffix(to, "?did=asked") {
			t.Errorf("it goes to %s", to)
		}
		voided := p.requested(p.stuck)
		p.tx(func(tx *store.Tx) error {
			return one.Amend(t.Context(), tx, p.stuck, []byte(strings.Replace(string(was.Body), "{", `{"note":"y",`, 1)), "by a node without the policy")
		})
		p.as("user:berta")
		post("approve", http.StatusConflict, "reason", "looked at it", "request", voided)
		post("discard", http.StatusSeeOther, "cause", "booked-by-hand", "reason", "posted by hand")
		request = p.requested(p.stuck)
		p.as("user:anna")
		post("approve", http.StatusSeeOther, "reason", "seen in the ERP", "request", request)
		if now := p.detail(p.stuck); now.Role != message.Void || !strings.Contains(string(now.Body), "posted by hand") {
			t.Errorf("it is %s %s, want a void", now.Role, now.Body)
		}
		var before, after struct{ Request string }
		approved, asked := p.record(access.MsgApprove), p.record(access.MsgDiscard)
		if err := json.Unmarshal(approved[0].Before, &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(asked[0].After, &after); err != nil {
			t.Fatal(err)
		}
		if before.Request != request || after.Request != request || approved[0].Actor != "user:anna" || asked[0].Actor != "user:berta" {
			t.Errorf("the record does not join request and approval: %+v, %+v", asked[0], approved[0])
		}
		if got := len(approved); got != 3 {
			t.Errorf("%d attempts to approve are on record, want the refused ones too", got)
		}
	})
}
