package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/inbox"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// clock is the process's clock, moved by the test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// plant keeps what it was told in the database, in the transaction it is given, so that an effect is there if and only if it is
// committed. It refuses what it is told to refuse.
type plant struct {
	mu     sync.Mutex
	refuse map[string]error
	calls  int
}

func (p *plant) apply(ctx context.Context, tx *store.Tx, m message.Message) error {
	p.mu.Lock()
	p.calls++
	err := p.refuse[m.ID]
	p.mu.Unlock()
	if _, xerr := tx.Exec(ctx, `INSERT INTO effects (id, kind, body) VALUES (?, ?, ?)`, m.ID, m.Kind, string(m.Body)); xerr != nil {
		return xerr
	}
	return err
}

func (p *plant) set(id string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse == nil {
		p.refuse = map[string]error{}
	}
	p.refuse[id] = err
}

// mapper is one that knows a few names.
type mapper struct{}

func (mapper) ApplyIn(ctx context.Context, name string, m message.Message, refs mapping.Resolver) (message.Message, error) {
	switch name {
	case "upper":
		m.Kind, m.Body = strings.ToUpper(m.Kind), []byte(strings.ToUpper(string(m.Body)))
		return m, nil
	case "ref":
		id, known, err := refs(ctx, "order/4711")
		m.Kind = fmt.Sprint(id, known)
		return m, err
	case "leave":
		return m, mapping.ErrLeftOut
	default:
		return m, &problem.Error{Kind: problem.NotFound, What: "map by " + name, Why: "there is no such mapping"}
	}
}

type world struct {
	*inbox.Inbox
	t     *testing.T
	db    *store.DB
	plant *plant
	clock *clock
}

// each runs test on both databases, with an inbox of the given configuration.
func each(t *testing.T, cfg inbox.Config, test func(t *testing.T, w *world)) {
	t.Helper()
	c := &clock{at: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := &world{t: t, db: db, plant: &plant{}, clock: c}
		w.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `CREATE TABLE effects (id TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL)`)
			return err
		})
		w.Inbox = w.another(cfg)
		test(t, w)
	}, storetest.WithClock(c.now))
}

