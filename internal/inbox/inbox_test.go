package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

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

// TestALaneThatMissesANumberHoldsNobodyElseUp has more come early than may wait: the rest is put aside and comes back in its turn.
func TestALaneThatMissesANumberHoldsNobodyElseUp(t *testing.T) {
	each(t, inbox.Config{MaxEarly: 3, Batch: 4}, func(t *testing.T, w *world) {
		feed := []message.Incoming{}
		for n := range int64(9) {
			other := numbered(n + 1)
			other.ID, other.Lane = fmt.Sprint("other", n+1), "M"
			feed = append(feed, numbered(n+2), other) // the first of lane L is missing
		}
		w.all(feed...)
		w.drain()
		w.wantEffects("other1", "other2", "other3", "other4", "other5", "other6", "other7", "other8", "other9")
		if s := w.status(); s.Waiting != 3 || s.Quarantined != 6 || s.Gaps != 1 || s.Held != 0 {
			t.Errorf("status = %+v, want 3 waiting, 6 in quarantine and a gap", s)
		}
		aside := w.list(inbox.Filter{ID: "m5"})[0]
		if aside.State != inbox.Quarantined || aside.Reason != "lane L has 3 waiting for number 1" || aside.Hint == "" {
			t.Errorf("m5 is %s: %q", aside.State, aside.Reason)
		}
		w.tx(func(tx *store.Tx) error { return w.Discard(t.Context(), tx, w.seqIn(tx, "m7"), "not wanted") })
		w.tx(func(tx *store.Tx) error { return w.Replay(t.Context(), tx, w.seqIn(tx, "m9")) })
		w.drain()
		w.fresh(numbered(1)) // the missing one is always welcome
		w.drain()
		if got, want := w.effects()[9:], []string{"m1", "m2", "m3", "m4", "m5", "m6", "m8", "m9", "m10"}; !slices.Equal(got, want) {
			t.Errorf("effects = %q, want %q", got, want)
		}
		if s := w.status(); s.Waiting != 0 || s.Quarantined != 0 || s.Gaps != 0 {
			t.Errorf("status = %+v, want nothing left", s)
		}
		w.fresh(numbered(11))
		w.drain()
		if got := w.effects(); got[len(got)-1] != "m11" {
			t.Errorf("the lane does not go on: %q", got)
		}
	})
}

func TestTheBytesThatWaitAreBounded(t *testing.T) {
	each(t, inbox.Config{MaxEarlyBytes: 40}, func(t *testing.T, w *world) {
		big := numbered(2)
		big.Body = []byte(`"` + strings.Repeat("x", 50) + `"`)
		w.fresh(big)
		if m := w.list(inbox.Filter{})[0]; m.State != inbox.Quarantined {
			t.Errorf("too many bytes are %s", m.State)
		}
		w.fresh(numbered(1))
		w.drain()
		w.wantEffects("m1", "m2")
	})
}

