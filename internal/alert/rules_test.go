package alert_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/alert"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// watched is a plant whose record is held against the rules.
type watched struct {
	t      *testing.T
	db     *store.DB
	now    time.Time
	tree   *audit.Tree
	alerts *alert.Alerts
	rules  *alert.Forwarder
}

func eachWatched(t *testing.T, test func(w *watched)) {
	t.Helper()
	w := &watched{now: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w.t, w.db, w.alerts = t, db, alert.New(slog.New(slog.DiscardHandler))
		w.tree = audit.NewTree(db, "plant-1000", "a", audit.Config{}, slog.New(slog.DiscardHandler))
		w.rules = w.newRules("a")
		w.forward(w.rules)
		test(w)
	}, storetest.WithClock(func() time.Time { return w.now }))
}

func (w *watched) newRules(node string) *alert.Forwarder {
	return alert.NewRules(w.db, w.tree.Place, node, w.alerts, time.Hour, slog.New(slog.DiscardHandler))
}

func (w *watched) forward(f *alert.Forwarder) {
	w.t.Helper()
	for {
		n, err := f.Forward(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

// act records something, n times, a second apart.
func (w *watched) act(n int, e audit.Entry) {
	w.t.Helper()
	if err := w.db.InTx(w.t.Context(), func(tx *store.Tx) error {
		for range n {
			w.now = w.now.Add(time.Second)
			e.At = w.now
			if err := audit.Append(w.t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	w.forward(w.rules)
}

// raised are the threats on record as "alert object", the first one first.
func (w *watched) raised() []string {
	w.t.Helper()
	var got []string
	if err := w.db.View(w.t.Context(), func(tx *store.Tx) error {
		all, err := audit.List(w.t.Context(), tx, audit.Filter{Actor: "holdfast"})
		for _, e := range all {
			got = append(got, e.Action+" "+e.Object)
		}
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	slices.Reverse(got)
	return got
}

func (w *watched) want(what string, want ...string) {
	w.t.Helper()
	if got := w.raised(); !slices.Equal(got, want) {
		w.t.Errorf("%s: raised %q, want %q", what, got, want)
	}
}

// TestThreatsInTheRecordAreRaisedOnce has for each rule one act too few, then the one that breaks it, then more of the same.
func TestThreatsInTheRecordAreRaisedOnce(t *testing.T) {
	entry := func(actor, from, action, outcome string) audit.Entry {
		return audit.Entry{Actor: actor, From: from, Action: action, Object: "x", Reason: "y", Outcome: outcome}
	}
	eachWatched(t, func(w *watched) {
		wrong := entry("unknown", "10.1.2.3", "access.sign-in", audit.Refused)
		w.act(9, wrong)
		w.want("nine failed sign-ins")
		wrong.From = "10.1.2.77" // the same network
		w.act(1, wrong)
		w.rules = w.newRules("a") // another process goes on where it was
		w.act(5, wrong)
		want := []string{"threat.sign-ins-fail from/10.1.2.0/24"}
		w.want("more than ten", want...)
		w.now = w.now.Add(61 * time.Minute)
		w.act(9, wrong)
		w.want("nine, an hour later", want...)
		w.act(1, wrong)
		want = append(want, want[0])
		w.want("ten, an hour later", want...)

		for i := range 12 {
			w.act(1, entry("user:eva", fmt.Sprintf("10.2.%d.1", i), "access.sign-in", audit.Refused))
		}
		want = append(want, "threat.account-guessed user:eva")
		w.want("one account from everywhere", want...)

		w.act(20, entry("user:ben", "10.1.2.3", "access.refusal", audit.Refused))
		want = append(want, "threat.denied user:ben")
		w.act(2, entry("user:sec", "10.1.2.3", "access.token-create", audit.Done))
		want = append(want, "threat.privileges user:sec x")
		w.act(1, entry("user:x", "10.1.2.3", "access.token-create", audit.Refused))
		w.act(2, entry("user:x", "10.1.2.3", "access.passkey-cloned", audit.Refused))
		want = append(want, "threat.passkey-cloned x")
		for _, action := range []string{"keys.listed", "keys.cold-start", "keys.plain-doubted", "keys.made"} {
			w.act(1, audit.Entry{Actor: "node:a", Action: action, Object: "key/1", Outcome: audit.Done})
		}
		want = append(want, "threat.key-revoked key/1", "threat.cold-start key/1", "threat.plain-doubted key/1")
		w.act(2, audit.Entry{Actor: "node:a", Action: audit.Forged, Object: "audit/record", Outcome: audit.Done})
		want = append(want, "threat.audit-gap audit/record")
		w.act(19, entry("user:aud", "10.1.2.3", "token.reveal", audit.Done))
		w.want("denied and privileges", want...)
		w.act(1, entry("user:aud", "10.1.2.3", "audit.export", audit.Done))
		want = append(want, "threat.mass-export user:aud")
		out := entry("user:out", "10.1.2.3", "msg.export", audit.Done)
		out.After = []byte(`{"filter":"--owed=true","messages":4999}`)
		w.act(2, out)
		w.act(30, entry("user:out", "10.1.2.3", "audit.list", audit.Done))
		out.After = []byte(`{"messages":1}`)
		w.act(1, out)
		w.want("9,999 messages taken out", want...)
		w.act(1, out)
		want = append(want, "threat.mass-export user:out")
		w.want("10,000 messages taken out", want...)
		w.act(49, entry("user:erp", "10.1.2.3", "msg.replay", audit.Done))
		w.want("export", want...)
		w.act(1, entry("user:erp", "10.1.2.3", "quarantine.replay", audit.Done))
		want = append(want, "threat.mass-replay user:erp")
		w.want("replay", want...)
		many := entry("user:lane", "10.1.2.3", "msg.replay", audit.Done)
		many.After = []byte(`{"messages":48}`)
		w.act(1, many)
		start := many
		start.Action, start.After = "job.start", []byte(`{"job":"1","messages":{"total":30}}`)
		w.act(1, start)
		w.want("48 messages replayed at once, and a job whose messages come by themselves", want...)
		many.After = nil
		w.act(1, many)
		want = append(want, "threat.mass-replay user:lane")
		w.want("one more", want...)
	})
}

// TestARepetitionIsCountedOnce, however often it is looked at again as a later alert was not taken.
func TestARepetitionIsCountedOnce(t *testing.T) {
	eachWatched(t, func(w *watched) {
		var refuse atomic.Bool
		refuse.Store(true)
		var got []alert.Notice
		srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			var n alert.Notice
			if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
				w.t.Error(err)
			}
			if n.Object == "link/b" && refuse.Load() {
				rw.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			got = append(got, n)
		}))
		defer srv.Close()
		hook := alert.NewChannel(w.db, w.tree.Place, "a", alert.Channel{Name: "hook", To: alert.Webhook{URL: srv.URL, Client: srv.Client()}, Plant: "1000"}, slog.New(slog.DiscardHandler))
		w.forward(hook)
		raise := func(objects ...string) {
			for _, object := range objects {
				w.now = w.now.Add(time.Minute)
				if err := w.db.InTx(w.t.Context(), func(tx *store.Tx) error {
					return w.alerts.Raise(w.t.Context(), tx, "inbound.refused", object, errors.New("x"))
				}); err != nil {
					w.t.Fatal(err)
				}
			}
		}
		raise("link/a", "link/a", "link/b")
		for range 3 {
			if _, err := hook.Forward(w.t.Context()); err == nil {
				w.t.Fatal("an alert that was not taken went through")
			}
		}
		refuse.Store(false)
		w.forward(hook)
		w.now = w.now.Add(time.Hour)
		raise("link/a")
		w.forward(hook)
		var told []string
		for _, n := range got {
			told = append(told, fmt.Sprintf("%s +%d", n.Object, n.Besides))
		}
		if want := []string{"link/a +0", "link/b +0", "link/a +1"}; !slices.Equal(told, want) {
			w.t.Errorf("told %q, want %q", told, want)
		}
	})
}

// TestNoiseHidesNoThreat has a rule broken between more acts of others than one page of the record holds.
func TestNoiseHidesNoThreat(t *testing.T) {
	for _, tt := range []struct {
		what   string
		times  int
		want   string
		entry  audit.Entry
		others func(i int, e *audit.Entry)
	}{
		{
			"an account", 10, "threat.account-guessed user:eva",
			audit.Entry{Actor: "user:eva", From: "10.1.2.3", Action: "access.sign-in", Outcome: audit.Refused},
			func(i int, e *audit.Entry) {
				e.Actor, e.From = fmt.Sprintf("user:u%d", i), fmt.Sprintf("10.2.%d.1", i%200)
			},
		},
		{
			"a place", 10, "threat.sign-ins-fail from/10.1.2.0/24",
			audit.Entry{Actor: "unknown", From: "10.1.2.3", Action: "access.sign-in", Outcome: audit.Refused},
			func(i int, e *audit.Entry) { e.From = fmt.Sprintf("10.%d.%d.1", 3+i/200, i%200) },
		},
		{
			"what is taken out", 20, "threat.mass-export user:aud",
			audit.Entry{Actor: "user:aud", Action: "token.reveal"},
			func(i int, e *audit.Entry) { e.Actor = fmt.Sprintf("user:u%d", i) },
		},
		{
			"what succeeds", 20, "threat.denied user:ben",
			audit.Entry{Actor: "user:ben", Action: "access.refusal", Outcome: audit.Refused},
			func(_ int, e *audit.Entry) { e.Outcome = audit.Done },
		},
	} {
		t.Run(tt.what, func(t *testing.T) {
			eachWatched(t, func(w *watched) {
				if err := w.db.InTx(w.t.Context(), func(tx *store.Tx) error {
					for i := range 600 {
						e := tt.entry
						if e.At = w.now; i >= tt.times-1 {
							tt.others(i, &e)
						}
						if err := audit.Append(w.t.Context(), tx, e); err != nil {
							return err
						}
					}
					return nil
				}); err != nil {
					w.t.Fatal(err)
				}
				w.forward(w.rules)
				if got := w.raised(); slices.Contains(got, tt.want) {
					w.t.Fatalf("raised %q, one too early", got)
				}
				w.act(1, tt.entry)
				if got := w.raised(); !slices.Contains(got, tt.want) {
					w.t.Errorf("raised %q, want %s", got, tt.want)
				}
			})
		})
	}
}

// TestNewPlacesAndHoursAreOddOfWhoHasAHabit: not of who signs in for the first time.
func TestNewPlacesAndHoursAreOddOfWhoHasAHabit(t *testing.T) {
	eachWatched(t, func(w *watched) {
		in := audit.Entry{Actor: "user:anna", From: "10.1.2.3", Action: "access.signed-in", Object: "console"}
		w.now = time.Date(2026, 11, 1, 22, 30, 0, 0, time.UTC)
		day := func(from string, after time.Duration) {
			w.now = w.now.Add(after)
			in.From = from
			w.act(1, in)
		}
		day("10.9.9.9", 0)
		for range 4 {
			day("10.1.2.3", 24*time.Hour)
		}
		w.want("five sign-ins from two places")
		day("10.1.3.4", 24*time.Hour)
		want := []string{"threat.new-place user:anna"}
		w.want("from a third", want...)
		day("10.9.9.1", 24*time.Hour)
		for range 14 {
			day("10.1.2.3", 24*time.Hour)
		}
		w.want("where they were before", want...)
		day("10.1.2.3", 24*time.Hour+119*time.Minute) // 0:30, across midnight
		w.want("two hours later than ever", want...)
		day("10.1.2.3", 10*time.Hour)
		want = append(want, "threat.new-hour user:anna")
		w.want("in the morning", want...)
	})
}

func TestAClockThatIsPutForwardOrBackIsSeen(t *testing.T) {
	steady := time.Now()
	now := steady
	p := alert.ClockProbe("a", func() time.Time { return now }, func() time.Time { return steady })
	for _, tt := range []struct {
		name            string
		passed, claimed time.Duration
		want            string
	}{
		{"as time passes", time.Minute, time.Minute, ""},
		{"a little fast", time.Minute, 80 * time.Second, ""},
		{"an hour forward", time.Minute, 61 * time.Minute, "put forward by 1h0m0s"},
		{"and on", time.Minute, time.Minute, ""},
		{"back", time.Minute, -29 * time.Minute, "put back by 30m0s"},
		{"a machine that slept", time.Hour, time.Hour, ""},
	} {
		steady, now = steady.Add(tt.passed), now.Add(tt.claimed)
		if why, err := p.Look(t.Context()); err != nil || !strings.Contains(why, tt.want) || tt.want == "" && why != "" {
			t.Errorf("%s: %q, %v, want %q", tt.name, why, err, tt.want)
		}
	}
}

func TestTrafficIsUnusualBesideWhatIsUsual(t *testing.T) {
	day := []int64{400, 410, 390, 405, 420, 20, 0, 0, 0, 0, 0, 0, 30, 400, 410, 395, 400, 390, 405, 410, 400, 395, 20, 0}
	for n, want := range map[int64]bool{0: false, 420: false, 1500: false, 9000: true} {
		if got := alert.Unusual("x", day, n) != ""; got != want {
			t.Errorf("%d: unusual %t, want %t", n, got, want)
		}
	}
	if alert.Unusual("x", make([]int64, 24), 90) != "" || alert.Unusual("x", make([]int64, 24), 101) == "" || alert.Unusual("x", day[:5], 1e6) != "" {
		t.Error("a plant that has stood still, or is new, is judged wrongly")
	}
}

// TestAChannelIsToldOnceAndLosesNothing: of what waits while it is away, of what is silent, and of what comes again.
func TestAChannelIsToldOnceAndLosesNothing(t *testing.T) {
	eachWatched(t, func(w *watched) {
		raise := func(name, object string) {
			t.Helper()
			w.now = w.now.Add(time.Minute)
			if err := w.db.InTx(w.t.Context(), func(tx *store.Tx) error { return w.alerts.Raise(w.t.Context(), tx, name, object, errors.New("a\r\nb")) }); err != nil {
				w.t.Fatal(err)
			}
		}
		var away atomic.Bool
		var got []alert.Notice
		srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			mac := hmac.New(sha256.New, []byte("s3cret"))
			fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), body)
			if r.Header.Get("Webhook-Signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
				w.t.Error("the call is not signed")
			}
			if away.Load() {
				rw.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			var n alert.Notice
			if err := json.Unmarshal(body, &n); err != nil {
				w.t.Error(err)
			}
			got = append(got, n)
		}))
		defer srv.Close()
		open := func(least string) *alert.Forwarder {
			hook := alert.Webhook{URL: srv.URL, Client: srv.Client(), Secret: func(context.Context) (string, error) { return "s3cret", nil }}
			return alert.NewChannel(w.db, w.tree.Place, "a", alert.Channel{Name: "hook" + least, To: hook, Plant: "1000", Least: least}, slog.New(slog.DiscardHandler))
		}
		told := func(what string, want ...string) {
			w.t.Helper()
			var all []string
			for _, n := range got {
				all = append(all, fmt.Sprintf("%s %s %s +%d", n.Alert, n.Severity, n.Object, n.Besides))
			}
			if !slices.Equal(all, want) {
				w.t.Errorf("%s: told %q, want %q", what, all, want)
			}
			got = nil
		}
		raise("inbound.refused", "link/old")
		if err := w.tree.Place(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		hook, grave := open(""), open("critical")
		w.forward(hook)
		w.forward(grave)
		told("what was before the channel")

		away.Store(true)
		raise("inbound.refused", "link/erp")
		raise("anomaly.held", "event/1")
		raise("inbound.refused", "link/erp")
		raise("inbound.refused", "link/other")
		if _, err := hook.Forward(w.t.Context()); problem.KindOf(err) != problem.Unavailable {
			w.t.Errorf("a channel that is away: %v", err)
		}
		told("while it is away")
		away.Store(false)
		hook = open("") // another process
		w.forward(hook)
		told("once it is back", "inbound.refused critical link/erp +0", "anomaly.held warning event/1 +0", "inbound.refused critical link/other +0")
		w.forward(grave)
		told("what is critical alone", "inbound.refused critical link/erp +0", "inbound.refused critical link/other +0")

		w.now = w.now.Add(time.Hour)
		raise("inbound.refused", "link/erp")
		w.forward(hook)
		told("again, an hour later", "inbound.refused critical link/erp +1")

		hush := func(object string, until time.Duration) error {
			return w.db.InTx(w.t.Context(), func(tx *store.Tx) error {
				return alert.Hush(w.t.Context(), tx, alert.Silence{Name: "anomaly.held", Object: object, Until: tx.Now.Add(until), By: "local:anna", Reason: "known"})
			})
		}
		if err := hush("event/2", 2*time.Hour); err != nil {
			w.t.Fatal(err)
		}
		raise("anomaly.held", "event/2")
		raise("anomaly.held", "event/3")
		w.forward(hook)
		told("one that is silent", "anomaly.held warning event/3 +0")
		w.now = w.now.Add(2 * time.Hour)
		raise("anomaly.held", "event/2")
		w.forward(hook)
		told("when the silence is over", "anomaly.held warning event/2 +0")
		if err := hush("", 31*24*time.Hour); problem.KindOf(err) != problem.Invalid {
			w.t.Errorf("a silence of 31 days: %v", err)
		}
	})
}

// TestWhatIsDearToLookAtIsLookedAtSeldom: a day's messages are counted each hour, and the clock each half minute.
func TestWhatIsDearToLookAtIsLookedAtSeldom(t *testing.T) {
	db := storetest.SQLite(t, storetest.WithClock(time.Now))
	synctest.Test(t, func(t *testing.T) {
		var often, seldom int
		look := func(n *int) func(context.Context) (string, error) {
			return func(context.Context) (string, error) { *n++; return "", nil }
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour+time.Minute+15*time.Second)
		defer cancel()
		err := alert.Watch(ctx, db, nil, time.Hour, "n1", []alert.Probe{{Look: look(&often)}, {Look: look(&seldom), Every: time.Hour}}, slog.New(slog.DiscardHandler))
		if err != nil || often != 243 || seldom != 3 {
			t.Errorf("looked %d and %d times in two hours, a minute and a quarter of one: %v", often, seldom, err)
		}
	})
}

// TestWhatIsDeniedCountsWhateverTheAction: the refusal of an act is kept under the act's name.
func TestWhatIsDeniedCountsWhateverTheAction(t *testing.T) {
	refused := func(actor, action, code string) audit.Entry {
		return audit.Entry{Actor: actor, From: "10.1.2.3", Action: action, Object: "message/1", Reason: "y", After: fmt.Appendf(nil, `{"code":%q}`, code), Outcome: audit.Refused}
	}
	eachWatched(t, func(w *watched) {
		w.act(30, refused("user:ben", "msg.discard", "conflict"))
		w.act(30, refused("user:ben", "access.sign-in", "denied"))
		w.act(10, refused("user:eva", "msg.discard", "denied"))
		w.act(10, refused("user:ben", "msg.discard", "denied"))
		w.act(5, refused("user:ben", "msg.export", "denied"))
		w.act(4, refused("user:ben", "access.refusal", "denied"))
		w.want("nineteen of one", "threat.sign-ins-fail from/10.1.2.0/24", "threat.account-guessed user:ben")
		w.act(5, refused("user:ben", "msg.export", "denied"))
		w.want("twenty of one", "threat.sign-ins-fail from/10.1.2.0/24", "threat.account-guessed user:ben", "threat.denied user:ben")
	})
}

// TestEachChangeOfPrivilegesIsTold: a first one by somebody does not hide what they do next.
func TestEachChangeOfPrivilegesIsTold(t *testing.T) {
	eachWatched(t, func(w *watched) {
		var want []string
		for _, e := range []audit.Entry{
			{Actor: "user:sec", Action: "access.token-create", Object: "token/andon"},
			{Actor: "user:sec", Action: "access.user-add", Object: "user/mallory"},
			{Actor: "directory", Action: "access.groups", Object: "user/ad:eva"},
		} {
			w.act(2, e)
			want = append(want, "threat.privileges "+e.Actor+" "+e.Object)
		}
		w.want("three changes", want...)
	})
}
