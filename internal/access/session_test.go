package access_test

import (
	"encoding/base32"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
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

// TestCodesAreThoseOfTheStandard has the values of RFC 6238, appendix B, cut to six digits.
func TestCodesAreThoseOfTheStandard(t *testing.T) {
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if got := access.CodeAt([]byte("12345678901234567890"), time.Unix(at, 0)); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
}

const goodPassword = "four words nobody guesses"

// door is a console that says who is there; sign-in and sign-out are its only acts.
type door struct {
	t      *testing.T
	db     *store.DB
	clock  *clock
	users  *access.Users
	secret []byte
	shown  access.Shown
	url    string
}

func openDoor(t *testing.T, db *store.DB, c *clock) *door {
	t.Helper()
	p := policy(t, nil, nil)
	d := &door{t: t, db: db, clock: c, users: access.NewUsers("1000", p).Cheap()}
	d.shown, d.secret = d.person("anna")
	s := access.NewSessions(db, d.users, access.SessionConfig{})
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, err error) {
		if err != nil {
			w.WriteHeader(problem.KindOf(err).HTTPStatus())
		}
	}
	mux.HandleFunc("POST /in", func(w http.ResponseWriter, r *http.Request) {
		answer(w, s.SignIn(r, r.FormValue("name"), r.FormValue("password"), r.FormValue("code")))
	})
	mux.HandleFunc("POST /out", func(w http.ResponseWriter, r *http.Request) {
		_, err := s.SignOut(r, r.FormValue("all") != "")
		answer(w, err)
	})
	signing(t, db, mux, s)
	passkeyRoutes(t, db, mux, s)
	mux.HandleFunc("GET /{action...}", func(w http.ResponseWriter, r *http.Request) {
		by, err := s.Who(r, r.PathValue("action"))
		answer(w, err)
		fmt.Fprint(w, by.Name)
	})
	srv := httptest.NewServer(s.Wrap(mux))
	t.Cleanup(srv.Close)
	d.url = srv.URL
	return d
}

// person gives somebody an account.
func (d *door) person(name string) (shown access.Shown, secret []byte) {
	d.t.Helper()
	hash, err := d.users.Hash(d.t.Context(), goodPassword)
	if err != nil {
		d.t.Fatal(err)
	}
	d.tx(func(tx *store.Tx) (err error) {
		shown, err = d.users.Add(d.t.Context(), tx, "local:test", name, hash, []string{"erp-team"})
		return err
	})
	if secret, err = base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(shown.Secret); err != nil {
		d.t.Fatal(err)
	}
	return shown, secret
}

func (d *door) tx(fn func(tx *store.Tx) error) {
	d.t.Helper()
	if err := d.db.InTx(d.t.Context(), fn); err != nil {
		d.t.Fatal(err)
	}
}

func (d *door) code() string { return access.CodeAt(d.secret, d.clock.now()) }

// next is a time at which the device shows another code.
func (d *door) next() { d.clock.add(30 * time.Second) }

func (d *door) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

