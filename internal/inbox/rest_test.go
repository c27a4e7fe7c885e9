package inbox_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// sealing has the bodies of w sealed from now on. plain tells that something unsealed may wait.
func (w *world) sealing(plain bool) *seal.Rest {
	w.t.Helper()
	safe := seal.NewSafe(w.t.TempDir(), "correct horse", 10)
	if err := seal.InitLocal(safe, "1000", w.db.Now()); err != nil {
		w.t.Fatal(err)
	}
	keys := seal.NewLocal(safe, seal.NodeURI("urn:plant:1000", "a"), 7*24*time.Hour, w.db.Now)
	r, err := seal.OpenRest(w.t.Context(), w.db, keys, seal.RestConfig{Now: w.db.Now, Begin: func(context.Context, *store.Tx) (bool, bool, error) {
		return true, !plain, nil
	}}, quiet())
	if err != nil {
		w.t.Fatal(err)
	}
	w.db.SealWith(r)
	return r
}

// kept are values as a column keeps them.
func (w *world) kept(table, column string) (all [][]byte) {
	w.t.Helper()
	w.tx(func(tx *store.Tx) error {
		return tx.Select(w.t.Context(), &all, `SELECT `+column+` FROM `+table+` WHERE `+column+` IS NOT NULL`)
	})
	return all
}

func canary(id, key string) message.Incoming {
	in := plain(id, key)
	in.Body = []byte(`{"worker":"canary-4711","id":"` + id + `"}`)
	return in
}

// TestInboundBodiesAreSealedWhereTheyAreKept: what waits, what was applied at once, what a person has changed, and what was not believed.
func TestInboundBodiesAreSealedWhereTheyAreKept(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.sealing(false)
		w.all(canary("a", "o1"))
		w.plant.set("b", refusal("the period is closed"))
		w.fresh(canary("b", "o2"), canary("c", "o3"))
		w.drain()
		seq := w.seq("b")
		w.tx(func(tx *store.Tx) error { return w.Edit(t.Context(), tx, seq, []byte(`{"worker":"canary-4712"}`)) })
		altered := canary("d", "o4")
		altered.Claimed = strings.Repeat("0", 64)
		if taken := w.receive(altered); taken.Rejected == 0 {
			t.Fatalf("taken as %+v, want it rejected", taken)
		}
		err := w.db.View(t.Context(), func(tx *store.Tx) error {
			m, err := w.Message(t.Context(), tx, seq)
			if err != nil {
				return err
			}
			if got, want := string(m.Body)+string(m.Original), `{"worker":"canary-4712"}`+string(canary("b", "o2").Body); got != want {
				t.Errorf("shown are %s, want %s", got, want)
			}
			rejected, err := w.RejectedMessages(t.Context(), tx, 0, 10)
			if err == nil && (len(rejected) != 1 || string(rejected[0].Body) != string(altered.Body)) {
				t.Errorf("rejected are %v, want one with its body", rejected)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		w.plant.set("b", nil)
		w.tx(func(tx *store.Tx) error { return w.Replay(t.Context(), tx, seq) })
		w.drain()
		w.wantEffects("a", "c", "b")
		values := slices.Concat(w.kept("inbox_messages", "body"), w.kept("inbox_messages", "original"), w.kept("inbox_rejected", "body"))
		if len(values) != 5 {
			t.Errorf("%d values are kept, want 5", len(values))
		}
		for _, v := range values {
			if bytes.Contains(v, []byte("canary")) {
				t.Errorf("%q is kept", v)
			}
		}
		if got := w.kept("effects", "body"); !strings.Contains(string(bytes.Join(got, nil)), "canary-4712") {
			t.Errorf("the plant was told %q", got)
		}
	})
}

// TestAnInboundMessageThatWasAlteredHasNoEffect: it goes to quarantine, and an alarm is raised.
func TestAnInboundMessageThatWasAlteredHasNoEffect(t *testing.T) {
	tests := []struct {
		name, statement string
		body            []byte
	}{
		{"another's body", `UPDATE inbox_messages SET body = (SELECT body FROM inbox_messages WHERE id = 'b') WHERE id = 'a'`, nil},
		{"not sealed", `UPDATE inbox_messages SET body = ?, sealed = 0 WHERE id = 'a'`, []byte(`{"forged":true}`)},
		{"made a void", `UPDATE inbox_messages SET role = 'void' WHERE id = 'a'`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			alarms := &alarms{}
			each(t, inbox.Config{Alarm: alarms}, func(t *testing.T, w *world) {
				alarms.all = nil
				w.sealing(false)
				w.fresh(canary("a", "o1"), canary("b", "o2"))
				w.tx(func(tx *store.Tx) error {
					var args []any
					if tt.body != nil {
						args = append(args, tt.body)
					}
					_, err := tx.Exec(t.Context(), tt.statement, args...)
					return err
				})
				w.drain()
				w.wantEffects("b")
				w.wantStates(map[string]inbox.State{"a": inbox.Quarantined, "b": inbox.Done})
				if want := []string{"message.altered inbound/1"}; !slices.Equal(alarms.all, want) {
					t.Errorf("raised %v, want %v", alarms.all, want)
				}
			})
		})
	}
}

// alarms are those that a test has raised.
type alarms struct{ all []string }

func (a *alarms) Raise(_ context.Context, tx *store.Tx, name, object string, _ error) error {
	tx.AfterCommit(func() { a.all = append(a.all, name+" "+object) })
	return nil
}

// TestAnInboundMessageWaitsForAKeyThatIsAway: it is not quarantined.
func TestAnInboundMessageWaitsForAKeyThatIsAway(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		keys := w.sealing(false)
		w.fresh(canary("a", "o1"))
		w.db.SealWith(nil)
		if _, err := w.Step(t.Context()); err != nil && problem.KindOf(err) != problem.Unavailable {
			t.Fatal(err)
		}
		w.wantStates(map[string]inbox.State{"a": inbox.Ready})
		w.db.SealWith(keys)
		w.clock.add(time.Minute)
		w.drain()
		w.wantEffects("a")
	})
}

// TestInboundMessagesOfBeforeAreSealed: those that wait and those that are kept, once each, and they have their effects.
func TestInboundMessagesOfBeforeAreSealed(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.fresh(canary("a", "o1"))
		w.drain()
		w.fresh(canary("b", "o2"))
		w.sealing(true)
		if n, err := w.SealWaiting(t.Context()); n != 1 || err != nil {
			t.Errorf("sealed %d that wait, %v, want 1", n, err)
		}
		if n, err := w.SealWaiting(t.Context()); n != 0 || err != nil {
			t.Errorf("a second time sealed %d, %v, want none", n, err)
		}
		if n, last, err := w.SealKept(t.Context(), 0); n != 1 || last != 1 || err != nil {
			t.Errorf("sealed %d that are kept, up to %d, %v, want 1, up to 1", n, last, err)
		}
		w.drain()
		w.wantEffects("a", "b")
		for _, v := range w.kept("inbox_messages", "body") {
			if bytes.Contains(v, []byte("canary")) {
				t.Errorf("%q is kept", v)
			}
		}
	})
}