// TestWhatIsPutAsideIsOfItsEpoch: a sender that begins anew leaves it to a person.
func TestWhatIsPutAsideIsOfItsEpoch(t *testing.T) {
	each(t, inbox.Config{MaxEarly: 1}, func(t *testing.T, w *world) {
		second := func(n int64) message.Incoming {
			in := numbered(n)
			in.ID, in.Epoch = fmt.Sprint("e2m", n), 2
			return in
		}
		w.all(numbered(2), numbered(3), second(3), second(2), second(1))
		w.drain()
		w.wantEffects("e2m1", "e2m2", "e2m3")
		w.tx(func(tx *store.Tx) error { return w.Discard(t.Context(), tx, w.seqIn(tx, "m2"), "old") })
		w.tx(func(tx *store.Tx) error { return w.Replay(t.Context(), tx, w.seqIn(tx, "m3")) })
		w.drain()
		w.wantEffects("e2m1", "e2m2", "e2m3", "m3")
		if s := w.status(); s.Waiting != 0 || s.Gaps != 0 || s.Quarantined != 0 {
			t.Errorf("status = %+v, want nothing left", s)
		}
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

// TestAVersionThatIsLeftOutIsTheNewest: what is older has no effect after it, though the plant acted on neither.
func TestAVersionThatIsLeftOutIsTheNewest(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.plant.set("o1@1", refusal("no"))
		left := versioned("o1", "3")
		left.Mapping = "leave"
		w.fresh(versioned("o1", "1"), left, versioned("o1", "2"), versioned("o1", "4"))
		w.drain()
		w.wantEffects("o1@4")
		w.wantStates(map[string]inbox.State{
			"o1@1": inbox.Superseded, "o1@3": inbox.LeftOut, "o1@2": inbox.Superseded, "o1@4": inbox.Done,
		})
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
		w.fresh(numbered(2)) // never seen before
		w.drain()
		if got := w.states()["m2"]; got != inbox.Quarantined {
			t.Errorf("a late number of the old epoch is %s, want in quarantine", got)
		}
		w.wantEffects("m1", "e2m1", "e2m2")
		w.tx(func(tx *store.Tx) error { return w.Replay(t.Context(), tx, w.seqIn(tx, "m3")) })
		w.drain()
		w.wantEffects("m1", "e2m1", "e2m2", "m3")
		if s := w.status(); s.Waiting != 0 {
			t.Errorf("status = %+v, want nothing waiting", s)
		}
	})
}

// TestALateNumberOfAnEndedEpoch tells one that was applied and is forgotten from one that never came.
func TestALateNumberOfAnEndedEpoch(t *testing.T) {
	each(t, inbox.Config{KeepFor: time.Hour}, func(t *testing.T, w *world) {
		next := numbered(1)
		next.ID, next.Epoch = "e2m1", 2
		last := numbered(1)
		last.ID, last.Epoch = "e4m1", 4
		between := numbered(1)
		between.ID, between.Epoch = "e3m1", 3
		w.fresh(numbered(1), numbered(2), numbered(4))
		w.drain()
		w.fresh(next)
		w.drain()
		w.fresh(last)
		w.drain()
		w.clock.add(2 * time.Hour)
		if _, err := w.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, in := range []message.Incoming{numbered(1), numbered(2), next} {
			if taken := w.receive(in); taken.Fresh || taken.Rejected != 0 {
				t.Errorf("%s was applied and is forgotten: taken as %+v, want known", in.ID, taken)
			}
		}
		w.fresh(numbered(3), between)
		w.drain()
		w.wantEffects("m1", "m2", "e2m1", "e4m1")
		want := map[string]inbox.State{"m3": inbox.Quarantined, "m4": inbox.Quarantined, "e3m1": inbox.Quarantined}
		w.wantStates(want)
		w.tx(func(tx *store.Tx) error { return w.Replay(t.Context(), tx, w.seqIn(tx, "m3")) })
		w.drain()
		w.wantEffects("m1", "m2", "e2m1", "e4m1", "m3")
	})
}

// TestAnIDIsGivenOneNumber: the number that a known message comes under would otherwise be missing for ever.
func TestAnIDIsGivenOneNumber(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.fresh(numbered(1), plain("p", "o1"))
		again := func(id string, change func(*message.Incoming)) message.Incoming {
			in := numbered(1)
			in.ID, in.Body = id, []byte(`{"id":"`+id+`"}`)
			change(&in)
			return in
		}
		for name, in := range map[string]message.Incoming{
			"another number":  again("m1", func(in *message.Incoming) { in.Number = 2 }),
			"another epoch":   again("m1", func(in *message.Incoming) { in.Epoch = 2 }),
			"another lane":    again("m1", func(in *message.Incoming) { in.Lane = "M" }),
			"a number at all": again("p", func(in *message.Incoming) { in.Number = 2 }),
		} {
			if taken := w.receive(in); taken.Rejected == 0 || !strings.Contains(taken.Reason, "was taken before") {
				t.Errorf("%s: taken as %+v, want rejected", name, taken)
			}
		}
		for name, in := range map[string]message.Incoming{
			"the same": numbered(1), "no number": again("m1", func(in *message.Incoming) { in.Lane, in.Number = "", 0 }),
		} {
			if taken := w.receive(in); taken.Fresh || taken.Rejected != 0 {
				t.Errorf("%s: taken as %+v, want known", name, taken)
			}
		}
	})
}

