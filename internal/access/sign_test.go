package access_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// signing gives the pages of a test an act that has to be signed, and one that need not be. The act fails where the form has fail.
func signing(t *testing.T, db *store.DB, mux *http.ServeMux, s *access.Sessions) {
	t.Helper()
	signs, err := policy(t, nil, nil).Sign([]string{"msg.discard"})
	if err != nil {
		t.Fatal(err)
	}
	doer := access.New(db).Under(signs)
	mux.HandleFunc("POST /do", func(w http.ResponseWriter, r *http.Request) {
		by, err := s.Who(r, "")
		act := access.Act{Action: r.FormValue("action"), Actor: by, Object: r.FormValue("object"), Link: "erp", Reason: "booked by hand"}
		if r.FormValue("meaning") != "" {
			act.Signature = s.Sign(r, r.FormValue("meaning"), r.FormValue("password"), r.FormValue("code"))
		}
		if key := r.FormValue("key"); key != "" {
			act.Idempotency = &access.Key{Value: key, Request: act.Object}
		}
		if err == nil {
			_, err = doer.Do(r.Context(), act, func(context.Context, *store.Tx) (access.Result, error) {
				if r.FormValue("fail") != "" {
					return access.Result{}, &problem.Error{Kind: problem.Conflict, Why: "it is not parked"}
				}
				return access.Result{Before: json.RawMessage(`{"state":"parked"}`), After: json.RawMessage(`{"state":"void"}`)}, nil
			})
		}
		if err != nil {
			w.WriteHeader(problem.KindOf(err).HTTPStatus())
			if _, ask := errors.AsType[access.Unsigned](err); ask {
				fmt.Fprint(w, "sign")
			}
		}
	})
}

// do acts; more are fields of the form. asks tells whether it may be tried again with a signature.
func (d *door) do(c *http.Client, action, object string, more ...string) (status int, asks bool) {
	d.t.Helper()
	return doAt(d.t, d.url, c, action, object, more...)
}

func doAt(t *testing.T, at string, c *http.Client, action, object string, more ...string) (status int, asks bool) {
	t.Helper()
	form := url.Values{"action": {action}, "object": {object}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	res, err := c.PostForm(at+"/do", form)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var told [4]byte
	n, _ := res.Body.Read(told[:])
	return res.StatusCode, string(told[:n]) == "sign"
}

// shown are the fields of a signature.
func shown(password, code string) []string {
	return []string{"meaning", "approval", "password", password, "code", code}
}

// signedIn is a browser in which anna is signed in.
func (d *door) signedIn() *http.Client {
	d.t.Helper()
	b := d.browser()
	if got := d.in(b, "anna", goodPassword, d.code()); got != 200 {
		d.t.Fatalf("signing in: %d", got)
	}
	d.next()
	return b
}

// TestAnActIsSigned has an open session do nothing that is to be signed before its person shows who they are, for each act anew.
func TestAnActIsSigned(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := openDoor(t, db, c)
		b := d.signedIn()
		if got, _ := d.do(b, access.MsgRetry, "message/1"); got != 200 {
			t.Fatalf("an act that need not be signed: %d", got)
		}
		if got, asks := d.do(b, access.MsgDiscard, "message/1"); got != 403 || !asks {
			t.Errorf("without a signature: %d, asks %v, want 403 that asks for one", got, asks)
		}
		if list := entries(t, db, audit.Filter{Action: access.MsgDiscard}); len(list) != 0 {
			t.Errorf("to be asked for a signature is on record as %+v", list)
		}
		used := d.code()
		if got, _ := d.do(b, access.MsgDiscard, "message/1", shown(goodPassword, used)...); got != 200 {
			t.Fatalf("signed: %d", got)
		}
		list := entries(t, db, audit.Filter{Action: access.MsgDiscard})
		if len(list) != 1 {
			t.Fatalf("got %+v, want one entry", list)
		}
		s, err := list[0].Signed()
		if err != nil || s == nil || s.Signer != "user:anna" || s.Meaning != "approval" || s.Shown != "password and code" || !s.At.Equal(list[0].At) || len(s.Digest) != 64 {
			t.Errorf("got %+v, %v, want anna's approval at the time of the entry", s, err)
		}
		if got, asks := d.do(b, access.MsgDiscard, "message/2", shown(goodPassword, used)...); got != 403 || !asks {
			t.Errorf("the same signature under another act: %d, asks %v, want 403 that asks for one", got, asks)
		}
		d.next()
		if got, asks := d.do(b, access.MsgDiscard, "message/2", "meaning", "fun", "password", goodPassword, "code", d.code()); got != 422 || !asks {
			t.Errorf("a meaning that is none: %d, asks %v", got, asks)
		}
		if list := entries(t, db, audit.Filter{Action: access.MsgDiscard, Object: "message/2"}); len(list) != 2 || list[0].Outcome != audit.Refused || list[1].Outcome != audit.Refused {
			t.Errorf("got %+v, want both refusals on record, and nothing done", list)
		}
	}, storetest.WithClock(c.now))
}