// another is one more inbox on the same database, as another process would have.
func (w *world) another(cfg inbox.Config) *inbox.Inbox {
	return inbox.New(w.db, mapper{}, w.plant.apply, cfg, quiet())
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (w *world) tx(fn func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.db.InTx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) receive(in message.Incoming) (taken inbox.Taken) {
	w.t.Helper()
	w.tx(func(tx *store.Tx) (err error) {
		taken, err = w.Receive(w.t.Context(), tx, in, "erp")
		return err
	})
	return taken
}

func (w *world) fresh(ins ...message.Incoming) {
	w.t.Helper()
	for _, in := range ins {
		if taken := w.receive(in); !taken.Fresh || taken.Rejected != 0 {
			w.t.Fatalf("%s was taken as %+v, want fresh", in.ID, taken)
		}
	}
}

// drain applies all that is due.
func (w *world) drain() {
	w.t.Helper()
	for range 100 {
		n, err := w.Step(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
	w.t.Fatal("the inbox does not come to rest")
}

// effects are the IDs of what the plant has acted on, in order.
func (w *world) effects() (ids []string) {
	w.t.Helper()
	order := "rowid"
	if w.db.Dialect() == store.Postgres {
		order = "ctid"
	}
	err := w.db.View(w.t.Context(), func(tx *store.Tx) error {
		return tx.Select(w.t.Context(), &ids, `SELECT id FROM effects ORDER BY `+order)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return ids
}

func (w *world) wantEffects(want ...string) {
	w.t.Helper()
	if got := w.effects(); !slices.Equal(got, want) {
		w.t.Errorf("effects = %q, want %q", got, want)
	}
}

func (w *world) states() map[string]inbox.State {
	w.t.Helper()
	out := map[string]inbox.State{}
	for _, m := range w.list(inbox.Filter{Limit: 1000}) {
		out[m.ID] = m.State
	}
	return out
}

func (w *world) wantStates(want map[string]inbox.State) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.states()); diff != "" {
		w.t.Errorf("states (-want +got):\n%s", diff)
	}
}

func (w *world) list(f inbox.Filter) (ms []inbox.Message) {
	w.t.Helper()
	err := w.db.View(w.t.Context(), func(tx *store.Tx) (err error) {
		ms, err = w.Messages(w.t.Context(), tx, f)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return ms
}

func (w *world) seq(id string) int64 {
	w.t.Helper()
	ms := w.list(inbox.Filter{ID: id})
	if len(ms) != 1 {
		w.t.Fatalf("%d messages with ID %s", len(ms), id)
	}
	return ms[0].Seq
}

func (w *world) status() (s inbox.Status) {
	w.t.Helper()
	err := w.db.View(w.t.Context(), func(tx *store.Tx) (err error) {
		s, err = w.Status(w.t.Context(), tx)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// numbered is message number of lane L.
func numbered(number int64) message.Incoming {
	in := plain(fmt.Sprintf("m%d", number), "o1")
	in.Lane, in.Number = "L", number
	return in
}

// plain is a message without number or version.
func plain(id, key string) message.Incoming {
	return message.Incoming{Message: message.Message{
		ID: id, Source: "erp", Kind: "order.changed", Version: 1, Key: key, Time: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC),
		Body: []byte(`{"id":"` + id + `"}`), Place: message.Place{Role: message.Event},
	}}
}

// versioned is a version of object key.
func versioned(key, version string) message.Incoming {
	in := plain(key+"@"+version, key)
	in.ObjectVersion = version
	return in
}

func refusal(why string) error {
	return &problem.Error{Kind: problem.Conflict, What: "apply", Why: why}
}

func TestAMessageTakesEffectOnce(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.fresh(plain("a", "o1"))
		w.drain()
		if taken := w.receive(plain("a", "o1")); taken.Fresh || taken.Rejected != 0 {
			t.Errorf("the same again was taken as %+v", taken)
		}
		w.drain()
		w.wantEffects("a")
		w.wantStates(map[string]inbox.State{"a": inbox.Done})
	})
}

func TestNumbersGiveTheOrder(t *testing.T) {
	each(t, inbox.Config{Batch: 2}, func(t *testing.T, w *world) {
		w.fresh(numbered(3), numbered(2))
		w.drain()
		w.wantEffects()
		if s := w.status(); s.Waiting != 2 || s.Gaps != 1 {
			t.Errorf("status = %+v, want 2 waiting and 1 gap", s)
		}
		w.fresh(numbered(1))
		w.drain()
		w.fresh(numbered(4))
		w.drain()
		w.wantEffects("m1", "m2", "m3", "m4")
		if s := w.status(); s.Waiting != 0 || s.Gaps != 0 {
			t.Errorf("status = %+v, want nothing waiting", s)
		}
		if taken := w.receive(numbered(2)); taken.Fresh || taken.Rejected != 0 {
			t.Errorf("a number of long ago was taken as %+v", taken)
		}
	})
}

func TestAGapIsAlertedOnceAndSkippedByAPerson(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.fresh(numbered(1), numbered(3), numbered(5))
		w.drain()
		w.wantEffects("m1")
		alerts := func() int {
			lanes, err := w.AlertGaps(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return len(lanes)
		}
		if n := alerts(); n != 0 {
			t.Errorf("%d alerts at once", n)
		}
		w.clock.add(time.Minute)
		if n, m := alerts(), alerts(); n != 1 || m != 0 {
			t.Errorf("%d, then %d alerts after a minute, want 1, then 0", n, m)
		}
		if s := w.status(); s.Alerted != 1 || s.OldestGap.IsZero() {
			t.Errorf("status = %+v, want one alerted gap", s)
		}

		skip := func(lane string, n int64) error {
			return w.db.InTx(t.Context(), func(tx *store.Tx) error { return w.Skip(t.Context(), tx, "erp", lane, n) })
		}
		if kind := problem.KindOf(skip("L", 3)); kind != problem.Conflict {
			t.Errorf("skipping a number that is there: %q", kind)
		}
		if kind := problem.KindOf(skip("other", 1)); kind != problem.NotFound {
			t.Errorf("skipping in no lane: %q", kind)
		}
		if err := skip("L", 2); err != nil {
			t.Fatal(err)
		}
		w.drain()
		w.wantEffects("m1", "m3")

		w.fresh(numbered(2)) // it comes after all, and holds nothing
		w.fresh(numbered(4))
		w.drain()
		w.wantEffects("m1", "m3", "m4", "m5")
		w.tx(func(tx *store.Tx) error { return w.Replay(t.Context(), tx, w.seqIn(tx, "m2")) })
		w.drain()
		w.wantEffects("m1", "m3", "m4", "m5", "m2")
		if kind := problem.KindOf(skip("L", 6)); kind != problem.Conflict {
			t.Errorf("skipping where nothing is missing: %q", kind)
		}
	})
}

func (w *world) seqIn(tx *store.Tx, id string) int64 {
	w.t.Helper()
	var seq int64
	if err := tx.Get(w.t.Context(), &seq, `SELECT seq FROM inbox_messages WHERE id = ?`, id); err != nil {
		w.t.Fatal(err)
	}
	return seq
}

func TestWhatWaitsIsBounded(t *testing.T) {
	each(t, inbox.Config{MaxEarly: 2, MaxEarlyBytes: 40}, func(t *testing.T, w *world) {
		w.fresh(numbered(2), numbered(3))
		receive := func(in message.Incoming) error {
			return w.db.InTx(t.Context(), func(tx *store.Tx) error {
				_, err := w.Receive(t.Context(), tx, in, "erp")
				return err
			})
		}
		if kind := problem.KindOf(receive(numbered(4))); kind != problem.Unavailable {
			t.Errorf("one too many: %q, want unavailable", kind)
		}
		big := numbered(2)
		big.ID, big.Lane, big.Body = "big", "M", []byte(`"`+strings.Repeat("x", 50)+`"`)
		if kind := problem.KindOf(receive(big)); kind != problem.Unavailable {
			t.Errorf("too many bytes: %q, want unavailable", kind)
		}
		w.fresh(numbered(1)) // the missing one is always welcome
		w.drain()
		w.fresh(numbered(4))
		w.drain()
		w.wantEffects("m1", "m2", "m3", "m4")
	})
}

func TestVersionsDecideWithoutNumbers(t *testing.T) {
	tests := []struct {
		name     string
		versions []string
		want     []string
	}{
		{"in order", []string{"1", "2", "10"}, []string{"1", "2", "10"}},
		{"older ones have no effect", []string{"10", "9", "2"}, []string{"10"}},
		{"leading zeros", []string{"0009", "10", "8"}, []string{"0009", "10"}},
		{
			"times in different zones",
			[]string{"2026-11-24T06:00:00+01:00", "2026-11-24T05:30:00Z", "2026-11-24T05:15:00Z"},
			[]string{"2026-11-24T06:00:00+01:00", "2026-11-24T05:30:00Z"},
		},
		{"texts", []string{"20261124", "A0000002", "A0000001"}, []string{"20261124", "A0000002"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, inbox.Config{}, func(t *testing.T, w *world) {
				var want []string
				for _, v := range tt.versions {
					w.fresh(versioned("o1", v))
					w.drain()
				}
				for _, v := range tt.want {
					want = append(want, "o1@"+v)
				}
				w.wantEffects(want...)
				for _, m := range w.list(inbox.Filter{}) {
					if applied := slices.Contains(want, m.ID); !applied && m.State != inbox.Superseded {
						t.Errorf("%s is %s, want superseded", m.ID, m.State)
					}
				}
			})
		})
	}
}

func TestVersionsThatCannotBeComparedAreQuarantined(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.fresh(versioned("o1", "12"), versioned("o1", "abc"), versioned("o1", "2026-11-24T06:00:00Z"), versioned("o1", "13"))
		w.drain()
		w.wantEffects("o1@12", "o1@13")
		if s := w.status(); s.Quarantined != 2 || s.Held != 0 {
			t.Errorf("status = %+v, want 2 in quarantine that hold nothing", s)
		}
	})
}

func TestAMessageInQuarantineHoldsItsOwnLaneAndNoOther(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.plant.set("m1", refusal("the period is closed"))
		w.plant.set("a", refusal("the order is unknown"))
		other := numbered(1)
		other.ID, other.Lane = "other", "M"
		w.fresh(numbered(1), numbered(2), other, plain("a", "o7"), plain("b", "o7"), plain("c", "o8"))
		w.drain()
		got := w.effects()
		slices.Sort(got)
		if want := []string{"c", "other"}; !slices.Equal(got, want) {
			t.Errorf("effects = %q, want %q", got, want)
		}
		m := w.list(inbox.Filter{State: inbox.Quarantined, ID: "m1"})[0]
		if m.Problem != problem.Conflict || !strings.Contains(m.Reason, "the period is closed") {
			t.Errorf("quarantined with %q, %q", m.Problem, m.Reason)
		}
		var lanes []inbox.Lane
		w.tx(func(tx *store.Tx) (err error) {
			lanes, err = w.Lanes(t.Context(), tx, "erp", "", 10)
			return err
		})
		if len(lanes) != 2 || lanes[0].Name != "L" || lanes[0].Held != m.Seq || lanes[0].Waiting != 1 {
			t.Errorf("lanes = %+v", lanes)
		}

		w.plant.set("m1", nil)
		w.tx(func(tx *store.Tx) error { return w.Replay(t.Context(), tx, m.Seq) })
		w.tx(func(tx *store.Tx) error { return w.Discard(t.Context(), tx, w.seqIn(tx, "a"), "not ours") })
		w.drain()
		w.wantStates(map[string]inbox.State{
			"m1": inbox.Done, "m2": inbox.Done, "other": inbox.Done, "a": inbox.Discarded, "b": inbox.Done, "c": inbox.Done,
		})
		if got := w.effects(); slices.Index(got, "m1") > slices.Index(got, "m2") || slices.Contains(got, "a") {
			t.Errorf("effects = %q, want m1 before m2 and no a", got)
		}
	})
}

