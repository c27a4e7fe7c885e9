package outbox_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// TestNumbersAreToldOnce: what a receipt brings for an order or a lot is told until somebody says that it was; if another number comes, anew.
func TestNumbersAreToldOnce(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		woken, end := b.db.Subscribe(outbox.Numbered)
		defer end()
		receive := func(id, creates string) string {
			b.do(func(ctx context.Context, tx *store.Tx) error {
				m := event(id, id)
				m.Creates = creates
				return b.Append(ctx, tx, m)
			})
			c := b.claim("n1", 1, 1)[0]
			b.settle(done(c, 1))
			return "D-" + c.Messages[0].ID
		}
		untold := func(after outbox.Reference, limit int) (refs []outbox.Reference) {
			b.do(func(ctx context.Context, tx *store.Tx) (err error) {
				refs, err = b.Untold(ctx, tx, after, limit)
				return err
			})
			return refs
		}
		want := func(what string, got []outbox.Reference, want ...outbox.Reference) {
			t.Helper()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		receive("a", "confirmation/c1")
		want("after a confirmation", untold(outbox.Reference{}, 9))
		lot := outbox.Reference{Link: "erp", Object: "lot/l1", Number: receive("b", "lot/l1")}
		order := outbox.Reference{Link: "erp", Object: "order/o1", Number: receive("c", "order/o1")}
		b.do(func(ctx context.Context, tx *store.Tx) error { return b.SetReference(ctx, tx, "erp", "order/o2", "42") })
		want("two receipts, and what the plant knows", untold(outbox.Reference{}, 9), lot, order)
		want("the first", untold(outbox.Reference{}, 1), lot)
		want("the rest", untold(lot, 9), order)
		select {
		case <-woken:
		default:
			t.Error("nobody was woken")
		}

		told := func(r outbox.Reference) {
			b.do(func(ctx context.Context, tx *store.Tx) error { return b.Told(ctx, tx, r) })
		}
		told(lot)
		told(outbox.Reference{Link: "erp", Object: "order/o1", Number: "an earlier one"})
		want("one told, and one told of another number", untold(outbox.Reference{}, 9), order)
		told(order)
		other := receive("d", "order/o1")
		want("another number, which no replay brought: the one that is known stays, and the plant hears of the two", untold(outbox.Reference{}, 9), order)
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.SetReference(ctx, tx, "erp", "order/o1", other)
		})
		want("what the plant has learnt from elsewhere", untold(outbox.Reference{}, 9))
	})
}
