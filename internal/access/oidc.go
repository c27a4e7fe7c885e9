package access

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// How a sign-in at a provider is bounded.
const (
	clockSkew     = time.Minute      // that a provider's clock may be ahead of ours, or behind
	signInWithin  = 10 * time.Minute // from when the browser leaves for the provider until it is back
	providerEvery = 30 * time.Second // in which a provider that is away is noticed
	providerWait  = 10 * time.Second // for its answer
	brokenFor     = 5 * time.Minute  // in which a provider counts as away once a sign-in could not be ended
	exchanges     = 8                // sign-ins that wait for a provider's answer at the same time
)

// Provider is an OpenID Connect provider at which people sign in to the console.
type Provider struct {
	Issuer string                                    // iss of its tokens, to the letter; its metadata is below
	Client string                                    // client_id that it has given this plant
	Secret func(ctx context.Context) (string, error) // client_secret; nil: a public client, which PKCE alone protects
	URL    string                                    // of the console as browsers open it, such as https://plant.example:8420
	Scopes []string                                  // besides openid and profile
	Name   string                                    // claim that people are called by; default preferred_username
	Groups string                                    // claim with their groups; default groups
	Roles  map[string][]string                       // of the policy, by group
	MFA    MFA                                       // how a token says that there was a second factor
	Fresh  time.Duration                             // after which a token is asked for again, where the provider answers; default 1h
	Keep   time.Duration                             // how long what the last token said counts where it does not; default 12h
	HTTP   *http.Client                              // asks it
}

// MFA is how a token says that its person has shown a second factor: one of the values is in the claim.
type MFA struct {
	Claim string   `yaml:"claim"` // acr, amr or acrs
	AnyOf []string `yaml:"any_of"`
}

// Providers lets people in who sign in elsewhere. It is safe for use by many goroutines.
type Providers struct {
	sessions *Sessions
	all      map[string]*provider
}

// provider is one of them, with what it has said of itself.
type provider struct {
	Provider
	name string
	now  func() time.Time
	busy chan struct{} // holds a place for each exchange that is under way

	said   atomic.Pointer[said] // nil until it has first answered
	broken atomic.Int64         // microseconds: when a sign-in could last not be ended, though nobody was refused; 0: the last one was
}

// said is what a provider has said of itself.
type said struct {
	endpoint oauth2.Endpoint
	signOut  string // end_session_endpoint; "": it has none
	iss      bool   // it names itself in its answers (RFC 9207)
	keys     *keySet
	verifier *oidc.IDTokenVerifier
}

// NewProviders returns Providers by name, whose people get sessions of s. It asks none; Run does.
func NewProviders(s *Sessions, all map[string]Provider) *Providers {
	out := &Providers{s, map[string]*provider{}}
	for name, p := range all {
		p.Name, p.Groups = cmp.Or(p.Name, "preferred_username"), cmp.Or(p.Groups, "groups")
		p.Fresh, p.Keep = cmp.Or(p.Fresh, time.Hour), cmp.Or(p.Keep, 12*time.Hour)
		out.all[name] = &provider{Provider: p, name: name, now: s.db.Now, busy: make(chan struct{}, exchanges)}
	}
	s.providers = out.all
	return out
}

// Names are the providers, in order.
func (p *Providers) Names() []string { return slices.Sorted(maps.Keys(p.all)) }

// Run learns of each provider what it says of itself, and keeps its keys fresh, until ctx ends.
func (p *Providers) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { <-ctx.Done(); return nil })
	for _, one := range p.all {
		g.Go(func() error { return one.run(ctx) })
	}
	return g.Wait()
}