func TestADiscardedNumberIsPassed(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.plant.set("m1", refusal("no"))
		w.fresh(numbered(1), numbered(2))
		w.drain()
		w.tx(func(tx *store.Tx) error { return w.Discard(t.Context(), tx, w.seqIn(tx, "m1"), "never") })
		w.drain()
		w.wantEffects("m2")
	})
}

func TestANewerVersionSettlesARefusedOne(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.plant.set("o1@1", refusal("no"))
		w.plant.set("o1@3", refusal("no"))
		w.fresh(versioned("o1", "1"), versioned("o1", "3"), versioned("o1", "2"))
		w.drain()
		w.wantEffects("o1@2")
		w.wantStates(map[string]inbox.State{"o1@1": inbox.Superseded, "o1@2": inbox.Done, "o1@3": inbox.Quarantined})
	})
}

func TestWhatAPersonMayDoIsBoundToQuarantine(t *testing.T) {
	each(t, inbox.Config{MaxBody: 100}, func(t *testing.T, w *world) {
		w.plant.set("a", refusal("no"))
		w.fresh(plain("a", "o1"), plain("b", "o2"))
		w.drain()
		do := func(act func(tx *store.Tx, seq int64) error, seq int64) problem.Kind {
			return problem.KindOf(w.db.InTx(t.Context(), func(tx *store.Tx) error { return act(tx, seq) }))
		}
		replay := func(tx *store.Tx, seq int64) error { return w.Replay(t.Context(), tx, seq) }
		discard := func(tx *store.Tx, seq int64) error { return w.Discard(t.Context(), tx, seq, "x") }
		edit := func(body string) func(tx *store.Tx, seq int64) error {
			return func(tx *store.Tx, seq int64) error { return w.Edit(t.Context(), tx, seq, []byte(body)) }
		}
		a, b := w.seq("a"), w.seq("b")
		for _, tt := range []struct {
			name string
			got  problem.Kind
			want problem.Kind
		}{
			{"replay nothing", do(replay, 999), problem.NotFound},
			{"replay what is done", do(replay, b), problem.Conflict},
			{"discard what is done", do(discard, b), problem.Conflict},
			{"edit what is done", do(edit(`{}`), b), problem.Conflict},
			{"edit to no JSON", do(edit(`{`), a), problem.Invalid},
			{"edit to too much", do(edit(`"`+strings.Repeat("x", 100)+`"`), a), problem.TooLarge},
			{"edit", do(edit(`{"repaired":1}`), a), ""},
			{"edit again", do(edit(`{"repaired":2}`), a), ""},
		} {
			if tt.got != tt.want {
				t.Errorf("%s: %q, want %q", tt.name, tt.got, tt.want)
			}
		}
		m := w.list(inbox.Filter{ID: "a"})[0]
		if string(m.Body) != `{"repaired":2}` || string(m.Original) != `{"id":"a"}` {
			t.Errorf("body %s of %s", m.Body, m.Original)
		}
		w.plant.set("a", nil)
		if kind := do(replay, a); kind != "" {
			t.Errorf("replay: %q", kind)
		}
		w.drain()
		if taken := w.receive(plain("a", "o1")); taken.Fresh || taken.Rejected != 0 {
			t.Errorf("the message as it first came is not known any more: %+v", taken)
		}
		w.wantStates(map[string]inbox.State{"a": inbox.Done, "b": inbox.Done})
	})
}

