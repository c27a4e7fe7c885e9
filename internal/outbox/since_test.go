package outbox_test

import (
	"testing"

	"holdfast/internal/outbox"
)

// TestALinkIsUpSinceItsFirstSettlement: one that has never turned has a time too, and keeps it.
func TestALinkIsUpSinceItsFirstSettlement(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b")
		if l := b.link(); !l.ChangedAt.IsZero() {
			t.Errorf("before it was used it is up since %s", l.ChangedAt)
		}
		var first outbox.Link
		for _, want := range []int64{1, 2} {
			b.settle(done(b.claim("n1", 10, 1)[0], 1))
			l := b.link()
			if want == 1 {
				first = l
			}
			if l.Delivered != want || l.ChangedAt.IsZero() || !l.ChangedAt.Equal(first.LastAt) {
				t.Errorf("with %d settled it is up since %s, want since the first settlement, %s", l.Delivered, l.ChangedAt, first.LastAt)
			}
		}
	})
}
