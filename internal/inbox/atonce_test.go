package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/store"
)

func TestABatchHasItsEffectAsItIsReceived(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		batch := []message.Incoming{numbered(1), numbered(2), plain("a", "o2"), numbered(2), versioned("o3", "2"), versioned("o3", "1"), numbered(4)}
		w.all(batch...)
		w.wantEffects("m1", "m2", "a", "o3@2")
		w.wantStates(map[string]inbox.State{
			"m1": inbox.Done, "m2": inbox.Done, "a": inbox.Done, "o3@2": inbox.Done, "o3@1": inbox.Superseded, "m4": inbox.Ready,
		})
		for n, taken := range w.all(batch...) {
			if taken.Fresh || taken.Rejected != 0 || taken.Err != nil {
				t.Errorf("message %d came again and was taken as %+v", n, taken)
			}
		}
		w.all(numbered(3), numbered(5))
		w.drain()
		w.wantEffects("m1", "m2", "a", "o3@2", "m3", "m4", "m5")
		if s := w.status(); s.Waiting != 0 {
			t.Errorf("status = %+v, want nothing waiting", s)
		}
	})
}

func TestARefusalInABatchUndoesNothingElse(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want inbox.State
	}{
		{"refused for good", refusal("the order is closed"), inbox.Quarantined},
		{"failed for no known reason", errors.New("a defect"), inbox.Ready},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, inbox.Config{}, func(t *testing.T, w *world) {
				w.plant.set("m2", tt.err)
				w.all(numbered(1))
				w.all(plain("a", "o2"), numbered(2), numbered(3), plain("b", "o3"))
				w.drain()
				got := w.effects()
				slices.Sort(got)
				if want := []string{"a", "b", "m1"}; !slices.Equal(got, want) {
					t.Errorf("effects = %q, want %q", got, want)
				}
				w.wantStates(map[string]inbox.State{"a": inbox.Done, "b": inbox.Done, "m1": inbox.Done, "m2": tt.want, "m3": inbox.Ready})
			})
		})
	}
}

// TestWhatIsSaidAgainstAnEffectWithTheCommitHoldsUpItsLaneAlone has the plant leave a statement for the round trip of the commit, which fails.
func TestWhatIsSaidAgainstAnEffectWithTheCommitHoldsUpItsLaneAlone(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `CREATE TABLE once (id TEXT PRIMARY KEY)`)
			if err == nil {
				_, err = tx.Exec(t.Context(), `INSERT INTO once (id) VALUES ('m2')`)
			}
			return err
		})
		late := inbox.New(w.db, mapper{}, func(ctx context.Context, tx *store.Tx, m message.Message) error {
			if err := w.plant.apply(ctx, tx, m); err != nil {
				return err
			}
			return tx.Later(ctx, `INSERT INTO once (id) VALUES (?)`, m.ID)
		}, inbox.Config{}, quiet())
		w.Inbox = late
		w.all(numbered(1))
		batch := []message.Incoming{plain("a", "o2"), numbered(2), numbered(3), plain("b", "o3")}
		for n, taken := range w.all(batch...) {
			if !taken.Fresh || taken.Rejected != 0 || taken.Err != nil {
				t.Errorf("message %d was taken as %+v, want stored", n, taken)
			}
		}
		w.wantEffects("m1")
		w.drain()
		got := w.effects()
		slices.Sort(got)
		if want := []string{"a", "b", "m1"}; !slices.Equal(got, want) {
			t.Errorf("effects = %q, want %q", got, want)
		}
		w.wantStates(map[string]inbox.State{"a": inbox.Done, "b": inbox.Done, "m1": inbox.Done, "m2": inbox.Ready, "m3": inbox.Ready})
	})
}

func TestACrashBetweenTheEffectsOfABatchAndItsCommitKeepsNothing(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		dying := inbox.New(w.db, mapper{}, func(ctx context.Context, tx *store.Tx, m message.Message) error {
			if m.ID == "m2" {
				defer cancel()
			}
			return w.plant.apply(ctx, tx, m)
		}, inbox.Config{}, quiet())
		batch := []message.Incoming{numbered(1), numbered(2), numbered(3)}
		if _, err := dying.ReceiveAll(ctx, batch, "erp"); err == nil {
			t.Fatal("the crash was not noticed")
		}
		w.wantEffects()
		w.wantStates(map[string]inbox.State{})
		w.all(batch...)
		w.wantEffects("m1", "m2", "m3")
	})
}

// TestAnIDOfAnotherLaneHasNoEffect has a sender use an ID again as the next number of another lane, which nobody looks up beforehand.
func TestAnIDOfAnotherLaneHasNoEffect(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.all(numbered(1))
		again := numbered(1)
		again.Lane = "M"
		other := numbered(1)
		other.ID, other.Lane = "x1", "N"
		got := w.all(numbered(2), again, other)
		if !got[0].Fresh || got[1].Rejected == 0 || !got[2].Fresh {
			t.Errorf("taken as %+v, want the second one rejected", got)
		}
		w.drain()
		effects := w.effects() // x1 is of a lane of its own, and may come before m2
		slices.Sort(effects)
		if want := []string{"m1", "m2", "x1"}; !slices.Equal(effects, want) {
			t.Errorf("effects = %q, want %q in any order", effects, want)
		}
	})
}