func TestMappings(t *testing.T) {
	cfg := inbox.Config{Resolve: func(_ context.Context, _ *store.Tx, link, object string) (string, bool, error) {
		return link + " " + object, true, nil
	}}
	each(t, cfg, func(t *testing.T, w *world) {
		mapped := func(id, mapping string) message.Incoming {
			in := plain(id, id)
			in.Mapping = mapping
			return in
		}
		w.fresh(mapped("up", "upper"), mapped("left", "leave"), mapped("bad", "none"), mapped("ref", "ref"))
		w.drain()
		w.wantStates(map[string]inbox.State{"up": inbox.Done, "left": inbox.LeftOut, "bad": inbox.Quarantined, "ref": inbox.Done})
		var kinds []string
		w.tx(func(tx *store.Tx) error {
			return tx.Select(t.Context(), &kinds, `SELECT kind FROM effects ORDER BY kind`)
		})
		if want := []string{"ORDER.CHANGED", "erp order/4711true"}; !slices.Equal(kinds, want) && !slices.Equal(kinds, []string{want[1], want[0]}) {
			t.Errorf("kinds = %q, want %q", kinds, want)
		}
	})
}

func TestAVoidTakesItsNumberWithoutEffect(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		v := numbered(1)
		v.Role = message.Void
		w.fresh(v, numbered(2))
		w.drain()
		w.wantEffects("m2")
		w.wantStates(map[string]inbox.State{"m1": inbox.Voided, "m2": inbox.Done})
	})
}

