package odata

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// many delivers n messages from as many callers as workers, each with as many at a time as go in a batch.
func (w *world) many(t *testing.T, n, workers int, between func(done int)) []message.Outcome {
	t.Helper()
	return w.manyFrom(t, 0, n, workers, between)
}

// manyFrom is many of the messages from number first on.
func (w *world) manyFrom(t *testing.T, first, n, workers int, between func(done int)) []message.Outcome {
	t.Helper()
	out := make([]message.Outcome, n)
	per := min(w.link.cfg.Batch, max(1, n/workers))
	var mu sync.Mutex
	done, next := 0, 0
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				mu.Lock()
				from, to := next, min(next+per, n)
				next = to
				mu.Unlock()
				if from == to {
					return
				}
				var ds []message.Delivery
				for i := from; i < to; i++ {
					ds = append(ds, w.delivery(t, fmt.Sprintf("m%d", first+i)))
				}
				copy(out[from:], w.link.Deliver(t.Context(), ds))
				mu.Lock()
				for range ds {
					if done++; between != nil {
						between(done)
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return out
}

func (w *world) mustBeOnce(t *testing.T, out []message.Outcome) {
	t.Helper()
	for i, o := range out {
		docs := w.Documents(fmt.Sprintf("m%d", i))
		if o.Verdict != message.Delivered || len(docs) != 1 || o.Receipt.Document != docs[0] {
			t.Fatalf("message %d: %v, the ERP has %q", i, o, docs)
		}
	}
}

func TestOneTokenServesAllWorkers(t *testing.T) {
	for _, d := range dialects() {
		t.Run(d.name, func(t *testing.T) {
			w := d.start(t, edmx.Config{NoHead: d.format == Multipart})
			w.mustBeOnce(t, w.many(t, 40, 8, nil))
			if n := w.mock.Tokens(); n > 2 {
				t.Errorf("%d tokens were fetched, want at most 2", n)
			}
		})
	}
}

func TestASessionThatEndsInMidRunCostsNothing(t *testing.T) {
	for _, d := range dialects() {
		t.Run(d.name, func(t *testing.T) {
			w := d.start(t, edmx.Config{})
			workers := 8
			if d.batch > 1 {
				workers = 1
			}
			var out []message.Outcome
			for len(out) < 60 { // in rounds, so that no session ends twice during one request, however slow it is
				out = append(out, w.manyFrom(t, len(out), 20, workers, func(done int) {
					if done == 10 {
						w.mock.ExpireSessions()
					}
				})...)
			}
			w.mustBeOnce(t, out)
			if n := w.mock.Tokens(); n > 6 {
				t.Errorf("%d tokens were fetched in 3 sessions", n)
			}
		})
	}
}

// TestATokenThatIsAlwaysRefusedIsNoLoop: two tries, then the link is at fault, and no message.
func TestATokenThatIsAlwaysRefusedIsNoLoop(t *testing.T) {
	posts := 0
	d := dialects()[0]
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			posts++
			rw.Header().Set("X-CSRF-Token", "Required")
			rw.WriteHeader(http.StatusForbidden)
		case r.URL.Path == d.root+"/$metadata":
			_, _ = rw.Write(d.metadata(t))
		default:
			rw.Header().Set("X-CSRF-Token", "abc")
		}
	}))
	defer srv.Close()
	w := &world{dialect: d, link: open(t, d.config(srv.URL))}
	got := w.link.Deliver(t.Context(), []message.Delivery{w.delivery(t, "m")})[0]
	if got.Verdict != message.Again || !got.LinkDown || posts != 2 || problem.KindOf(got.Err) != problem.Unavailable {
		t.Errorf("got %v (link down %t) after %d posts, want again by the link after 2", got, got.LinkDown, posts)
	}
}

func TestAServiceWithoutTokensIsNotAskedAgain(t *testing.T) {
	w := dialects()[1].start(t, edmx.Config{NoCSRF: true})
	w.mustBeOnce(t, w.many(t, 10, 2, nil))
	if n := w.mock.Calls()[http.MethodHead]; n != 1 {
		t.Errorf("it was asked for a token %d times", n)
	}
}

