package access_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }

func (c *clock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

func makeToken(t *testing.T, db *store.DB, name string, r access.Rights) (access.Token, string) {
	t.Helper()
	var kept access.Token
	var shown string
	err := db.InTx(t.Context(), func(tx *store.Tx) (err error) {
		kept, shown, err = policy(t, nil, nil).MakeToken(t.Context(), tx, "local:test", access.Token{Name: name, Rights: r}, 24*time.Hour)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return kept, shown
}

// request is a call with some headers.
func request(header ...string) *http.Request {
	r := httptest.NewRequest("GET", "/v1/orders", nil)
	r.RemoteAddr = "192.0.2.7:4711"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func bearer(token string) *http.Request { return request("Authorization", "Bearer "+token) }

func TestATokenLetsInWhomItWasMadeFor(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		g := access.NewGate(db, policy(t, nil, nil), nil, nil)
		kept, good := makeToken(t, db, "erp", access.Rights{Roles: []string{"erp"}, Links: []string{"erp"}})
		by, err := g.Identify(t.Context(), bearer(good))
		if err != nil || by.Name != "token:erp" || by.From != "192.0.2.7" || by.Rights.Links[0] != "erp" || by.Rights.Roles[0] != "erp" {
			t.Fatalf("got %+v, %v", by, err)
		}
		another := strings.Replace(good, kept.ID, "00000000", 1)
		tests := []struct {
			name string
			r    *http.Request
		}{
			{"nothing", request()},
			{"a cookie", request("Cookie", "holdfast="+good)},
			{"the token in the query", httptest.NewRequest("GET", "/v1/orders?token="+good, nil)},
			{"another scheme", request("Authorization", "Basic "+good)},
			{"two headers", request("Authorization", "Bearer "+good, "Authorization", "Bearer "+good)},
			{"no token", request("Authorization", "Bearer ")},
			{"one letter other", bearer(good[:len(good)-2] + "AA")},
			{"its beginning", bearer(good[:20])},
			{"an ID that there is not", bearer(another)},
			{"its hash", bearer(hexOf(good))},
			{"some JWT", bearer("e30.e30.e30")},
		}
		for _, tt := range tests {
			if by, err := g.Identify(t.Context(), tt.r); problem.KindOf(err) != problem.Unknown || by.Name != "" || len(by.Rights.Roles) > 0 {
				t.Errorf("%s: %+v, %v; want kind unknown-caller", tt.name, by, err)
			}
		}
		c.add(24 * time.Hour)
		if _, err := g.Identify(t.Context(), bearer(good)); problem.KindOf(err) != problem.Unknown {
			t.Errorf("at its end: %v", err)
		}
	}, storetest.WithClock(c.now))
}

func hexOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestATokenIsNowhereKeptAndCanBeRevoked(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		g := access.NewGate(db, policy(t, nil, nil), nil, nil)
		old, oldShown := makeToken(t, db, "erp", roles("erp"))
		_, newShown := makeToken(t, db, "erp", roles("erp"))
		revoke := func(which string) (n int64) {
			err := db.InTx(t.Context(), func(tx *store.Tx) (err error) { n, err = access.RevokeToken(t.Context(), tx, which); return err })
			if err != nil && problem.KindOf(err) != problem.NotFound {
				t.Fatal(err)
			}
			return n
		}
		good := func(shown string) bool {
			_, err := g.Identify(t.Context(), bearer(shown))
			return err == nil
		}
		if !good(oldShown) || !good(newShown) {
			t.Fatal("two tokens of a name are not both good")
		}
		if n := revoke(old.ID); n != 1 || good(oldShown) || !good(newShown) {
			t.Errorf("revoked %d by ID, and the old one is good: %t, the new one: %t", n, good(oldShown), good(newShown))
		}
		if n := revoke("erp"); n != 1 || good(newShown) {
			t.Errorf("revoked %d by name", n)
		}
		if n := revoke("erp"); n != 0 {
			t.Errorf("revoked %d twice", n)
		}
		var list []access.Token
		err := db.View(t.Context(), func(tx *store.Tx) (err error) { list, err = access.Tokens(t.Context(), tx); return err })
		if err != nil || len(list) != 2 || list[0].Used.IsZero() || list[0].Revoked.IsZero() {
			t.Errorf("got %+v, %v", list, err)
		}
		for _, e := range entries(t, db, audit.Filter{}) {
			if text := e.Object + string(e.After) + e.Reason; strings.Contains(text, oldShown[14:]) || strings.Contains(text, newShown[14:]) {
				t.Errorf("the record has a token: %+v", e)
			}
		}
	})
}

