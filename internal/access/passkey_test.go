package access_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// passkeyRoutes are what a console does with passkeys.
func passkeyRoutes(t *testing.T, db *store.DB, mux *http.ServeMux, s *access.Sessions) {
	t.Helper()
	keys, err := access.NewPasskeys(s, "https://plant.example:8420")
	if err != nil {
		t.Fatal(err)
	}
	doer := access.New(db).Under(policy(t, nil, nil))
	handle := func(path string, do func(r *http.Request, by access.Actor) (any, error)) {
		mux.HandleFunc("POST /passkey/"+path, func(w http.ResponseWriter, r *http.Request) {
			by, _ := s.Who(r, "")
			answer, err := do(r, by)
			if err != nil {
				w.WriteHeader(problem.KindOf(err).HTTPStatus())
				fmt.Fprint(w, err)
				return
			}
			if err := json.NewEncoder(w).Encode(answer); err != nil {
				t.Error(err)
			}
		})
	}
	handle("ask", func(r *http.Request, _ access.Actor) (any, error) { return keys.Ask(r) })
	handle("in", func(r *http.Request, _ access.Actor) (any, error) { return "", keys.SignIn(r, r.FormValue("answer")) })
	handle("invite", func(r *http.Request, by access.Actor) (any, error) { return keys.Invite(r, by) })
	handle("add", func(r *http.Request, by access.Actor) (k any, err error) {
		made, err := keys.Made(r, by, r.FormValue("label"), r.FormValue("answer"))
		_, err = doer.Do(r.Context(), access.Act{Action: access.PasskeyAdd, Actor: by, Object: "user/anna"}, func(ctx context.Context, tx *store.Tx) (access.Result, error) {
			if err == nil {
				k, err = keys.Add(ctx, tx, made)
			}
			return access.Result{}, err
		})
		return k, err
	})
	handle("remove", func(r *http.Request, by access.Actor) (any, error) {
		_, err := doer.Do(r.Context(), access.Act{Action: access.PasskeyRemove, Actor: by, Object: "user/anna"}, func(ctx context.Context, tx *store.Tx) (access.Result, error) {
			return access.Result{}, keys.Remove(ctx, tx, by, r.FormValue("id"))
		})
		return "", err
	})
	handle("list", func(r *http.Request, by access.Actor) (list any, err error) {
		err = db.View(r.Context(), func(tx *store.Tx) error {
			list, err = keys.List(r.Context(), tx, by)
			return err
		})
		return list, err
	})
}

// device is somebody's authenticator, with one passkey, as it behaves towards one site.
type device struct {
	site virtualwebauthn.RelyingParty
	auth virtualwebauthn.Authenticator
	key  virtualwebauthn.Credential
}

func newDevice() *device {
	key := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	for len(key.Key.AttestationData()) != 77 { // one in 128 begins with a zero, which virtualwebauthn leaves out
		key = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	}
	return &device{
		site: virtualwebauthn.RelyingParty{ID: "plant.example", Name: "plant", Origin: "https://plant.example:8420"},
		auth: virtualwebauthn.NewAuthenticator(), key: key,
	}
}