func TestANewerVersionSettlesWhatStandsInQuarantine(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.plant.set("o1@1", refusal("no such material"))
		w.all(versioned("o1", "1"))
		w.drain()
		w.wantStates(map[string]inbox.State{"o1@1": inbox.Quarantined})
		w.all(versioned("o1", "2"))
		w.wantStates(map[string]inbox.State{"o1@1": inbox.Superseded, "o1@2": inbox.Done})
	})
}

// TestBatchesEndAsSingleMessagesDo gives the same disorder of messages to two inboxes: to one in batches, which have their effect as they
// are received, to the other one by one, applied by Step. Each stream must end with the same effects, in the same order, in the same state.
func TestBatchesEndAsSingleMessagesDo(t *testing.T) {
	type end struct {
		Effects map[string][]string
		States  map[string]inbox.State
	}
	const seeds = 3
	ends := map[string]*[seeds][2]end{}
	for side, batches := range []bool{true, false} {
		for seed := range seeds {
			each(t, inbox.Config{}, func(t *testing.T, w *world) {
				r := rand.New(rand.NewPCG(uint64(seed), 7))
				all := disorder(r, w.plant)
				if batches {
					w.crash(3, all[slices.IndexFunc(all, func(in message.Incoming) bool { return in.Deliveries > 0 })])
				}
				for size := 0; len(all) > 0; all = all[size:] {
					size = min(1+r.IntN(12), len(all))
					if batches {
						w.all(all[:size]...)
						continue
					}
					for _, in := range all[:size] {
						w.receive(in)
						w.drain()
					}
				}
				w.drain()
				dialect := string(w.db.Dialect())
				if ends[dialect] == nil {
					ends[dialect] = &[seeds][2]end{}
				}
				ends[dialect][seed][side] = end{w.perStream(), w.states()}
			})
		}
	}
	for dialect, of := range ends {
		for seed, e := range of {
			if diff := cmp.Diff(e[1], e[0]); diff != "" {
				t.Errorf("%s, seed %d (-one by one +in batches):\n%s", dialect, seed, diff)
			}
		}
	}
}

// disorder is what an unreliable transport makes of three numbered lanes, one that begins an epoch and three objects: messages are swapped,
// doubled and left for later. The plant refuses one of them; some have a large body, one is poison, and one object has no time.
func disorder(r *rand.Rand, p *plant) []message.Incoming {
	var all []message.Incoming
	for n := range int64(12) {
		for _, lane := range []string{"A", "B", "C"} {
			in := numbered(n + 1)
			in.ID, in.Lane = fmt.Sprintf("%s/%d", lane, n+1), lane
			all = append(all, in)
		}
		epoch := numbered(1 + n%6)
		epoch.ID, epoch.Lane, epoch.Epoch = fmt.Sprintf("E/%d", n), "E", 1+n/6
		undated := plain(fmt.Sprintf("U/%d", n), "U")
		undated.Undated = true
		if n%5 == 2 {
			epoch.Body, undated.Body = series(300<<10), series(300<<10)
		}
		all = append(all, epoch, undated, versioned("V", fmt.Sprintf("%03d", n)), versioned("W", fmt.Sprintf("%03d", n)))
	}
	p.set(fmt.Sprintf("C/%d", 1+r.IntN(12)), refusal("no"))
	all[slices.IndexFunc(all, func(in message.Incoming) bool { return in.ID == "B/7" })].Deliveries = 10
	for range 30 {
		i := r.IntN(len(all) - 8)
		j := i + r.IntN(8)
		all[i], all[j] = all[j], all[i]
		all = slices.Insert(all, i, all[j])
	}
	return all
}

// perStream are the effects of each lane or object, in order.
func (w *world) perStream() map[string][]string {
	w.t.Helper()
	out := map[string][]string{}
	for _, id := range w.effects() {
		stream := id[:strings.IndexAny(id, "/@")]
		out[stream] = append(out[stream], id)
	}
	return out
}

// TestAnIDOfAnotherLaneBehindAPoisonedMessageIsNoted is about one that is stored as waiting, since what is ahead of it in its lane went to
// quarantine: its number is missing, and somebody must be able to find out why.
func TestAnIDOfAnotherLaneBehindAPoisonedMessageIsNoted(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.all(numbered(1))
		poison, again, behind := numbered(1), numbered(1), numbered(3)
		poison.ID, poison.Lane, poison.Deliveries = "p1", "N", 10
		again.Lane, again.Number = "N", 2
		behind.ID, behind.Lane = "p3", "N"
		w.crash(3, poison)
		got := w.all(poison, again, behind)
		if !got[0].Fresh || got[1].Rejected == 0 || !strings.Contains(got[1].Reason, "taken before") || !got[2].Fresh {
			t.Errorf("taken as %+v, want the second one rejected", got)
		}
		w.drain()
		w.wantEffects("m1")
		if s := w.status(); s.Waiting != 1 || s.Rejected != 1 {
			t.Errorf("status = %+v, want one waiting and one rejected", s)
		}
	})
}
