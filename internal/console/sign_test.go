package console_test

import (
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"holdfast/internal/access"
	"holdfast/internal/console"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// signedIn serves the plant's console to people of the plant, and signs one in, who has her role, with a browser of her own.
func (p *plant) signedIn(policy *access.Policy, name, password, role string) (browser *http.Client, at string, shown access.Shown) {
	p.t.Helper()
	users := access.NewUsers("1000", policy)
	hash, err := users.Hash(p.t.Context(), password)
	if err != nil {
		p.t.Fatal(err)
	}
	p.tx(func(tx *store.Tx) (err error) {
		shown, err = users.Add(p.t.Context(), tx, "local:test", name, hash, []string{role})
		return err
	})
	sessions := access.NewSessions(p.db, users, access.SessionConfig{})
	parts := p.pages.Parts
	parts.Doer, parts.Gate, parts.SignIn = access.New(p.db).Under(policy), sessions, sessions
	pages := console.New(parts, console.Config{Plant: "1000"}, slog.New(slog.DiscardHandler))
	srv := httptest.NewServer(sessions.Wrap(pages.Handler()))
	p.t.Cleanup(srv.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	browser = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	p.signIn(browser, srv.URL, form("name", name, "password", password, "code", shown.Recovery[0]))
	return browser, srv.URL, shown
}

func (p *plant) signIn(browser *http.Client, at string, f url.Values) {
	p.t.Helper()
	if status, body := p.send(browser, at+"/console/sign-in", f); status != http.StatusSeeOther {
		p.t.Fatalf("signing in: %d %s", status, p.says(body))
	}
}

// send posts a form in a browser.
func (p *plant) send(browser *http.Client, to string, f url.Values) (int, string) {
	p.t.Helper()
	res, err := browser.PostForm(to, f)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.read(res)
}

// TestAnActIsSignedOnAPageOfItsOwn has anna give a message up, which asks her to sign it; with what was typed for the act kept, and her password not.
func TestAnActIsSignedOnAPageOfItsOwn(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	policy, err := access.NewPolicy("1000", nil, nil)
	if err == nil {
		policy, err = policy.Sign([]string{access.MsgDiscard, access.MsgRetry})
	}
	if err != nil {
		t.Fatal(err)
	}
	const password = "four words nobody guesses"
	anna, at, shown := p.signedIn(policy, "anna", password, "erp-team")
	post := func(path string, f url.Values) (int, string) {
		t.Helper()
		return p.send(anna, at+path, f)
	}
	discard := "/console/messages/" + p.stuck + "/discard"
	f := form("key", "0198c2f4-7d7f-7c3a-9a59-0f1e2d3c4b5a", "cause", "booked-by-hand", "reason", "booked <by> hand")
	status, body := post(discard, f)
	if status != http.StatusForbidden || p.detail(p.stuck).LaneState.State != outbox.Parked {
		t.Fatalf("without a signature: %d %s", status, p.says(body))
	}
	for _, word := range []string{`action="` + discard + `"`, `value="booked &lt;by&gt; hand"`, `name="key" value="0198c2f4-7d7f-7c3a-9a59-0f1e2d3c4b5a"`, "user:anna", "message/" + p.stuck, `type="password"`, "approval"} {
		if !strings.Contains(body, word) {
			t.Errorf("the page has no %q: %s", word, p.says(body))
		}
	}
	for _, wrong := range unsound(t, body) {
		t.Error(wrong)
	}
	f.Set("meaning", "approval")
	f.Set("password", "a wrong password")
	f.Set("code", shown.Recovery[1])
	if status, body := post(discard, f); status != http.StatusForbidden || !strings.Contains(body, "password or code is not right") || strings.Contains(body, "a wrong password") || strings.Contains(body, shown.Recovery[1]) {
		t.Errorf("a wrong password: %d %s", status, p.says(body))
	}
	f.Set("password", password)
	if status, body := post(discard, f); status != http.StatusSeeOther {
		t.Fatalf("signed: %d %s", status, p.says(body))
	}
	f.Set("code", "")
	if status, body := post(discard, f); status != http.StatusForbidden && status != http.StatusSeeOther {
		t.Errorf("the form sent twice: %d %s", status, p.says(body))
	}
	list := p.record(access.MsgDiscard)
	if len(list) != 2 {
		t.Fatalf("the record has %+v, want the refusal and the act", list)
	}
	if s, err := list[0].Signed(); err != nil || s == nil || s.Signer != "user:anna" || s.Meaning != "approval" {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, page := p.get("/console/audit?action=" + access.MsgDiscard); !strings.Contains(page, "Signed by user:anna") || !strings.Contains(page, "approval (shown: password and code)") {
		t.Errorf("the record says nothing of the signature: %s", p.says(page))
	}
}