// TestAWrongSignatureCountsAsAWrongSignIn has five wrong ones make the sixth wait, also a right one, and nobody elsewhere.
func TestAWrongSignatureCountsAsAWrongSignIn(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := openDoor(t, db, c)
		b := d.signedIn()
		again := append(shown(goodPassword, d.code()), "key", "k1")
		if got, _ := d.do(b, access.MsgDiscard, "message/1", again...); got != 200 {
			t.Fatalf("signed: %d", got)
		}
		d.next()
		for i, wrong := range [][]string{
			shown("not the password", d.code()), shown(goodPassword, "000000"), shown(goodPassword, ""), shown("", ""), shown(goodPassword, "111111"),
		} {
			if got, asks := d.do(b, access.MsgDiscard, "message/2", wrong...); got != 403 || !asks {
				t.Errorf("wrong %d: %d, asks %v, want 403 that asks again", i, got, asks)
			}
			if i == 3 { // a repetition is answered, and forgives nothing
				if got, _ := d.do(b, access.MsgDiscard, "message/1", again...); got != 200 {
					t.Errorf("the first act once more: %d, want its answer", got)
				}
			}
		}
		refused := entries(t, db, audit.Filter{Action: access.SignInRefused})
		if len(refused) != 5 || refused[0].Actor != "user:anna" || refused[0].Object != "signature" {
			t.Errorf("%d failures of %+v are on record, want 5 of anna's", len(refused), refused)
		}
		if got, _ := d.do(b, access.MsgDiscard, "message/2", shown(goodPassword, d.code())...); got != 403 {
			t.Errorf("a right one after five wrong ones: %d, want it to wait", got)
		}
		if got := d.in(d.browser(), "anna", goodPassword, d.code()); got != 429 {
			t.Errorf("signing in from there: %d, want it to wait too", got)
		}
		c.add(time.Minute)
		if got, _ := d.do(b, access.MsgDiscard, "message/2", shown(goodPassword, d.code())...); got != 200 {
			t.Errorf("after a minute: %d", got)
		}
	}, storetest.WithClock(c.now))
}

// TestASignatureIsUsedWithItsAct has an act that fails use no code up, and two at a time with one code do one act.
func TestASignatureIsUsedWithItsAct(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := openDoor(t, db, c)
		b := d.signedIn()
		with := shown(goodPassword, d.code())
		if got, asks := d.do(b, access.MsgDiscard, "message/1", append(with, "fail", "yes")...); got != 409 || asks {
			t.Errorf("an act that fails: %d, asks %v, want 409", got, asks)
		}
		var all sync.WaitGroup
		var done atomic.Int32
		for i := range 4 {
			all.Go(func() {
				if got, _ := d.do(b, access.MsgDiscard, fmt.Sprintf("message/%d", i), with...); got == 200 {
					done.Add(1)
				}
			})
		}
		all.Wait()
		if done.Load() != 1 {
			t.Errorf("%d acts were done with one code, want 1", done.Load())
		}
	}, storetest.WithClock(c.now))
}

// TestNobodyElseSigns has machines and commands do nothing that a person signs, and nobody sign by another's session.
func TestNobodyElseSigns(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p, err := policy(t, nil, nil).Sign([]string{access.MsgDiscard})
		if err != nil {
			t.Fatal(err)
		}
		act := access.Act{Action: access.MsgDiscard, Actor: access.Actor{Name: "token:erp", Rights: access.Everything()}, Object: "message/1", Reason: "booked by hand"}
		_, err = access.New(db).Under(p).Do(t.Context(), act, effect(`{}`))
		if e, ok := errors.AsType[*problem.Error](err); !ok || e.Kind != problem.Denied || !strings.Contains(e.Hint, "console") {
			t.Errorf("a machine: %v, want it denied and sent to the console", err)
		}
		d := openDoor(t, db, c)
		users := access.NewSessions(db, d.users, access.SessionConfig{})
		act.Actor.Person = true
		act.Signature = users.Unnamed("anna", "approval", goodPassword, d.code())
		if _, err = access.New(db).Under(p).Do(t.Context(), act, effect(`{}`)); problem.KindOf(err) != problem.Denied {
			t.Errorf("anna's signature under the act of somebody else: %v, want it denied", err)
		}
	}, storetest.WithClock(c.now))
}

