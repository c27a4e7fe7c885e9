package outbox_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// TestWhatIsOwedNamesWhatItMayHaveBeenSentBy: from the claim until it is settled, also when other nodes take it over, and again once it is replayed.
func TestWhatIsOwedNamesWhatItMayHaveBeenSentBy(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		set := "first"
		b.MapBy(func() string { return set })
		want := func(when string, want ...string) {
			t.Helper()
			var got []string
			b.do(func(ctx context.Context, tx *store.Tx) (err error) {
				got, err = outbox.Marked(ctx, tx)
				return err
			})
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want):\n%s", when, diff)
			}
		}
		owe(t, b.db, b.Outbox, "o1", "a", "b")
		want("nobody has claimed anything")
		b.claim("n1", 10, 10)
		want("claimed", "first")
		set = "second"
		b.clock.forward(time.Hour)
		claims := b.claim("n2", 10, 10)
		want("taken over by a node that maps by another", "first", "second")
		b.settle(done(claims[0], 1))
		want("one of two is settled", "first", "second")
		claims = b.claim("n2", 10, 10)
		b.settle(done(claims[0], 1))
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, _, err := b.File(ctx, tx, b.clock.now(), 10)
			return err
		})
		want("all are settled")
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 1}, "looked")
			return err
		})
		want("replayed", "all@1", "second")
	})
}