// post sends a form in a browser.
func (d *door) post(c *http.Client, path string, fields ...string) (int, string) {
	d.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	res, err := c.PostForm(d.url+path, form)
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// makes is what the device answers an invitation with.
func (d *door) makes(dev *device, invitation string) string {
	d.t.Helper()
	options, err := virtualwebauthn.ParseAttestationOptions(invitation)
	if err != nil {
		d.t.Fatalf("%v in %s", err, invitation)
	}
	if options.RelyingPartyID != "plant.example" || options.UserName != "anna" && options.UserName != "ben" || strings.Contains(options.UserID, "anna") {
		d.t.Errorf("the invitation is %+v", options)
	}
	dev.auth.Options.UserHandle = []byte(options.UserID)
	return virtualwebauthn.CreateAttestationResponse(dev.site, dev.auth, dev.key, *options)
}

// signs is what the device answers a challenge with.
func (d *door) signs(dev *device, challenge string) string {
	d.t.Helper()
	options, err := virtualwebauthn.ParseAssertionOptions(challenge)
	if err != nil {
		d.t.Fatalf("%v in %s", err, challenge)
	}
	return virtualwebauthn.CreateAssertionResponse(dev.site, dev.auth, dev.key, *options)
}

// enrols has somebody who is signed in add the device.
func (d *door) enrols(c *http.Client, dev *device) access.Passkey {
	d.t.Helper()
	status, invitation := d.post(c, "/passkey/invite")
	if status != 200 {
		d.t.Fatalf("inviting: %d %s", status, invitation)
	}
	status, text := d.post(c, "/passkey/add", "label", "laptop", "answer", d.makes(dev, invitation))
	var k access.Passkey
	if err := json.Unmarshal([]byte(text), &k); status != 200 || err != nil {
		d.t.Fatalf("adding: %d %s", status, text)
	}
	return k
}

// enrolled is a device that anna has added, with her browser.
func (d *door) enrolled() (*http.Client, *device) {
	d.t.Helper()
	b, dev := d.browser(), newDevice()
	if got := d.in(b, "anna", goodPassword, d.code()); got != 200 {
		d.t.Fatalf("signing in: %d", got)
	}
	d.enrols(b, dev)
	return b, dev
}

// enters signs in by a device in a browser.
func (d *door) enters(c *http.Client, dev *device) int {
	d.t.Helper()
	_, challenge := d.post(c, "/passkey/ask")
	status, _ := d.post(c, "/passkey/in", "answer", d.signs(dev, challenge))
	return status
}

func TestAPersonSignsInByAPasskey(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := openDoor(t, db, c)
		b, dev := d.enrolled()
		fresh := d.browser()
		c.add(time.Hour)
		for i := range 2 { // without a count, and with one
			dev.key.Counter = uint32(i)
			if got := d.enters(fresh, dev); got != 200 || d.sees(fresh, access.MsgRead) != 200 || d.sees(fresh, access.KeysRead) != 403 {
				t.Fatalf("signing in by a passkey: %d", got)
			}
		}
		if list := entries(t, db, audit.Filter{Action: access.SignedIn}); len(list) != 3 || list[0].Actor != "user:anna" || !strings.Contains(string(list[0].After), `"by":"passkey"`) {
			t.Errorf("the record has %+v", list)
		}
		if status, text := d.post(b, "/passkey/invite"); status != 403 {
			t.Errorf("an hour after the second factor, unused: %d %s", status, text)
		}
		other := newDevice()
		kept := d.enrols(fresh, other) // which asks for a second factor: the passkey was one
		if _, list := d.post(fresh, "/passkey/list"); strings.Count(list, "laptop") != 2 || strings.Count(list, `"UsedAt":"0001`) != 1 {
			t.Errorf("the list is %s", list)
		}
		c.add(11 * time.Minute)
		for _, path := range []string{"/passkey/invite", "/passkey/remove"} {
			if status, text := d.post(fresh, path, "id", kept.ID); status != 403 || !strings.Contains(text, "second factor") {
				t.Errorf("%s eleven minutes later: %d %s", path, status, text)
			}
		}
		if got := d.enters(fresh, other); got != 200 {
			t.Fatalf("by the other passkey: %d", got)
		}
		if status, text := d.post(fresh, "/passkey/remove", "id", kept.ID); status != 200 {
			t.Fatalf("removing: %d %s", status, text)
		}
		if d.sees(fresh, "") != 401 || d.enters(d.browser(), other) != 401 {
			t.Error("whoever has the removed passkey is in, or gets in")
		}
		if len(entries(t, db, audit.Filter{Action: access.PasskeyAdd})) != 2 || len(entries(t, db, audit.Filter{Action: access.PasskeyRemove})) < 1 {
			t.Error("the record does not tell of what was added and removed")
		}
	}, storetest.WithClock(c.now))
}