func TestATokenThatCannotBeIsNotMade(t *testing.T) {
	p := policy(t, nil, nil)
	tests := []struct {
		name  string
		token access.Token
		life  time.Duration
	}{
		{"for ever", access.Token{Name: "a", Rights: roles("erp")}, access.MostTokenLife + time.Second},
		{"for no time", access.Token{Name: "a", Rights: roles("erp")}, 0},
		{"for nothing", access.Token{Name: "a"}, time.Hour},
		{"of no role", access.Token{Name: "a", Rights: roles("king")}, time.Hour},
		{"of no action", access.Token{Name: "a", Rights: access.Rights{Own: []access.Grant{{May: []string{"order.eat"}}}}}, time.Hour},
		{"of no name", access.Token{Name: "A b", Rights: roles("erp")}, time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := p.MakeToken(t.Context(), nil, "x", tt.token, tt.life); problem.KindOf(err) != problem.Invalid {
				t.Errorf("got %v, want kind invalid", err)
			}
		})
	}
}

// certificate is a certificate whose chain a listener has verified.
func certificate(t *testing.T, uri string, dns ...string) *x509.Certificate {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "erp"}, DNSNames: dns, NotAfter: time.Now().Add(time.Hour)}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		c.URIs = []*url.URL{u}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, public, key)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestACertificateIsOfOneClient(t *testing.T) {
	printed := certificate(t, "")
	g := access.NewGate(storetest.SQLite(t), policy(t, nil, nil), map[string]access.Client{
		"uri": {URI: "spiffe://plant/erp", Roles: []string{"erp"}}, "dns": {DNS: "erp.example"}, "print": {SHA256: strings.ToUpper(hexOf(string(printed.Raw)))}, "none": {},
	}, nil)
	tests := []struct {
		name     string
		cert     *x509.Certificate
		verified bool
		want     string
	}{
		{"by URI", certificate(t, "spiffe://plant/erp"), true, "cert:uri"},
		{"by DNS name", certificate(t, "", "other.example", "erp.example"), true, "cert:dns"},
		{"by fingerprint", printed, true, "cert:print"},
		{"another URI", certificate(t, "spiffe://plant/erp/2"), true, ""},
		{"a name below", certificate(t, "", "a.erp.example"), true, ""},
		{"no name", certificate(t, ""), true, ""},
		{"not verified", certificate(t, "spiffe://plant/erp"), false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request()
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{tt.cert}}
			if tt.verified {
				r.TLS.VerifiedChains = [][]*x509.Certificate{{tt.cert}}
			}
			by, err := g.Identify(t.Context(), r)
			if by.Name != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("got %q, %v; want %q", by.Name, err, tt.want)
			}
		})
	}
}

// TestAFloodOfStrangersLocksNobodyOut: whoever fails is slowed down and told in part; a good token from the same address is taken all the
// while, and the count of what was not told is in the next entry.
func TestAFloodOfStrangersLocksNobodyOut(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		g := access.NewGate(db, policy(t, nil, nil), nil, nil)
		_, good := makeToken(t, db, "terminal", roles("operator"))
		kinds := map[problem.Kind]int{}
		for range 200 {
			_, err := g.Identify(t.Context(), bearer("hfat_00000000_guess"))
			kinds[problem.KindOf(err)]++
			if _, err := g.Identify(t.Context(), bearer(good)); err != nil {
				t.Fatalf("a good token is refused: %v", err)
			}
		}
		if kinds[problem.Unknown] != 60 || kinds[problem.TooMany] != 140 {
			t.Errorf("got %v, want 60 unknown-caller and 140 too-many", kinds)
		}
		told := entries(t, db, audit.Filter{Action: access.SignInRefused, Limit: 500})
		if len(told) != 10 || told[0].From != "192.0.2.7" || told[0].Outcome != audit.Refused || strings.Contains(string(told[0].After), "guess") {
			t.Errorf("%d entries, want 10: %+v", len(told), told[0])
		}
		c.add(time.Minute)
		if _, err := g.Identify(t.Context(), bearer("hfat_00000000_guess")); problem.KindOf(err) != problem.Unknown {
			t.Errorf("a minute later: %v", err)
		}
		if told := entries(t, db, audit.Filter{Action: access.SignInRefused}); !strings.Contains(string(told[0].After), `"before_it":190`) {
			t.Errorf("got %s, want the count of those before it", told[0].After)
		}
	}, storetest.WithClock(c.now))
}