func (d *door) in(c *http.Client, name, password, code string) int {
	d.t.Helper()
	res, err := c.PostForm(d.url+"/in", map[string][]string{"name": {name}, "password": {password}, "code": {code}})
	if err != nil {
		d.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

func (d *door) sees(c *http.Client, action string) int {
	d.t.Helper()
	res, err := c.Get(d.url + "/" + action)
	if err != nil {
		d.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

func TestAPersonSignsInWithPasswordAndCode(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := openDoor(t, db, c)
		b := d.browser()
		if got := d.sees(b, access.MsgRead); got != 401 {
			t.Errorf("nobody: %d, want 401", got)
		}
		used := d.code()
		if got := d.in(b, "anna", goodPassword, used); got != 200 {
			t.Fatalf("signing in: %d", got)
		}
		for action, want := range map[string]int{access.MsgRead: 200, access.KeysRead: 403, "": 200} {
			if got := d.sees(b, action); got != want {
				t.Errorf("%q: %d, want %d", action, got, want)
			}
		}
		wrong := []struct{ name, who, password, code string }{
			{"the same code again", "anna", goodPassword, used},
			{"a wrong code", "anna", goodPassword, "000000"},
			{"no code", "anna", goodPassword, ""},
			{"nobody's name", "eve", goodPassword, used},
		}
		for _, tt := range wrong {
			if got := d.in(d.browser(), tt.who, tt.password, tt.code); got != 401 {
				t.Errorf("%s: %d, want 401", tt.name, got)
			}
		}
		d.next()
		if got := d.in(d.browser(), "anna", "another password", d.code()); got != 401 {
			t.Errorf("a wrong password: %d, want 401", got)
		}
		if got := d.in(d.browser(), "anna", goodPassword, d.code()); got != 200 {
			t.Errorf("the code that came with a wrong password: %d, want 200: it was not used up", got)
		}
		if got := d.in(d.browser(), "anna", goodPassword, d.shown.Recovery[0]); got != 200 {
			t.Errorf("a recovery code: %d, want 200", got)
		}
		if got := d.in(d.browser(), "anna", goodPassword, d.shown.Recovery[0]); got != 401 {
			t.Errorf("the same recovery code: %d, want 401", got)
		}
		d.onRecord()
	}, storetest.WithClock(c.now))
}

// onRecord: sign-ins and refusals are in the record, and no password, no code and no name that is nobody's.
func (d *door) onRecord() {
	d.t.Helper()
	in := entries(d.t, d.db, audit.Filter{Action: access.SignedIn})
	refused := entries(d.t, d.db, audit.Filter{Action: access.SignInRefused})
	if len(in) != 3 || in[0].Actor != "user:anna" || in[0].From != "127.0.0.1" {
		d.t.Errorf("signed in: %+v", in)
	}
	if len(refused) < 6 {
		d.t.Errorf("%d refusals on record, want each", len(refused))
	}
	for _, e := range append(in, refused...) {
		text := e.Actor + e.Object + string(e.After)
		if strings.Contains(text, "eve") || strings.Contains(text, goodPassword) || strings.Contains(text, d.shown.Recovery[0]) {
			d.t.Errorf("the record has what it must not: %+v", e)
		}
	}
}

// TestASessionEnds: unused, after its longest time, by signing out, by another password, and at once when the account is disabled.
func TestASessionEnds(t *testing.T) {
	tests := []struct {
		name  string
		after func(d *door, mine *http.Client)
		want  int // of another browser of the same person
	}{
		{"unused", func(d *door, _ *http.Client) { d.clock.add(15 * time.Minute) }, 401},
		{"used all the time", func(d *door, mine *http.Client) {
			for range 72 {
				d.clock.add(10 * time.Minute)
				d.sees(mine, access.MsgRead)
			}
		}, 401},
		{"signed out", func(d *door, mine *http.Client) { d.out(mine, "") }, 200},
		{"signed out everywhere", func(d *door, mine *http.Client) { d.clock.add(time.Second); d.out(mine, "yes") }, 401},
		{"disabled", func(d *door, _ *http.Client) {
			d.clock.add(time.Second)
			d.tx(func(tx *store.Tx) error { return d.users.Disable(d.t.Context(), tx, "anna") })
		}, 401},
		{"another factor", func(d *door, _ *http.Client) {
			d.clock.add(time.Second)
			d.tx(func(tx *store.Tx) error { _, err := d.users.SetFactor(d.t.Context(), tx, "anna"); return err })
		}, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClock()
			d := openDoor(t, storetest.SQLite(t, storetest.WithClock(c.now)), c)
			mine, other := d.browser(), d.browser()
			first := d.in(mine, "anna", goodPassword, d.code())
			d.next()
			if second := d.in(other, "anna", goodPassword, d.code()); first != 200 || second != 200 || d.sees(mine, access.MsgRead) != 200 {
				t.Fatalf("signing in: %d, %d", first, second)
			}
			tt.after(d, mine)
			if got := d.sees(mine, access.MsgRead); got != 401 {
				t.Errorf("%d, want 401", got)
			}
			if got := d.sees(other, access.MsgRead); got != tt.want {
				t.Errorf("another browser: %d, want %d", got, tt.want)
			}
		})
	}
}

func (d *door) out(c *http.Client, all string) {
	d.t.Helper()
	res, err := c.PostForm(d.url+"/out", map[string][]string{"all": {all}})
	if err != nil {
		d.t.Fatal(err)
	}
	res.Body.Close()
}

// TestTheTokenOfASessionIsNewAtSignInAndKeptByHash: a token that somebody put into the browser before is not the one of the session.
func TestTheTokenOfASessionIsNewAtSignInAndKeptByHash(t *testing.T) {
	c := newClock()
	d := openDoor(t, storetest.SQLite(t, storetest.WithClock(c.now)), c)
	send := func(cookie, code string) *http.Cookie {
		req, err := http.NewRequestWithContext(t.Context(), "POST", d.url+"/in", strings.NewReader("name=anna&code="+code+"&password="+strings.ReplaceAll(goodPassword, " ", "+")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.AddCookie(&http.Cookie{Name: "holdfast_session", Value: cookie})
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if len(res.Cookies()) != 1 {
			t.Fatalf("status %d, cookies %v", res.StatusCode, res.Cookies())
		}
		return res.Cookies()[0]
	}
	first := send("planted", d.code())
	d.next()
	second := send(first.Value, d.code())
	if first.Value == "planted" || second.Value == first.Value || !first.HttpOnly || first.SameSite != http.SameSiteLaxMode || first.Path != "/" {
		t.Errorf("cookies %+v and %+v", first, second)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", d.url+"/"+access.MsgRead, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.AddCookie(first)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != 401 {
		t.Errorf("the token before it: %d, want 401", res.StatusCode)
	}
}

// TestAfterARestoreNobodyIsSignedIn: a copy has sessions whose people may have signed out since.
func TestAfterARestoreNobodyIsSignedIn(t *testing.T) {
	c := newClock()
	d := openDoor(t, storetest.SQLite(t, storetest.WithClock(c.now)), c)
	b := d.browser()
	if got := d.in(b, "anna", goodPassword, d.code()); got != 200 {
		t.Fatalf("signed in: %d", got)
	}
	if got := d.sees(b, access.MsgRead); got != 200 {
		t.Fatalf("before: %d, want 200", got)
	}
	d.tx(func(tx *store.Tx) error { return access.EndSessions(t.Context(), tx) })
	if got := d.sees(b, access.MsgRead); got != 401 {
		t.Errorf("after: %d, want 401", got)
	}
}

// TestFailingLocksNobodyElseOut: whoever fails from one address waits there, and the person signs in from another all the while.
func TestFailingLocksNobodyElseOut(t *testing.T) {
	c := newClock()
	db := storetest.SQLite(t, storetest.WithClock(c.now))
	d := openDoor(t, db, c)
	s := access.NewSessions(db, d.users, access.SessionConfig{})
	from := func(address, password, code string) (kind problem.Kind) {
		r := httptest.NewRequest("POST", "/in", nil)
		r.RemoteAddr = address + ":1"
		s.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			kind = problem.KindOf(s.SignIn(r, "anna", password, code))
		})).ServeHTTP(httptest.NewRecorder(), r)
		return kind
	}
	for i := range 5 {
		if got := from("192.0.2.1", "guess", "000000"); got != problem.Unknown {
			t.Errorf("guess %d: kind %q", i, got)
		}
	}
	if got := from("192.0.2.1", goodPassword, d.code()); got != problem.TooMany {
		t.Errorf("from the guesser's address: kind %q, want too-many", got)
	}
	if got := len(entries(t, d.db, audit.Filter{Action: access.SignInRefused})); got != 6 {
		t.Errorf("%d refusals on record, want the five guesses and the one that had to wait", got)
	}
	if got := from("192.0.2.2", goodPassword, d.code()); got != "" {
		t.Errorf("from another address: kind %q, want none", got)
	}
	d.next()
	if got := from("192.0.2.1", goodPassword, d.code()); got != "" {
		t.Errorf("from the guesser's address, later: kind %q, want none", got)
	}
}

