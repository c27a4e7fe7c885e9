package outbox_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/audit"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// TestMovedTellsTheHeadsOfLanes, and of those alone into which something was put since.
func TestMovedTellsTheHeadsOfLanes(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "1", "a1")
		b.clock.forward(time.Minute)
		owe(t, b.db, b.Outbox, "2", "b1", "b2")
		moved := func(since time.Time) (heads []audit.Head) {
			b.do(func(ctx context.Context, tx *store.Tx) (err error) {
				heads, err = b.Moved(ctx, tx, since)
				return err
			})
			return heads
		}
		all := moved(at)
		if len(all) != 2 || all[0].Lane != "1" || all[0].Number != 1 || all[1].Lane != "2" || all[1].Number != 2 || all[1].Digest == "" || all[0].Digest == all[1].Digest {
			t.Errorf("got %+v, want the last of both lanes", all)
		}
		if got := moved(at.Add(time.Second)); len(got) != 1 || got[0] != all[1] {
			t.Errorf("since the second alone: got %+v, want %+v", got, all[1])
		}
		for range 2 {
			for _, c := range b.claim("n", 10, 10) {
				b.settle(done(c, len(c.Messages)))
			}
		}
		if got := moved(at); len(got) != 2 || got[1] != all[1] {
			t.Errorf("delivered: got %+v, want %+v", got, all)
		}
	})
}

// TestWhatIsAmendedOrVoidedIsHeldByTheAuditRecord: no later message of its lane names what it is since, so that nothing else could vouch for it.
func TestWhatIsAmendedOrVoidedIsHeldByTheAuditRecord(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.SignWith(ring(t, b.db))
		owe(t, b.db, b.Outbox, "o1", "a", "b", "c")
		b.do(func(ctx context.Context, tx *store.Tx) error {
			if err := b.Amend(ctx, tx, outbox.MessageID("erp", "b"), []byte(`{"better":true}`), "typed wrong"); err != nil {
				return err
			}
			return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 3), "not wanted")
		})
		if _, err := audit.NewTree(b.db, "record", "a", audit.Config{}, slog.New(slog.DiscardHandler)).Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []audit.Head
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return audit.EachMoved(ctx, tx, time.Time{}, func(e audit.Entry, _ int64) error {
				heads, err := e.Heads()
				got = append(got, heads...)
				return err
			})
		})
		var want []audit.Head
		for _, event := range []string{"b", "c"} {
			m := b.message(event).Message
			want = append(want, audit.Head{Link: "erp", Lane: "o1", Epoch: m.Epoch, Number: m.Number, Digest: m.Digest()})
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("the record holds (-want):\n%s", d)
		}
	})
}
