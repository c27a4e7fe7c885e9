package outbox_test

import (
	"context"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

func TestAHoldIsAsLongAsTheERPAsked(t *testing.T) {
	tests := []struct {
		name  string
		ahead time.Duration // how far the clock of the node is ahead that was asked to wait
		asked time.Duration
		want  time.Duration
	}{
		{"clocks that agree", 0, time.Minute, time.Minute},
		{"a node that is two seconds behind", 2 * time.Second, time.Minute, time.Minute},
		{"longer than is kept, and a node that is behind", 2 * time.Second, 3 * time.Hour, time.Hour},
		{"a clock that was 50 minutes ahead", 50 * time.Minute, 2 * time.Second, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, b box) {
				owe(t, b.db, b.Outbox, "o1", "a")
				owe(t, b.db, b.Outbox, "o2", "b")
				held := func() (h time.Duration) {
					b.do(func(ctx context.Context, tx *store.Tx) (err error) { h, err = b.Held(ctx, tx, "erp"); return err })
					return h
				}
				ask := func(wait time.Duration) {
					s := done(b.claim("n1", 1, 1)[0], 0)
					s.Next = outbox.Next{After: time.Hour, Verdict: message.Again}
					s.Hold = b.clock.now().Add(wait)
					b.settle(s)
				}
				b.clock.forward(tt.ahead)
				ask(tt.asked)
				b.clock.set(0)
				if got := held(); got != tt.want {
					t.Errorf("held for %s, want %s", got, tt.want)
				}
				if tt.want == 0 {
					if ask(10 * time.Second); held() != 10*time.Second {
						t.Errorf("held for %s, want what was asked after the clock was set right", held())
					}
				}
			})
		})
	}
}

// TestAHoldThatAPollWasAskedForIsOne: nothing is claimed meanwhile, and it shortens none that was asked for before.
func TestAHoldThatAPollWasAskedForIsOne(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a")
		for _, wait := range []time.Duration{time.Minute, time.Second} {
			b.do(func(ctx context.Context, tx *store.Tx) error { return b.Hold(ctx, tx, "erp", wait) })
		}
		var held time.Duration
		b.do(func(ctx context.Context, tx *store.Tx) (err error) { held, err = b.Held(ctx, tx, "erp"); return err })
		if held != time.Minute {
			t.Errorf("held for %s, want a minute", held)
		}
	})
}
