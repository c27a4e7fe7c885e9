package access_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/access/adtest"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// domain is a plant whose people have their accounts in a real Active Directory.
type domain struct {
	t       *testing.T
	dc      *adtest.Controller
	db      *store.DB
	clock   *clock
	users   *access.Users
	members *access.Members
	url     string
}

func openDomain(t *testing.T, dc *adtest.Controller, change ...func(*access.Directory)) *domain {
	t.Helper()
	return joinDomain(t, dc, nil, change...)
}

// joinDomain has the plant use a database that is there already, if one is given.
func joinDomain(t *testing.T, dc *adtest.Controller, db *store.DB, change ...func(*access.Directory)) *domain {
	t.Helper()
	c := realClock()
	if db == nil {
		db = storetest.SQLite(t, storetest.WithClock(c.now))
	}
	d := &domain{t: t, dc: dc, db: db, clock: c, users: access.NewUsers("1000", policy(t, nil, nil)).Cheap()}
	s := access.NewSessions(d.db, d.users, access.SessionConfig{Absolute: 48 * time.Hour, Idle: 24 * time.Hour})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(dc.CA)
	cfg := access.Directory{
		URLs: []string{dc.URL}, Base: adtest.Base, User: adtest.User, Password: func(context.Context) (string, error) { return adtest.Password("svc-holdfast"), nil },
		Roles: map[string][]string{"Holdfast-Operators": {"operator", "viewer"}, "Holdfast-Leads": {"shift-lead"}}, TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}
	for _, f := range change {
		f(&cfg)
	}
	d.members = access.NewDirectory(s, cfg, slog.New(slog.NewTextHandler(t.Output(), nil)))
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, by access.Actor, err error) {
		if err != nil {
			w.WriteHeader(problem.KindOf(err).HTTPStatus())
			fmt.Fprint(w, err)
			return
		}
		fmt.Fprint(w, by.Name, by.Rights.Roles)
	}
	mux.HandleFunc("POST /in", func(w http.ResponseWriter, r *http.Request) {
		answer(w, access.Actor{}, s.SignIn(r, r.FormValue("name"), r.FormValue("password"), r.FormValue("code")))
	})
	mux.HandleFunc("GET /who", func(w http.ResponseWriter, r *http.Request) {
		by, err := s.Who(r, "")
		answer(w, by, err)
	})
	signing(t, d.db, mux, s)
	badgeRoutes(t, d.db, mux, s)
	srv := httptest.NewServer(s.Wrap(mux))
	t.Cleanup(srv.Close)
	d.url = srv.URL
	return d
}

// in signs somebody in and says who they then are, or why they are not let in.
func (d *domain) in(name, password, code string) (b *http.Client, status int, text string) {
	d.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		d.t.Fatal(err)
	}
	b = &http.Client{Jar: jar}
	res, err := b.PostForm(d.url+"/in", url.Values{"name": {name}, "password": {password}, "code": {code}})
	if status, text = d.read(res, err); status == http.StatusOK {
		status, text = d.who(b)
	}
	return b, status, text
}

func (d *domain) who(b *http.Client) (status int, text string) {
	d.t.Helper()
	res, err := b.Get(d.url + "/who")
	return d.read(res, err)
}

func (d *domain) read(res *http.Response, err error) (status int, text string) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func (d *domain) want(what string, status int, text string, wantStatus int, want string) {
	d.t.Helper()
	if status != wantStatus || !strings.Contains(text, want) {
		d.t.Errorf("%s: %d %q, want %d %q", what, status, text, wantStatus, want)
	}
}