// TestAWaitIsOfTheAccountHoweverItIsWritten: a directory takes all of these for the same.
func TestAWaitIsOfTheAccountHoweverItIsWritten(t *testing.T) {
	c := newClock()
	s := access.NewSessions(storetest.SQLite(t, storetest.WithClock(c.now)), access.NewUsers("1000", policy(t, nil, nil)), access.SessionConfig{})
	for i, name := range []string{"anna  berg", "anna berg ", " Anna Berg", `PLANT\ anna berg`, "anna berg @plant.example"} {
		if err := s.Attempt(name, "192.0.2.1"); err != nil {
			t.Errorf("attempt %d: %v", i, err)
		}
	}
	if err := s.Attempt("anna berg", "192.0.2.1"); problem.KindOf(err) != problem.TooMany {
		t.Errorf("the sixth: %v, want that it waits", err)
	}
}

// TestAFloodOfNamesEndsNobodysWait: who waits is forgotten last, and who has failed an hour ago first.
func TestAFloodOfNamesEndsNobodysWait(t *testing.T) {
	c := newClock()
	s := access.NewSessions(storetest.SQLite(t, storetest.WithClock(c.now)), access.NewUsers("1000", policy(t, nil, nil)), access.SessionConfig{})
	for range 12 {
		_ = s.Attempt("anna", "192.0.2.1")
		c.add(5 * time.Minute)
	}
	_ = s.Attempt("anna", "192.0.2.1")
	for i := range 5000 {
		if err := s.Attempt(fmt.Sprint("name", i), "192.0.2.1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Attempt("anna", "192.0.2.1"); problem.KindOf(err) != problem.TooMany {
		t.Errorf("after a flood of names: %v, want that anna still waits", err)
	}
	c.add(2 * time.Hour)
	for range 5 {
		if err := s.Attempt("ben", "192.0.2.1"); err != nil {
			t.Errorf("two hours later: %v", err)
		}
	}
	if err := s.Attempt("ben", "192.0.2.1"); problem.KindOf(err) != problem.TooMany {
		t.Errorf("the sixth of another: %v, want that it waits", err)
	}
}

// TestManyAttemptsAtOnceAreNotJudgedAll: of a crowd from one network no more than five are, whatever address of it each has.
func TestManyAttemptsAtOnceAreNotJudgedAll(t *testing.T) {
	c := newClock()
	db := storetest.SQLite(t, storetest.WithClock(c.now))
	d := openDoor(t, db, c)
	s := access.NewSessions(db, d.users, access.SessionConfig{})
	var judged, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			r := httptest.NewRequest("POST", "/in", nil)
			r.RemoteAddr = fmt.Sprintf("[2001:db8::%x]:1", i+1)
			s.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				switch problem.KindOf(s.SignIn(r, "anna", "guess", "000000")) {
				case problem.TooMany:
					refused.Add(1)
				case problem.Unknown:
					judged.Add(1)
				}
			})).ServeHTTP(httptest.NewRecorder(), r)
		})
	}
	all.Wait()
	if judged.Load() != 5 || refused.Load() != 35 {
		t.Errorf("%d were judged and %d refused, want 5 and 35", judged.Load(), refused.Load())
	}
}

