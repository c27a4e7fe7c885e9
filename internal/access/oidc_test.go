package access_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"holdfast/internal/access"
	"holdfast/internal/access/oidctest"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// company is a plant whose people sign in at a real provider, with somebody between the two who can change what the plant is told.
type company struct {
	t         *testing.T
	db        *store.DB
	clock     *clock
	idp       *oidctest.Provider
	issuer    string
	users     *access.Users
	providers *access.Providers
	url       string                                    // of the plant
	change    atomic.Pointer[func(token string) string] // what becomes of an ID token on its way
	own       atomic.Pointer[ecdsa.PrivateKey]          // a key more that the provider names as its own: see say
	broken    atomic.Bool                               // the provider gives no tokens
	asked     atomic.Int64                              // calls of the provider that the plant and the browsers made
}

func openCompany(t *testing.T, db *store.DB, c *clock, change ...func(*access.Provider)) *company {
	t.Helper()
	co := &company{t: t, db: db, clock: c}
	between := httptest.NewUnstartedServer(nil)
	co.issuer = "http://" + between.Listener.Addr().String()
	plant := httptest.NewUnstartedServer(nil)
	co.url = "http://" + plant.Listener.Addr().String()
	client := oidctest.Client{ID: "plant", Secret: "not-a-real-one", Redirect: []string{co.url + "/console/sign-in/company/done"}, SignOut: []string{co.url + "/console/sign-in"}}
	other := oidctest.Client{ID: "canteen", Secret: "not-one-either", Redirect: client.Redirect}
	co.idp = oidctest.Start(t, co.issuer, client, other)
	between.Config.Handler = co.between()
	between.Start()
	t.Cleanup(between.Close)

	p := policy(t, nil, nil)
	co.users = access.NewUsers("1000", p).Cheap()
	s := access.NewSessions(db, co.users, access.SessionConfig{Absolute: 24 * time.Hour})
	cfg := access.Provider{
		Issuer: co.issuer, Client: client.ID, Secret: func(context.Context) (string, error) { return client.Secret, nil }, URL: co.url, Scopes: []string{"groups"},
		Roles: map[string][]string{"plant-shift-leads": {"shift-lead"}, "plant-erp": {"erp-team", "viewer"}},
		MFA:   access.MFA{Claim: "acr", AnyOf: []string{"urn:holdfast:mfa"}}, HTTP: http.DefaultClient,
	}
	for _, f := range change {
		f(&cfg)
	}
	co.providers = access.NewProviders(s, map[string]access.Provider{"company": cfg})
	plant.Config.Handler = s.Wrap(co.console(s))
	plant.Start()
	t.Cleanup(plant.Close)
	return co
}

// between passes everything on to the provider, but may change the tokens.
func (co *company) between() http.Handler {
	to, err := url.Parse(co.idp.URL())
	if err != nil {
		co.t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
			r.Out.Header.Del("Accept-Encoding")
		},
		ModifyResponse: func(res *http.Response) error {
			f, own := co.change.Load(), co.own.Load()
			token, keys := f != nil && strings.HasSuffix(res.Request.URL.Path, "/token"), own != nil && strings.HasSuffix(res.Request.URL.Path, "/jwks")
			if !token && !keys {
				return nil
			}
			var said map[string]any
			if err := json.NewDecoder(res.Body).Decode(&said); err != nil {
				return err
			}
			if token {
				said["id_token"] = (*f)(said["id_token"].(string))
			} else {
				said["keys"] = append(said["keys"].([]any), public("own", own))
			}
			text, err := json.Marshal(said)
			res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
			res.Header.Set("Content-Length", fmt.Sprint(len(text)))
			return err
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		co.asked.Add(1)
		if co.broken.Load() && strings.HasSuffix(r.URL.Path, "/token") {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		pass.ServeHTTP(w, r)
	})
}