// TestWhatFollowsAMessageThatIsNotTakenWaits has the database refuse the first of each kind.
func TestWhatFollowsAMessageThatIsNotTakenWaits(t *testing.T) {
	c := &clock{at: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)}
	refusals := 0
	before := storetest.WithBefore(func(_ context.Context, statement string) error {
		if refusals > 0 && strings.Contains(statement, "INSERT INTO inbox_messages") {
			refusals--
			return errors.New("something odd about the statement")
		}
		return nil
	})
	tests := []struct {
		name string
		ins  []message.Incoming
		want []bool // taken
	}{
		{"about one object", []message.Incoming{plain("a", "o1"), plain("b", "o1"), plain("c", "o2")}, []bool{false, false, true}},
		{"with versions", []message.Incoming{versioned("o1", "1"), versioned("o1", "2")}, []bool{false, true}},
		{"with numbers", []message.Incoming{numbered(1), numbered(2)}, []bool{false, true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				w := newWorld(t, db, c, inbox.Config{})
				refusals = 3 // the batch with its effects, the batch, and its first message
				for n, taken := range w.all(tt.ins...) {
					if got, want := taken.Err == nil, tt.want[n]; got != want {
						t.Errorf("%s: taken %t, want %t (%v)", tt.ins[n].ID, got, want, taken.Err)
					}
				}
				w.drain()
				for _, taken := range w.all(tt.ins...) {
					if taken.Err != nil {
						t.Errorf("again: %v", taken.Err)
					}
				}
			}, storetest.WithClock(c.now), before)
		})
	}
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

// TestPoisonGoesToQuarantine: it holds its own lane, from its turn on, and nothing else.
func TestPoisonGoesToQuarantine(t *testing.T) {
	each(t, inbox.Config{MaxDeliveries: 3}, func(t *testing.T, w *world) {
		poison := func(in message.Incoming, deliveries int) message.Incoming { in.Deliveries = deliveries; return in }
		w.crash(3, poison(numbered(2), 3), poison(versioned("o2", "1"), 9))
		w.all(numbered(3), poison(numbered(2), 3), poison(numbered(1), 2), poison(versioned("o2", "1"), 9), versioned("o2", "2"))
		w.drain()
		w.wantStates(map[string]inbox.State{
			"m1": inbox.Done, "m2": inbox.Quarantined, "m3": inbox.Ready, "o2@1": inbox.Superseded, "o2@2": inbox.Done,
		})
		m := w.list(inbox.Filter{ID: "m2"})[0]
		if m.Reason != "its transport has delivered it 3 times without success" {
			t.Errorf("reason = %q", m.Reason)
		}
		if s := w.status(); s.Held != 1 || s.Gaps != 0 {
			t.Errorf("status = %+v, want a lane that is held", s)
		}
		w.tx(func(tx *store.Tx) error { return w.Replay(t.Context(), tx, m.Seq) })
		w.drain()
		w.wantStates(map[string]inbox.State{
			"m1": inbox.Done, "m2": inbox.Done, "m3": inbox.Done, "o2@1": inbox.Superseded, "o2@2": inbox.Done,
		})
	})
}

// TestABatchIsWhatItsMessagesAre: a bad one spoils no other, and what comes twice in it comes once.
func TestABatchIsWhatItsMessagesAre(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		forged, other, twice := numbered(2), plain("a", "o1"), numbered(2)
		forged.ID, forged.Claimed = "forged", "00"
		other.Body, twice.ID = []byte(`{"id":"another"}`), "twice"
		got := w.all(plain("a", "o1"), forged, numbered(1), numbered(1), other, numbered(2), twice)
		for n, want := range []struct{ fresh, rejected bool }{{true, false}, {false, true}, {true, false}, {false, false}, {false, true}, {true, false}, {false, true}} {
			if got[n].Fresh != want.fresh || got[n].Rejected > 0 != want.rejected || got[n].Err != nil {
				t.Errorf("message %d of the batch was taken as %+v, want %+v", n, got[n], want)
			}
		}
		w.drain()
		w.wantStates(map[string]inbox.State{"a": inbox.Done, "m1": inbox.Done, "m2": inbox.Done})
	})
}