// TestARefusalIsOnRecord although its caller has hung up; one that cannot be written is counted in the next entry.
func TestARefusalIsOnRecord(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		g := access.NewGate(db, policy(t, nil, nil), nil, nil)
		gone, hangUp := context.WithCancel(t.Context())
		hangUp()
		why := access.NotPermitted(access.Actor{Name: "user:ben"}, access.LinkPause, "erp")
		for range 5 {
			_ = g.Refused(gone, access.Actor{Name: "user:ben", From: "192.0.2.7"}, "link/erp", why)
		}
		act := access.Act{Action: access.LinkPause, Object: "link/erp", Link: "erp", Reason: "maintenance", Actor: access.Actor{Name: "user:ben", Rights: roles("viewer")}}
		_, _ = access.New(db).Under(policy(t, nil, nil)).Do(gone, act, effect(`{}`))
		if got := entries(t, db, audit.Filter{Actor: "user:ben"}); len(got) != 6 {
			t.Errorf("%d entries of who hung up, want 6", len(got))
		}
	})
	db := storetest.SQLite(t)
	g := access.NewGate(db, policy(t, nil, nil), nil, nil)
	refuse := func() error {
		return g.Refused(t.Context(), access.Actor{Name: "user:ben"}, "link/erp", access.NotPermitted(access.Actor{Name: "user:ben"}, access.LinkPause, ""))
	}
	execute := func(sql string) {
		t.Helper()
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), sql)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	execute(`CREATE TRIGGER full BEFORE INSERT ON audit_entries BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END`)
	if err := refuse(); err == nil || !strings.Contains(err.Error(), "record a refusal") {
		t.Errorf("got %v, want what became of the record", err)
	}
	execute(`DROP TRIGGER full`)
	_ = refuse()
	if got := entries(t, db, audit.Filter{}); len(got) != 1 || !strings.Contains(string(got[0].After), `"before_it":1`) {
		t.Errorf("got %+v, want one that counts the lost one", got)
	}
}

// TestDeniedActsAreToldInPart: whoever may not do a thing fills the record as little by acts that need a reason, and the reason is kept.
func TestDeniedActsAreToldInPart(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := access.New(db).Under(policy(t, nil, nil))
		act := access.Act{Action: access.LinkPause, Object: "link/erp", Link: "erp", Reason: "maintenance", Actor: access.Actor{Name: "user:ben", Rights: roles("viewer")}}
		for range 30 {
			if _, err := d.Do(t.Context(), act, effect(`{}`)); problem.KindOf(err) != problem.Denied {
				t.Fatalf("got %v, want it denied", err)
			}
		}
		got := entries(t, db, audit.Filter{Action: access.LinkPause})
		if len(got) != 10 || got[0].Reason != "maintenance" || got[0].Object != "link/erp" || got[0].Outcome != audit.Refused {
			t.Errorf("%d entries, want 10 with the reason: %+v", len(got), got)
		}
	}, storetest.WithClock(c.now))
}

// TestStrangersDoNotHideWhatSomebodyKnownIsRefused: a flood from many addresses uses nothing up of what is told of people.
func TestStrangersDoNotHideWhatSomebodyKnownIsRefused(t *testing.T) {
	c := newClock()
	db := storetest.SQLite(t, storetest.WithClock(c.now))
	g := access.NewGate(db, policy(t, nil, nil), nil, nil)
	for i := range 130 {
		r := bearer("hfat_00000000_guess")
		r.RemoteAddr = fmt.Sprintf("192.0.2.%d:4711", i)
		_, _ = g.Identify(t.Context(), r)
	}
	ben := access.Actor{Name: "user:ben", From: "198.51.100.1"}
	_ = g.Refused(t.Context(), ben, "link/erp", access.NotPermitted(ben, access.LinkPause, "erp"))
	if got := entries(t, db, audit.Filter{Actor: "user:ben"}); len(got) != 1 {
		t.Errorf("%d entries of what ben was refused, want one", len(got))
	}
	if got := entries(t, db, audit.Filter{Action: access.SignInRefused, Limit: 500}); len(got) != 120 {
		t.Errorf("%d entries of strangers, want 120", len(got))
	}
}

// TestAFullDiskRefusesNoGoodToken: the hour in which a token was used is a note for people, and lets nobody in or out.
func TestAFullDiskRefusesNoGoodToken(t *testing.T) {
	db := storetest.SQLite(t)
	g := access.NewGate(db, policy(t, nil, nil), nil, nil)
	_, good := makeToken(t, db, "erp", roles("erp"))
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `CREATE TRIGGER full BEFORE UPDATE ON access_tokens BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if by, err := g.Identify(t.Context(), bearer(good)); err != nil || by.Name != "token:erp" {
		t.Errorf("got %q, %v; want the token's actor", by.Name, err)
	}
}

// TestAnAddressIsTheConnections: nobody says from where they call, or a guesser would be somebody else each time.
func TestAnAddressIsTheConnections(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/orders", nil)
	r.RemoteAddr = "192.0.2.7:4711"
	for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "True-Client-Ip"} {
		r.Header.Set(name, "for=10.0.0.1")
	}
	if got := access.Address(r); got != "192.0.2.7" {
		t.Errorf("got %q, want the connection's", got)
	}
}