// console has the sign-in's pages, and says who is there.
func (co *company) console(s *access.Sessions) http.Handler {
	answer := func(w http.ResponseWriter, err error) {
		if err != nil {
			p := problem.KindOf(err)
			w.WriteHeader(p.HTTPStatus())
			fmt.Fprint(w, err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /console/sign-in/{p}", func(w http.ResponseWriter, r *http.Request) {
		to, k, err := co.providers.Begin(r, r.PathValue("p"), "/who", r.FormValue("fresh") != "")
		if err != nil {
			answer(w, err)
			return
		}
		http.SetCookie(w, k)
		http.Redirect(w, r, to, http.StatusSeeOther)
	})
	mux.HandleFunc("GET /console/sign-in/{p}/done", func(w http.ResponseWriter, r *http.Request) {
		back, k, err := co.providers.Finish(r, r.PathValue("p"))
		http.SetCookie(w, k)
		if err != nil {
			answer(w, err)
			return
		}
		http.Redirect(w, r, back, http.StatusSeeOther)
	})
	mux.HandleFunc("POST /out", func(w http.ResponseWriter, r *http.Request) {
		to, err := s.SignOut(r, r.FormValue("all") != "")
		answer(w, err)
		fmt.Fprint(w, to)
	})
	signing(co.t, co.db, mux, s)
	badgeRoutes(co.t, co.db, mux, s)
	mux.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) {
		by, err := s.Who(r, "")
		if err == nil && r.Method == http.MethodPost {
			step, e := policy(co.t, nil, nil).Demand(access.StepUp{Actions: []string{"link.*"}})
			if e != nil {
				co.t.Error(e)
			}
			_, err = access.New(co.db).Under(step).Do(r.Context(), access.Act{Action: access.LinkPause, Actor: by, Object: "link/erp", Link: "erp", Reason: "maintenance"},
				func(context.Context, *store.Tx) (access.Result, error) { return access.Result{}, nil })
		}
		answer(w, err)
		if err == nil {
			fmt.Fprint(w, by.Name, by.Rights.Roles)
		}
	})
	return mux
}

func (co *company) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		co.t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

// answered is what there was of an answer besides its text.
type answered struct {
	StatusCode int
	at, to     *url.URL // of what was asked last; where it leads, nil if nowhere
}

func (co *company) get(b *http.Client, address string) (answered, string) {
	co.t.Helper()
	res, err := b.Get(address)
	return co.read(res, err)
}

func (co *company) read(res *http.Response, err error) (answered, string) {
	co.t.Helper()
	if err != nil {
		co.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		co.t.Fatal(err)
	}
	to, _ := res.Location() // nil where it leads nowhere
	return answered{res.StatusCode, res.Request.URL, to}, string(text)
}

// in signs somebody in, who fills in the provider's form if it shows one.
func (co *company) in(b *http.Client, who, factor string, query ...string) (int, string) {
	co.t.Helper()
	return co.form(b, co.url+"/console/sign-in/company?"+strings.Join(query, "&"), who, factor)
}

func (co *company) form(b *http.Client, at, who, factor string) (int, string) {
	co.t.Helper()
	res, text := co.get(b, at)
	if strings.HasPrefix(res.at.Path, "/interaction/") {
		res, text = co.read(b.PostForm(res.at.String(), url.Values{"login": {who}, "factor": {factor}}))
	}
	return res.StatusCode, text
}

func (co *company) who(b *http.Client) (int, string) {
	co.t.Helper()
	res, text := co.get(b, co.url+"/who")
	return res.StatusCode, text
}

func (co *company) want(what string, status int, text string, wantStatus int, want string) {
	co.t.Helper()
	if status != wantStatus || !strings.Contains(text, want) {
		co.t.Errorf("%s: %d %q, want %d %q", what, status, text, wantStatus, want)
	}
}

// realClock begins now: the provider has a real one.
func realClock() *clock {
	c := newClock()
	c.add(time.Since(c.now()))
	return c
}

