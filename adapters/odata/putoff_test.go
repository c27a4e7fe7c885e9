package odata

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/adapters/erpmock/edmx"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// TestRetryAfterIsObeyedWhateverItAnswers: a token, of OAuth or against CSRF, the $metadata, an entity before its change, a question or a poll. The link rests as after
// such an answer to the write itself, and whoever needs the same meanwhile does not ask for it once more.
func TestRetryAfterIsObeyedWhateverItAnswers(t *testing.T) {
	write := func(w *world) []message.Outcome { return w.many(t, 10, 4, nil) }
	change := func(w *world) []message.Outcome {
		d := w.of(t, "m", w.set+"/change", `{"ConfirmationText":"ours"}`)
		d.Doc.Params = map[string]string{"ConfirmationGroup": "1", "ConfirmationCount": "2"}
		return []message.Outcome{w.one(t, d)}
	}
	ask := func(w *world) []message.Outcome {
		out, err := w.link.Ask(t.Context(), w.delivery(t, "m"))
		out.Err = err
		return []message.Outcome{out}
	}
	poll := func(w *world) []message.Outcome {
		_, _, err := w.link.Polls()[0].Poll(t.Context(), "")
		var asks interface{ RetryAfter() time.Duration }
		if !errors.As(err, &asks) {
			t.Fatalf("the poll says nothing of when to ask again: %v", err)
		}
		return []message.Outcome{{Verdict: message.Again, LinkDown: true, Throttled: strings.Contains(err.Error(), "429"), After: asks.RetryAfter(), Err: err}}
	}
	oauth := func(r *http.Request) bool { return r.URL.Path == "/token" }
	for _, tt := range []struct {
		name  string
		what  func(r *http.Request) bool
		do    func(w *world) []message.Outcome
		want  message.Verdict
		asked int64 // in two rounds of do
	}{
		{"the token of OAuth", oauth, write, message.Again, 1},
		{"the token of OAuth, of a poll", oauth, poll, message.Again, 1},
		{"the token against CSRF", func(r *http.Request) bool { return r.Header.Get(csrf) == "Fetch" }, write, message.Again, 1},
		{"$metadata", func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "$metadata") }, write, message.Again, 1},
		{"$metadata, of a poll", func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "$metadata") }, poll, message.Again, 1},
		{"an entity before its change", func(r *http.Request) bool { return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "(") }, change, message.Again, 2},
		{"a question", func(r *http.Request) bool { return r.URL.Query().Has("$filter") }, ask, message.Unsure, 2},
		{"a poll", func(r *http.Request) bool { return r.URL.Query().Has("$orderby") }, poll, message.Again, 2},
	} {
		for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
			t.Run(tt.name+" "+http.StatusText(status), func(t *testing.T) {
				var asked atomic.Int64
				var well atomic.Bool
				w := puttingOff(t, func(rw http.ResponseWriter, r *http.Request) bool {
					if !tt.what(r) || well.Load() {
						return false
					}
					asked.Add(1)
					rw.Header().Set("Retry-After", "7")
					rw.WriteHeader(status)
					return true
				})
				for range 2 {
					for _, o := range tt.do(w) {
						if o.Verdict != tt.want || !o.LinkDown || o.After > 7*time.Second || o.After < 6*time.Second || o.Throttled != (status == http.StatusTooManyRequests) || problem.KindOf(o.Err) != problem.Unavailable {
							t.Fatalf("got %v after %s (link down %t, slowed %t), want it after 7s", o, o.After, o.LinkDown, o.Throttled)
						}
					}
				}
				if asked.Load() != tt.asked {
					t.Errorf("it was asked for %d times", asked.Load())
				}
				well.Store(true)
				later := time.Now().Add(8 * time.Second)
				w.link.now = func() time.Time { return later }
				w.link.creds.guard.Now = w.link.now
				if out := w.one(t, w.delivery(t, "later")); out.Verdict != message.Delivered {
					t.Errorf("after that time: %v", out)
				}
			})
		}
	}
}

// puttingOff is a service and its token service, before which something stands that may answer in their place.
func puttingOff(t *testing.T, before func(rw http.ResponseWriter, r *http.Request) bool) *world {
	t.Helper()
	d := dialects()[1]
	auth := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !before(rw, r) {
			_, _ = rw.Write([]byte(`{"access_token":"t","token_type":"bearer"}`)) // the client has left if it fails
		}
	}))
	t.Cleanup(auth.Close)
	w := d.behind(t, func(_ *edmx.Mock, rw http.ResponseWriter, r *http.Request) bool { return before(rw, r) }, func(c *Config) {
		c.Auth.OAuth = &OAuth{TokenURL: auth.URL + "/token", ClientID: "mes", Secret: "env:PASSWORD"}
		c.Polls = []PollConfig{{
			Name: "confirmations", Set: "conf/" + d.set, Key: "OrderID", Watermark: "PostingDate", Source: "urn:erp", Kind: "erp.confirmation", Mapping: "in",
		}}
	})
	if err := w.mock.Seed(d.set, map[string]any{"ConfirmationGroup": "1", "ConfirmationCount": "2", "OrderID": "7"}); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestALockOfWhatIsReadBeforeItsChangeIsOne: the change is tried again soon, as if it had met the lock itself, and nobody takes the link to be down.
func TestALockOfWhatIsReadBeforeItsChangeIsOne(t *testing.T) {
	for _, answer := range []struct {
		status int
		body   string
	}{{http.StatusLocked, ""}, {http.StatusBadRequest, `{"error":{"code":"CO/469","message":"Order 7 is already being processed by MILLER"}}`}} {
		w := puttingOff(t, func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "(") {
				return false
			}
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(answer.status)
			_, _ = rw.Write([]byte(answer.body)) // as above
			return true
		})
		d := w.of(t, "m", w.set+"/change", `{"ConfirmationText":"ours"}`)
		d.Doc.Params = map[string]string{"ConfirmationGroup": "1", "ConfirmationCount": "2"}
		if out := w.one(t, d); out.Verdict != message.Again || !out.Locked || out.LinkDown || out.After != w.link.cfg.LockWait {
			t.Errorf("%d: got %v after %s (locked %t, link down %t)", answer.status, out, out.After, out.Locked, out.LinkDown)
		}
	}
}
