package outbox_test

import (
	"context"
	"fmt"
	"testing"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// TestFollowersAreWhatIsOwedBehind: no void, nothing that is settled, nothing of another lane, in the order in which they go.
func TestFollowersAreWhatIsOwedBehind(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b", "c", "d", "e")
		owe(t, b.db, b.Outbox, "o2", "f")
		id := outbox.MessageID
		b.do(func(ctx context.Context, tx *store.Tx) error { return b.Discard(ctx, tx, id("erp", "c"), "not wanted") })
		follow := func(of string, limit int) (says string) {
			b.do(func(ctx context.Context, tx *store.Tx) error {
				d, err := b.Message(ctx, tx, id("erp", of))
				if err != nil {
					return err
				}
				list, all, err := b.Followers(ctx, tx, d, limit)
				for _, f := range list {
					says += fmt.Sprint(f.Number, " ")
					if f.ID != numbered(ctx, tx, "o1", f.Number) || f.Kind == "" {
						t.Errorf("number %d is %+v", f.Number, f)
					}
				}
				says += fmt.Sprint("of ", all)
				return err
			})
			return says
		}
		for _, tt := range []struct {
			of    string
			limit int
			want  string
		}{{"a", 10, "2 4 5 of 3"}, {"a", 2, "2 4 of 3"}, {"c", 10, "4 5 of 2"}, {"e", 10, "of 0"}, {"f", 10, "of 0"}} {
			if got := follow(tt.of, tt.limit); got != tt.want {
				t.Errorf("behind %s, %d at most: %s, want %s", tt.of, tt.limit, got, tt.want)
			}
		}
		for _, c := range b.claim("n1", 10, 2) {
			if c.Lane == "o1" {
				b.settle(done(c, 2))
			}
		}
		if got, want := follow("a", 10), "4 5 of 2"; got != want {
			t.Errorf("once 1 and 2 are settled: %s, want %s", got, want)
		}
	})
}
