package outbox_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// TestLanesOfAnyNameAreClaimedAndSettled holds many lanes at once, whose names mean something in SQL, JSON or arrays.
func TestLanesOfAnyNameAreClaimedAndSettled(t *testing.T) {
	names := []string{`plain`, `a'b`, `a"b`, `a\b`, `{a,b}`, `NULL`, `null`, `<&>`, `Größe 3/4`, `火`, "a\tb", `?`, `$1`}
	each(t, func(t *testing.T, b box) {
		for i, n := range names {
			owe(t, b.db, b.Outbox, n, "e"+string(rune('a'+i)), "f"+string(rune('a'+i)))
		}
		claims := b.claim("n1", 50, 5)
		var all []outbox.Settlement
		var renewed []outbox.Holding
		b.do(func(ctx context.Context, tx *store.Tx) (err error) {
			var held []outbox.Holding
			for _, c := range claims {
				held = append(held, outbox.Holding{Lane: c.Lane, Token: c.Token})
			}
			renewed, _, err = b.Renew(ctx, tx, "erp", held)
			return err
		})
		if got, want := len(renewed), len(names); got != want {
			t.Errorf("renewed %d leases, want %d", got, want)
		}
		for _, c := range claims {
			s := done(c, 1)
			s.Done[0].Receipt.Document, s.Done[0].Receipt.Answer = c.Lane, []byte{0, 0xff, '"'}
			if c.Lane == "NULL" {
				s.Done[0].Receipt.Answer = nil
			}
			all = append(all, s)
		}
		if busy, lost := b.settle(all...); len(busy)+len(lost) > 0 {
			t.Fatalf("busy %+v, lost %+v", busy, lost)
		}
		for i, n := range names {
			d := b.message("e" + string(rune('a'+i)))
			want := []byte{0, 0xff, '"'}
			if n == "NULL" {
				want = nil
			}
			if d.Receipt.Document != n || !cmp.Equal(d.Receipt.Answer, want) || d.LaneState.Owed != 1 || d.LaneState.Head != 2 {
				t.Errorf("lane %q: got %+v, %+v", n, d.Receipt, d.LaneState)
			}
		}
	})
}

func TestLaneThatNoDatabaseCanKeepIsRefused(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		for _, name := range []string{"a\xff", "a\x00b"} {
			err := b.try(func(ctx context.Context, tx *store.Tx) error { return b.Append(ctx, tx, event("a", name)) })
			if got := problem.KindOf(err); got != problem.Invalid {
				t.Errorf("lane %q: got %q, %v", name, got, err)
			}
		}
	})
}
