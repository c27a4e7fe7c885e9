package outbox_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestEachStatementMayFail has each statement of each operation fail in turn: the error must come back, and the operation must
// succeed when it is run again, as if nothing had been.
func TestEachStatementMayFail(t *testing.T) {
	failure := errors.New("no connection")
	var left atomic.Int64 // statements until the failure; 0 and below means none
	c := &clock{}
	db := storetest.SQLite(t, c.option(), storetest.WithBefore(func(_ context.Context, statement string) error {
		if statement != "BEGIN" && left.Add(-1) == 0 {
			return failure
		}
		return nil
	}))
	b := box{everything(outbox.Config{}), t, db, c}
	run := func(name string, op act) {
		t.Helper()
		for k := int64(1); ; k++ {
			left.Store(k)
			err := b.try(op)
			failed := left.Load() <= 0
			left.Store(0)
			if !failed {
				if err != nil {
					t.Fatalf("%s: %v after %d failures", name, err, k-1)
				}
				return
			}
			if !errors.Is(err, failure) {
				t.Fatalf("%s: statement %d failed, and the operation said %v", name, k, err)
			}
		}
	}
	lane, id := "o1", outbox.MessageID("erp", "a")
	var claims []outbox.Claim
	claim := func(ctx context.Context, tx *store.Tx) (err error) {
		claims, err = b.Claim(ctx, tx, "n1", "erp", 1, 2)
		return err
	}
	settle := func(n int, next outbox.Next, role message.Role) act {
		return func(ctx context.Context, tx *store.Tx) error {
			s := done(claims[0], n)
			for i := range s.Done {
				s.Done[i].Creates, s.Done[i].Role = "lot/1", role
			}
			s.Next = next
			_, _, err := b.Settle(ctx, tx, "erp", []outbox.Settlement{s})
			return err
		}
	}
	list := func(ctx context.Context, tx *store.Tx) error {
		_, _, err1 := b.Messages(ctx, tx, outbox.Filter{}, "")
		if err1 != nil {
			return err1
		}
		if _, _, err := b.Lanes(ctx, tx, outbox.LaneFilter{}, ""); err != nil {
			return err
		}
		if _, err := b.Links(ctx, tx); err != nil {
			return err
		}
		_, err := b.Of(ctx, tx, "a")
		return err
	}
	for _, e := range []string{"a", "b", "c", "d"} {
		run("append", func(ctx context.Context, tx *store.Tx) error {
			return b.Append(ctx, tx, event(e, lane), outbox.Expires(c.now().Add(time.Duration(e[0]-'a'+1)*time.Hour)))
		})
	}
	steps := []struct {
		name string
		op   act
	}{
		{"claim", claim},
		{"renew", func(ctx context.Context, tx *store.Tx) error {
			_, _, err := b.Renew(ctx, tx, "erp", []outbox.Holding{{Lane: lane, Token: 1}})
			return err
		}},
		{"wait", settle(0, outbox.Next{State: outbox.Waiting, ID: id, Reason: "r", Awaits: "lot/9", Spent: true}, message.Event)},
		{"bring the number", func(ctx context.Context, tx *store.Tx) error { return b.SetReference(ctx, tx, "erp", "lot/9", "9") }},
		{"park", func(ctx context.Context, tx *store.Tx) error { return park(ctx, tx, lane, "r") }},
		{"amend", func(ctx context.Context, tx *store.Tx) error { return b.Amend(ctx, tx, id, []byte(`{}`), "r") }},
		{"retry", func(ctx context.Context, tx *store.Tx) error { return b.Retry(ctx, tx, id, "r") }},
		{"park once more", func(ctx context.Context, tx *store.Tx) error { return park(ctx, tx, lane, "r") }},
		{"mark delivered", func(ctx context.Context, tx *store.Tx) error {
			return b.MarkDelivered(ctx, tx, outbox.MessageID("erp", "a"), "4711", "r")
		}},
		{"park the next", func(ctx context.Context, tx *store.Tx) error { return park(ctx, tx, lane, "r") }},
		{"send again", func(ctx context.Context, tx *store.Tx) error {
			return b.SendAgain(ctx, tx, outbox.MessageID("erp", "b"), "r")
		}},
		{"pause", func(ctx context.Context, tx *store.Tx) error { return b.PauseLane(ctx, tx, "erp", lane, "r") }},
		{"discard", func(ctx context.Context, tx *store.Tx) error {
			return b.Discard(ctx, tx, outbox.MessageID("erp", "b"), "r")
		}},
		{"resume", func(ctx context.Context, tx *store.Tx) error { return b.Resume(ctx, tx, "erp", lane, "r") }},
		{"claim again", claim},
		{"settle a void", settle(1, outbox.Next{}, message.Void)},
		{"let the rest expire", func(ctx context.Context, tx *store.Tx) error { c.set(24 * time.Hour); return nil }},
		{"rebase", func(ctx context.Context, tx *store.Tx) error {
			_, err := b.Rebase(ctx, tx, "n1", "erp", true)
			return err
		}},
		{"claim what has expired", claim},
		{"settle the rest", settle(2, outbox.Next{}, message.Event)},
		{"replay", func(ctx context.Context, tx *store.Tx) error {
			_, err := b.Replay(ctx, tx, "erp", lane, outbox.Range{From: 1}, "r")
			return err
		}},
		{"take back", func(ctx context.Context, tx *store.Tx) error {
			_, err := b.TakeBack(ctx, tx, "n1", "erp", nil)
			return err
		}},
		{"pause the link", func(ctx context.Context, tx *store.Tx) error { return b.PauseLink(ctx, tx, "erp", "r") }},
		{"set the breaker", func(ctx context.Context, tx *store.Tx) error { return b.SetBreaker(ctx, tx, "erp", "open", "r") }},
		{"look up", func(ctx context.Context, tx *store.Tx) error {
			_, _, err := b.Reference(ctx, tx, "erp", "lot/9")
			if err == nil {
				_, _, err = b.Object(ctx, tx, "erp", "lot", "9")
			}
			return err
		}},
		{"list", list},
		{"plan", func(ctx context.Context, tx *store.Tx) error { _, err := b.Plan(ctx, tx, "erp", 1); return err }},
		{"purge", func(ctx context.Context, tx *store.Tx) error {
			c.set(100 * 24 * time.Hour)
			_, err := b.Purge(ctx, tx, 10)
			return err
		}},
	}
	for _, s := range steps {
		run(s.name, s.op)
	}
}