func TestAPersonSignsInAtAProvider(t *testing.T) {
	c := realClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		co := openCompany(t, db, c)
		b := co.browser()
		status, text := co.in(b, "anna", "otp")
		co.want("before it has answered", status, text, 503, "does not answer")
		if co.asked.Load() != 0 {
			t.Error("whoever signs in asks what the provider says of itself")
		}
		co.providers.Look(t.Context())
		status, text = co.in(b, "anna", "otp")
		co.want("anna", status, text, 200, "oidc:anna.berg[shift-lead]")
		again := co.browser()
		status, text = co.in(again, "anna", "otp")
		co.want("anna in another browser", status, text, 200, "oidc:anna.berg[shift-lead]")
		status, text = co.in(co.browser(), "ben", "otp")
		co.want("ben", status, text, 200, "oidc:ben[erp-team viewer]")
		status, text = co.in(co.browser(), "otherben", "otp")
		co.want("another ben", status, text, 200, "oidc:ben-2[erp-team viewer]")
		for who, why := range map[string]string{"cleo": "no group of theirs has a role", "many": "there are too many"} {
			status, text = co.in(co.browser(), who, "otp")
			co.want(who, status, text, 403, why)
		}
		if got := entries(t, db, audit.Filter{Action: access.SignedIn}); len(got) != 4 || got[3].Actor != "oidc:anna.berg" {
			t.Errorf("signed in: %+v", got)
		}
		if err := db.InTx(t.Context(), func(tx *store.Tx) error { return co.users.Disable(t.Context(), tx, "oidc:anna.berg") }); err != nil {
			t.Fatal(err)
		}
		status, text = co.who(b)
		co.want("disabled", status, text, 401, "ended")
		status, text = co.in(co.browser(), "anna", "otp")
		co.want("disabled, from another browser", status, text, 403, "lets them in no more")
	}, storetest.WithClock(c.now))
}

// TestASecondFactorIsLookedFor: that it was asked for is not enough.
func TestASecondFactorIsLookedFor(t *testing.T) {
	for claim, values := range map[string]string{"acr": "urn:holdfast:mfa", "amr": "mfa"} {
		t.Run(claim, func(t *testing.T) {
			c := realClock()
			co := openCompany(t, storetest.SQLite(t, storetest.WithClock(c.now)), c, func(p *access.Provider) { p.MFA = access.MFA{Claim: claim, AnyOf: []string{values}} })
			co.providers.Look(t.Context())
			b := co.browser()
			status, text := co.in(b, "anna", "none")
			co.want("with the password alone", status, text, 403, "no second factor")
			status, text = co.who(b)
			co.want("after it", status, text, 401, "nobody is signed in")
			status, text = co.in(co.browser(), "anna", "otp")
			co.want("with both", status, text, 200, "oidc:anna.berg")
		})
	}
}

// say has the provider's tokens say something else from now on. The provider must have named the key of own before the plant looked.
func (co *company) say(more claims) {
	change := func(token string) string {
		sig, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			co.t.Error(err)
			return ""
		}
		var said claims
		if err := json.Unmarshal(sig.UnsafePayloadWithoutVerification(), &said); err != nil {
			co.t.Error(err)
		}
		maps.Copy(said, more)
		return signed(co.t, jose.ES256, co.own.Load(), "own", nil, said)
	}
	co.change.Store(&change)
}