// TestAPasskeyCountsOnlyHereAndOnce: each answer but the last one of a table is refused, and lets nobody in.
func TestAPasskeyCountsOnlyHereAndOnce(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := openDoor(t, db, c)
		b, dev := d.enrolled()
		_, secret := d.person("ben")
		bens, his := d.browser(), newDevice()
		if got := d.in(bens, "ben", goodPassword, access.CodeAt(secret, c.now())); got != 200 {
			t.Fatalf("ben signs in: %d", got)
		}
		d.enrols(bens, his)
		tests := []struct {
			name string
			do   func(dev *device)
		}{
			{"a foreign address", func(dev *device) { dev.site.Origin = "https://plant.example.evil.test" }},
			{"another port of the same machine", func(dev *device) { dev.site.Origin = "https://plant.example" }},
			{"a foreign site", func(dev *device) { dev.site.ID = "evil.test" }},
			{"nobody was verified", func(dev *device) { dev.auth.Options.UserNotVerified = true }},
			{"nobody was there", func(dev *device) { dev.auth.Options.UserNotPresent = true }},
			{"another's account", func(dev *device) { dev.auth.Options.UserHandle = his.auth.Options.UserHandle }},
			{"nobody's account", func(dev *device) { dev.auth.Options.UserHandle = []byte("nobody") }},
			{"another's key", func(dev *device) { dev.key.Key = his.key.Key }},
			{"a key that nobody has", func(dev *device) { dev.key.ID = []byte("another") }},
			{"a device that says otherwise of its copies", func(dev *device) { dev.auth.Options.BackupEligible = true }},
		}
		for _, tt := range tests {
			bad, at := *dev, d.browser()
			tt.do(&bad)
			if got := d.enters(at, &bad); got != 401 || d.sees(at, "") != 401 {
				t.Errorf("%s: %d", tt.name, got)
			}
		}
		for _, text := range []string{"", "{}", "\x00", `{"id":"x"}`} {
			at := d.browser()
			d.post(at, "/passkey/ask")
			if got, _ := d.post(at, "/passkey/in", "answer", text); got != 401 {
				t.Errorf("%q: %d", text, got)
			}
		}
		// an answer is of one browser, of one challenge, for two minutes
		at, other := d.browser(), d.browser()
		_, challenge := d.post(at, "/passkey/ask")
		answer := d.signs(dev, challenge)
		d.post(other, "/passkey/ask")
		for _, wrong := range []*http.Client{other, d.browser(), b} {
			if got, _ := d.post(wrong, "/passkey/in", "answer", answer); got != 401 {
				t.Errorf("in another browser: %d", got)
			}
		}
		if got, _ := d.post(at, "/passkey/in", "answer", answer); got != 200 {
			t.Errorf("in its own: %d", got)
		}
		if got, _ := d.post(at, "/passkey/in", "answer", answer); got != 401 {
			t.Errorf("once more: %d", got)
		}
		late := d.browser()
		_, challenge = d.post(late, "/passkey/ask")
		c.add(121 * time.Second)
		if got, _ := d.post(late, "/passkey/in", "answer", d.signs(dev, challenge)); got != 401 {
			t.Errorf("after two minutes: %d", got)
		}
		if list := entries(t, db, audit.Filter{Action: access.SignInRefused}); len(list) < 8 || list[0].Outcome != audit.Refused {
			t.Errorf("the record has %+v", list)
		}
	}, storetest.WithClock(c.now))
}

// TestAnAnswerCountsOnceHoweverManyComeAtATime: the passkey has no count, so that only the challenge can see to it.
func TestAnAnswerCountsOnceHoweverManyComeAtATime(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := openDoor(t, db, c)
		_, dev := d.enrolled()
		at := d.browser()
		_, challenge := d.post(at, "/passkey/ask")
		u, err := url.Parse(d.url)
		if err != nil {
			t.Fatal(err)
		}
		cookies, form := at.Jar.Cookies(u), url.Values{"answer": {d.signs(dev, challenge)}}.Encode()
		var wg sync.WaitGroup
		got := make(chan int, 6)
		for range cap(got) {
			wg.Go(func() {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+"/passkey/in", strings.NewReader(form))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				for _, k := range cookies {
					req.AddCookie(k)
				}
				res, err := new(http.Client).Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
				got <- res.StatusCode
			})
		}
		wg.Wait()
		close(got)
		in := 0
		for status := range got {
			if status == 200 {
				in++
			}
		}
		if n := len(entries(t, db, audit.Filter{Action: access.SignedIn})); in != 1 || n != 2 {
			t.Errorf("%d got in, and the record has %d sign-ins with the password's; want 1 and 2", in, n)
		}
	}, storetest.WithClock(c.now))
}