// device gives somebody a second factor, whose codes it returns.
func (d *domain) device(name string) func() string {
	d.t.Helper()
	var shown access.Shown
	err := d.db.InTx(d.t.Context(), func(tx *store.Tx) (err error) {
		shown, err = d.users.SetFactor(d.t.Context(), tx, name)
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(shown.Secret)
	if err != nil {
		d.t.Fatal(err)
	}
	d.clock.add(time.Second) // a session that begins at the moment in which others were ended is taken for one of those
	return func() string { return access.CodeAt(secret, d.clock.now()) }
}

func (d *domain) sync() {
	d.t.Helper()
	if err := d.members.Sync(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// TestPeopleOfAnActiveDirectory is against a real controller, which is started once.
func TestPeopleOfAnActiveDirectory(t *testing.T) {
	dc := adtest.Start(t)
	t.Run("who is let in", func(t *testing.T) { testDirectorySignIn(t, dc) })
	t.Run("why somebody is not", func(t *testing.T) { testDirectoryRefusals(t, dc) })
	t.Run("a second factor", func(t *testing.T) { testDirectoryFactor(t, dc) })
	t.Run("what cannot be believed", func(t *testing.T) { testDirectoryTLS(t, dc) })
	t.Run("who is removed", func(t *testing.T) { testDirectoryRemoval(t, dc) })
	t.Run("the controller is away", func(t *testing.T) { testDirectoryAway(t, dc) })
	t.Run("a controller is half dead", func(t *testing.T) { testDirectoryHalfDead(t, dc) })
	t.Run("badges", func(t *testing.T) { testDirectoryBadges(t, dc) })
	t.Run("attempts are counted by the account", func(t *testing.T) { testDirectoryAttempts(t, dc) })
	t.Run("attempts are counted behind a flood", func(t *testing.T) { testDirectoryFlood(t, dc) })
	t.Run("attempts at an account of the plant", func(t *testing.T) { testDirectoryNamesake(t, dc) })
	t.Run("groups are on record", func(t *testing.T) { testDirectoryGroups(t, dc) })
	t.Run("one who cannot be read", func(t *testing.T) { testDirectoryUnread(t, dc) })
}

// testDirectorySignIn: op1 is in a group of the roles through another. Whatever a person types for their name, they are the same.
func testDirectorySignIn(t *testing.T, dc *adtest.Controller) {
	c := realClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, at := range []string{dc.URL, dc.StartTLS} {
			d := joinDomain(t, dc, db, func(a *access.Directory) { a.URLs = []string{"ldaps://127.0.0.1:1", at} }) // the first controller is not there
			for _, name := range []string{"op1", "OP1", `PLANT\op1`, "op1@plant.holdfast.test"} {
				_, status, text := d.in(name, adtest.Password("op1"), "")
				d.want(name, status, text, 200, "ad:op1[viewer]")
			}
		}
		if got := entries(t, db, audit.Filter{Action: access.SignedIn}); len(got) != 8 || got[0].Actor != "ad:op1" {
			t.Errorf("signed in: %+v", got)
		}
	}, storetest.WithClock(c.now))
	db := storetest.SQLite(t)
	for what, roles := range map[string]map[string][]string{
		"by a DN":  {"CN=Holdfast-Operators,CN=Users," + adtest.Base: {"viewer"}},
		"by a SID": {"S-1-5-32-545": {"viewer"}}, // BUILTIN\Users, in which the domain's users are
	} {
		d := joinDomain(t, dc, db, func(a *access.Directory) { a.Roles = roles })
		_, status, text := d.in("op1", adtest.Password("op1"), "")
		d.want(what, status, text, 200, "ad:op1[viewer]")
	}
	if n := dc.Open(); n != 0 {
		t.Errorf("%d connections are still open, want none: what a person's password has opened must serve nobody else", n)
	}
}

func testDirectoryRefusals(t *testing.T, dc *adtest.Controller) {
	d := openDomain(t, dc)
	for range 3 {
		d.in("locked1", "wrong", "")
	}
	tests := []struct {
		name, account, password string
		status                  int
		why                     string
	}{
		{"a wrong password", "op1", "op2-Passw0rd!", 401, "name, password or code is not right"},
		{"no password", "op1", "", 401, "name, password or code is not right"},
		{"a name that nobody has", "op9", adtest.Password("op9"), 401, "name, password or code is not right"},
		{"a name that is a filter", "op1)(cn=*", adtest.Password("op1"), 401, "name, password or code is not right"},
		{"a name that fits many", "op*", adtest.Password("op1"), 401, "name, password or code is not right"},
		{"a disabled account", "disabled1", adtest.Password("disabled1"), 403, "the account is disabled"},
		{"a disabled account with a wrong password", "disabled1", "wrong", 401, "name, password or code is not right"},
		{"an expired account", "expired1", adtest.Password("expired1"), 403, "the account has expired"},
		{"a locked account", "locked1", adtest.Password("locked1"), 403, "the account is locked"},
		{"a password that must be changed", "must1", adtest.Password("must1"), 403, "the password must be changed"},
		{"no group of the roles", "nobody1", adtest.Password("nobody1"), 403, "no group of theirs has a role"},
	}
	for _, tt := range tests {
		b, status, text := d.in(tt.account, tt.password, "")
		d.want(tt.name, status, text, tt.status, tt.why)
		status, text = d.who(b)
		d.want(tt.name+", after it", status, text, 401, "nobody is signed in")
	}
	if got := entries(t, d.db, audit.Filter{Action: access.SignInRefused}); len(got) < 10 {
		t.Errorf("%d refusals are on record, want 10 at least", len(got))
	}
}

// testDirectoryFlood: who makes more refusals in a minute than are answered one by one tries no account more often for that.
func testDirectoryFlood(t *testing.T, dc *adtest.Controller) {
	d := openDomain(t, dc)
	d.in("op1", adtest.Password("op1"), "")
	code := d.device("ad:op1")
	now := d.clock.now()
	d.clock.add(now.Truncate(time.Minute).Add(time.Minute).Sub(now)) // the refusals are of one minute
	for i := range 61 {
		d.in(fmt.Sprintf("nobody%d", i), "x", "")
	}
	for i := range 10 {
		d.in("op1", adtest.Password("op1"), fmt.Sprintf("%06d", 900000+i))
	}
	_, status, text := d.in("op1", adtest.Password("op1"), code())
	d.want("the right code after ten wrong ones", status, text, 429, "")
	d.clock.add(11 * time.Minute)
	_, status, text = d.in("op1", adtest.Password("op1"), code())
	d.want("eleven minutes later", status, text, 200, "ad:op1")
}

// TestWindowsErrorsAreToldApart has those that a test cannot bring a controller to say at once.
func TestWindowsErrorsAreToldApart(t *testing.T) {
	for code, want := range map[string]string{
		"525": "not right", "52e": "not right", "530": "at this time", "531": "from this machine", "532": "password has expired", "533": "disabled", "701": "account has expired",
		"773": "changed first", "775": "locked", "999": "not right",
	} {
		if err := access.RefusedBy("80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data " + code + ", v2580"); !strings.Contains(err.Error(), want) {
			t.Errorf("data %s: %v, want %q", code, err, want)
		}
	}
}

// testDirectoryFactor: a password alone gives no more than looking on, and a code is good once.
func testDirectoryFactor(t *testing.T, dc *adtest.Controller) {
	d := openDomain(t, dc, func(a *access.Directory) {
		a.Roles["Holdfast-Leads"] = []string{"erp-team"}
		delete(a.Roles, "Holdfast-Operators")
	})
	_, status, text := d.in("op2", adtest.Password("op2"), "")
	d.want("with a password alone", status, text, 403, "no second factor in this plant")
	code := d.device("ad:op2")
	_, status, text = d.in("op2", adtest.Password("op2"), "")
	d.want("without a code", status, text, 401, "not right")
	now := code()
	lead, status, text := d.in("op2", adtest.Password("op2"), now)
	d.want("with both", status, text, 200, "ad:op2[erp-team]")
	_, status, text = d.in("op2", adtest.Password("op2"), now)
	d.want("with a code that was used", status, text, 401, "not right")
	if got := entries(t, d.db, audit.Filter{Action: access.SignInRefused}); len(got) != 3 || got[0].Actor != "ad:op2" {
		t.Errorf("refused: %+v", got)
	}
	d.clock.add(time.Minute) // or the code were the one that was used
	if got, asks := doAt(t, d.url, lead, access.MsgDiscard, "message/1", shown("wrong", code())...); got != 403 || !asks {
		t.Errorf("signed with a wrong password: %d, asks %v, want 403 that asks again", got, asks)
	}
	if got, _ := doAt(t, d.url, lead, access.MsgDiscard, "message/1", shown(adtest.Password("op2"), code())...); got != 200 {
		t.Errorf("signed: %d", got)
	}
}

// testDirectoryTLS: nothing is said to a controller that cannot be believed, and nobody is told that their password is wrong.
func testDirectoryTLS(t *testing.T, dc *adtest.Controller) {
	db := storetest.SQLite(t)
	for what, change := range map[string]func(*access.Directory){
		"a certificate of another CA": func(a *access.Directory) {
			a.TLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		},
		"a certificate of another CA, by StartTLS": func(a *access.Directory) { a.TLS, a.URLs = nil, []string{dc.StartTLS} },
		"a certificate of another name":            func(a *access.Directory) { a.URLs = []string{strings.Replace(dc.URL, "127.0.0.1", "localhost", 1)} },
		"a certificate that has expired":           func(a *access.Directory) { a.TLS.Time = func() time.Time { return time.Now().Add(48 * time.Hour) } },
		"LDAPS where there is none":                func(a *access.Directory) { a.URLs = []string{strings.Replace(dc.StartTLS, "ldap:", "ldaps:", 1)} },
		"a wrong password of the one who reads it": func(a *access.Directory) { a.Password = func(context.Context) (string, error) { return "wrong", nil } },
	} {
		d := joinDomain(t, dc, db, change)
		_, status, text := d.in("op1", adtest.Password("op1"), "")
		d.want(what, status, text, 503, "cannot be believed")
	}
}

// testDirectoryRemoval: whoever loses a group, or the account, loses what it gave at the next look.
func testDirectoryRemoval(t *testing.T, dc *adtest.Controller) {
	d := openDomain(t, dc, func(a *access.Directory) { a.Sync = time.Second }) // the configuration takes 30s at most
	d.in("op2", adtest.Password("op2"), "")
	code := d.device("ad:op2")
	lead, status, text := d.in("op2", adtest.Password("op2"), code())
	d.want("op2", status, text, 200, "ad:op2[operator shift-lead viewer]")
	op3, status, text := d.in("op3", adtest.Password("op3"), "")
	d.want("op3", status, text, 200, "ad:op3[viewer]")
	gone, status, text := d.in("op1", adtest.Password("op1"), "")
	d.want("op1", status, text, 200, "ad:op1[viewer]")

	dc.Tool("group", "removemembers", "Holdfast-Leads", "op2")
	d.sync()
	status, text = d.who(lead)
	d.want("op2 without one of two groups", status, text, 200, "ad:op2[operator viewer]")

	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- d.members.Run(ctx) }()
	dc.Tool("group", "removemembers", "Line1-Crew", "op2,op3")
	removed := time.Now()
	d.until(lead, "the session was ended", removed)
	d.until(op3, "the session was ended", removed)
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	status, text = d.who(gone)
	d.want("who was not removed", status, text, 200, "ad:op1[viewer]")
	_, status, text = d.in("op3", adtest.Password("op3"), "")
	d.want("op3 again", status, text, 403, "no group of theirs has a role")

	dc.Tool("user", "disable", "op1")
	d.sync()
	status, text = d.who(gone)
	d.want("op1, disabled", status, text, 401, "the session was ended")
	dc.Tool("user", "enable", "op1")
	out := entries(t, d.db, audit.Filter{Action: access.UserSignOut})
	if len(out) != 3 || out[0].Object != "user/ad:op1" || !strings.Contains(out[0].Reason, "the account is disabled") || !strings.Contains(out[2].Reason, "no group of theirs") {
		t.Errorf("on record: %+v", out)
	}
}

// until waits until a browser is told what it must be told in under a minute.
func (d *domain) until(b *http.Client, want string, since time.Time) {
	d.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, text := d.who(b); strings.Contains(text, want) {
			return
		}
		if time.Since(since) > time.Minute {
			d.t.Fatal("a minute later they are still in")
		}
	}
}