// TestAnAuthenticationContextIsAskedForAndLookedFor as Entra ID has it (acrs): in the request, in the token, and again where an act asks for a factor that is fresh.
func TestAnAuthenticationContextIsAskedForAndLookedFor(t *testing.T) {
	c := realClock()
	co := openCompany(t, storetest.SQLite(t, storetest.WithClock(c.now)), c, func(p *access.Provider) { p.MFA = access.MFA{Claim: "acrs", AnyOf: []string{"c1", "c3"}} })
	co.own.Store(newKey(t))
	co.providers.Look(t.Context())
	stays := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, _ := co.get(stays, co.url+"/console/sign-in/company")
	if got, want := res.to.Query().Get("claims"), `{"id_token":{"acrs":{"essential":true,"value":"c1"}}}`; got != want {
		t.Errorf("asked for %q, want %q", got, want)
	}
	for _, tt := range []struct {
		name   string
		acrs   any
		status int
		words  string
	}{
		{"none", nil, 403, "no second factor"},
		{"another one", []string{"c2"}, 403, "no second factor"},
		{"none of them", []string{}, 403, "no second factor"},
		{"part of its name", "c11", 403, "no second factor"},
		{"among others", []string{"p1", "c1"}, 200, "oidc:ben"},
		{"the second that is good enough", "c3", 200, "oidc:ben"},
	} {
		co.say(claims{"acrs": tt.acrs, "acr": "urn:holdfast:mfa", "amr": []string{"mfa"}}) // what other claims say counts for nothing
		status, text := co.in(co.browser(), "ben", "otp")
		co.want(tt.name, status, text, tt.status, tt.words)
	}
	b := co.browser()
	pause := func() (int, string) {
		res, text := co.read(b.Post(co.url+"/who", "", nil))
		return res.StatusCode, text
	}
	co.say(claims{"acrs": []string{"c1"}})
	co.in(b, "ben", "otp")
	status, text := pause()
	co.want("without a fresh factor", status, text, 403, "second factor that was shown in the last 10m")
	co.say(claims{"acrs": []string{"c2"}})
	status, text = co.in(b, "ben", "otp", "fresh=yes")
	co.want("anew without the context", status, text, 403, "no second factor")
	status, text = pause()
	co.want("after that", status, text, 403, "second factor")
	co.say(claims{"acrs": []string{"c1"}})
	status, text = co.in(b, "ben", "otp", "fresh=yes")
	co.want("anew with it", status, text, 200, "oidc:ben")
	status, text = pause()
	co.want("with a fresh factor", status, text, 200, "oidc:ben")
}

// TestATimeOfSignInThatHasNotComeIsNotBelieved: the factor would be fresh until then.
func TestATimeOfSignInThatHasNotComeIsNotBelieved(t *testing.T) {
	c := realClock()
	co := openCompany(t, storetest.SQLite(t, storetest.WithClock(c.now)), c)
	co.own.Store(newKey(t))
	co.providers.Look(t.Context())
	for name, tt := range map[string]struct {
		at     any
		status int
		words  string
	}{
		"half a minute":               {c.now().Add(30 * time.Second).Unix(), 200, "oidc:ben"},
		"two minutes":                 {c.now().Add(2 * time.Minute).Unix(), 401, "a time to come"},
		"a year":                      {c.now().AddDate(1, 0, 0).Unix(), 401, "a time to come"},
		"so far that it turns around": {int64(math.MaxInt64), 401, "a time to come"},
		"long before there was time":  {int64(-1) << 62, 403, "not shown now"},
		"in words":                    {"soon", 401, "cannot be read"},
	} {
		co.say(claims{"auth_time": tt.at})
		b := co.browser()
		status, text := co.in(b, "ben", "otp", "fresh=yes")
		co.want(name, status, text, tt.status, tt.words)
		if res, text := co.read(b.Post(co.url+"/who", "", nil)); tt.status != 200 && res.StatusCode == 200 {
			t.Errorf("%s: an act that asks for a fresh factor was done: %s", name, text)
		}
		co.say(claims{"auth_time": tt.at})
		status, text = co.in(b, "ben", "otp")
		if res, _ := co.read(b.Post(co.url+"/who", "", nil)); tt.status != 200 && res.StatusCode == 200 {
			t.Errorf("%s, not asked for: %d %s, and an act that asks for a fresh factor was done", name, status, text)
		}
	}
}

