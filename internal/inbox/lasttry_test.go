package inbox_test

import (
	"context"
	"errors"
	"testing"

	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// looks is a Guard of one's own.
type looks func(in message.Incoming) (message.Verified, error)

func (l looks) Check(_ context.Context, in message.Incoming, _ string) (message.Verified, error) {
	return l(in)
}

func (looks) Hops(string) message.HopVerifier { return nil }

// crash has messages bring down whoever receives them, some times.
func (w *world) crash(times int, ins ...message.Incoming) {
	in := w.another(inbox.Config{MaxDeliveries: 3, Guard: looks(func(message.Incoming) (message.Verified, error) { panic("down") })})
	for range times {
		func() {
			defer func() {
				if recover() == nil {
					w.t.Error("nothing broke down")
				}
			}()
			_, _ = in.ReceiveAll(w.t.Context(), ins, "erp")
		}()
	}
}

// TestWhatWasInHandInAnOutageIsNotPoison: a broker counts what was in hand whenever a channel ended. A message with such a count is tried; while the
// store is away that does not count, nor does an end in order.
func TestWhatWasInHandInAnOutageIsNotPoison(t *testing.T) {
	each(t, inbox.Config{MaxDeliveries: 3}, func(t *testing.T, w *world) {
		counted := func(in message.Incoming) message.Incoming { in.Deliveries = 99; return in }
		if got := w.all(counted(numbered(1)), counted(plain("a", "o1"))); !got[0].Fresh || !got[1].Fresh {
			t.Errorf("taken as %+v", got)
		}
		keys := &awayKeys{}
		keys.away.Store(true)
		away, signed := w.another(inbox.Config{MaxDeliveries: 3, Guard: keys}), counted(numbered(2))
		signed.Signature = "x"
		for range 10 {
			got, err := away.ReceiveAll(t.Context(), []message.Incoming{signed}, "erp")
			if err != nil || problem.KindOf(got[0].Err) != problem.Unavailable {
				t.Fatalf("taken as %+v, %v, want it to wait", got, err)
			}
		}
		for range 10 {
			ctx, end := context.WithCancel(t.Context())
			stopped := w.another(inbox.Config{MaxDeliveries: 3, Guard: looks(func(message.Incoming) (message.Verified, error) {
				end()
				return message.Verified{}, ctx.Err()
			})})
			if _, err := stopped.ReceiveAll(ctx, []message.Incoming{counted(numbered(2))}, "erp"); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v, want that it was stopped", err)
			}
		}
		if got := w.all(counted(numbered(2))); !got[0].Fresh {
			t.Errorf("taken as %+v after all that", got)
		}
		w.drain()
		w.wantStates(map[string]inbox.State{"m1": inbox.Done, "a": inbox.Done, "m2": inbox.Done})
	})
}

// TestPoisonThatBreaksWhoeverLooksIsNotLookedAt: the try to put it aside has brought the process down as well.
func TestPoisonThatBreaksWhoeverLooksIsNotLookedAt(t *testing.T) {
	each(t, inbox.Config{MaxDeliveries: 3}, func(t *testing.T, w *world) {
		bad := numbered(1)
		bad.Deliveries = 9
		w.crash(4, bad)
		in := w.another(inbox.Config{MaxDeliveries: 3, Guard: looks(func(message.Incoming) (message.Verified, error) { panic("down") })})
		got, err := in.ReceiveAll(t.Context(), []message.Incoming{bad}, "erp")
		if err != nil || got[0].Rejected == 0 || got[0].Err != nil {
			t.Fatalf("taken as %+v, %v, want it kept as rejected", got, err)
		}
		if got := w.all(plain("a", "o2")); !got[0].Fresh {
			t.Errorf("the next one was taken as %+v", got)
		}
	})
}

// TestTriesAreForgotten: what was taken leaves nothing behind.
func TestTriesAreForgotten(t *testing.T) {
	each(t, inbox.Config{MaxDeliveries: 3}, func(t *testing.T, w *world) {
		in := numbered(1)
		in.Deliveries = 3
		tries := func() (n int) {
			w.tx(func(tx *store.Tx) error {
				return tx.Get(t.Context(), &n, `SELECT COALESCE(SUM(tries), 0) FROM inbox_tries`)
			})
			return n
		}
		w.crash(2, in)
		if n := tries(); n != 2 {
			t.Errorf("%d tries are on record, want 2", n)
		}
		if got := w.all(in); !got[0].Fresh || tries() != 0 {
			t.Errorf("taken as %+v, %d tries are on record", got, tries())
		}
		w.drain()
		w.wantEffects("m1")
	})
}