func TestWhatIsSignedIsDoneInTheConsole(t *testing.T) {
	for _, word := range []string{"order.create", "keys.rotate", "msg.discrd", "nothing.*"} {
		if _, err := policy(t, nil, nil).Sign([]string{word}); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: %v, want it refused", word, err)
		}
	}
	if _, err := policy(t, nil, nil).Sign([]string{"msg.*", access.MappingApprove}); err != nil {
		t.Error(err)
	}
}

// TestAPersonOfAProviderSignsBySigningInAnew has each new sign-in sign one act, and one of long ago none.
func TestAPersonOfAProviderSignsBySigningInAnew(t *testing.T) {
	c := realClock()
	co := openCompany(t, storetest.SQLite(t, storetest.WithClock(c.now)), c)
	co.providers.Look(t.Context())
	b := co.browser()
	discard := func() (int, bool) { return doAt(t, co.url, b, access.MsgDiscard, "message/1", "meaning", "review") }
	co.in(b, "ben", "otp")
	if got, asks := discard(); got != 403 || !asks {
		t.Errorf("signed in without being asked for a time: %d, asks %v, want 403 that asks", got, asks)
	}
	co.in(b, "ben", "otp", "fresh=yes")
	if got, _ := discard(); got != 200 {
		t.Errorf("signed in anew: %d", got)
	}
	if got, asks := discard(); got != 403 || !asks {
		t.Errorf("by the same sign-in once more: %d, asks %v, want 403 that asks", got, asks)
	}
	co.clock.add(6 * time.Minute)
	if got, asks := discard(); got != 403 || !asks {
		t.Errorf("six minutes later: %d, asks %v, want 403 that asks", got, asks)
	}
	done := 0
	for _, e := range entries(t, co.db, audit.Filter{Action: access.MsgDiscard}) {
		if s, err := e.Signed(); s != nil && err == nil && s.Signer == "oidc:ben" && s.Meaning == "review" {
			done++
		}
	}
	if done != 1 {
		t.Errorf("%d acts are signed, want 1", done)
	}
}

// TestASignatureNeedsASignInThatThePlantAskedFor: who finds a browser signed in, and can do with it what they like but show who they are, signs
// nothing by what its person showed before.
func TestASignatureNeedsASignInThatThePlantAskedFor(t *testing.T) {
	c := realClock()
	co := openCompany(t, storetest.SQLite(t, storetest.WithClock(c.now)), c)
	co.providers.Look(t.Context())
	b := co.browser()
	discard := func() (int, bool) { return doAt(t, co.url, b, access.MsgDiscard, "message/1", "meaning", "review") }
	sure := func(what string) {
		t.Helper()
		if got, asks := discard(); got != 403 || !asks {
			t.Errorf("%s: %d, asks %v, want 403 that asks", what, got, asks)
		}
	}
	co.form(b, co.leaves(b, ""), "ben", "otp")
	if status, text := co.who(b); status != 200 || !strings.Contains(text, "oidc:ben") {
		t.Fatalf("%d %s, want ben signed in", status, text)
	}
	sure("signed in a moment ago, with its time")
	co.form(b, co.leaves(b, "fresh=yes"), "ben", "otp")
	sure("sent to sign in anew, and let through by the provider without being asked")
	at := co.leaves(b, "")
	for _, k := range b.Jar.Cookies(mustURL(t, co.url)) {
		if k.Name == "holdfast_sign_in" {
			flow, err := base64.RawURLEncoding.DecodeString(k.Value)
			if err != nil {
				t.Fatal(err)
			}
			k.Value = base64.RawURLEncoding.EncodeToString(bytes.Replace(flow, []byte(`"Fresh":false`), []byte(`"Fresh":true`), 1))
			k.Path = "/"
			b.Jar.SetCookies(mustURL(t, co.url), []*http.Cookie{k})
		}
	}
	co.form(b, at, "ben", "otp")
	sure("with a cookie that says that it was asked for")
	got := 0
	for began := time.Now(); got != 200 && time.Since(began) < 10*time.Second; { // a provider tells times by the second
		co.in(b, "ben", "otp", "fresh=yes")
		got, _ = discard()
	}
	if got != 200 {
		t.Errorf("signed in anew: %d", got)
	}
}