// TestAFreshFactorIsAskedFor: what asks for one is done soon after it was shown, and then not until it is shown again.
func TestAFreshFactorIsAskedFor(t *testing.T) {
	c := realClock()
	co := openCompany(t, storetest.SQLite(t, storetest.WithClock(c.now)), c)
	co.providers.Look(t.Context())
	b := co.browser()
	pause := func() (int, string) {
		res, text := co.read(b.Post(co.url+"/who", "", nil))
		return res.StatusCode, text
	}
	co.in(b, "ben", "otp")
	status, text := pause()
	co.want("just signed in without being asked for a time", status, text, 403, "second factor that was shown in the last 10m")
	status, text = co.in(b, "ben", "otp", "fresh=yes")
	co.want("signing in anew", status, text, 200, "oidc:ben")
	status, text = pause()
	co.want("with a fresh factor", status, text, 200, "oidc:ben")
	co.clock.add(11 * time.Minute)
	status, text = pause()
	co.want("eleven minutes later", status, text, 403, "second factor")
	refused := entries(t, co.db, audit.Filter{Action: access.LinkPause})
	if len(refused) != 3 || refused[0].Outcome != audit.Refused {
		t.Errorf("on record: %+v", refused)
	}
}

// TestWhatComesBackMustFit: state, code, nonce, audience, signature and times of what a browser brings and a provider says.
func TestWhatComesBackMustFit(t *testing.T) {
	c := realClock()
	co := openCompany(t, storetest.SQLite(t, storetest.WithClock(c.now)), c)
	co.providers.Look(t.Context())
	stop := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	// left is a browser that has begun, and the provider's address that it was sent to.
	left := func() (*http.Client, *url.URL) {
		b := co.browser()
		b.CheckRedirect = stop
		res, _ := co.get(b, co.url+"/console/sign-in/company")
		b.CheckRedirect = nil
		to := res.to
		if to == nil {
			t.Fatal("it leads nowhere")
		}
		return b, to
	}
	// back is what the provider sends a browser back with.
	back := func(at string) string {
		b := co.browser()
		b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasSuffix(r.URL.Path, "/done") {
				return http.ErrUseLastResponse
			}
			return nil
		}
		res, _ := co.get(b, at)
		res, _ = co.read(b.PostForm(res.at.String(), url.Values{"login": {"anna"}, "factor": {"otp"}}))
		to := res.to
		if to == nil {
			t.Fatal("it leads nowhere")
		}
		return to.String()
	}
	with := func(u *url.URL, name, value string) string {
		v := u.Query()
		v.Set(name, value)
		return u.Scheme + "://" + u.Host + u.Path + "?" + v.Encode()
	}
	b, to := left()
	q := to.Query()
	if q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" || q.Get("state") == "" || q.Get("acr_values") != "urn:holdfast:mfa" {
		t.Errorf("the provider is asked %s", to)
	}
	mine := back(to.String())
	tests := []struct {
		name string
		do   func() (int, string)
		why  string
	}{
		{"into a browser that began nothing", func() (int, string) { return co.form(co.browser(), mine, "", "") }, "belongs to no sign-in"},
		{"with another state", func() (int, string) {
			u, _ := url.Parse(mine)
			return co.form(b, with(u, "state", "x"), "", "")
		}, "belongs to no sign-in"},
		{"after it was used up by that", func() (int, string) { return co.form(b, mine, "", "") }, "belongs to no sign-in"},
		{"of another provider", func() (int, string) {
			b, to := left()
			u, _ := url.Parse(back(to.String()))
			return co.form(b, with(u, "iss", "http://evil.example"), "", "")
		}, "another provider"},
		{"another browser's code", func() (int, string) {
			b, to := left()
			_, other := left()
			u, _ := url.Parse(back(other.String()))
			return co.form(b, with(u, "state", to.Query().Get("state")), "", "")
		}, "does not know what came back"}, // PKCE
		{"another nonce", func() (int, string) {
			b, to := left()
			return co.form(b, back(with(to, "nonce", "x")), "", "")
		}, "another sign-in"},
		{"refused there", func() (int, string) {
			b, to := left()
			return co.form(b, co.url+"/console/sign-in/company/done?error=access_denied&iss="+url.QueryEscape(co.issuer)+"&state="+to.Query().Get("state"), "", "")
		}, "let nobody in"},
		{"too late", func() (int, string) {
			b, to := left()
			at := back(to.String())
			co.clock.add(11 * time.Minute)
			defer co.clock.add(-11 * time.Minute)
			return co.form(b, at, "", "")
		}, "ten minutes ago"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, text := tt.do()
			co.want(tt.name, status, text, 401, tt.why)
		})
	}
}

