package console_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
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
	parts.Gate, parts.SignIn, parts.Elsewhere = s, s, providers
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
	at(`form[action="/console/sign-out"] button:not([name])`, "#elsewhere")
	at("#elsewhere", "#leave")
	at("#leave", "#password")
	if got := ask(b, chromedp.Evaluate[string]("location.href")); !strings.HasPrefix(got, p.url+"/console/sign-in") {
		t.Errorf("leaving came to %s", got)
	}
	b.run(chromedp.Navigate(p.url+"/console/messages"), chromedp.WaitReady(chromedp.CSS("#password")))
	b.clean("signing in and out")
}