func TestARestoredSenderBeginsAnEpoch(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		epoch2 := func(n int64) message.Incoming {
			in := numbered(n)
			in.ID, in.Epoch = fmt.Sprintf("e2m%d", n), 2
			return in
		}
		w.fresh(numbered(1), numbered(3), epoch2(2))
		w.drain()
		w.wantEffects("m1")
		w.fresh(epoch2(1))
		w.drain()
		w.wantEffects("m1", "e2m1", "e2m2")
		w.wantStates(map[string]inbox.State{"m1": inbox.Done, "m3": inbox.Quarantined, "e2m1": inbox.Done, "e2m2": inbox.Done})
		if taken := w.receive(numbered(2)); taken.Fresh {
			t.Error("a number of the old epoch was taken")
		}
		w.tx(func(tx *store.Tx) error { return w.Replay(t.Context(), tx, w.seqIn(tx, "m3")) })
		w.drain()
		w.wantEffects("m1", "e2m1", "e2m2", "m3")
		if s := w.status(); s.Waiting != 0 {
			t.Errorf("status = %+v, want nothing waiting", s)
		}
	})
}

func TestWhatCannotBeBelievedTakesNoID(t *testing.T) {
	long := strings.Repeat("x", 500)
	change := func(f func(*message.Incoming)) message.Incoming {
		in := plain("a", "o1")
		f(&in)
		return in
	}
	tests := []struct {
		name string
		in   message.Incoming
		want problem.Kind
	}{
		{"a wrong digest", change(func(in *message.Incoming) { in.Claimed = "00" }), problem.Integrity},
		{"no ID", change(func(in *message.Incoming) { in.ID = "" }), problem.Invalid},
		{"no source", change(func(in *message.Incoming) { in.Source = "" }), problem.Invalid},
		{"no kind", change(func(in *message.Incoming) { in.Kind = "" }), problem.Invalid},
		{"no key", change(func(in *message.Incoming) { in.Key = "" }), problem.Invalid},
		{"a number without a lane", change(func(in *message.Incoming) { in.Number = 1 }), problem.Invalid},
		{"a negative number", change(func(in *message.Incoming) { in.Number = -1 }), problem.Invalid},
		{"no time", change(func(in *message.Incoming) { in.Time = time.Time{} }), problem.Invalid},
		{"a time of long ago", change(func(in *message.Incoming) { in.Time = time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC) }), problem.Invalid},
		{"an endless ID", change(func(in *message.Incoming) { in.ID = long }), problem.Invalid},
		{"a NUL", change(func(in *message.Incoming) { in.Kind = "a\x00b" }), problem.Invalid},
		{"no text", change(func(in *message.Incoming) { in.Key = "\xff" }), problem.Invalid},
		{"a body without end", change(func(in *message.Incoming) { in.Body = []byte(strings.Repeat(" ", 1<<11)) }), problem.TooLarge},
	}
	each(t, inbox.Config{MaxBody: 1 << 10}, func(t *testing.T, w *world) {
		for _, tt := range tests {
			taken := w.receive(tt.in)
			if taken.Fresh || taken.Rejected == 0 {
				t.Errorf("%s: taken as %+v, want rejected", tt.name, taken)
				continue
			}
			var list []inbox.Rejected
			w.tx(func(tx *store.Tx) (err error) {
				list, err = w.RejectedMessages(t.Context(), tx, 0, 1)
				return err
			})
			if list[0].Seq != taken.Rejected || list[0].Problem != tt.want || list[0].Link != "erp" {
				t.Errorf("%s: kept as %+v, want %q", tt.name, list[0], tt.want)
			}
		}
		w.fresh(plain("a", "o1"))
		w.drain()
		w.wantEffects("a")
		if s := w.status(); s.Rejected != int64(len(tests)) {
			t.Errorf("%d rejected, want %d", s.Rejected, len(tests))
		}
	})
}