func (p *provider) run(ctx context.Context) error {
	tick := time.NewTicker(keysPause)
	defer tick.Stop()
	for {
		if p.look(ctx) {
			return p.said.Load().keys.Run(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look asks what the provider says of itself, until that is known. Whoever signs in meanwhile does not wait for it.
func (p *provider) look(ctx context.Context) (known bool) {
	if p.said.Load() != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.HTTP), providerWait)
	defer cancel()
	at, err := oidc.NewProvider(ctx, p.Issuer) // which refuses an issuer of another name
	if err != nil {
		return false
	}
	var more struct {
		Keys    string `json:"jwks_uri"`
		SignOut string `json:"end_session_endpoint"`
		Iss     bool   `json:"authorization_response_iss_parameter_supported"`
	}
	if err := at.Claims(&more); err != nil {
		return false
	}
	keys := &keySet{url: more.Keys, client: p.HTTP, now: p.now, outage: p.Keep, fresh: providerEvery}
	keys.refresh(ctx)
	p.said.Store(&said{at.Endpoint(), more.SignOut, more.Iss, keys, oidc.NewVerifier(p.Issuer, keys, &oidc.Config{
		ClientID: p.Client, SupportedSigningAlgs: algorithmNames(), Now: func() time.Time { return p.now().Add(-clockSkew) },
	})})
	return true
}

// up tells whether the provider answered when it was last asked, and people can sign in there as far as is known: one that gives its keys but no
// tokens is as good as away.
func (p *provider) up() bool {
	s := p.said.Load()
	return s != nil && s.keys.answers() && p.now().Sub(time.UnixMicro(p.broken.Load())) >= brokenFor
}

// note remembers how the end of a sign-in went. One that its browser left says nothing.
func (p *provider) note(ctx context.Context, err error) {
	switch kind := problem.KindOf(err); {
	case err == nil:
		p.broken.Store(0)
	case kind != problem.Unknown && kind != problem.TooMany && ctx.Err() == nil:
		p.broken.Store(p.now().UnixMicro())
	}
}

// signOut is where a browser ends its session at the provider (OpenID Connect RP-Initiated Logout 1.0); "" if it has none. No token is kept for it:
// the provider asks the person.
func (p *provider) signOut() string {
	if p == nil || p.said.Load() == nil || p.said.Load().signOut == "" {
		return ""
	}
	v := url.Values{"client_id": {p.Client}, "post_logout_redirect_uri": {p.URL + "/console/sign-in"}}
	return p.said.Load().signOut + "?" + v.Encode()
}

// flow is what a browser keeps while its person signs in elsewhere. It is the browser's own: who changes it hurts nobody but themselves.
type flow struct {
	State, Nonce, Verifier, Back string
	Fresh                        bool  // the person must show the second factor now
	Began                        int64 // microseconds
}

func (s *Sessions) flowCookie(value string, age time.Duration) *http.Cookie {
	k := &http.Cookie{Name: "holdfast_sign_in", Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(age.Seconds())}
	if s.cfg.Secure {
		k.Name, k.Secure = "__Host-holdfast_sign_in", true
	}
	return k
}

// Begin is where the browser has to go to sign in at a provider, with the cookie that binds what comes back to this browser. fresh demands a
// second factor that is shown now, and has the session of the request know that it was demanded: see anew. Unavailable if the provider has not answered yet; nobody waits for it here.
func (p *Providers) Begin(r *http.Request, name, back string, fresh bool) (to string, cookie *http.Cookie, err error) {
	at := p.all[name]
	if at == nil {
		return "", nil, &problem.Error{Kind: problem.NotFound, What: "sign in at " + name, Why: "there is no such provider", Hint: "begin at /console/sign-in"}
	}
	s := at.said.Load()
	if s == nil {
		return "", nil, at.away(nil)
	}
	f := flow{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Back: back, Fresh: fresh, Began: at.now().UnixMicro()}
	kept, err := json.Marshal(f)
	if err != nil {
		return "", nil, fmt.Errorf("begin to sign in: %w", err)
	}
	opts := []oauth2.AuthCodeOption{oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)}
	opts = append(opts, at.MFA.ask()...)
	if fresh {
		p.sessions.askAnew(r.Context(), f)
		opts = append(opts, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	cfg := at.oauth(s, "")
	return cfg.AuthCodeURL(f.State, opts...), p.sessions.flowCookie(base64.RawURLEncoding.EncodeToString(kept), signInWithin), nil
}

// ask has the provider demand what we will look for.
func (m MFA) ask() []oauth2.AuthCodeOption {
	switch m.Claim {
	case "acr":
		return []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("acr_values", m.AnyOf[0])} // of several, some take the weakest
	case "acrs":
		want, _ := json.Marshal(map[string]any{"id_token": map[string]any{"acrs": map[string]any{"essential": true, "value": m.AnyOf[0]}}}) // of strings
		return []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("claims", string(want))}
	default:
		return nil
	}
}

func (p *provider) oauth(s *said, secret string) oauth2.Config {
	return oauth2.Config{
		ClientID: p.Client, ClientSecret: secret, Endpoint: s.endpoint, RedirectURL: p.URL + "/console/sign-in/" + p.name + "/done",
		Scopes: append([]string{oidc.ScopeOpenID, "profile"}, p.Scopes...),
	}
}

// away is told where a provider does not answer.
func (p *provider) away(cause error) error {
	return &problem.Error{
		Kind: problem.Unavailable, What: "sign in at " + p.name, Why: "it does not answer",
		Hint: "whoever is signed in stays so; sign in with an account of the plant, or try again later", Cause: cause,
	}
}

// Finish begins the session of whoever comes back from a provider, and says where they wanted to go, also where they are not let in. The cookie is to be set: it ends what Begin began.
// Errors: Unknown for whatever does not fit, Denied for who has no role here or has shown one factor only, Unavailable.
func (p *Providers) Finish(r *http.Request, name string) (back string, cookie *http.Cookie, err error) {
	cookie = p.sessions.flowCookie("", -time.Second)
	at := p.all[name]
	if at == nil || at.said.Load() == nil {
		return "", cookie, nobody("no sign-in was begun here")
	}
	f, err := p.flow(r)
	if err != nil {
		return "", cookie, p.sessions.turnedAway(r, "", err)
	}
	t, err := at.token(r, f)
	if err != nil {
		return f.Back, cookie, p.sessions.turnedAway(r, "", err)
	}
	anew := p.sessions.anew(r.Context(), f, t)
	err = p.sessions.enterFrom(r, at, t)
	if err == nil && !anew.IsZero() {
		p.sessions.scs.Put(r.Context(), sessionAnew, store.Micros(anew))
	}
	return f.Back, cookie, err
}

// flow is what this browser began, if what came back belongs to it.
func (p *Providers) flow(r *http.Request) (f flow, err error) {
	bad := nobody("what came back belongs to no sign-in that this browser began, or to one of more than ten minutes ago")
	k, err := r.Cookie(p.sessions.flowCookie("", 0).Name)
	if err != nil {
		return f, bad
	}
	kept, err := base64.RawURLEncoding.DecodeString(k.Value)
	if err != nil || json.Unmarshal(kept, &f) != nil || f.State == "" || f.Nonce == "" || f.State != r.FormValue("state") {
		return f, bad
	}
	if age := p.sessions.db.Now().Sub(time.UnixMicro(f.Began)); age < 0 || age > signInWithin {
		return f, bad
	}
	return f, nil
}

// token is what the provider says of whoever has come back.
func (p *provider) token(r *http.Request, f flow) (idToken, error) {
	s := p.said.Load()
	if iss := r.FormValue("iss"); iss != p.Issuer && (s.iss || iss != "") {
		return idToken{}, nobody("the answer is of another provider")
	}
	if r.FormValue("code") == "" {
		return idToken{}, nobody("the provider let nobody in")
	}
	raw, err := p.exchange(r, s, f)
	p.note(r.Context(), err)
	if err != nil {
		return idToken{}, err
	}
	good, err := s.verifier.Verify(r.Context(), raw)
	if err != nil {
		if lost := s.keys.away(); lost != nil {
			return idToken{}, p.away(lost)
		}
		if _, ok := errors.AsType[*oidc.TokenExpiredError](err); ok {
			return idToken{}, nobody("the provider's token has expired: its clock, or this one, is wrong")
		}
		return idToken{}, nobody("the token is not what the provider gives to this plant")
	}
	if good.Nonce != f.Nonce {
		return idToken{}, nobody("the token is of another sign-in")
	}
	return p.read(good, f)
}

// exchange has the provider give the token for what the browser brought back. Few wait for it at the same time.
func (p *provider) exchange(r *http.Request, s *said, f flow) (string, error) {
	select {
	case p.busy <- struct{}{}:
		defer func() { <-p.busy }()
	default:
		return "", &problem.Error{Kind: problem.TooMany, What: "sign in at " + p.name, Why: "too many sign in at the same time", Hint: "try again in a moment"}
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(r.Context(), p.HTTP), providerWait)
	defer cancel()
	secret := ""
	if p.Secret != nil {
		var err error
		if secret, err = p.Secret(ctx); err != nil {
			return "", err
		}
	}
	cfg := p.oauth(s, secret)
	got, err := cfg.Exchange(ctx, r.FormValue("code"), oauth2.VerifierOption(f.Verifier))
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.Response.StatusCode < 500 {
		return "", nobody("the provider does not know what came back")
	}
	if err != nil {
		return "", p.away(err)
	}
	raw, ok := got.Extra("id_token").(string)
	if !ok {
		return "", nobody("the provider gave no ID token")
	}
	return raw, nil
}
