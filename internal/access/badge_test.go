package access_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/access/adtest"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// badgeRoutes are what a console does with badges; from in a form is the address that a request comes from.
func badgeRoutes(t *testing.T, db *store.DB, mux *http.ServeMux, s *access.Sessions) {
	t.Helper()
	key := func(context.Context) (string, error) { return strings.Repeat("k", 32), nil }
	badges := access.NewBadges(s, key, map[string]netip.Prefix{"press": netip.MustParsePrefix("127.0.0.1/32"), "weld": netip.MustParsePrefix("10.1.8.0/24")})
	doer := access.New(db).Under(policy(t, nil, nil))
	handle := func(path string, do func(r *http.Request, by access.Actor) error) {
		mux.HandleFunc("POST /badge/"+path, func(w http.ResponseWriter, r *http.Request) {
			if from := r.FormValue("from"); from != "" {
				r.RemoteAddr = from + ":4711"
			}
			by := access.Actor{}
			if path != "sees" {
				by, _ = s.Who(r, "")
			}
			if err := do(r, by); err != nil {
				w.WriteHeader(problem.KindOf(err).HTTPStatus())
				fmt.Fprint(w, err)
			}
		})
	}
	act := func(r *http.Request, by access.Actor, action string, fn func(tx *store.Tx) error) error {
		_, err := doer.Do(r.Context(), access.Act{Action: action, Actor: by, Object: "x", Reason: "as always"}, func(_ context.Context, tx *store.Tx) (access.Result, error) {
			return access.Result{}, fn(tx)
		})
		return err
	}
	handle("set", func(r *http.Request, by access.Actor) error {
		n, bad := badges.Prepare(r.Context(), by, r.FormValue("badge"), r.FormValue("pin"))
		return act(r, by, access.BadgeSet, func(tx *store.Tx) error {
			if bad != nil {
				return bad
			}
			return badges.Set(r.Context(), tx, n)
		})
	})
	handle("remove", func(r *http.Request, by access.Actor) error {
		return act(r, by, access.BadgeRemove, func(tx *store.Tx) error { return badges.Remove(r.Context(), tx, by) })
	})
	handle("in", func(r *http.Request, _ access.Actor) error {
		return badges.SignIn(r, r.FormValue("badge"), r.FormValue("pin"))
	})
	handle("do", func(r *http.Request, by access.Actor) error {
		return act(r, by, r.FormValue("action"), func(*store.Tx) error { return nil })
	})
	handle("sees", func(r *http.Request, _ access.Actor) error {
		_, err := s.Who(r, r.FormValue("action"))
		return err
	})
}

// badgeWants sends a form about badges, and fails where it is answered otherwise.
func badgeWants(t *testing.T, at string, b *http.Client, path string, want int, says string, fields ...string) {
	t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	res, err := b.PostForm(at+"/badge/"+path, form)
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 500)
	n, _ := res.Body.Read(text)
	res.Body.Close()
	if res.StatusCode != want || !strings.Contains(string(text[:n]), says) {
		t.Errorf("%s %v: %d %s, want %d %q", path, fields, res.StatusCode, text[:n], want, says)
	}
}

// TestABadgeLetsInWhileTheProviderIsAway, at a terminal, for work on the shop floor, and for as long as what the provider last said counts.
func TestABadgeLetsInWhileTheProviderIsAway(t *testing.T) {
	c := realClock()
	db := storetest.SQLite(t, storetest.WithClock(c.now))
	co := openCompany(t, db, c)
	co.providers.Look(t.Context())
	wants := func(b *http.Client, path string, want int, says string, fields ...string) {
		t.Helper()
		badgeWants(t, co.url, b, path, want, says, fields...)
	}
	mine, bens := []string{"badge", "0047110815", "pin", "739154"}, []string{"badge", "0047110816", "pin", "900731"}
	anna, ben := co.browser(), co.browser()
	co.in(anna, "anna", "otp", "fresh=yes")
	co.in(ben, "ben", "otp", "fresh=yes")
	wants(co.browser(), "set", 403, "", mine...)
	for _, pin := range []string{"12345", "123456", "654321", "777777", "12345a", "1234567890123", ""} {
		wants(anna, "set", 422, "take a PIN", "badge", "0047110815", "pin", pin)
	}
	wants(anna, "set", 422, "set a badge", "badge", "47", "pin", "739154")
	wants(anna, "set", 200, "", mine...)
	wants(ben, "set", 409, "somebody else's", "badge", "0047110815", "pin", "900731")
	wants(ben, "set", 200, "", bens...)
	co.idp.Down()
	c.add(2 * time.Hour)
	co.providers.Look(t.Context())

	floor := co.browser()
	wants(floor, "in", 401, "badge or PIN is not right", "badge", "0047110815", "pin", "900731")
	wants(floor, "in", 401, "badge or PIN is not right", "badge", "0047119999", "pin", "739154")
	wants(floor, "in", 403, "no terminal", append(mine, "from", "10.1.9.7")...)
	wants(floor, "in", 401, "no work on the shop floor", bens...) // he is of the ERP team
	wants(floor, "in", 200, "", mine...)
	for action, want := range map[string]int{access.PlantRead: 200, access.MsgRead: 403, access.StatusRead: 200} {
		wants(floor, "sees", want, "", "action", action)
	}
	for action, want := range map[string]int{
		access.ConfirmationCreate: 200, access.OrderStart: 200, access.MovementCreate: 200, access.ConfirmationReverse: 403, access.OrderCreate: 403, access.LotDecide: 403, access.BadgeSet: 403,
	} {
		wants(floor, "do", want, "", "action", action) // a shift lead's roles permit them all
	}
	wants(floor, "sees", 401, "of the terminal press alone", "action", access.PlantRead, "from", "10.1.8.20")
	wants(floor, "sees", 401, "nobody is signed in", "action", access.PlantRead)

	// whoever guesses at one terminal waits there; at another one the person works on
	for range 5 {
		wants(floor, "in", 401, "", "badge", "0047110815", "pin", "739155")
	}
	wants(floor, "in", 429, "", mine...)
	wants(co.browser(), "in", 200, "", append(mine, "from", "10.1.8.20")...)
	wants(floor, "in", 401, "no work", bens...)
	list := entries(t, db, audit.Filter{Action: access.SignedIn})
	if len(list) != 4 || list[0].Actor != "oidc:anna.berg" || list[0].Object != "terminal/weld" || !strings.Contains(string(list[0].After), `"by":"badge and PIN"`) {
		t.Errorf("the record has %+v", list)
	}
	if refused := entries(t, db, audit.Filter{Action: access.SignInRefused}); len(refused) < 8 || refused[0].Object != "terminal/press" {
		t.Errorf("the record has %+v", refused)
	}
	c.add(10 * time.Hour)
	wants(co.browser(), "in", 401, "too old", mine...)
	co.idp.Ahead = 12 * time.Hour
	co.idp.Up()
	co.providers.Look(t.Context())
	wants(co.browser(), "in", 401, "", mine...)
	anna = co.browser()
	co.in(anna, "anna", "otp", "fresh=yes")
	wants(co.browser(), "in", 200, "", mine...)
	floor = co.browser()
	wants(floor, "in", 200, "", mine...)
	wants(anna, "remove", 200, "")
	wants(floor, "sees", 401, "", "action", access.PlantRead)
	wants(co.browser(), "in", 401, "badge or PIN is not right", mine...)
}

