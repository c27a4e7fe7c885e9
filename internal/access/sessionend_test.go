package access_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// visit sends a request of a browser through s, with a header if there is one, has fn serve it, and keeps the cookie that comes back.
func visit(s *access.Sessions, cookie *http.Cookie, header string, fn func(r *http.Request)) *http.Cookie {
	r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	if name, value, ok := strings.Cut(header, ": "); ok {
		r.Header.Set(name, value)
	}
	if cookie != nil {
		r.AddCookie(cookie)
	}
	s.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { fn(r) })).ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		cookie = c
	}
	return cookie
}

// signedIn is a console with somebody in it, and her cookie.
func signedIn(t *testing.T, db *store.DB, c *clock) (*access.Sessions, *http.Cookie) {
	t.Helper()
	d := openDoor(t, db, c)
	s := access.NewSessions(db, d.users, access.SessionConfig{})
	cookie := visit(s, nil, "", func(r *http.Request) {
		if err := s.SignIn(r, "anna", goodPassword, d.code()); err != nil {
			t.Error(err)
		}
	})
	return s, cookie
}

// TestARequestUnderWayBringsNoSessionBack: it noted that the session was used, and ends after the session was signed out.
func TestARequestUnderWayBringsNoSessionBack(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, mine := signedIn(t, db, c)
		c.add(2 * time.Minute) // so that use is noted
		visit(s, mine, "", func(r *http.Request) {
			if _, err := s.Who(r, ""); err != nil {
				t.Error(err)
			}
			visit(s, mine, "", func(r *http.Request) {
				if _, err := s.SignOut(r, false); err != nil {
					t.Error(err)
				}
			})
		})
		visit(s, mine, "", func(r *http.Request) {
			if by, err := s.Who(r, ""); problem.KindOf(err) != problem.Unknown {
				t.Errorf("after signing out: %q, %v; want nobody", by.Name, err)
			}
		})
	}, storetest.WithClock(c.now))
}

// TestAPageLeftOpenKeepsNoSession: what it asks for by itself is no use of it, a page that somebody opens is.
func TestAPageLeftOpenKeepsNoSession(t *testing.T) {
	tests := []struct {
		name, header string
		want         problem.Kind
	}{
		{"the stream of hints", "Accept: text/html, text/event-stream", problem.Unknown},
		{"the page after a hint", "HX-Request: true", problem.Unknown},
		{"figures", "Sec-Fetch-Mode: cors", problem.Unknown},
		{"opened by a person", "Sec-Fetch-Mode: navigate", ""},
		{"opened in a browser that does not say how", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClock()
			s, mine := signedIn(t, storetest.SQLite(t, storetest.WithClock(c.now)), c)
			var last error
			for range 4 {
				c.add(5 * time.Minute)
				mine = visit(s, mine, tt.header, func(r *http.Request) { _, last = s.Who(r, "") })
			}
			if got := problem.KindOf(last); got != tt.want {
				t.Errorf("after 20 minutes: kind %q, want %q", got, tt.want)
			}
		})
	}
}

// TestASessionThatTimesOutIsOnRecord: once, whether its browser comes again or not, and not where the person has signed out.
func TestASessionThatTimesOutIsOnRecord(t *testing.T) {
	c := realClock() // which scs goes by
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		c.add(time.Since(c.now())) // after the database before
		s, mine := signedIn(t, db, c)
		began := c.now().UTC()
		c.add(16 * time.Minute)
		for range 2 {
			visit(s, mine, "", func(r *http.Request) {
				if _, err := s.Who(r, ""); problem.KindOf(err) != problem.Unknown {
					t.Errorf("after 16 minutes: %v, want that the session has ended", err)
				}
			})
		}
		d := openDoorOf(t, db, c, s, "ben")
		left, out := d(), d()
		visit(s, out, "", func(r *http.Request) {
			if _, err := s.SignOut(r, false); err != nil {
				t.Error(err)
			}
		})
		_ = left // its browser is closed
		c.add(13 * time.Hour)
		d()
		got := entries(t, db, audit.Filter{Action: access.SignedOut})
		if len(got) != 3 || got[2].Actor != "user:anna" || got[0].Actor != "user:ben" || got[0].Reason != "nobody used the session for 15m0s" || got[1].Reason != "" {
			t.Fatalf("on record: %+v, want the two that timed out and the one that was signed out", got)
		}
		if want := began.Format(time.RFC3339); !strings.Contains(string(got[2].After), want[:len(want)-1]) {
			t.Errorf("on record %s, want when it began, %s", got[2].After, want)
		}
	}, storetest.WithClock(c.now))
}

// openDoorOf gives somebody an account, and is their sign-in, each with another code.
func openDoorOf(t *testing.T, db *store.DB, c *clock, s *access.Sessions, name string) func() *http.Cookie {
	t.Helper()
	d := &door{t: t, db: db, clock: c, users: access.NewUsers("1000", policy(t, nil, nil)).Cheap()}
	_, d.secret = d.person(name)
	return func() *http.Cookie {
		d.next()
		return visit(s, nil, "", func(r *http.Request) {
			if err := s.SignIn(r, name, goodPassword, d.code()); err != nil {
				t.Error(err)
			}
		})
	}
}