func TestACopiedPasskeyLetsNobodyIn(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := openDoor(t, db, c)
		b, dev := d.enrolled()
		for i, tt := range []struct {
			count uint32
			want  int
		}{{5, 200}, {6, 200}, {6, 401}, {7, 401}, {100, 401}} {
			dev.key.Counter = tt.count
			if got := d.enters(d.browser(), dev); got != tt.want {
				t.Errorf("use %d, of count %d: %d, want %d", i, tt.count, got, tt.want)
			}
		}
		list := entries(t, db, audit.Filter{Action: access.PasskeyCloned})
		if len(list) != 1 || list[0].Outcome != audit.Refused || list[0].Object != "user/anna" || !strings.Contains(string(list[0].After), `"count":6,"last":6`) {
			t.Errorf("the record has %+v, want it once", list)
		}
		if _, text := d.post(b, "/passkey/list"); strings.Contains(text, `"Suspect":"0001`) {
			t.Errorf("the list is %s", text)
		}
		d.next()
		if got := d.in(d.browser(), "anna", goodPassword, d.code()); got != 200 {
			t.Errorf("by password: %d; nobody is locked out", got)
		}
	}, storetest.WithClock(c.now))
}

// TestOnlyWhoIsSignedInAddsAPasskey: to their own account, of a device that has verified them, here.
func TestOnlyWhoIsSignedInAddsAPasskey(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := openDoor(t, db, c)
		b, dev := d.enrolled()
		_, secret := d.person("ben")
		bens := d.browser()
		if got := d.in(bens, "ben", goodPassword, access.CodeAt(secret, c.now())); got != 200 {
			t.Fatalf("ben signs in: %d", got)
		}
		if got, _ := d.post(d.browser(), "/passkey/invite"); got != 403 {
			t.Errorf("nobody is invited: %d", got)
		}
		tests := []struct {
			name string
			do   func(dev *device)
			want int
		}{
			{"a foreign address", func(dev *device) { dev.site.Origin = "https://evil.test" }, 403},
			{"a foreign site", func(dev *device) { dev.site.ID = "evil.test" }, 403},
			{"nobody was verified", func(dev *device) { dev.auth.Options.UserNotVerified = true }, 403},
			{"the same once more", func(new *device) { new.key = dev.key }, 409},
		}
		for _, tt := range tests {
			bad := newDevice()
			tt.do(bad)
			_, invitation := d.post(b, "/passkey/invite")
			if got, text := d.post(b, "/passkey/add", "label", "x", "answer", d.makes(bad, invitation)); got != tt.want {
				t.Errorf("%s: %d %s", tt.name, got, text)
			}
		}
		_, invitation := d.post(b, "/passkey/invite")
		d.post(bens, "/passkey/invite")
		if got, _ := d.post(bens, "/passkey/add", "label", "x", "answer", d.makes(newDevice(), invitation)); got != 403 {
			t.Errorf("anna's invitation in ben's session: %d", got)
		}
		_, challenge := d.post(b, "/passkey/ask") // takes the place of the invitation
		if got, _ := d.post(b, "/passkey/add", "label", "x", "answer", d.makes(newDevice(), invitation)); got != 403 {
			t.Errorf("an invitation after a challenge: %d, %s", got, challenge)
		}
		if got, _ := d.post(b, "/passkey/add", "label", strings.Repeat("x", 61), "answer", ""); got != 400 && got != 422 {
			t.Errorf("a label of 61 characters: %d", got)
		}
		for range 9 {
			d.enrols(b, newDevice())
		}
		_, invitation = d.post(b, "/passkey/invite")
		if got, text := d.post(b, "/passkey/add", "label", "x", "answer", d.makes(newDevice(), invitation)); got != 409 || !strings.Contains(text, "has 10 of them") {
			t.Errorf("the eleventh: %d %s", got, text)
		}
		if got := entries(t, db, audit.Filter{Action: access.PasskeyAdd}); got[len(got)-1].Outcome != audit.Done || len(got) < 14 {
			t.Errorf("the record has %d entries", len(got))
		}
	}, storetest.WithClock(c.now))
}

