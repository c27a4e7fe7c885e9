package inbox_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"holdfast/internal/inbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

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

// TestWhatIsHeldIsNoGap: nothing is missing in a lane that waits for a person; what is missing behind that is a gap from then on.
func TestWhatIsHeldIsNoGap(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		alerts := func() int {
			lanes, err := w.AlertGaps(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return len(lanes)
		}
		w.plant.set("m1", refusal("the period is closed"))
		w.fresh(numbered(1), numbered(2), numbered(4))
		w.drain()
		w.fresh(numbered(5))
		w.clock.add(time.Hour)
		if s, n := w.status(), alerts(); s.Held != 1 || s.Gaps != 0 || n != 0 {
			t.Errorf("status = %+v with %d alerts, want a lane that is held and has no gap", s, n)
		}
		w.tx(func(tx *store.Tx) error { return w.Discard(t.Context(), tx, w.seqIn(tx, "m1"), "never") })
		w.drain()
		w.wantEffects("m2")
		if s, n := w.status(), alerts(); s.Gaps != 1 || n != 0 {
			t.Errorf("status = %+v with %d alerts, want a gap that has just begun", s, n)
		}
		w.clock.add(time.Hour)
		if n := alerts(); n != 1 {
			t.Errorf("%d alerts of the missing number, want 1", n)
		}
	})
}

// TestLanesOfOneNameAreAllListed: two senders may call a lane alike, and a page may end between them.
func TestLanesOfOneNameAreAllListed(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		var want []string
		for _, source := range []string{"erp-1", "erp-2", "erp-3"} {
			in := numbered(2)
			in.Source = source
			w.fresh(in)
			want = append(want, source)
		}
		page := func(after string) (lanes []inbox.Lane, err error) {
			err = w.db.View(t.Context(), func(tx *store.Tx) error {
				lanes, err = w.Lanes(t.Context(), tx, "", after, 1)
				return err
			})
			return lanes, err
		}
		var got []string
		for after := ""; len(got) <= len(want); {
			lanes, err := page(after)
			if err != nil {
				t.Fatal(err)
			}
			if len(lanes) == 0 {
				break
			}
			got, after = append(got, lanes[0].Source), lanes[0].Cursor()
		}
		if !slices.Equal(got, want) {
			t.Errorf("got the lanes of %q, want of %q", got, want)
		}
		for _, after := range []string{"lane/L", "lane/L\x00\x00", "lane/L\x00\xff"} {
			if _, err := page(after); problem.KindOf(err) != problem.Invalid {
				t.Errorf("cursor %q: %v, want it refused as %s", after, err, problem.Invalid)
			}
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
		if m := w.list(inbox.Filter{ID: "a"})[0]; m.Body != nil || m.Original != nil {
			t.Errorf("listed with body %s of %s, want neither", m.Body, m.Original)
		}
		var m inbox.Message
		w.tx(func(tx *store.Tx) (err error) {
			m, err = w.Message(t.Context(), tx, a)
			return err
		})
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

// TestWhatComesDoesNotEndThePause: else a busy sender would have a system that is down tried at each message.
func TestWhatComesDoesNotEndThePause(t *testing.T) {
	each(t, inbox.Config{Retry: time.Minute, MaxRetry: time.Hour}, func(t *testing.T, w *world) {
		down := &problem.Error{Kind: problem.Unavailable, What: "read", Why: "away"}
		w.plant.set("m1", down)
		w.plant.set("a", down)
		w.fresh(numbered(1), plain("a", "o1"))
		w.drain()
		before := w.calls()
		w.fresh(numbered(2), plain("b", "o1"))
		w.drain()
		if n := w.calls() - before; n != 0 {
			t.Errorf("tried %d times as others came, want none before the pause is over", n)
		}
		w.plant.set("m1", nil)
		w.plant.set("a", nil)
		w.clock.add(time.Minute)
		w.drain()
		w.wantStates(map[string]inbox.State{"m1": inbox.Done, "m2": inbox.Done, "a": inbox.Done, "b": inbox.Done})

		w.plant.set("m3", down)
		w.fresh(numbered(3))
		w.drain()
		anew := numbered(1)
		anew.ID, anew.Epoch = "anew", 2
		before = w.calls()
		w.fresh(anew)
		w.drain()
		if n := w.calls() - before; n != 0 {
			t.Errorf("tried %d times as a new epoch began, want none before the pause is over", n)
		}
		w.plant.set("m3", nil)
		w.clock.add(time.Minute)
		w.drain()
		if got := w.effects(); !slices.Equal(got[len(got)-2:], []string{"m3", "anew"}) {
			t.Errorf("effects = %q, want what was tried before the first of the new epoch", got)
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
			if diff := cmp.Diff(want, m.Message, cmpopts.IgnoreUnexported(want)); diff != "" {
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