// testDirectoryAway: who is signed in works on for as long as the policy says, by the plant's own clock; new people are told why.
func testDirectoryAway(t *testing.T, dc *adtest.Controller) {
	d := openDomain(t, dc)
	b, status, text := d.in("op1", adtest.Password("op1"), "")
	d.want("op1", status, text, 200, "ad:op1[viewer]")
	dc.Away(true)
	if err := d.members.Sync(t.Context()); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("the directory is asked: %v, want that it is away", err)
	}
	_, status, text = d.in("op1", adtest.Password("op1"), "")
	d.want("a new session", status, text, 503, "does not answer")
	d.clock.add(11*time.Hour + 50*time.Minute)
	status, text = d.who(b)
	d.want("ten minutes before the twelve hours are over", status, text, 200, "ad:op1[viewer]")
	dc.Away(false)
	d.sync()
	dc.Away(true)
	d.clock.add(11 * time.Hour)
	status, text = d.who(b)
	d.want("eleven hours after it has answered again", status, text, 200, "ad:op1[viewer]")
	d.clock.add(time.Hour)
	status, text = d.who(b)
	d.want("twelve hours after it", status, text, 401, "too old")
	dc.Away(false)
}

// halfDead is a controller that can be believed, answers each connection with these bytes and never says anything else, with how many there were.
func halfDead(t *testing.T, answer string) (at string, ca *x509.Certificate, asked *atomic.Int64) {
	t.Helper()
	web := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	t.Cleanup(web.Close)
	l, err := tls.Listen("tcp", "127.0.0.1:0", web.TLS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	asked = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			go func() {
				defer c.Close()
				_, _ = c.Read(make([]byte, 1024))
				_, _ = io.WriteString(c, answer)
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
	return "ldaps://" + l.Addr().String(), web.Certificate(), asked
}

// testDirectoryHalfDead: a controller that accepts connections and serves nobody keeps the others away from nobody, and is asked last for a minute.
func testDirectoryHalfDead(t *testing.T, dc *adtest.Controller) {
	const refused = "\x30\x0c\x02\x01\x01\x61\x07\x0a\x01%c\x04\x00\x04\x00" // the answer to the first bind
	for name, answer := range map[string]string{
		"it says nothing": "", "it is busy": fmt.Sprintf(refused, 51), "it is unavailable": fmt.Sprintf(refused, 52),
	} {
		t.Run(name, func(t *testing.T) {
			at, ca, asked := halfDead(t, answer)
			d := openDomain(t, dc, func(a *access.Directory) {
				a.TLS.RootCAs.AddCert(ca)
				a.URLs = []string{at, dc.URL}
			})
			_, status, text := d.in("op1", adtest.Password("op1"), "")
			d.want("op1, by the second controller", status, text, 200, "ad:op1[viewer]")
			d.sync()
			if n := asked.Load(); n != 1 {
				t.Errorf("the first was asked %d times in a minute, want once", n)
			}
			d.clock.add(time.Minute)
			d.sync()
			if n := asked.Load(); n != 2 {
				t.Errorf("the first was asked %d times a minute later, want twice", n)
			}
		})
	}
	at, ca, asked := halfDead(t, fmt.Sprintf(refused, 49))
	d := openDomain(t, dc, func(a *access.Directory) {
		a.TLS.RootCAs.AddCert(ca)
		a.URLs = []string{dc.URL, at}
	})
	_, status, text := d.in("op1", "wrong", "")
	d.want("a wrong password", status, text, 401, "not right")
	if n := asked.Load(); n != 0 {
		t.Errorf("a wrong password was tried at %d controllers more, which may each count it", n)
	}
}

// testDirectoryAttempts: whatever somebody is called, of the attempts that lock their account few come from one place. Here the account stands for two names.
func testDirectoryAttempts(t *testing.T, dc *adtest.Controller) {
	dc.Tool("domain", "passwordsettings", "set", "--account-lockout-threshold=0")
	dc.Tool("user", "rename", "expired1", "--upn=other.name@plant.holdfast.test")
	d := openDomain(t, dc)
	for _, name := range []string{"expired1", "other.name@plant.holdfast.test", "expired1", "other.name@plant.holdfast.test"} {
		_, status, text := d.in(name, "wrong", "")
		d.want(name, status, text, 401, "not right")
	}
	for name, password := range map[string]string{"expired1": "wrong", "other.name@plant.holdfast.test": adtest.Password("expired1")} {
		_, status, text := d.in(name, password, "")
		d.want(name+", the fifth time", status, text, 429, "failed too often")
	}
	_, status, text := d.in("op1", adtest.Password("op1"), "")
	d.want("somebody else", status, text, 200, "ad:op1")
	d.clock.add(10 * time.Minute)
	_, status, text = d.in("expired1", adtest.Password("expired1"), "")
	d.want("ten minutes later", status, text, 403, "the account has expired")
}

// testDirectoryUnread: an account that may not be read (a controller takes that right away from members of protected groups by itself) keeps nobody else in.
func testDirectoryUnread(t *testing.T, dc *adtest.Controller) {
	d := openDomain(t, dc)
	dc.Tool("group", "addmembers", "Line1-Crew", "op2,op3")
	browsers := map[string]*http.Client{}
	for _, name := range []string{"op1", "op2", "op3"} {
		b, status, text := d.in(name, adtest.Password(name), "")
		d.want(name, status, text, 200, "ad:"+name+"[")
		browsers[name] = b
	}
	d.sync()
	if got := d.members.Unread(); len(got) != 0 {
		t.Errorf("unread at first: %v", got)
	}
	dc.Tool("dsacl", "set", "--objectdn=CN=op1,CN=Users,"+adtest.Base, "--sddl=(D;;RP;;;AU)")
	dc.Tool("group", "removemembers", "Line1-Crew", "op2,op3")
	d.clock.add(11 * time.Hour)
	d.sync()
	if got := d.members.Unread(); len(got) != 1 || got[0] != "ad:op1" {
		t.Errorf("unread: %v, want ad:op1", got)
	}
	status, text := d.who(browsers["op3"])
	d.want("who was removed", status, text, 401, "the session was ended")
	status, text = d.who(browsers["op1"])
	d.want("who cannot be read, within keep", status, text, 200, "ad:op1")
	d.clock.add(time.Hour)
	status, text = d.who(browsers["op1"])
	d.want("who cannot be read, after keep", status, text, 401, "too old")
}

// testDirectoryNamesake: whoever is right in the directory is forgiven no guesses at the plant's account of the same name.
func testDirectoryNamesake(t *testing.T, dc *adtest.Controller) {
	d := openDomain(t, dc)
	hash, err := d.users.Hash(t.Context(), goodPassword)
	if err == nil {
		err = d.db.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := d.users.Add(t.Context(), tx, "local:test", "op1", hash, []string{"erp-team"})
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		_, status, text := d.in("op1", "guess", "")
		d.want(fmt.Sprint("guess ", i), status, text, 401, "not right")
	}
	_, status, text := d.in(`PLANT\op1`, adtest.Password("op1"), "")
	d.want("op1 of the directory", status, text, 200, "ad:op1")
	_, status, text = d.in("op1", "guess", "")
	d.want("the guess after that", status, text, 429, "failed too often")
}

// testDirectoryGroups: what somebody gains or loses in the directory is on record, whether it is found by the look at everybody or by their sign-in.
func testDirectoryGroups(t *testing.T, dc *adtest.Controller) {
	d := openDomain(t, dc)
	d.in("op1", adtest.Password("op1"), "")
	dc.Tool("group", "addmembers", "Holdfast-Leads", "op1")
	d.sync()
	d.clock.add(2 * time.Minute)
	d.sync()
	dc.Tool("group", "removemembers", "Holdfast-Leads", "op1")
	d.in("op1", adtest.Password("op1"), "")
	var got []string
	for _, e := range entries(t, d.db, audit.Filter{Action: access.GroupsChanged}) {
		got = append(got, fmt.Sprintf("%s %s %s %s", e.Actor, e.Object, e.Before, e.After))
	}
	slices.Sort(got)
	const op, both, none = `{"groups":["Holdfast-Operators"]}`, `{"groups":["Holdfast-Leads","Holdfast-Operators"]}`, `{"groups":[]}`
	want := []string{"directory user/ad:op1 " + both + " " + op, "directory user/ad:op1 " + op + " " + both, "directory user/ad:op1 " + none + " " + op}
	if !slices.Equal(got, want) {
		t.Errorf("on record %q, want %q", got, want)
	}
}