// TestNothingThatIsKeptTellsABadge: of the number there is a keyed hash, of the PIN what argon2id made of it.
func TestNothingThatIsKeptTellsABadge(t *testing.T) {
	c := realClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := access.NewSessions(db, access.NewUsers("1000", policy(t, nil, nil)).Cheap(), access.SessionConfig{})
		short := access.NewBadges(s, func(context.Context) (string, error) { return "too short", nil }, nil)
		by := access.Actor{Name: "oidc:anna", Factor: c.now()}
		if _, err := short.Prepare(t.Context(), by, "0047110815", "739154"); problem.KindOf(err) != problem.Invalid {
			t.Errorf("with a short key: %v", err)
		}
		badges := access.NewBadges(s, func(context.Context) (string, error) { return strings.Repeat("k", 32), nil }, nil)
		for _, who := range []access.Actor{{Name: "user:anna", Factor: c.now()}, {Name: "oidc:anna", Factor: c.now().Add(-11 * time.Minute)}, {}} {
			if _, err := badges.Prepare(t.Context(), who, "0047110815", "739154"); problem.KindOf(err) != problem.Denied {
				t.Errorf("%+v: %v", who, err)
			}
		}
		n, err := badges.Prepare(t.Context(), by, " 0047110815\r\n", "739154")
		if err != nil {
			t.Fatal(err)
		}
		if kept := fmt.Sprintf("%+v", n); strings.Contains(kept, "47110815") || strings.Contains(kept, "739154") || !strings.Contains(kept, "$argon2id$") {
			t.Errorf("it keeps %s", kept)
		}
		for range 2 { // the second takes the place of the first
			if err := db.InTx(t.Context(), func(tx *store.Tx) error { return badges.Set(t.Context(), tx, n) }); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.View(t.Context(), func(tx *store.Tx) error {
			since, err := badges.Since(t.Context(), tx, by)
			if since.IsZero() {
				t.Error("nobody has it")
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}, storetest.WithClock(c.now))
}

// testDirectoryBadges: a badge lets in while no controller answers, and nobody whom the directory has let go, however long ago they last signed in there.
func testDirectoryBadges(t *testing.T, dc *adtest.Controller) {
	d := openDomain(t, dc)
	d.in("op1", adtest.Password("op1"), "")
	code := d.device("ad:op1")
	b, status, text := d.in("op1", adtest.Password("op1"), code())
	d.want("op1", status, text, 200, "ad:op1[operator viewer]")
	mine := []string{"badge", "0047110815", "pin", "739154"}
	badgeWants(t, d.url, b, "set", 200, "", mine...)
	dc.Away(true)
	d.clock.add(time.Hour)
	floor, _, _ := d.in("nobody", "", "")
	badgeWants(t, d.url, floor, "in", 200, "", mine...)
	badgeWants(t, d.url, floor, "do", 200, "", "action", access.ConfirmationCreate)
	badgeWants(t, d.url, floor, "sees", 403, "", "action", access.MsgRead)
	d.clock.add(11 * time.Hour)
	badgeWants(t, d.url, floor, "in", 401, "too old", mine...)
	dc.Away(false)
	d.sync()
	badgeWants(t, d.url, floor, "in", 200, "", mine...)
	dc.Tool("user", "disable", "op1")
	d.clock.add(time.Second)
	d.sync()
	badgeWants(t, d.url, floor, "sees", 401, "the session was ended", "action", access.PlantRead)
	badgeWants(t, d.url, floor, "in", 401, "no work on the shop floor", mine...)
	dc.Tool("user", "enable", "op1")
	d.clock.add(60 * time.Hour) // no session is of whoever signed in there that long ago
	d.sync()
	badgeWants(t, d.url, floor, "in", 200, "", mine...)
}