// TestATokenMustBeTheProviders: what stands between the plant and its provider changes it.
func TestATokenMustBeTheProviders(t *testing.T) {
	c := realClock()
	co := openCompany(t, storetest.SQLite(t, storetest.WithClock(c.now)), c)
	co.providers.Look(t.Context())
	parts := func(token string) []string { return strings.Split(token, ".") }
	forged := func(token string) string {
		var head struct {
			KeyID string `json:"kid"`
		}
		sig, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Error(err)
		}
		head.KeyID = sig.Signatures[0].Header.KeyID
		var said claims
		if err := json.Unmarshal(sig.UnsafePayloadWithoutVerification(), &said); err != nil {
			t.Error(err)
		}
		return signed(t, jose.ES256, newKey(t), head.KeyID, nil, said)
	}
	foreign := co.foreignToken()
	tests := []struct {
		name   string
		change func(token string) string
		late   time.Duration
		why    string
	}{
		{"with another signature", func(s string) string { p := parts(s); return p[0] + "." + p[1] + "." + strings.Repeat("A", len(p[2])) }, 0, "not what the provider gives"},
		{"signed by somebody else under the key's name", forged, 0, "not what the provider gives"},
		{"with alg none", func(s string) string { return "eyJhbGciOiJub25lIn0." + parts(s)[1] + "." }, 0, "not what the provider gives"},
		{"for another program", func(string) string { return foreign }, 0, "not what the provider gives"},
		{"expired", nil, 8 * time.Minute, "expired"},
		{"of a time to come", nil, -3 * time.Minute, "a time to come"},
		{"a clock that is half a minute behind", nil, -30 * time.Second, ""},
		{"a clock that is five and a half minutes ahead", nil, 5*time.Minute + 30*time.Second, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			co.clock.add(tt.late)
			defer co.clock.add(-tt.late)
			if tt.change != nil {
				co.change.Store(&tt.change)
				defer co.change.Store(nil)
			}
			status, text := co.in(co.browser(), "anna", "otp")
			if tt.why == "" {
				co.want(tt.name, status, text, 200, "oidc:anna.berg")
			} else {
				co.want(tt.name, status, text, 401, tt.why)
			}
		})
	}
}

// foreignToken is a good token that the provider gave another program.
func (co *company) foreignToken() string {
	co.t.Helper()
	verifier := strings.Repeat("v", 43)
	v := url.Values{
		"client_id": {"canteen"}, "redirect_uri": {co.url + "/console/sign-in/company/done"}, "response_type": {"code"}, "scope": {"openid profile groups"},
		"code_challenge": {access.Challenge(verifier)}, "code_challenge_method": {"S256"}, "nonce": {"n"}, "state": {"s"},
	}
	b := co.browser()
	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasSuffix(r.URL.Path, "/done") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	res, _ := co.get(b, co.issuer+"/auth?"+v.Encode())
	at := res.at.String()
	res, text := co.read(b.PostForm(at, url.Values{"login": {"anna"}, "factor": {"otp"}}))
	to := res.to
	if to == nil {
		co.t.Fatal("it leads nowhere", at, text)
	}
	req, err := http.NewRequestWithContext(co.t.Context(), "POST", co.issuer+"/token", strings.NewReader(url.Values{
		"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")}, "redirect_uri": v["redirect_uri"], "code_verifier": {verifier},
	}.Encode()))
	if err != nil {
		co.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("canteen", "not-one-either")
	_, text = co.read(http.DefaultClient.Do(req))
	var said struct {
		ID string `json:"id_token"`
	}
	if err := json.Unmarshal([]byte(text), &said); err != nil || said.ID == "" {
		co.t.Fatal(text)
	}
	return said.ID
}