func TestAnIDOrNumberThatIsUsedTwiceIsRejected(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.fresh(plain("a", "o1"), numbered(1), numbered(3))
		other := plain("a", "o1")
		other.Body = []byte(`{"id":"b"}`)
		sameNumber, early := numbered(1), numbered(3)
		sameNumber.ID, early.ID = "x", "y"
		for _, in := range []message.Incoming{other, sameNumber, early} {
			if taken := w.receive(in); taken.Rejected == 0 || !strings.Contains(taken.Reason, "used for") {
				t.Errorf("%s was taken as %+v, want rejected", in.ID, taken)
			}
		}
		digested := plain("d", "o2")
		digested.Claimed = digested.Digest()
		w.fresh(digested)
	})
}

func TestMemoryIsKeptByTimeAndCountAndSaysWhenItForgets(t *testing.T) {
	each(t, inbox.Config{KeepFor: time.Hour, KeepCount: 3, KeepRejected: 1}, func(t *testing.T, w *world) {
		at := w.clock.now()
		stamped := func(in message.Incoming) message.Incoming { in.Time = w.clock.now(); return in }
		w.fresh(stamped(plain("a", "o1")), stamped(versioned("v", "5")), numbered(1))
		w.drain()
		w.clock.add(2 * time.Hour)
		if n, err := w.Forget(t.Context()); n != 3 || err != nil {
			t.Fatalf("forgot %d, %v, want 3", n, err)
		}
		h := w.status().Horizons
		if len(h) != 1 || h[0].Source != "erp" || h[0].Forgotten != 3 || h[0].Before.Before(at) {
			t.Errorf("horizons = %+v", h)
		}

		old := plain("a", "o1")
		old.Time = at
		w.fresh(old) // may be the one that was forgotten
		w.fresh(stamped(plain("new", "o9")))
		w.fresh(versioned("v", "5"), versioned("v", "6"), versioned("unseen", "1"))
		if taken := w.receive(numbered(1)); taken.Fresh {
			t.Error("a forgotten number was taken again")
		}
		w.drain()
		want := []string{"a", "m1", "new", "unseen@1", "v@5", "v@6"}
		got := w.effects()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("effects = %q, want %q", got, want)
		}
		m := w.list(inbox.Filter{ID: "a"})[0]
		if m.State != inbox.Quarantined || !strings.Contains(m.Reason, "too old to know") {
			t.Errorf("the old message is %s: %s", m.State, m.Reason)
		}

		for n := range 5 {
			w.fresh(stamped(plain(fmt.Sprint("n", n), "o2")))
		}
		w.drain()
		w.receive(message.Incoming{})
		w.receive(message.Incoming{})
		if _, err := w.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		settled := 0
		for _, m := range w.list(inbox.Filter{}) {
			if !m.SettledAt.IsZero() {
				settled++
			}
		}
		if settled != 3 || w.status().Rejected != 1 {
			t.Errorf("%d settled and %d rejected are kept, want 3 and 1", settled, w.status().Rejected)
		}
	})
}

