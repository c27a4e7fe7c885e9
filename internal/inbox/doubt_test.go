package inbox_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// awayKeys judges what is signed by a sender only while they are not away.
type awayKeys struct{ away atomic.Bool }

// Check implements inbox.Guard.
func (k *awayKeys) Check(ctx context.Context, in message.Incoming, _ string) (message.Verified, error) {
	if in.Signature != "" && k.away.Load() {
		return message.Verified{}, &problem.Error{Kind: problem.Unavailable, What: "find the keys", Why: "they are away", Hint: "wait"}
	}
	return message.Verify(ctx, seal.Inbound(in.Claimed), in.Message)
}

// Hops implements inbox.Guard.
func (*awayKeys) Hops(string) message.HopVerifier { return nil }

// TestWhatCannotBeJudgedYetHoldsUpNoOther has the keys of one sender away: what others have sent in the same batch is taken, and nothing
// overtakes the message that waits. If the keys come, it is taken; if they do not, it is kept as rejected in the end.
func TestWhatCannotBeJudgedYetHoldsUpNoOther(t *testing.T) {
	each(t, inbox.Config{MaxDeliveries: 3}, func(t *testing.T, w *world) {
		keys := &awayKeys{}
		w.Inbox = w.another(inbox.Config{MaxDeliveries: 3, Guard: keys})
		signed := func(in message.Incoming) message.Incoming { in.Signature = "x"; return in }
		batch := []message.Incoming{plain("a", "o1"), signed(plain("b", "o2")), plain("c", "o2"), numbered(1), signed(numbered(2)), numbered(3)}
		wants := func(what string, fresh ...bool) {
			t.Helper()
			for n, taken := range w.all(batch...) {
				if taken.Fresh != fresh[n] || taken.Rejected > 0 {
					t.Errorf("%s: %s was taken as %+v, want fresh %t", what, batch[n].ID, taken, fresh[n])
				}
				if waits := n == 1 || n == 4; keys.away.Load() && waits && problem.KindOf(taken.Err) != problem.Unavailable {
					t.Errorf("%s: %s was taken as %+v, want it to wait", what, batch[n].ID, taken)
				}
			}
		}
		keys.away.Store(true)
		wants("away", true, false, false, true, false, true)
		wants("away, once more", false, false, false, false, false, false)
		keys.away.Store(false)
		wants("there", false, true, true, false, true, false)
		w.drain()
		w.wantStates(map[string]inbox.State{
			"a": inbox.Done, "b": inbox.Done, "c": inbox.Done, "m1": inbox.Done, "m2": inbox.Done, "m3": inbox.Done,
		})

		keys.away.Store(true)
		forged := signed(plain("forged", "o3"))
		for range 20 {
			if got := w.all(forged, plain("d", "o4")); got[0].Rejected > 0 || problem.KindOf(got[0].Err) != problem.Unavailable {
				t.Fatalf("taken as %+v", got[0])
			}
		}
		w.clock.add(15 * time.Minute)
		if got := w.all(forged, plain("e", "o3")); got[0].Rejected == 0 || got[0].Problem != problem.Denied || !got[1].Fresh {
			t.Errorf("after long: taken as %+v", got)
		}
	})
}

// TestWhatTheDatabaseRefusesDoesNotKeepADoubtForEver has a message that the database refuses in each batch with one that cannot be judged.
func TestWhatTheDatabaseRefusesDoesNotKeepADoubtForEver(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		keys := &awayKeys{}
		keys.away.Store(true)
		w.Inbox = w.another(inbox.Config{Guard: keys})
		w.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `CREATE UNIQUE INDEX one_bad ON inbox_messages (kind) WHERE kind = 'bad'`)
			return err
		})
		bad, worse, forged := plain("a", "o1"), plain("b", "o1"), plain("forged", "o3")
		bad.Kind, worse.Kind, forged.Signature = "bad", "bad", "x"
		w.fresh(bad)
		if got := w.all(forged, worse); got[0].Err == nil || got[1].Err == nil {
			t.Errorf("taken as %+v", got)
		}
		w.clock.add(15 * time.Minute)
		if got := w.all(forged, worse); got[0].Rejected == 0 || got[1].Err == nil {
			t.Errorf("after long: taken as %+v", got)
		}
	})
}
