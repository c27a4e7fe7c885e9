package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

func TestWhoLostTheLeaseSettlesNothing(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b")
		frozen := b.claim("frozen", 10, 2)[0]
		b.clock.forward(9 * time.Second)
		if c := b.claim("n2", 10, 2); len(c) != 0 {
			t.Fatalf("taken over before the lease ended: %+v", c)
		}
		b.clock.forward(2 * time.Second)
		if c := b.claim("frozen", 10, 2); len(c) != 0 {
			t.Fatalf("a node took over its own lane, which it holds: %+v", c)
		}
		second := b.claim("n2", 10, 2)[0]
		if !second.Messages[0].Ask || !second.Messages[1].Ask || second.SentTo != 2 {
			t.Errorf("got %+v, want both to be asked for", second)
		}
		busy, lost := b.settle(done(frozen, 1))
		if len(busy) != 0 || len(lost) != 1 || b.lane("o1").Owed != 2 {
			t.Errorf("settled by who lost the lease: %v busy, %v lost, %+v", busy, lost, b.lane("o1"))
		}
		b.settle(done(second, 2))
		if _, lost := b.settle(done(second, 2)); len(lost) != 1 {
			t.Error("a lane was settled after it was given back")
		}
	})
}

func TestLeases(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a")
		owe(t, b.db, b.Outbox, "o2", "b")
		claims := b.claim("n1", 10, 1)
		b.clock.forward(8 * time.Second)
		held := []outbox.Holding{{Lane: claims[0].Lane, Token: claims[0].Token}, {Lane: claims[1].Lane, Token: claims[1].Token - 1}}
		var renewed, lost []outbox.Holding
		b.do(func(ctx context.Context, tx *store.Tx) (err error) {
			renewed, lost, err = b.Renew(ctx, tx, "erp", held)
			return err
		})
		if len(lost) != 1 || lost[0].Lane != claims[1].Lane || len(renewed) != 1 || renewed[0] != held[0] {
			t.Errorf("renewed %+v, lost %+v, want the one with another token lost", renewed, lost)
		}
		b.clock.forward(5 * time.Second)
		if c := b.claim("n2", 10, 1); len(c) != 1 || c[0].Lane != claims[1].Lane {
			t.Errorf("claimed %+v, want only the lane that was not renewed", c)
		}
		var n int64
		takeBack := func(held ...outbox.Holding) {
			b.do(func(ctx context.Context, tx *store.Tx) (err error) {
				n, err = b.TakeBack(ctx, tx, "n1", "erp", held)
				return err
			})
		}
		if takeBack(held[0]); n != 0 {
			t.Errorf("took back %d lanes that are held", n)
		}
		if takeBack(); n != 1 {
			t.Errorf("took back %d lanes, want 1", n)
		}
		if c := b.claim("n3", 10, 1); len(c) != 0 {
			t.Errorf("asked for at once: %+v, want it to have time to arrive", c)
		}
		b.clock.forward(3 * time.Second)
		if c := b.claim("n3", 10, 1); len(c) != 1 || !c[0].Messages[0].Ask {
			t.Errorf("got %+v, want it to be asked for", c)
		}
	})
}

func TestClockThatWasWrongHidesNoLane(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.clock.forward(100 * time.Hour)
		owe(t, b.db, b.Outbox, "backoff", "a")
		owe(t, b.db, b.Outbox, "leased", "b")
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.Append(ctx, tx, event("c", "scheduled"), outbox.NotBefore(tx.Now.Add(time.Hour)))
		})
		for _, c := range b.claim("gone", 10, 1) {
			if c.Lane == "backoff" {
				s := done(c, 0)
				s.Next = outbox.Next{After: 10 * time.Hour, ID: c.Messages[0].ID, Reason: "locked", Verdict: message.Again, Spent: true}
				b.settle(s)
			}
		}
		if l := b.lane("backoff"); l.DueAt.After(b.clock.now().Add(time.Hour)) {
			t.Errorf("next attempt in %s, want at most an hour", l.DueAt.Sub(b.clock.now()))
		}
		b.clock.set(0)
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := b.Rebase(ctx, tx, "n1", "erp", false)
			return err
		})
		var lanes []string
		for _, c := range b.claim("n1", 10, 1) {
			lanes = append(lanes, c.Lane)
		}
		if !cmp.Equal(lanes, []string{"backoff", "leased"}) && !cmp.Equal(lanes, []string{"leased", "backoff"}) {
			t.Errorf("claimed %q, want all but what is scheduled", lanes)
		}
		if d := b.message("a"); d.Attempts != 1 || d.History[0].Detail != "locked" {
			t.Errorf("got %+v", d)
		}
	})
}