// TestWhatTheDatabaseRefusesSpoilsNoBatch has the database refuse one message: it is not taken, and in the end kept as rejected.
func TestWhatTheDatabaseRefusesSpoilsNoBatch(t *testing.T) {
	each(t, inbox.Config{MaxDeliveries: 3}, func(t *testing.T, w *world) {
		w.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `CREATE UNIQUE INDEX one_bad ON inbox_messages (kind) WHERE kind = 'bad'`)
			return err
		})
		kind := func(in message.Incoming) message.Incoming { in.Kind = "bad"; return in }
		w.fresh(kind(plain("a", "o1")))
		bad := kind(plain("b", "o1"))
		got := w.all(numbered(1), bad, numbered(2))
		if !got[0].Fresh || got[1].Err == nil || !got[2].Fresh {
			t.Errorf("taken as %+v", got)
		}
		bad.Deliveries = 3
		for range 3 {
			if got := w.all(bad); got[0].Err == nil {
				t.Errorf("taken as %+v before it was tried three times", got)
			}
		}
		if got := w.all(bad, numbered(3)); got[0].Rejected == 0 || got[0].Err != nil || !got[1].Fresh {
			t.Errorf("taken as %+v after three deliveries", got)
		}
		w.drain()
		w.wantEffects("a", "m1", "m2", "m3")
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

// forgotten is an inbox that has forgotten one message of the given time, received at the clock's beginning.
func forgotten(w *world, in message.Incoming) {
	w.t.Helper()
	w.fresh(in)
	w.drain()
	w.clock.add(2 * time.Hour)
	if n, err := w.Forget(w.t.Context()); n != 1 || err != nil {
		w.t.Fatalf("forgot %d, %v, want 1", n, err)
	}
}

func TestTheHorizonIsForThoseThatNeedIt(t *testing.T) {
	each(t, inbox.Config{KeepFor: time.Hour}, func(t *testing.T, w *world) {
		began := w.clock.now()
		forgotten(w, numbered(1))
		forgotten(w, versioned("v", "5"))
		if h := w.status().Horizons; len(h) != 1 || h[0].Forgotten != 2 || !h[0].Before.IsZero() {
			t.Fatalf("horizons = %+v, want 2 forgotten and no horizon", h)
		}
		old := plain("old", "o1")
		old.Time = began.Add(-time.Hour)
		undated := plain("undated", "o2")
		undated.Undated = true
		w.fresh(old, undated)
		w.drain()
		w.wantEffects("m1", "v@5", "old", "undated")
	})
}

func TestAMessageWithoutATimeIsJudgedByWhatIsForgotten(t *testing.T) {
	each(t, inbox.Config{KeepFor: time.Hour}, func(t *testing.T, w *world) {
		undated := func(id, key string) message.Incoming {
			in := plain(id, key)
			in.Time, in.Undated = w.clock.now(), true
			return in
		}
		forgotten(w, undated("a", "o1"))
		w.fresh(undated("a", "o1"), undated("b", "o2"))
		counted, version := numbered(1), versioned("o3", "1")
		counted.Undated, version.Undated = true, true
		w.fresh(counted, version)
		w.drain()
		w.wantEffects("a", "m1", "o3@1")
		if m := w.list(inbox.Filter{ID: "a"})[0]; m.State != inbox.Quarantined || !strings.Contains(m.Reason, "it has no time") {
			t.Errorf("the one that was forgotten is %s: %s", m.State, m.Reason)
		}
		w.tx(func(tx *store.Tx) error { return w.Replay(t.Context(), tx, w.seqIn(tx, "b")) })
		w.drain()
		w.wantEffects("a", "m1", "o3@1", "b")
	})
}

func TestAWrongDateDoesNotPoisonTheMemory(t *testing.T) {
	each(t, inbox.Config{KeepFor: time.Hour}, func(t *testing.T, w *world) {
		dated := func(id, key string, lead time.Duration) message.Incoming {
			in := plain(id, key)
			in.Time = w.clock.now().Add(lead)
			return in
		}
		far := dated("far", "o1", 10*365*24*time.Hour)
		w.fresh(far)
		w.drain()
		w.wantEffects()
		if m := w.list(inbox.Filter{ID: "far"})[0]; m.State != inbox.Quarantined || !strings.Contains(m.Reason, "is yet to come") {
			t.Errorf("what is far ahead is %s: %s", m.State, m.Reason)
		}
		w.tx(func(tx *store.Tx) error { return w.Replay(t.Context(), tx, w.seqIn(tx, "far")) })
		w.drain()
		w.clock.add(2 * time.Hour)
		if n, err := w.Forget(t.Context()); n != 1 || err != nil {
			t.Fatalf("forgot %d, %v", n, err)
		}
		w.clock.add(24 * time.Hour)
		w.fresh(far, dated("new", "o2", 0))
		w.drain()
		w.wantEffects("far", "new") // the honest one passes, the wrong one is asked about again
	})
}

