package outbox_test

import (
	"context"
	"testing"

	"holdfast/internal/store"
)

// TestWhatForgetsIsKept, of each link's target by itself, until it is taken back.
func TestWhatForgetsIsKept(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		const here, there = "conf/Orders", "conf/Others"
		for _, step := range []struct {
			target  string
			forgets bool
			want    map[string]bool
		}{
			{here, false, map[string]bool{}},
			{here, true, map[string]bool{here: true}},
			{here, true, map[string]bool{here: true}},
			{there, true, map[string]bool{here: true, there: true}},
			{here, false, map[string]bool{there: true}},
		} {
			b.do(func(ctx context.Context, tx *store.Tx) error {
				return b.SetForgets(ctx, tx, "erp", step.target, step.forgets)
			})
			b.do(func(ctx context.Context, tx *store.Tx) error {
				for _, target := range []string{here, there} {
					is, err := b.Forgets(ctx, tx, "erp", target)
					if err != nil || is != step.want[target] {
						t.Errorf("%s forgets: %t, %v; want %t", target, is, err, step.want[target])
					}
					if is, err := b.Forgets(ctx, tx, "other", target); err != nil || is {
						t.Errorf("%s of another link forgets: %t, %v", target, is, err)
					}
				}
				return nil
			})
		}
	})
}