func TestBasicCredentialsAndTheirRefusal(t *testing.T) {
	basic := func(user string) func(*Config) {
		return func(c *Config) { c.Auth.Basic = &Basic{User: user, Password: "env:PASSWORD"} }
	}
	d := dialects()[0]
	w := d.start(t, edmx.Config{User: "MES", Password: "s3cret"}, basic("MES"))
	w.mustBeOnce(t, w.many(t, 1, 1, nil))
	w = d.start(t, edmx.Config{User: "MES", Password: "s3cret"}, basic("OTHER"))
	got := w.link.Deliver(t.Context(), []message.Delivery{w.delivery(t, "m")})[0]
	if got.Verdict != message.Again || !got.LinkDown || problem.KindOf(got.Err) != problem.Denied {
		t.Errorf("got %v (%s), want again by the link, denied", got, problem.KindOf(got.Err))
	}
}

// TestAUserIsNotLockedByTries: SAP locks a user after five wrong passwords. However many messages wait and however often the link is tried, a
// secret that was refused rests, and another one is tried at once.
func TestAUserIsNotLockedByTries(t *testing.T) {
	d := dialects()[0]
	var mu sync.Mutex
	password, refused := "s3cret", 0
	m, err := edmx.New(d.metadata(t), edmx.Config{Root: d.root, IDFields: []string{"ExternalSystemConfirmation"}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		_, pass, _ := r.BasicAuth()
		wrong := pass != password
		if wrong {
			refused++
		}
		mu.Unlock()
		if wrong {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		m.Handler().ServeHTTP(rw, r)
	}))
	defer srv.Close()
	known := "old"
	c := d.config(srv.URL)
	c.Auth.Basic = &Basic{User: "MES", Password: "env:PASSWORD"}
	w := &world{dialect: d, mock: m}
	if w.link, err = Open(c, func(context.Context, string) (string, error) { return known, nil }, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	defer w.link.Close()
	at, told := time.Now(), 0
	w.link.creds.guard.Now = func() time.Time { return at }
	w.link.WhenDenied(func(why error) {
		if told++; problem.KindOf(why) != problem.Denied {
			t.Errorf("told %v", why)
		}
	})
	storm := func(want int) {
		t.Helper()
		for i, o := range w.many(t, 40, 8, nil) {
			if o.Verdict != message.Again || !o.LinkDown || problem.KindOf(o.Err) != problem.Denied {
				t.Fatalf("message %d: %v", i, o)
			}
		}
		if refused != want {
			t.Errorf("the ERP refused %d requests, want %d", refused, want)
		}
	}
	storm(1)
	at = at.Add(59 * time.Second)
	storm(1)
	at = at.Add(2 * time.Second)
	storm(2)
	at = at.Add(9 * time.Minute)
	storm(2)
	at = at.Add(2 * time.Minute)
	storm(3)
	at = at.Add(50 * time.Minute)
	storm(3)
	if told != 1 {
		t.Errorf("told %d times within the hour", told)
	}
	known = "s3cret"
	w.mustBeOnce(t, w.many(t, 40, 8, nil))
	mu.Lock()
	password = "newer"
	mu.Unlock()
	before := refused
	for range 2 { // what is under way when a password ends is refused, and no more
		w.many(t, 40, 8, nil)
	}
	if n := refused - before; n < 1 || n > 8 || told != 2 {
		t.Errorf("%d requests were refused after the password had ended; told %d times", n, told)
	}
}

// TestARightThatIsMissingStopsTheLink: no storm of writes until somebody gives the right, and somebody hears of it.
func TestARightThatIsMissingStopsTheLink(t *testing.T) {
	w := dialects()[0].start(t, edmx.Config{})
	told := 0
	w.link.WhenDenied(func(error) { told++ })
	w.mock.SetFaults(erpmock.Fault{Kind: erpmock.Status, Status: 403, Method: "POST", Body: `{"error":{"code":"CO/100","message":{"lang":"en","value":"No authorization for plant 1000"}}}`})
	for range 3 {
		out := w.one(t, w.delivery(t, "m"))
		if out.Verdict != message.Again || !out.LinkDown || out.After != time.Minute || problem.KindOf(out.Err) != problem.Denied || !strings.Contains(out.Err.Error(), "No authorization for plant") {
			t.Errorf("got %v after %s (link down %t)", out, out.After, out.LinkDown)
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

// TestAPageToLogOnIsNoStorm: what stands before the ERP answers everything with a page, or leads to one. Whatever was asked for, the link rests for a minute
// and somebody hears of it once; what was sent may have got through. A page in the place of a token does not say that no token is wanted.
func TestAPageToLogOnIsNoStorm(t *testing.T) {
	d := dialects()[0]
	write := func(w *world) (message.Outcome, error) { out := w.one(t, w.delivery(t, "m")); return out, out.Err }
	for _, tt := range []struct {
		name string
		what func(r *http.Request) bool
		do   func(w *world) (message.Outcome, error)
		want message.Verdict
	}{
		{"a write", func(r *http.Request) bool { return r.Method == http.MethodPost }, write, message.Unsure},
		{"a batch", func(r *http.Request) bool { return r.Method == http.MethodPost }, func(w *world) (message.Outcome, error) {
			w.link.cfg.Batch = 10
			out := w.link.Deliver(t.Context(), []message.Delivery{w.delivery(t, "m"), w.delivery(t, "n")})
			return out[0], out[1].Err
		}, message.Unsure},
		{"the token", func(r *http.Request) bool { return r.Header.Get(csrf) == "Fetch" }, write, message.Again},
		{"$metadata", func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "$metadata") }, write, message.Again},
		{"a question", func(r *http.Request) bool { return r.URL.Query().Has("$filter") }, func(w *world) (message.Outcome, error) {
			return w.link.Ask(t.Context(), w.delivery(t, "m"))
		}, message.Unsure},
	} {
		for _, status := range []int{http.StatusOK, http.StatusFound, http.StatusSeeOther} {
			t.Run(fmt.Sprintf("%s, %d", tt.name, status), func(t *testing.T) {
				w, told := behindLogOn(t, d, status, tt.what), 0
				w.link.WhenDenied(func(error) { told++ })
				for range 5 {
					out, err := tt.do(w)
					if out.Verdict != tt.want || !out.LinkDown || out.After != time.Minute || problem.KindOf(err) != problem.Denied || !strings.Contains(err.Error(), "page") && !strings.Contains(err.Error(), "to https://login.example/saml; redirects are not followed") {
						t.Errorf("got %v after %s (link down %t): %v", out, out.After, out.LinkDown, err)
					}
				}
				if told != 1 {
					t.Errorf("told %d times", told)
				}
				if n := w.Attempts("m"); n != 0 {
					t.Errorf("%d writes went without a token", n)
				}
			})
		}
	}
}

// behindLogOn is a service of a dialect before which something stands that answers what it is told with a page to log on, or with where that is.
func behindLogOn(t *testing.T, d dialect, status int, what func(*http.Request) bool) *world {
	t.Helper()
	m, err := edmx.New(d.metadata(t), edmx.Config{Root: d.root, IDFields: []string{"ExternalSystemConfirmation"}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if what(r) {
			if status != http.StatusOK {
				rw.Header().Set("Location", "https://login.example/saml?SAMLRequest=secret")
			}
			rw.Header().Set("Content-Type", "text/html; charset=utf-8")
			rw.WriteHeader(status)
			_, _ = rw.Write([]byte("<html>Log on</html>")) // the client has left if it fails
			return
		}
		m.Handler().ServeHTTP(rw, r)
	}))
	t.Cleanup(srv.Close)
	return &world{dialect: d, mock: m, link: open(t, d.config(srv.URL))}
}

// TestARightThatIsMissingIsNoStormWhateverIsAskedFor: to whoever may not call the service at all, SAP says so at its $metadata, its token and a question
// too. What is sent and asked for rests as after a write that was refused, and somebody is told once.
func TestARightThatIsMissingIsNoStormWhateverIsAskedFor(t *testing.T) {
	d := dialects()[0]
	for _, tt := range []struct {
		name string
		what func(r *http.Request) bool
		do   func(w *world) (message.Outcome, error)
	}{
		{
			"$metadata, before a write", func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "$metadata") },
			func(w *world) (message.Outcome, error) { out := w.one(t, w.delivery(t, "m")); return out, out.Err },
		},
		{
			"$metadata, before a question", func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "$metadata") },
			func(w *world) (message.Outcome, error) { return w.link.Ask(t.Context(), w.delivery(t, "m")) },
		},
		{
			"the token", func(r *http.Request) bool { return r.Header.Get(csrf) == "Fetch" },
			func(w *world) (message.Outcome, error) { out := w.one(t, w.delivery(t, "m")); return out, out.Err },
		},
		{
			"a question", func(r *http.Request) bool { return r.URL.Query().Has("$filter") },
			func(w *world) (message.Outcome, error) { return w.link.Ask(t.Context(), w.delivery(t, "m")) },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := edmx.New(d.metadata(t), edmx.Config{Root: d.root, IDFields: []string{"ExternalSystemConfirmation"}})
			if err != nil {
				t.Fatal(err)
			}
			srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if tt.what(r) {
					rw.WriteHeader(http.StatusForbidden)
					return
				}
				m.Handler().ServeHTTP(rw, r)
			}))
			defer srv.Close()
			w, told := &world{dialect: d, mock: m, link: open(t, d.config(srv.URL))}, 0
			w.link.WhenDenied(func(error) { told++ })
			for range 3 {
				if out, err := tt.do(w); !out.LinkDown || out.After != time.Minute || problem.KindOf(err) != problem.Denied {
					t.Errorf("got %v after %s (link down %t): %v", out, out.After, out.LinkDown, err)
				}
			}
			if told != 1 {
				t.Errorf("told %d times", told)
			}
		})
	}
}

