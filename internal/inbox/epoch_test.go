package inbox_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// ofEpoch is message number of lane L in a later epoch.
func ofEpoch(epoch, number int64) message.Incoming {
	in := numbered(number)
	in.ID, in.Epoch = fmt.Sprintf("e%dm%d", epoch, number), epoch
	return in
}

func (w *world) skip(number int64) error {
	return w.db.InTx(w.t.Context(), func(tx *store.Tx) error { return w.Skip(w.t.Context(), tx, "erp", "L", number) })
}

// wantMissing tells whether the lane, and an alert of it, name a number as missing; none with epoch 0.
func (w *world) wantMissing(epoch, number int64) {
	w.t.Helper()
	w.clock.add(time.Hour)
	alerted, err := w.AlertGaps(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var one inbox.Lane
	var listed []inbox.Lane
	w.tx(func(tx *store.Tx) error {
		if one, err = w.Lane(w.t.Context(), tx, "erp", "L"); err == nil {
			listed, err = w.Lanes(w.t.Context(), tx, "erp", "", 10)
		}
		return err
	})
	if epoch == 0 {
		if len(alerted) > 0 || !one.GapSince.IsZero() {
			w.t.Errorf("alerted %+v of lane %+v, want nothing missing", alerted, one)
		}
		return
	}
	for name, lanes := range map[string][]inbox.Lane{"alerted": alerted, "listed": listed, "lane": {one}} {
		if len(lanes) != 1 || lanes[0].Epoch != epoch || lanes[0].Next != number || lanes[0].GapSince.IsZero() {
			w.t.Errorf("%s: %+v, want number %d of epoch %d missing", name, lanes, number, epoch)
		}
	}
}

// TestTheFirstOfAnEpochIsMissing: whether it was lost or rejected, the lane says so, and a person lets it go on.
func TestTheFirstOfAnEpochIsMissing(t *testing.T) {
	tests := []struct {
		name string
		cfg  inbox.Config
		ins  []message.Incoming
		want []string // effects
	}{
		{"it is lost", inbox.Config{}, []message.Incoming{ofEpoch(2, 2), ofEpoch(2, 3)}, []string{"m1", "e2m2", "e2m3"}},
		{"its ID is known", inbox.Config{}, []message.Incoming{func() message.Incoming {
			in := numbered(1)
			in.Epoch = 2
			return in
		}(), ofEpoch(2, 2)}, []string{"m1", "e2m2"}},
		{
			"too many wait",
			inbox.Config{MaxEarly: 1},
			[]message.Incoming{ofEpoch(2, 3), ofEpoch(2, 2), ofEpoch(2, 4)},
			[]string{"m1", "e2m2", "e2m3", "e2m4"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, tt.cfg, func(t *testing.T, w *world) {
				w.fresh(numbered(1))
				w.drain()
				w.all(tt.ins...)
				w.drain()
				w.wantMissing(2, 1)
				if err := w.skip(2); problem.KindOf(err) != problem.Conflict || !strings.Contains(err.Error(), "the missing number is 1 of epoch 2") {
					t.Errorf("skip another number: %v, want a conflict that names epoch 2", err)
				}
				if err := w.skip(1); err != nil {
					t.Fatal(err)
				}
				w.drain()
				w.wantEffects(tt.want...)
				w.wantMissing(0, 0)

				late := ofEpoch(2, 1)
				late.ID = "late"
				w.fresh(late, numbered(2)) // both come after all, and hold nothing
				w.drain()
				w.wantEffects(tt.want...)
				if s := w.states(); s["late"] != inbox.Quarantined || s["m2"] != inbox.Quarantined {
					t.Errorf("states = %v, want what comes late in quarantine", s)
				}
				if taken := w.receive(numbered(1)); taken.Fresh || taken.Rejected != 0 {
					t.Errorf("what was applied is taken as %+v, want known", taken)
				}
			})
		})
	}
}

// TestEpochsAreMissedOneAfterTheOther: what waits of the epoch that goes on comes before a later one, and no epoch is left out.
func TestEpochsAreMissedOneAfterTheOther(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.fresh(numbered(1), ofEpoch(3, 2), ofEpoch(2, 2), numbered(3))
		w.drain()
		for _, missing := range []struct{ epoch, number int64 }{{1, 2}, {2, 1}, {3, 1}} {
			w.wantMissing(missing.epoch, missing.number)
			if err := w.skip(missing.number); err != nil {
				t.Fatal(err)
			}
			w.drain()
		}
		w.wantEffects("m1", "m3", "e2m2", "e3m2")
		w.wantMissing(0, 0)
	})
}