// TestThePlantWorksOnWhileTheProviderIsAway: for an hour and more nobody who is signed in is sent away and nobody waits; new people are told
// why, and when it is back, with another key, all is as before.
func TestThePlantWorksOnWhileTheProviderIsAway(t *testing.T) {
	c := realClock()
	co := openCompany(t, storetest.SQLite(t, storetest.WithClock(c.now)), c)
	co.providers.Look(t.Context())
	b := co.browser()
	co.in(b, "anna", "otp")
	co.idp.Down()
	for range 13 {
		co.clock.add(5 * time.Minute)
		co.providers.Look(t.Context())
		before := co.asked.Load()
		status, text := co.who(b)
		co.want("while it is away", status, text, 200, "oidc:anna.berg[shift-lead]")
		if co.asked.Load() != before {
			t.Error("a request of somebody who is signed in asked the provider")
		}
	}
	res, text := co.get(co.browser(), co.url+"/console/sign-in/company")
	co.want("somebody new", res.StatusCode, text, 502, "") // the browser itself finds nobody there
	co.idp.Ahead = 65 * time.Minute
	co.idp.Up()
	co.clock.add(10 * time.Second)
	co.providers.Look(t.Context())
	status, text := co.who(b)
	co.want("once it is back and an hour has passed", status, text, 401, "time to ask company again")
	status, text = co.in(b, "anna", "otp")
	co.want("asked again, under its new key", status, text, 200, "oidc:anna.berg[shift-lead]")
	co.idp.Down()
	for range 12*12 - 1 {
		co.clock.add(5 * time.Minute)
		co.providers.Look(t.Context())
		if status, text = co.who(b); status != 200 {
			t.Fatalf("while it is away again: %d %s", status, text)
		}
	}
	co.clock.add(5 * time.Minute)
	status, text = co.who(b)
	co.want("after twelve hours away", status, text, 401, "too old")
}

// TestAProviderThatGivesKeysAndNoTokensIsAway: nobody is sent away to sign in where nobody can; one in five minutes finds out whether that is still so.
func TestAProviderThatGivesKeysAndNoTokensIsAway(t *testing.T) {
	c := realClock()
	co := openCompany(t, storetest.SQLite(t, storetest.WithClock(c.now)), c, func(p *access.Provider) { p.Fresh = 10 * time.Minute })
	co.providers.Look(t.Context())
	b, other := co.browser(), co.browser()
	co.in(b, "anna", "otp")
	co.in(other, "anna", "otp")
	co.broken.Store(true)
	who := func(what string, b *http.Client, status int, want string) {
		t.Helper()
		co.providers.Look(t.Context())
		got, text := co.who(b)
		co.want(what, got, text, status, want)
	}
	co.clock.add(10 * time.Minute)
	who("ten minutes later", b, 401, "time to ask company again")
	status, text := co.in(b, "anna", "otp")
	co.want("asked again", status, text, 503, "does not answer")
	who("the one who tried", b, 200, "oidc:anna.berg")
	who("somebody else", other, 200, "oidc:anna.berg")
	co.clock.add(5 * time.Minute)
	who("five more minutes later", b, 401, "time to ask company again")
	co.broken.Store(false)
	co.idp.Down()
	co.idp.Ahead = 15 * time.Minute // as the plant's clock is
	co.idp.Up()
	co.clock.add(10 * time.Second)
	co.providers.Look(t.Context())
	status, text = co.in(b, "anna", "otp")
	co.want("once it gives tokens", status, text, 200, "oidc:anna.berg")
}

// TestKeysOfAProviderMayChange: a new key counts at the next sign-in, though nobody said so before.
func TestKeysOfAProviderMayChange(t *testing.T) {
	c := realClock()
	co := openCompany(t, storetest.SQLite(t, storetest.WithClock(c.now)), c)
	co.providers.Look(t.Context())
	co.in(co.browser(), "anna", "otp")
	co.idp.Down()
	co.idp.Up()
	co.clock.add(11 * time.Second) // no unknown key is asked for sooner
	status, text := co.in(co.browser(), "anna", "otp")
	co.want("with the new key", status, text, 200, "oidc:anna.berg")
}

