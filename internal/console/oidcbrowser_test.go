package console_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"holdfast/internal/access"
	"holdfast/internal/access/oidctest"
	"holdfast/internal/console"
	"holdfast/internal/store/storetest"
)

// signingIn has the plant's people sign in at a real provider.
func (p *plant) signingIn() {
	p.t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	p.url = "http://" + srv.Listener.Addr().String()
	client := oidctest.Client{ID: "plant", Secret: "not-a-real-one", Redirect: []string{p.url + "/console/sign-in/company/done"}, SignOut: []string{p.url + "/console/sign-in"}}
	idp := oidctest.Start(p.t, "", client)
	policy, err := access.NewPolicy("1000", nil, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	s := access.NewSessions(p.db, access.NewUsers("1000", policy), access.SessionConfig{})
	providers := access.NewProviders(s, map[string]access.Provider{"company": {
		Issuer: idp.Issuer, Client: client.ID, Secret: func(context.Context) (string, error) { return client.Secret, nil }, URL: p.url, Scopes: []string{"groups"},
		Roles: map[string][]string{"plant-shift-leads": {"shift-lead"}}, MFA: access.MFA{Claim: "acr", AnyOf: []string{"urn:holdfast:mfa"}}, HTTP: http.DefaultClient,
	}})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- providers.Run(ctx) }()
	parts := p.pages.Parts
	parts.Gate, parts.SignIn, parts.Elsewhere, parts.Doer = s, s, providers, access.New(p.db).Under(policy)
	key := func(context.Context) (string, error) { return strings.Repeat("k", 32), nil }
	parts.Badges = access.NewBadges(s, key, map[string]netip.Prefix{"press-7": netip.MustParsePrefix("127.0.0.1/32")})
	srv.Config.Handler = s.Wrap(console.New(parts, console.Config{Plant: "1000"}, slog.New(slog.DiscardHandler)).Handler())
	srv.Start()
	p.t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		stop()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	})
}

// TestAPersonSignsInAtAProviderInABrowser: with the password alone they are sent back, with a second factor they come to the page that they wanted,
// and signing out goes on at the provider. Nothing of it is against the pages' policy.
func TestAPersonSignsInAtAProviderInABrowser(t *testing.T) {
	p := empty(t, storetest.SQLite(t))
	p.signingIn()
	b := browse(t, p)
	at := func(link, wait string) {
		b.run(chromedp.Click(chromedp.CSS(link)), chromedp.WaitReady(chromedp.CSS(wait)))
	}
	says := func(want string) {
		t.Helper()
		b.await(`document.body && document.body.innerText.includes(` + "`" + want + "`" + `)`)
	}
	b.run(chromedp.Navigate(p.url+"/console/messages?state=all"), chromedp.WaitReady(chromedp.CSS("#password")))
	for wait := true; wait; { // until the provider has first answered
		b.run(chromedp.Click(chromedp.CSS(`a[href*="sign-in/company"]`)), chromedp.WaitReady(chromedp.CSS("#login, .fd-message-strip")))
		wait = ask(b, chromedp.Evaluate[bool](`!document.querySelector("#login")`))
	}
	b.run(chromedp.SendKeys(chromedp.CSS("#login"), "anna"))
	ask(b, chromedp.Evaluate[any](`document.querySelector("#factor").value = "none"; 0`))
	at("#go", "#password")
	says("no second factor was shown")
	at(`a[href*="sign-in/company"]`, "#login")
	b.run(chromedp.SendKeys(chromedp.CSS("#login"), "anna"), chromedp.Click(chromedp.CSS("#go")))
	says("oidc:anna.berg")
	if got := ask(b, chromedp.Evaluate[string]("location.pathname + location.search")); got != "/console/messages?state=all" {
		t.Errorf("it came to %s", got)
	}
	badgeInABrowser(t, b, says)
	at(`form[action="/console/sign-out"] button:not([name])`, "#elsewhere")
	at("#elsewhere", "#leave")
	at("#leave", "#password")
	if got := ask(b, chromedp.Evaluate[string]("location.href")); !strings.HasPrefix(got, p.url+"/console/sign-in") {
		t.Errorf("leaving came to %s", got)
	}
	b.run(chromedp.Navigate(p.url+"/console/messages"), chromedp.WaitReady(chromedp.CSS("#password")))
	b.clean("signing in and out")
}

// badgeInABrowser has anna, who is signed in, set badge and PIN, and sign in by them at a terminal, with gloves on. She sees the shop floor and nothing
// else, and signs in at her provider again.
func badgeInABrowser(t *testing.T, b *browser, says func(string)) {
	t.Helper()
	press := func(what string, wait string) {
		t.Helper()
		b.run(chromedp.Click(chromedp.Search(what)), chromedp.WaitReady(chromedp.CSS(wait)))
	}
	provider := func() {
		t.Helper()
		press(`//a[contains(@href, "sign-in/company")]`, "#login")
		b.run(chromedp.SendKeys(chromedp.CSS("#login"), "anna"), chromedp.Click(chromedp.CSS("#go")))
		says("oidc:anna.berg")
	}
	b.run(chromedp.Navigate(b.p.url+"/console/sign-in?fresh=yes&back=/console/account"), chromedp.WaitReady(chromedp.CSS("#password")))
	provider()
	b.run(chromedp.WaitReady(chromedp.CSS("#badge")), chromedp.SendKeys(chromedp.CSS("#badge"), "0047110815"), chromedp.SendKeys(chromedp.CSS("#pin"), "739154"),
		chromedp.SendKeys(chromedp.CSS("#again"), "739154\r"))
	says("Badge and PIN are set.")
	b.run(chromedp.Navigate(b.p.url+"/console/sign-in"), chromedp.WaitReady(chromedp.CSS("#password")))
	press(`//a[contains(., "by badge and PIN")]`, "#pin")
	if small := ask(b, chromedp.Evaluate[[]string](`[...document.querySelectorAll("main input:not([type=hidden]), main button, main a")].filter(e => e.getBoundingClientRect().height < 44).map(e => e.outerHTML)`)); len(small) > 0 {
		t.Errorf("too small for gloves: %q", small)
	}
	const focused = `document.readyState === "complete" && document.activeElement.id === "badge"` // or the page takes the focus away while the PIN is typed
	b.await(focused)
	b.run(chromedp.SendKeys(chromedp.CSS("#badge"), "0047110815"), chromedp.SendKeys(chromedp.CSS("#pin"), "739155\r"))
	says("badge or PIN is not right")
	b.await(focused)
	b.run(chromedp.SendKeys(chromedp.CSS("#badge"), "0047110815"), chromedp.SendKeys(chromedp.CSS("#pin"), "739154\r"), chromedp.WaitReady(chromedp.CSS("#scan")))
	says("oidc:anna.berg")
	if got := ask(b, chromedp.Evaluate[string](`[...document.querySelectorAll("nav.sections a")].map(a => a.textContent).join(" ")`)); strings.Contains(got, "Messages") || !strings.Contains(got, "Shop floor") {
		t.Errorf("by badge she is led to %s", got)
	}
	b.run(chromedp.Navigate(b.p.url+"/console/sign-in?back=/console/messages"), chromedp.WaitReady(chromedp.CSS("#password")))
	press(`//a[contains(@href, "sign-in/company")]`, `form[action="/console/sign-out"]`) // which still knows her
	says("Messages")
	b.clean("badge and PIN")
}
