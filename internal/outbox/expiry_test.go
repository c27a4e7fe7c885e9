package outbox_test

import (
	"context"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// TestALeapOfTheClockIsSeenWhileNothingIsClaimed has the clock leap ahead before the first claim: the ERP had asked not to be called.
func TestALeapOfTheClockIsSeenWhileNothingIsClaimed(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.Append(ctx, tx, event("a", "o1"), outbox.Expires(b.clock.now().Add(time.Hour)))
		})
		tidy := func() {
			b.do(func(ctx context.Context, tx *store.Tx) error {
				_, err := b.Rebase(ctx, tx, "n1", "erp", false)
				return err
			})
		}
		tidy()
		b.clock.forward(5 * time.Hour)
		tidy()
		if m := b.claim("n1", 1, 1)[0].Messages[0]; m.Role != message.Event {
			t.Errorf("claimed a %s, want the message: the clock has leapt just now", m.Role)
		}
	})
}
