package outbox_test

import (
	"context"
	"testing"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// TestLanesThatBeginAfterARestoreCountInItsEpochToo: the plant may have had them before the loss. Signed and not, their digests are over that epoch.
func TestLanesThatBeginAfterARestoreCountInItsEpochToo(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := b.Restored(ctx, tx)
			return err
		})
		unsigned := outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp"}}, "urn:holdfast:plant:1000", outbox.Config{})
		signed := outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp"}}, "urn:holdfast:plant:1000", outbox.Config{})
		signed.SignWith(ring(t, b.db))
		owe(t, b.db, unsigned, "1", "a1", "a2")
		owe(t, b.db, signed, "2", "b1", "b2")
		n := 0
		for _, c := range b.claim("n", 10, 10) {
			for i, q := range c.Messages {
				n++
				if q.Epoch != at.Unix() || q.Number != int64(i+1) {
					t.Errorf("lane %s: got number %d of epoch %d, want %d of %d", c.Lane, q.Number, q.Epoch, i+1, at.Unix())
				}
				if got, want := q.Digest(), q.Stored; got != want {
					t.Errorf("lane %s number %d: its digest is %s, and %s is stored", c.Lane, q.Number, got, want)
				}
			}
		}
		if n != 4 {
			t.Errorf("%d messages were claimed, want 4", n)
		}
	})
}