// TestFormsOutliveAPage: what the provider said is asked for again after an hour; a form that was begun before is still taken for the time that a page
// may stay open.
func TestFormsOutliveAPage(t *testing.T) {
	c := realClock()
	co := openCompany(t, storetest.SQLite(t, storetest.WithClock(c.now)), c)
	co.providers.Look(t.Context())
	b := co.browser()
	co.in(b, "ben", "otp", "fresh=yes")
	for range 6 {
		co.clock.add(10 * time.Minute)
		co.read(b.Post(co.url+"/who", "", nil))
	}
	if res, text := co.read(b.Post(co.url+"/who", "", nil)); res.StatusCode != 403 || !strings.Contains(text, "second factor") {
		t.Errorf("a form after an hour: %d %s, want it judged", res.StatusCode, text)
	}
	status, text := co.who(b)
	co.want("a page after an hour", status, text, 401, "time to ask")
	co.clock.add(14 * time.Minute)
	co.read(b.Post(co.url+"/who", "", nil))
	co.clock.add(time.Minute)
	if res, text := co.read(b.Post(co.url+"/who", "", nil)); res.StatusCode != 401 {
		t.Errorf("a form a quarter of an hour later: %d %s, want 401", res.StatusCode, text)
	}
}

// TestSigningOutGoesOnAtTheProvider, and everywhere ends every session of the person here.
func TestSigningOutGoesOnAtTheProvider(t *testing.T) {
	c := realClock()
	co := openCompany(t, storetest.SQLite(t, storetest.WithClock(c.now)), c)
	co.providers.Look(t.Context())
	b, other := co.browser(), co.browser()
	co.in(b, "anna", "otp")
	co.in(other, "anna", "otp")
	co.clock.add(time.Second)
	_, to := co.read(b.PostForm(co.url+"/out", url.Values{"all": {"yes"}}))
	for _, one := range []*http.Client{b, other} {
		status, text := co.who(one)
		co.want("signed out", status, text, 401, "")
	}
	if !strings.HasPrefix(to, co.issuer+"/session/end?") {
		t.Fatalf("it goes on at %q", to)
	}
	if _, text := co.get(b, to); !strings.Contains(text, "Leave") {
		t.Errorf("the provider says %s", text)
	}
	out := entries(t, co.db, audit.Filter{Action: access.SignedOut})
	if len(out) != 1 || out[0].Actor != "oidc:anna.berg" || out[0].Object != "console/everywhere" {
		t.Errorf("on record: %+v", out)
	}
}

// TestAnotherProviderThanTheOneThatIsNamedIsNotBelieved: the metadata must be of the issuer that the configuration has.
func TestAnotherProviderThanTheOneThatIsNamedIsNotBelieved(t *testing.T) {
	c := realClock()
	co := openCompany(t, storetest.SQLite(t, storetest.WithClock(c.now)), c, func(p *access.Provider) {
		p.Issuer = strings.Replace(p.Issuer, "127.0.0.1", "localhost", 1)
	})
	if co.providers.Look(t.Context()); co.asked.Load() == 0 {
		t.Fatal("it was not asked")
	}
	status, text := co.in(co.browser(), "anna", "otp")
	co.want("metadata of another issuer", status, text, 503, "does not answer")
}

func TestAStepUpNamesActions(t *testing.T) {
	for word, want := range map[string]problem.Kind{"link.*": "", "keys.revoke": "", "link.pouse": problem.Invalid, "msg.read": problem.Invalid} {
		_, err := policy(t, nil, nil).Demand(access.StepUp{Actions: []string{word}})
		if got := problem.KindOf(err); got != want {
			t.Errorf("%s: kind %q, want %q", word, got, want)
		}
	}
}
