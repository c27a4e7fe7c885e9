package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"holdfast/internal/access"
	"holdfast/internal/outbox"
	"holdfast/internal/store/storetest"
)

// TestWhatWasTypedOutlivesItsSession: a form of somebody who was signed out meanwhile does nothing and is kept in its page, from which they send it once
// they are in again, once. What a form was signed with, and what an account's forms hold, is in no page.
func TestWhatWasTypedOutlivesItsSession(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	policy, err := access.NewPolicy("1000", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	const password = "four words nobody guesses"
	anna, at, shown := p.signedIn(policy, "anna", password, "erp-team")
	if status, body := p.send(anna, at+"/console/sign-out", form("everywhere", "yes")); status != http.StatusSeeOther {
		t.Fatalf("signing out: %d %s", status, p.says(body))
	}
	to := "/console/messages/" + p.stuck + "/discard"
	typed := form("key", "0198c2f4-7d7f-7c3a-9a59-0f1e2d3c4b5a", "cause", "duplicate", "reason", "reported <twice> by line 7", "meaning", "approval", "password", password)
	status, body := p.send(anna, at+to, typed)
	if status != http.StatusUnauthorized || !strings.Contains(body, "reported &lt;twice&gt; by line 7") || strings.Contains(body, password) || len(unsound(t, body)) > 0 {
		t.Fatalf("signed out: %d %s %q", status, body, unsound(t, body))
	}
	if d := p.detail(p.stuck); d.LaneState.State != outbox.Parked {
		t.Fatalf("somebody who is signed out has acted: the lane is %s", d.LaneState.State)
	}
	kept := url.Values{}
	for _, n := range nodes(t, body) {
		if n.Data == "form" && attr(n, "action") == to {
			for in := range n.Descendants() {
				if in.Data == "input" {
					kept.Add(attr(in, "name"), attr(in, "value"))
				}
			}
		}
	}
	p.signIn(anna, at, form("name", "anna", "password", password, "code", shown.Recovery[1]))
	for range 2 {
		if status, body := p.send(anna, at+to, kept); status != http.StatusSeeOther {
			t.Fatalf("sent from the page: %d %s", status, p.says(body))
		}
	}
	if list := p.record(access.MsgDiscard); len(list) != 1 || list[0].Actor != "user:anna" || list[0].Reason != "duplicate: reported <twice> by line 7" {
		t.Errorf("the record has %+v", list)
	}
	jarless := &http.Client{}
	if _, body := p.send(jarless, at+"/console/account/badge", form("badge", "0047110815", "pin", "739154")); strings.Contains(body, "739154") {
		t.Errorf("a page holds a PIN: %s", p.says(body))
	}
}