func TestATokenOfOAuthIsFetchedOnceAndRenewed(t *testing.T) {
	fetched, wrongToken := 0, 0
	auth := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		user, pass, _ := r.BasicAuth()
		if user != "mes" || pass != "s3cret" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "s" {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		fetched++
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"access_token":"t%d","token_type":"bearer","expires_in":3600}`, fetched)
	}))
	defer auth.Close()
	d := dialects()[0]
	m, err := edmx.New(d.metadata(t), edmx.Config{Root: d.root, IDFields: []string{"ExternalSystemConfirmation"}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != fmt.Sprintf("Bearer t%d", fetched) {
			wrongToken++
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		m.Handler().ServeHTTP(rw, r)
	}))
	defer srv.Close()
	c := d.config(srv.URL)
	c.Auth.OAuth = &OAuth{TokenURL: auth.URL, ClientID: "mes", Secret: "env:PASSWORD", Scope: "s"}
	w := &world{dialect: d, mock: m, link: open(t, c)}
	w.mustBeOnce(t, w.many(t, 5, 2, nil))
	if fetched != 1 || wrongToken != 0 {
		t.Errorf("%d tokens fetched, %d requests with a wrong one", fetched, wrongToken)
	}
	later := time.Now().Add(2 * time.Hour)
	w.link.creds.guard.Now = func() time.Time { return later }
	if out := w.link.Deliver(t.Context(), []message.Delivery{w.delivery(t, "later")})[0]; out.Verdict != message.Delivered || fetched != 2 {
		t.Errorf("after the token's end: %v, %d fetched", out, fetched)
	}
}

func TestMetadataIsAskedForItsVersionOnly(t *testing.T) {
	w := dialects()[0].start(t, edmx.Config{})
	c, err := w.link.Service("conf")
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Metadata(t.Context())
	if err != nil || again != first || w.link.Learnt() != 1 {
		t.Errorf("the same $metadata was read twice, learnt %d times: %v", w.link.Learnt(), err)
	}
	c.metadata.etag, c.metadata.date = "of an older one", ""
	if other, err := c.Metadata(t.Context()); err != nil || other == first || w.link.Learnt() != 2 {
		t.Errorf("another $metadata was learnt %d times, want that known: %v", w.link.Learnt(), err)
	} else {
		first = other
	}
	w.Meet(t, adaptertest.Down)
	old := w.link.now
	w.link.now = func() time.Time { return old().Add(24 * time.Hour) }
	if m, err := c.Model(t.Context()); err != nil || m != first {
		t.Errorf("while the service is away, the old one does not serve: %v", err)
	}
	if _, err := c.Metadata(t.Context()); err == nil {
		t.Error("a check of a service that is away passed")
	}
}
