package outbox_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast/internal/store"
)

// TestTrafficIsCountedByTheHour: what is owed and what was delivered, of one link, up to a day ago.
func TestTrafficIsCountedByTheHour(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		add := func(n int) {
			b.do(func(ctx context.Context, tx *store.Tx) error {
				for range n {
					if err := b.Append(ctx, tx, event(fmt.Sprintf("%d-%d", tx.Now.UnixMicro(), n), "o1")); err != nil {
						return err
					}
					n--
				}
				return nil
			})
		}
		add(7) // longer ago than a day
		b.clock.forward(2 * time.Hour)
		add(2)
		for _, c := range b.claim("a", 20, 20) {
			b.settle(done(c, len(c.Messages)))
		}
		b.clock.forward(23 * time.Hour)
		add(3)
		b.clock.forward(30 * time.Minute)
		b.do(func(ctx context.Context, tx *store.Tx) error {
			earlier, last, err := b.Traffic(ctx, tx, "erp")
			want := make([]int64, 24)
			want[22] = 2
			if last != 3 || !slices.Equal(earlier, want) {
				t.Errorf("%d in the last hour and %v before it, want 3 and %v", last, earlier, want)
			}
			if earlier, last, err := b.Traffic(ctx, tx, "none"); err != nil || last != 0 || slices.Max(earlier) != 0 {
				t.Errorf("of another link: %d and %v, %v", last, earlier, err)
			}
			return err
		})
	})
}
