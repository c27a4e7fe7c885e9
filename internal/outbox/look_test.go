package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// TestEachMessageWithoutANumberHasItsTurn: the new ones first, the others ever more seldom, each once in its turn, and none that needs no look.
func TestEachMessageWithoutANumberHasItsTurn(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		got := func(kind string, events ...string) {
			b.do(func(ctx context.Context, tx *store.Tx) error {
				for _, id := range events {
					if err := b.Append(ctx, tx, event(id, id)); err != nil {
						return err
					}
				}
				return nil
			})
			for _, c := range b.claim("n1", len(events), 1) {
				s := confirmed(c, 1)
				for i := range s.Done { // an answer of its own: the delivery is filed at once
					s.Done[i].Receipt.Kind, s.Done[i].Receipt.Answer = kind, []byte("ok")
				}
				b.settle(s)
			}
		}
		looks := func(want ...string) {
			t.Helper()
			l := outbox.Looking{Link: "erp", Kinds: []string{"IDoc A", "IDoc B"}, Every: time.Minute, Most: 10 * time.Minute}
			var ids []string
			for begun := b.clock.now(); ; {
				var id string
				b.do(func(ctx context.Context, tx *store.Tx) (err error) { id, err = b.Look(ctx, tx, l, begun); return err })
				if id == "" {
					break
				}
				ids = append(ids, id)
			}
			for i, e := range want {
				want[i] = outbox.MessageID("erp", e)
			}
			if diff := cmp.Diff(want, ids); diff != "" {
				t.Errorf("after %s (-want +got):\n%s", b.clock.now().Sub(at), diff)
			}
		}
		overdue := func(n int, oldest string) {
			t.Helper()
			var o outbox.Overdue
			b.do(func(ctx context.Context, tx *store.Tx) (err error) {
				o, err = b.Overdue(ctx, tx, "erp", b.clock.now().Add(-30*time.Second))
				return err
			})
			if o.Messages != n || n > 0 && (o.Oldest != outbox.MessageID("erp", oldest) || o.Since.IsZero()) {
				t.Errorf("after %s %+v are overdue, want %d from %s", b.clock.now().Sub(at), o, n, oldest)
			}
		}
		got("IDoc A01", "a")
		got("IDoc C01", "of no kind that is looked for")
		looks()
		overdue(0, "")
		b.clock.forward(time.Minute)
		overdue(2, "of no kind that is looked for") // and a, at the same time
		got("IDoc B02", "b")
		looks("a")
		b.clock.forward(time.Minute)
		looks("b", "a")
		b.clock.forward(2 * time.Minute) // 4 min
		looks("b", "a")
		b.clock.forward(time.Hour)
		looks("b", "a")
		b.clock.forward(9 * time.Minute)
		got("IDoc B02", "new")
		looks()
		b.clock.forward(time.Minute)
		looks("new", "a", "b")
		if err := b.answer(outbox.ReceiptKind, map[string]any{"message": outbox.MessageID("erp", "a"), "document": "4711"}); err != nil {
			t.Fatal(err)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := b.Replay(ctx, tx, "erp", "b", outbox.Range{From: 1, To: 1}, "the ERP has lost it")
			return err
		})
		b.clock.forward(time.Hour)
		for _, c := range b.claim("n1", 9, 1) {
			s := confirmed(c, 1)
			s.Done[0].Receipt = message.Receipt{Document: "4712", Answer: []byte("ok"), Kind: "IDoc B02", At: at}
			b.settle(s)
		}
		looks("new")
	})
}