// TestWhatCouldBeAppliedComesBeforeANewEpoch: nothing was missing before it, and nobody had looked at it yet.
func TestWhatCouldBeAppliedComesBeforeANewEpoch(t *testing.T) {
	tests := []struct {
		name  string
		cfg   inbox.Config
		ins   []message.Incoming
		want  []string // effects
		aside string   // in quarantine
		why   string
	}{
		{"all of it", inbox.Config{}, []message.Incoming{numbered(2), numbered(3), ofEpoch(2, 1)}, []string{"m1", "m2", "m3", "e2m1"}, "", ""},
		{
			"up to a missing one",
			inbox.Config{},
			[]message.Incoming{ofEpoch(2, 2), numbered(2), numbered(3), numbered(5), ofEpoch(2, 1)},
			[]string{"m1", "m2", "m3", "e2m1", "e2m2"},
			"m5", "while number 4 was missing",
		},
		{
			"more than may wait",
			inbox.Config{MaxEarly: 1},
			[]message.Incoming{numbered(3), numbered(4), numbered(2), numbered(6), ofEpoch(2, 1), ofEpoch(2, 2)},
			[]string{"m1", "m2", "m3", "m4", "e2m1", "e2m2"},
			"m6", "while number 5 was missing",
		},
		{
			"an epoch between",
			inbox.Config{},
			[]message.Incoming{ofEpoch(2, 2), numbered(2), ofEpoch(3, 1)},
			[]string{"m1", "m2", "e3m1"},
			"e2m2", "while number 1 of an epoch between was missing",
		},
	}
	for _, tt := range tests {
		for _, how := range []string{"one by one", "in a batch"} {
			t.Run(tt.name+" "+how, func(t *testing.T) {
				each(t, tt.cfg, func(t *testing.T, w *world) {
					w.fresh(numbered(1))
					w.drain()
					if how == "in a batch" {
						w.all(tt.ins...)
					} else {
						w.fresh(tt.ins...)
					}
					w.drain()
					w.wantEffects(tt.want...)
					waits := w.list(inbox.Filter{State: inbox.Quarantined})
					switch {
					case tt.aside == "" && len(waits) == 0:
					case len(waits) != 1 || waits[0].ID != tt.aside || !strings.Contains(waits[0].Reason, tt.why):
						t.Errorf("in quarantine %+v, want %q %s", waits, tt.aside, tt.why)
					}
					if s := w.status(); s.Waiting != 0 || s.Gaps != 0 {
						t.Errorf("status = %+v, want nothing left", s)
					}
				})
			})
		}
	}
}

// TestANewEpochWaitsForWhatHoldsTheOld: a message that was refused is passed neither by its successors nor by a new epoch.
func TestANewEpochWaitsForWhatHoldsTheOld(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.plant.set("m2", refusal("the period is closed"))
		w.fresh(numbered(1), numbered(2), numbered(3))
		w.drain()
		w.fresh(ofEpoch(2, 1))
		w.drain()
		w.wantEffects("m1")
		w.plant.set("m2", nil)
		w.tx(func(tx *store.Tx) error { return w.Replay(t.Context(), tx, w.seqIn(tx, "m2")) })
		w.fresh(ofEpoch(2, 2))
		w.drain()
		w.wantEffects("m1", "m2", "m3", "e2m1", "e2m2")
	})
}

// TestWhatWasReplayedOutlivesANewEpoch: a person has decided that it is applied, after its turn.
func TestWhatWasReplayedOutlivesANewEpoch(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.fresh(numbered(2))
		if err := w.skip(1); err != nil {
			t.Fatal(err)
		}
		w.drain()
		w.fresh(numbered(1))
		w.tx(func(tx *store.Tx) error { return w.Replay(t.Context(), tx, w.seqIn(tx, "m1")) })
		w.fresh(ofEpoch(2, 1))
		w.drain()
		w.wantEffects("m2", "m1", "e2m1")
	})
}

// TestWhatStandsInQuarantineIsNotPassedByANewEpoch: behind what a person must look at, the old count is left to that person.
func TestWhatStandsInQuarantineIsNotPassedByANewEpoch(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		poison := numbered(2)
		poison.Deliveries = 100
		w.fresh(poison, numbered(3), numbered(1), ofEpoch(2, 1))
		w.drain()
		w.wantEffects("m1", "e2m1")
		if m := w.list(inbox.Filter{ID: "m3"})[0]; m.State != inbox.Quarantined || !strings.Contains(m.Reason, "while number 2 was in quarantine") {
			t.Errorf("m3 is %s: %q", m.State, m.Reason)
		}
	})
}