func TestPasskeysEndWithTheAccountAndWithItsFactor(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := openDoor(t, db, c)
		_, dev := d.enrolled()
		d.tx(func(tx *store.Tx) error { return d.users.Disable(t.Context(), tx, "anna") })
		if got := d.enters(d.browser(), dev); got != 401 {
			t.Errorf("disabled: %d", got)
		}
		d.tx(func(tx *store.Tx) error { return d.users.Enable(t.Context(), tx, "anna") })
		if got := d.enters(d.browser(), dev); got != 200 {
			t.Errorf("enabled: %d", got)
		}
		hash, err := d.users.Hash(t.Context(), goodPassword)
		if err != nil {
			t.Fatal(err)
		}
		d.tx(func(tx *store.Tx) error {
			if _, err := tx.Exec(t.Context(), `INSERT INTO access_badges (owner, badge, pin, set_at) VALUES ('anna', 'b', 'p', 0)`); err != nil {
				return err
			}
			return d.users.SetPassword(t.Context(), tx, "anna", hash)
		})
		if got := d.enters(d.browser(), dev); got != 401 {
			t.Errorf("with another password: %d", got)
		}
		var badges int
		d.tx(func(tx *store.Tx) error { return tx.Get(t.Context(), &badges, `SELECT COUNT(*) FROM access_badges`) })
		if badges != 0 {
			t.Errorf("with another password the badge is still there")
		}
	}, storetest.WithClock(c.now))
}

// TestAnotherFactorTakesPasskeysAway, for whoever has lost what they had.
func TestAnotherFactorTakesPasskeysAway(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := openDoor(t, db, c)
		_, dev := d.enrolled()
		d.tx(func(tx *store.Tx) error {
			_, err := d.users.SetFactor(t.Context(), tx, "anna")
			return err
		})
		if got := d.enters(d.browser(), dev); got != 401 {
			t.Errorf("with another factor: %d", got)
		}
	}, storetest.WithClock(c.now))
}

// TestAskingWithoutAnEndIsSlowed, and holds up nobody who has a password.
func TestAskingWithoutAnEndIsSlowed(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := openDoor(t, db, c)
		b := d.browser()
		for i := range 61 {
			want := 200
			if i == 60 {
				want = 429
			}
			if got, text := d.post(b, "/passkey/ask"); got != want {
				t.Fatalf("time %d: %d %s, want %d", i, got, text, want)
			}
		}
		if got := d.in(b, "anna", goodPassword, d.code()); got != 200 {
			t.Errorf("by password: %d", got)
		}
		c.add(time.Minute)
		if got, _ := d.post(b, "/passkey/ask"); got != 200 {
			t.Errorf("a minute later: %d", got)
		}
	}, storetest.WithClock(c.now))
}

func TestPasskeysNeedAName(t *testing.T) {
	for address, good := range map[string]bool{
		"https://plant.example:8420": true, "http://localhost:8420": true, "https://192.0.2.7:8420": false, "https://[2001:db8::1]": false, "": false, "https://": false,
	} {
		if _, err := access.NewPasskeys(access.NewSessions(storetest.SQLite(t), access.NewUsers("1000", nil), access.SessionConfig{}), address); (err == nil) != good {
			t.Errorf("%q: %v, want good %t", address, err, good)
		}
	}
}
