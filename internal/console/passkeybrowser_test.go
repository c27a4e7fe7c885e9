package console_test

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"holdfast/internal/access"
	"holdfast/internal/console"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// passkeys has the plant's people sign in at a console that takes passkeys, and gives anna an account.
func (p *plant) passkeys(password string) (shown access.Shown) {
	p.t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	p.url = strings.Replace("http://"+srv.Listener.Addr().String(), "127.0.0.1", "localhost", 1) // a browser keeps no passkey for a number
	policy, err := access.NewPolicy("1000", nil, nil)
	if err == nil {
		policy, err = policy.Demand(access.StepUp{Actions: []string{access.PasskeyRemove}})
	}
	if err != nil {
		p.t.Fatal(err)
	}
	users := access.NewUsers("1000", policy)
	hash, err := users.Hash(p.t.Context(), password)
	if err != nil {
		p.t.Fatal(err)
	}
	p.tx(func(tx *store.Tx) (err error) {
		shown, err = users.Add(p.t.Context(), tx, "local:test", "anna", hash, []string{"shift-lead"})
		return err
	})
	s := access.NewSessions(p.db, users, access.SessionConfig{})
	keys, err := access.NewPasskeys(s, p.url)
	if err != nil {
		p.t.Fatal(err)
	}
	parts := p.pages.Parts
	parts.Gate, parts.SignIn, parts.Passkeys, parts.Doer = s, s, keys, access.New(p.db).Under(policy)
	srv.Config.Handler = s.Wrap(console.New(parts, console.Config{Plant: "1000"}, slog.New(slog.DiscardHandler)).Handler())
	srv.Start()
	p.t.Cleanup(srv.Close)
	p.t.Cleanup(srv.CloseClientConnections)
	return shown
}

// TestAPersonSignsInByAPasskeyInABrowser: signed in by password and code they add their device, sign in by it, remove it, and then it lets them in no
// more. A device that verifies nobody lets nobody in. Nothing of it is against the pages' policy.
func TestAPersonSignsInByAPasskeyInABrowser(t *testing.T) {
	p := empty(t, storetest.SQLite(t))
	const password = "four words nobody guesses"
	shown := p.passkeys(password)
	b := browse(t, p)
	if _, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	device, err := chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: "ctap2", Transport: "internal", HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	if err != nil {
		t.Fatal(err)
	}
	verifies := func(is bool) {
		t.Helper()
		if _, err := chromedp.Call(b.ctx, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: device.AuthenticatorID, IsUserVerified: is}); err != nil {
			t.Fatal(err)
		}
	}
	says := func(want string) {
		t.Helper()
		b.await(`document.body && document.body.innerText.includes(` + "`" + want + "`" + `)`)
	}
	press := func(button string) {
		t.Helper()
		b.run(chromedp.WaitVisible(chromedp.Search(`//button[contains(., "`+button+`")]`)), chromedp.Click(chromedp.Search(`//button[contains(., "`+button+`")]`)))
	}
	b.run(chromedp.Navigate(p.url+"/console/account"), chromedp.WaitReady(chromedp.CSS("#password")),
		chromedp.SendKeys(chromedp.CSS("#name"), "anna"), chromedp.SendKeys(chromedp.CSS("#password"), password), chromedp.SendKeys(chromedp.CSS("#code"), shown.Recovery[0]+"\r"))
	says("You have none.")
	b.run(chromedp.WaitVisible(chromedp.CSS("#label")), chromedp.SendKeys(chromedp.CSS("#label"), "<b>laptop</b>"))
	press("Add a passkey")
	says("The passkey is added.")
	says("<b>laptop</b>")
	signIn := func() {
		t.Helper()
		b.run(chromedp.Navigate(p.url+"/console/sign-in?back=/console/account"), chromedp.WaitReady(chromedp.CSS("#password")))
		press("Sign in with a passkey")
	}
	b.run(chromedp.Click(chromedp.CSS(`form[action="/console/sign-out"] button:not([name])`)), chromedp.WaitReady(chromedp.CSS("#password")))
	verifies(false)
	signIn()
	says("It was not done:")
	verifies(true)
	signIn()
	says("user:anna")
	press("Remove, and sign out everywhere")
	b.run(chromedp.WaitReady(chromedp.CSS("#password")))
	signIn()
	says("the answer is not sound")
	b.clean("passkeys")
	if in, out := p.record(access.SignedIn), p.record(access.SignInRefused); len(in) != 2 || !strings.Contains(string(in[0].After), `"by":"passkey"`) || len(out) != 1 {
		t.Errorf("the record has the sign-ins %+v and refusals %+v", in, out)
	}
	if added := p.record(access.PasskeyAdd); len(added) != 1 || added[0].Actor != "user:anna" || !strings.Contains(string(added[0].After), "laptop") {
		t.Errorf("the record has %+v", added)
	}
}