// TestMadeUpNamesAreTriedNoMoreThanAMinuteAllows: beyond that the address is told so, but for who was let in from there.
func TestMadeUpNamesAreTriedNoMoreThanAMinuteAllows(t *testing.T) {
	c := newClock()
	db := storetest.SQLite(t, storetest.WithClock(c.now))
	d := openDoor(t, db, c)
	s := access.NewSessions(db, d.users, access.SessionConfig{})
	from := func(address, name, password, code string) (kind problem.Kind) {
		r := httptest.NewRequest("POST", "/in", nil)
		r.RemoteAddr = "[" + address + "]:1"
		s.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { kind = problem.KindOf(s.SignIn(r, name, password, code)) })).ServeHTTP(httptest.NewRecorder(), r)
		return kind
	}
	if got := from("2001:db8::bad", "anna", goodPassword, d.code()); got != "" {
		t.Fatalf("anna: kind %q, want none", got)
	}
	c.add(c.now().Truncate(time.Minute).Add(2 * time.Minute).Sub(c.now())) // what follows is of one minute
	var judged int
	for i := range 100 {
		if from("2001:db8::bad", fmt.Sprint("nobody", i), "guess", "000000") == problem.Unknown {
			judged++
		}
	}
	if judged != 60 {
		t.Errorf("%d of 100 names were judged, want 60", judged)
	}
	if got := from("2001:db8::bad", "anna", goodPassword, d.code()); got != "" {
		t.Errorf("anna from the same address: kind %q, want none", got)
	}
	d.next()
	if got := from("2001:db8::2", "anna", goodPassword, d.code()); got != "" {
		t.Errorf("anna from another of the network: kind %q, want none", got)
	}
}
