package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"holdfast/internal/access"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestADiscardIsUndoneByItsPage: before its turn under its own number, after it under a new one, and with notes that stay.
func TestADiscardIsUndoneByItsPage(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		act := func(id, act, reason string) {
			t.Helper()
			f := form("reason", reason)
			if act == "discard" {
				f.Set("cause", "booked-by-hand")
			}
			if status, _, page := p.post("/console/messages/"+id+"/"+act, f); status != http.StatusSeeOther {
				t.Fatalf("%s: status %d: %s", act, status, p.says(page))
			}
		}
		was := p.detail(p.stuck)
		var next outbox.Follower
		p.tx(func(tx *store.Tx) error {
			list, _, err := p.out.Followers(t.Context(), tx, was, 1)
			next = list[0]
			return err
		})
		named := fmt.Sprintf(`<a class="fd-link" href="/console/messages/%s">message %d, operation.confirmed</a>`, next.ID, next.Number)
		if _, page := p.get("/console/messages/" + p.stuck); !strings.Contains(page, "1 later message of the same lane goes on without it") || strings.Count(page, named) != 1 {
			t.Errorf("before the discard the page does not name what follows: %s", p.says(page))
		}
		act(p.stuck, "note", "ticket 4711")
		act(p.stuck, "discard", "posted by hand")
		if _, page := p.get("/console/messages/" + p.stuck); !strings.Contains(page, "Undo the discard") || !strings.Contains(page, "is owed again: under number") {
			t.Errorf("the page of what was given up offers no way back: %s", p.says(page))
		} else if !strings.Contains(page, named) {
			t.Errorf("after the discard the page does not name what goes on without it: %s", p.says(page))
		}
		act(p.stuck, "undiscard", "it was the other order")
		now := p.detail(p.stuck)
		if now.Role == message.Void || string(now.Body) != string(was.Body) || now.Number != was.Number {
			t.Errorf("it is owed as %s %s, want its own words", now.Role, now.Body)
		}
		act(p.stuck, "discard", "posted by hand after all")
		p.deliver(outbox.Next{}, "")
		if d := p.detail(p.stuck); !d.Settled {
			t.Fatalf("the void is not settled: %+v", d)
		}
		act(p.stuck, "undiscard", "it was not posted")
		_, page := p.get("/console/messages/" + p.stuck)
		if strings.Contains(page, "Undo the discard") {
			t.Error("what was undone is offered to be undone")
		}
		for _, want := range []string{"ticket 4711", "posted by hand", "it was the other order", "owed again as message "} {
			if !strings.Contains(page, want) {
				t.Errorf("the page lacks %q: %s", want, p.says(page))
			}
		}
		if list := p.record(access.MsgUndiscard); len(list) != 2 || list[0].Reason != "it was not posted" {
			t.Errorf("the audit record has %+v", list)
		}
	})
}

// TestANoteToAGroupStays: whatever becomes of the messages, whoever meets the same reason next reads it.
func TestANoteToAGroupStays(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	p.standStill(2)
	list := "/console/messages?" + url.Values{"state": {"stuck"}, "link": {"erp"}, "reason": {noMaterial}}.Encode()
	if status, to, page := p.post("/console/messages/note", form("link", "erp", "why", noMaterial, "reason", "ticket 4711, the master data team knows")); status != http.StatusSeeOther || !strings.Contains(to, "did=note") {
		t.Fatalf("status %d to %q: %s", status, to, p.says(page))
	}
	if status, _, page := p.post("/console/messages/note", form("link", "erp", "why", "…", "reason", "about nothing")); status != http.StatusUnprocessableEntity {
		t.Errorf("without a reason to write to: status %d: %s", status, p.says(page))
	}
	b := p.planned(noMaterial)
	p.post("/console/jobs/"+b.ID+"/start", form("expect", "2", "reason", "the material is there"))
	p.step()
	p.deliver(outbox.Next{}, "4900000001")
	p.standStill(1)
	p.tx(func(tx *store.Tx) error {
		all, _, err := p.out.Lanes(t.Context(), tx, outbox.LaneFilter{Stuck: true, Limit: 100}, "")
		for _, l := range all {
			if err == nil && outbox.Alike(l.Reason) == noMaterial {
				var list []outbox.Detail
				if list, _, err = p.out.Messages(t.Context(), tx, outbox.Filter{Link: l.Link, Lane: l.Name, Owed: true, OldestFirst: true, Limit: 1}, ""); err == nil {
					err = p.out.Discard(t.Context(), tx, list[0].ID, "not wanted")
				}
			}
		}
		return err
	})
	if _, page := p.get(list); !strings.Contains(page, "ticket 4711, the master data team knows") || !strings.Contains(page, "Write a note") {
		t.Errorf("after a replay and a discard the note is gone: %s", p.says(page))
	}
	if _, page := p.get(strings.Replace(list, "4711", "", 1) + "&kind=order.created"); !strings.Contains(page, "ticket 4711") {
		t.Errorf("the list of another kind lacks it: %s", p.says(page))
	}
}