// leaves is where the browser is sent to sign in, as somebody changes it: the provider says when its person was there last, and does not ask them.
func (co *company) leaves(b *http.Client, query string) string {
	co.t.Helper()
	once := *b
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, _ := co.get(&once, co.url+"/console/sign-in/company?"+query)
	if res.to == nil {
		co.t.Fatalf("got %d, want that the browser is sent to the provider", res.StatusCode)
	}
	q := res.to.Query()
	q.Del("prompt")
	q.Set("max_age", "3600")
	res.to.RawQuery = q.Encode()
	return res.to.String()
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestNoActionThatMustBeSignedPassesUnsigned tries each of them by a machine, by a command and in a session without a signature, by a command with a
// wrong one, and by a command with a right one: only that is done, and its entry is signed.
func TestNoActionThatMustBeSignedPassesUnsigned(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := openDoor(t, db, c)
		s := access.NewSessions(db, d.users, access.SessionConfig{})
		p, err := policy(t, nil, nil).Sign([]string{"*"})
		if err != nil {
			t.Fatal(err)
		}
		doer := access.New(db).Under(p)
		anna := access.Actor{Name: "user:anna", Rights: access.Everything()}
		here := func(password, code string) *access.Signature {
			g, err := s.SignHere(anna, "review", password, code)
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		for _, action := range access.Signable() {
			did := 0
			try := func(by access.Actor, g *access.Signature) error {
				_, err := doer.Do(t.Context(), access.Act{Action: action, Actor: by, Object: "x/" + action, Reason: "looked at it", Signature: g}, func(context.Context, *store.Tx) (access.Result, error) {
					did++
					return access.Result{}, nil
				})
				return err
			}
			inSession := anna
			inSession.Person, inSession.Factor = true, c.now()
			for name, err := range map[string]error{
				"a machine": try(access.Actor{Name: "token:x", Rights: access.Everything()}, nil), "a command": try(anna, nil), "a session": try(inSession, nil),
				"a machine with anna's signature": try(access.Actor{Name: "token:x", Rights: access.Everything()}, here(goodPassword, d.code())),
				"a wrong code":                    try(anna, here(goodPassword, "000000")),
			} {
				if problem.KindOf(err) != problem.Denied || did != 0 {
					t.Fatalf("%s, %s: done %d times, %v", action, name, did, err)
				}
			}
			if err := try(anna, here(goodPassword, d.code())); err != nil || did != 1 {
				t.Fatalf("%s, signed: done %d times, %v", action, did, err)
			}
			done := entries(t, db, audit.Filter{Action: action, Outcome: audit.Done})
			if len(done) != 1 {
				t.Fatalf("%s: %d entries, want one", action, len(done))
			}
			if g, err := done[0].Signed(); err != nil || g == nil || g.Signer != "user:anna" || g.Meaning != "review" {
				t.Errorf("%s: signed %+v, %v", action, g, err)
			}
			c.add(6 * time.Minute) // a new code, and the wrong ones are forgotten
		}
		for _, name := range []string{"local:anna", "oidc:anna", "ad:anna", "token:anna", ""} {
			if _, err := s.SignHere(access.Actor{Name: name}, "review", "x", "1"); problem.KindOf(err) != problem.Denied {
				t.Errorf("%q: %v, want it denied", name, err)
			}
		}
	}, storetest.WithClock(c.now))
}

// TestACommandThatIsSignedWronglyWaits: each is a process of its own, so the record counts.
func TestACommandThatIsSignedWronglyWaits(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := openDoor(t, db, c)
		p, err := policy(t, nil, nil).Sign([]string{access.MsgDiscard})
		if err != nil {
			t.Fatal(err)
		}
		anna := access.Actor{Name: "user:anna", Rights: access.Everything()}
		try := func(password string) error {
			g, err := access.NewSessions(db, d.users, access.SessionConfig{}).SignHere(anna, "approval", password, d.code())
			if err == nil {
				_, err = access.New(db).Under(p).Do(t.Context(), access.Act{Action: access.MsgDiscard, Actor: anna, Object: "message/1", Reason: "booked by hand", Signature: g}, effect(`{}`))
			}
			return err
		}
		for range 5 {
			if err := try("wrong"); !strings.Contains(fmt.Sprint(err), "not right") {
				t.Fatalf("a wrong password: %v", err)
			}
		}
		if err := try(goodPassword); !strings.Contains(fmt.Sprint(err), "too often") {
			t.Errorf("a right one after five wrong ones: %v, want it to wait", err)
		}
		c.add(5*time.Minute + time.Second)
		if err := try(goodPassword); err != nil {
			t.Errorf("five minutes later: %v", err)
		}
	}, storetest.WithClock(c.now))
}