// TestTheZoneThatWasMixedUpIsRememberedByItsOwnTime: a time a few hours ahead is kept as it is, so that a copy is known to be too old.
func TestTheZoneThatWasMixedUpIsRememberedByItsOwnTime(t *testing.T) {
	each(t, inbox.Config{KeepFor: time.Hour}, func(t *testing.T, w *world) {
		ahead := plain("ahead", "o1")
		ahead.Time = w.clock.now().Add(5 * time.Hour)
		forgotten(w, ahead)
		w.clock.add(10 * time.Hour)
		w.fresh(ahead)
		w.drain()
		w.wantEffects("ahead")
	})
}

func TestTheClaimReadsAnIndexAndNoHistory(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO inbox_streams (source, stream, lane)
				WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT 'erp', 'lane/old' || i, 'old' || i FROM n`)
			return err
		})
		w.fresh(numbered(1))
		w.tx(func(tx *store.Tx) error {
			if _, err := tx.Exec(t.Context(), `ANALYZE`); err != nil {
				return err
			}
			plan, err := w.Plan(t.Context(), tx)
			text := strings.Join(plan, "\n")
			if err == nil && (!strings.Contains(text, "inbox_streams_due") || strings.Contains(text, "Seq Scan")) {
				t.Errorf("the claim is run as\n%s", text)
			}
			return err
		})
	})
}

// TestWhatIsDiscardedBeforeItsTurnMayBeForgotten: its number is missing then, and nothing is once that is skipped.
func TestWhatIsDiscardedBeforeItsTurnMayBeForgotten(t *testing.T) {
	each(t, inbox.Config{KeepFor: time.Hour, MaxDeliveries: 1}, func(t *testing.T, w *world) {
		poison := numbered(2)
		poison.Deliveries = 1
		w.fresh(poison)
		w.tx(func(tx *store.Tx) error { return w.Discard(t.Context(), tx, w.seqIn(tx, "m2"), "no") })
		w.clock.add(2 * time.Hour)
		if n, err := w.Forget(t.Context()); n != 1 || err != nil {
			t.Fatalf("forgot %d, %v, want 1", n, err)
		}
		w.fresh(numbered(1), numbered(3))
		w.drain()
		w.wantEffects("m1")
		w.tx(func(tx *store.Tx) error { return w.Skip(t.Context(), tx, "erp", "L", 2) })
		w.drain()
		w.wantEffects("m1", "m3")
		if s := w.status(); s.Gaps != 0 || s.Waiting != 0 {
			t.Errorf("status = %+v, want nothing waiting or missing", s)
		}
	})
}

func TestALaneThatIsHeldTellsByWhat(t *testing.T) {
	each(t, inbox.Config{MaxEarly: 1}, func(t *testing.T, w *world) {
		w.plant.set("m1", refusal("the period is closed"))
		w.fresh(numbered(1))
		w.drain()
		w.fresh(numbered(2), numbered(3))
		want := fmt.Sprintf("Replay or discard message %d, which holds the lane", w.seq("m1"))
		if m := w.list(inbox.Filter{ID: "m3"})[0]; m.State != inbox.Quarantined || !strings.HasSuffix(m.Hint, want) {
			t.Errorf("m3 is %s: %q", m.State, m.Hint)
		}
		w.tx(func(tx *store.Tx) error { return w.Discard(t.Context(), tx, w.seqIn(tx, "m1"), "never") })
		w.drain()
		w.wantEffects("m2", "m3")
	})
}

// TestABatchMayHaveAnySize: whatever one statement takes, all of it is taken and applied.
func TestABatchMayHaveAnySize(t *testing.T) {
	each(t, inbox.Config{Batch: 1000}, func(t *testing.T, w *world) {
		var batch []message.Incoming
		for n := range int64(601) {
			in := numbered(n/300 + 1)
			in.ID, in.Lane = fmt.Sprint("b", n), fmt.Sprint("L", n%300)
			batch = append(batch, in)
		}
		for n, taken := range w.all(batch...) {
			if !taken.Fresh {
				t.Fatalf("message %d was taken as %+v", n, taken)
			}
		}
		for _, taken := range w.all(batch...) {
			if taken.Fresh || taken.Rejected != 0 {
				t.Fatalf("a message was taken again as %+v", taken)
			}
		}
		w.drain()
		if got := w.effects(); len(got) != len(batch) {
			t.Errorf("%d effects, want %d", len(got), len(batch))
		}
	})
}