// TestWhatAFastClockHasDatedIsDueNow appends by a clock that is half an hour ahead and then set right: less than Rebase looks for.
func TestWhatAFastClockHasDatedIsDueNow(t *testing.T) {
	waits := func(b box, object string) {
		s := done(b.claim("n1", 1, 1)[0], 0)
		s.Next = outbox.Next{State: outbox.Waiting, ID: outbox.MessageID("erp", "a"), Reason: "not known", Awaits: object}
		b.settle(s)
	}
	tests := []struct {
		name   string
		before func(b box) // by the fast clock
		then   func(b box, c outbox.Claim) act
	}{
		{"the next message", nil, func(b box, c outbox.Claim) act {
			return func(ctx context.Context, tx *store.Tx) error {
				_, _, err := b.Settle(ctx, tx, "erp", []outbox.Settlement{done(c, 1)})
				return err
			}
		}},
		{"a lane that is resumed", func(b box) {
			b.do(func(ctx context.Context, tx *store.Tx) error { return park(ctx, tx, "o1", "r") })
		}, func(b box, _ outbox.Claim) act {
			return func(ctx context.Context, tx *store.Tx) error { return b.Resume(ctx, tx, "erp", "o1", "r") }
		}},
		{"a replay", func(b box) { b.settle(done(b.claim("n1", 1, 2)[0], 2)) }, func(b box, _ outbox.Claim) act {
			return func(ctx context.Context, tx *store.Tx) error {
				_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 1}, "r")
				return err
			}
		}},
		{"a number that was waited for", func(b box) { waits(b, "lot/9") }, func(b box, _ outbox.Claim) act {
			return func(ctx context.Context, tx *store.Tx) error { return b.SetReference(ctx, tx, "erp", "lot/9", "9") }
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, b box) {
				b.clock.set(30 * time.Minute)
				owe(t, b.db, b.Outbox, "o1", "a", "b")
				var c outbox.Claim
				if tt.before != nil {
					tt.before(b)
				} else {
					c = b.claim("n1", 1, 1)[0]
				}
				b.clock.set(0)
				b.do(tt.then(b, c))
				if got := b.claim("n1", 1, 1); len(got) != 1 {
					t.Errorf("claimed %+v, due %s from now", got, b.lane("o1").DueAt.Sub(b.clock.now()))
				}
			})
		})
	}
}

func TestRenewalTellsWhichLaneItPassedOver(t *testing.T) {
	c := &clock{}
	b := box{everything(outbox.Config{}), t, storetest.Postgres(t, c.option()), c}
	owe(t, b.db, b.Outbox, "o1", "a")
	owe(t, b.db, b.Outbox, "o2", "b")
	var held []outbox.Holding
	for _, l := range b.claim("n1", 10, 1) {
		held = append(held, outbox.Holding{Lane: l.Lane, Token: l.Token})
	}
	b.do(func(ctx context.Context, tx *store.Tx) error {
		if err := b.Append(ctx, tx, event("c", "o1")); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT 1`); err != nil { // an append travels with the statement after it
			return err
		}
		b.do(func(ctx context.Context, tx *store.Tx) error { // another transaction
			renewed, lost, err := b.Renew(ctx, tx, "erp", held)
			if len(renewed) != 1 || renewed[0].Lane != "o2" || len(lost) != 0 {
				t.Errorf("renewed %+v, lost %+v, want o2 renewed and o1 passed over", renewed, lost)
			}
			return err
		})
		return nil
	})
}

// TestALaneWhoseClaimNobodyHeardOfIsTakenBack has the answers to two commits lost: to that of a settlement, and to that of the next
// claim of the same lane. What the node has in hand is then an older lease.
func TestALaneWhoseClaimNobodyHeardOfIsTakenBack(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b")
		c := b.claim("n1", 1, 1)[0]
		b.settle(done(c, 1))
		b.claim("n1", 1, 1)
		var n int64
		b.do(func(ctx context.Context, tx *store.Tx) (err error) {
			n, err = b.TakeBack(ctx, tx, "n1", "erp", []outbox.Holding{{Lane: c.Lane, Token: c.Token}, {Lane: "another", Token: 7}})
			return err
		})
		if n != 1 {
			t.Errorf("took back %d lanes, want the one whose lease is not in hand", n)
		}
		b.clock.forward(3 * time.Second)
		if c := b.claim("n1", 1, 1); len(c) != 1 || !c[0].Messages[0].Ask {
			t.Errorf("claimed %+v, want the second message, to be asked for", c)
		}
	})
}

// TestALaneThatWasGivenBackIsNotRenewed renews by a list that was made just before the settlement.
func TestALaneThatWasGivenBackIsNotRenewed(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a")
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.Append(ctx, tx, event("b", "o1"), outbox.NotBefore(b.clock.now().Add(5*time.Hour)))
		})
		c := b.claim("n1", 1, 8)[0]
		b.settle(done(c, 1))
		due := b.lane("o1").DueAt
		b.do(func(ctx context.Context, tx *store.Tx) error {
			renewed, lost, err := b.Renew(ctx, tx, "erp", []outbox.Holding{{Lane: c.Lane, Token: c.Token}})
			if len(renewed) != 0 || len(lost) != 1 {
				t.Errorf("renewed %+v, lost %+v, want it lost", renewed, lost)
			}
			return err
		})
		if got := b.lane("o1").DueAt; !got.Equal(due) {
			t.Errorf("due at %s, want %s as before", got, due)
		}
	})
}