func TestWhatMayPassIsTriedAgainWithGrowingPauses(t *testing.T) {
	each(t, inbox.Config{Retry: time.Second, MaxRetry: 4 * time.Second, Attempts: 3}, func(t *testing.T, w *world) {
		down := &problem.Error{Kind: problem.Unavailable, What: "read", Why: "away"}
		w.plant.set("a", down)
		w.fresh(plain("a", "o1"), plain("b", "o2"))
		w.drain()
		w.wantEffects("b")
		for _, pause := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second, 4 * time.Second} {
			w.clock.add(pause - time.Millisecond)
			before := w.calls()
			w.drain()
			if n := w.calls() - before; n != 0 {
				t.Errorf("tried %d times before %s", n, pause)
			}
			w.clock.add(time.Millisecond)
			w.drain()
			if n := w.calls() - before; n != 1 {
				t.Errorf("tried %d times after %s, want once", n, pause)
			}
		}
		if s := w.status(); s.Trouble != 1 || s.Quarantined != 0 {
			t.Errorf("status = %+v, want one in trouble", s)
		}
		w.plant.set("a", nil)
		w.clock.add(time.Minute)
		w.drain()
		w.wantEffects("b", "a")
		if s := w.status(); s.Trouble != 0 {
			t.Errorf("status = %+v, want no trouble", s)
		}
	})
}

func (w *world) calls() int {
	w.plant.mu.Lock()
	defer w.plant.mu.Unlock()
	return w.plant.calls
}

func TestADefectEndsInQuarantine(t *testing.T) {
	each(t, inbox.Config{Attempts: 3}, func(t *testing.T, w *world) {
		w.plant.set("a", errors.New("index out of range"))
		w.fresh(plain("a", "o1"))
		for range 3 {
			w.drain()
			w.clock.add(time.Minute)
		}
		m := w.list(inbox.Filter{ID: "a"})[0]
		if m.State != inbox.Quarantined || m.Problem != problem.Internal || !strings.Contains(m.Reason, "failed 3 times") {
			t.Errorf("it is %s: %s", m.State, m.Reason)
		}
		w.wantEffects()
	})
}

func TestDetails(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		in := numbered(1)
		in.Cause, in.Trace, in.Creates, in.Prev, in.Refers, in.Epoch = "c", "t", "lot/1", "p", "r", 1
		w.fresh(in)
		w.drain()
		err := w.db.View(t.Context(), func(tx *store.Tx) error {
			m, err := w.Message(t.Context(), tx, w.seqIn(tx, "m1"))
			if err != nil {
				return err
			}
			want := in.Message
			want.Link = "erp"
			if diff := cmp.Diff(want, m.Message); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if m.Digest != in.Digest() || m.State != inbox.Done || m.SettledAt.IsZero() {
				t.Errorf("got %+v", m)
			}
			if _, err := w.Message(t.Context(), tx, 999); problem.KindOf(err) != problem.NotFound {
				t.Errorf("no message: %v", err)
			}
			l, err := w.Lane(t.Context(), tx, "erp", "L")
			if err != nil || l.Next != 2 || !l.Numbered || l.Name != "L" {
				t.Errorf("lane = %+v, %v", l, err)
			}
			if _, err := w.Lane(t.Context(), tx, "erp", "none"); problem.KindOf(err) != problem.NotFound {
				t.Errorf("no lane: %v", err)
			}
			page, err := w.Messages(t.Context(), tx, inbox.Filter{Before: m.Seq, Source: "erp", Key: "o1", Lane: "L"})
			if err != nil || len(page) != 0 {
				t.Errorf("page = %+v, %v", page, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
