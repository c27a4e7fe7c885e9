package outbox_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// TestWhatAnERPHasBookedByItselfIsKept: what stands for a message replaces what did before, beside that of others, and is forgotten with the receipts.
func TestWhatAnERPHasBookedByItselfIsKept(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		book := func(order, message string, all ...outbox.Booked) {
			b.do(func(ctx context.Context, tx *store.Tx) error {
				known, err := b.Booked(ctx, tx, "erp", order)
				if err != nil {
					return err
				}
				return b.Book(ctx, tx, "erp", order, message, known, all)
			})
		}
		want := func(what string, want ...outbox.Booked) {
			t.Helper()
			var got []outbox.Booked
			b.do(func(ctx context.Context, tx *store.Tx) (err error) {
				got, err = b.Booked(ctx, tx, "erp", "1")
				return err
			})
			if !slices.Equal(got, want) {
				t.Errorf("%s: got %+v, want %+v", what, got, want)
			}
		}
		first, part, rest := outbox.Booked{Item: "1/2026/0001", Message: "a", Quantity: "4.000"}, outbox.Booked{Item: "2/2026/0001", Message: "a", Quantity: "3"}, outbox.Booked{Item: "2/2026/0001", Message: "b", Quantity: "5.000"}
		book("1", "a", first, part)
		book("1", "b", rest)
		book("2", "c", outbox.Booked{Item: "3/2026/0001", Message: "c", Quantity: "1"})
		want("two messages", first, part, rest)
		book("1", "a", part)
		book("1", "a", part)
		want("another look", part, rest)
		err := b.db.InTx(t.Context(), func(tx *store.Tx) error {
			return b.Book(t.Context(), tx, "erp", "1", "c", []outbox.Booked{part}, []outbox.Booked{{Item: rest.Item, Message: "c", Quantity: "5.000"}})
		})
		if problem.KindOf(err) != problem.Precondition {
			t.Errorf("kept by what is not so any more: %v", err)
		}
		want("another's was not seen", part, rest)
		book("1", "b")
		want("nothing any more", part)
		b.clock.forward(91 * 24 * time.Hour)
		b.do(func(ctx context.Context, tx *store.Tx) error { _, err := b.Purge(ctx, tx, 10); return err })
		want("long after")
	})
}
