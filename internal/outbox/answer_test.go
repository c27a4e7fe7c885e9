package outbox_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// answer gives the outbox an answer of the ERP, as the inbox does.
func (b box) answer(kind string, body map[string]any) error {
	b.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	m := message.Message{ID: "answer", Kind: kind, Time: at, Body: text, Place: message.Place{Link: "erp"}}
	return b.try(func(ctx context.Context, tx *store.Tx) error { return b.Answer(ctx, tx, m) })
}

func (b box) link() outbox.Link {
	b.t.Helper()
	var all []outbox.Link
	b.do(func(ctx context.Context, tx *store.Tx) (err error) {
		all, err = b.Links(ctx, tx)
		return err
	})
	return all[0]
}

// confirmed settles the first n messages of a claim as a broker does: delivered, and no word of the ERP.
func confirmed(c outbox.Claim, n int) outbox.Settlement {
	s := done(c, n)
	for i := range s.Done {
		s.Done[i].Receipt = message.Receipt{Kind: "message", At: at}
	}
	return s
}

// TestAReceiptThatComesLater: it becomes that of the delivery, brings the number of what the message created, lets the lanes go on that
// wait for it, and has no effect a second time.
func TestAReceiptThatComesLater(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.do(func(ctx context.Context, tx *store.Tx) error {
			m := event("a", "o1")
			m.Creates = "order/o1"
			if err := b.Append(ctx, tx, m); err != nil {
				return err
			}
			return b.Append(ctx, tx, event("w", "waits"))
		})
		claims := b.claim("n1", 2, 1)
		for _, c := range claims {
			if c.Lane == "waits" {
				b.settle(outbox.Settlement{Lane: c.Lane, Token: c.Token, Release: true, Next: outbox.Next{State: outbox.Waiting, Awaits: "order/o1", ID: c.Messages[0].ID, Reason: "it waits"}})
			}
		}
		id := outbox.MessageID("erp", "a")
		receipt := map[string]any{"message": id, "document": "4711", "kind": "productionOrder", "at": at.Add(time.Hour)}
		if got, want := problem.KindOf(b.answer(outbox.ReceiptKind, receipt)), problem.Unavailable; got != want {
			t.Errorf("a receipt that overtakes the settlement: %s, want %s", got, want)
		}
		for _, c := range claims {
			if c.Lane == "o1" {
				b.settle(confirmed(c, 1))
			}
		}
		if got := b.lane("waits").State; got != outbox.Waiting {
			t.Errorf("before the receipt the other lane is %s", got)
		}
		for range 2 {
			if err := b.answer(outbox.ReceiptKind, receipt); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.message("a").Receipt; got.Document != "4711" || got.Kind != "productionOrder" || !got.At.Equal(at.Add(time.Hour)) {
			t.Errorf("the receipt is %+v", got)
		}
		if got := b.lane("waits").State; got != outbox.Open {
			t.Errorf("after the receipt the other lane is %s", got)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			number, known, err := b.Reference(ctx, tx, "erp", "order/o1")
			if number != "4711" || !known {
				t.Errorf("the order is called %q, known %t", number, known)
			}
			return err
		})
		receipt["document"] = "4712"
		if got, want := problem.KindOf(b.answer(outbox.ReceiptKind, receipt)), problem.Conflict; got != want {
			t.Errorf("another number: %s, want %s", got, want)
		}
	})
}

func TestAnswersThatCannotBeTaken(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.do(func(ctx context.Context, tx *store.Tx) error {
			m := event("a", "o1")
			m.Creates = "order/o1"
			return b.Append(ctx, tx, m)
		})
		b.settle(confirmed(b.claim("n1", 1, 1)[0], 1))
		tests := []struct {
			name string
			kind string
			body map[string]any
			want problem.Kind
		}{
			{"of a message that nobody sent", outbox.ReceiptKind, map[string]any{"message": "x", "document": "1"}, problem.NotFound},
			{"of no message", outbox.ReceiptKind, map[string]any{"document": "1"}, problem.Invalid},
			{"without the number that others wait for", outbox.ReceiptKind, map[string]any{"message": outbox.MessageID("erp", "a")}, problem.Invalid},
			{"a refusal of nothing", outbox.RefusalKind, map[string]any{"message": "x"}, problem.NotFound},
		}
		for _, tt := range tests {
			if got := problem.KindOf(b.answer(tt.kind, tt.body)); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
			}
		}
	})
}

// TestARefusalThatComesLater: the message says so in the ERP's words, the link counts it, and the lane stands still for what is not
// sent yet, also where the lane was in hand when it came. A receipt ends it.
func TestARefusalThatComesLater(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		put := func(events ...string) {
			b.do(func(ctx context.Context, tx *store.Tx) error {
				for _, e := range events {
					if err := b.Append(ctx, tx, event(e, "o1")); err != nil {
						return err
					}
				}
				return nil
			})
		}
		put("a", "b", "c")
		b.settle(confirmed(b.claim("n1", 1, 1)[0], 1))
		inHand := b.claim("n1", 1, 1)[0]
		refusal := map[string]any{"message": outbox.MessageID("erp", "a"), "code": "M7", "text": "the period is closed"}
		for range 2 {
			if err := b.answer(outbox.RefusalKind, refusal); err != nil {
				t.Fatal(err)
			}
		}
		b.settle(confirmed(inHand, 1))
		l := b.lane("o1")
		if l.State != outbox.Parked || l.Owed != 1 || !strings.Contains(l.Reason, "M7: the period is closed") {
			t.Errorf("the lane is %+v", l)
		}
		if got := b.claim("n1", 9, 9); len(got) != 0 {
			t.Errorf("%d lanes are claimed", len(got))
		}
		d := b.message("a")
		if d.Refused != "M7: the period is closed" || len(d.History) != 1 || d.History[0].What != "refused" {
			t.Errorf("the message is refused %q, history %+v", d.Refused, d.History)
		}
		if got := b.link(); got.Refused != 1 || got.Parked != 1 {
			t.Errorf("the link counts %d refused, %d parked", got.Refused, got.Parked)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.Resume(ctx, tx, "erp", "o1", "it was posted by hand")
		})
		b.settle(confirmed(b.claim("n1", 1, 1)[0], 1))
		if err := b.answer(outbox.ReceiptKind, map[string]any{"message": outbox.MessageID("erp", "a"), "document": "1"}); err != nil {
			t.Fatal(err)
		}
		if got := b.link().Refused; got != 0 {
			t.Errorf("after a receipt %d are refused", got)
		}
		if got, want := problem.KindOf(b.answer(outbox.RefusalKind, refusal)), problem.Conflict; got != want {
			t.Errorf("a refusal after the receipt: %s, want %s", got, want)
		}
	})
}

// TestARefusedLaneThatOwesNothing stands still for what comes, and is shown.
func TestARefusedLaneThatOwesNothing(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.do(func(ctx context.Context, tx *store.Tx) error { return b.Append(ctx, tx, event("a", "o1")) })
		b.settle(confirmed(b.claim("n1", 1, 1)[0], 1))
		if err := b.answer(outbox.RefusalKind, map[string]any{"message": outbox.MessageID("erp", "a"), "text": "no"}); err != nil {
			t.Fatal(err)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			lanes, _, err := b.Lanes(ctx, tx, outbox.LaneFilter{Stuck: true}, "")
			if len(lanes) != 1 || lanes[0].Owed != 0 {
				t.Errorf("the lanes are %+v", lanes)
			}
			return err
		})
		b.do(func(ctx context.Context, tx *store.Tx) error { return b.Append(ctx, tx, event("b", "o1")) })
		if got := b.claim("n1", 9, 9); len(got) != 0 {
			t.Errorf("%d lanes are claimed", len(got))
		}
		b.do(func(ctx context.Context, tx *store.Tx) error { return b.Resume(ctx, tx, "erp", "o1", "corrected") })
		if got := b.claim("n1", 9, 9); len(got) != 1 {
			t.Errorf("%d lanes are claimed after it goes on, want 1", len(got))
		}
	})
}

// TestARefusedMessageThatWasPostedByHand counts as delivered by a person's word, with the number that the ERP gave it.
func TestARefusedMessageThatWasPostedByHand(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.do(func(ctx context.Context, tx *store.Tx) error {
			m := event("a", "o1")
			m.Creates = "order/o1"
			return b.Append(ctx, tx, m)
		})
		b.settle(confirmed(b.claim("n1", 1, 1)[0], 1))
		if err := b.answer(outbox.RefusalKind, map[string]any{"message": outbox.MessageID("erp", "a"), "text": "no"}); err != nil {
			t.Fatal(err)
		}
		mark := func(document string) error {
			return b.try(func(ctx context.Context, tx *store.Tx) error {
				return b.MarkDelivered(ctx, tx, numbered(ctx, tx, "o1", 1), document, "posted by hand")
			})
		}
		if got, want := problem.KindOf(mark("")), problem.Invalid; got != want {
			t.Errorf("without the number that others wait for: %s, want %s", got, want)
		}
		if err := mark("4711"); err != nil {
			t.Fatal(err)
		}
		d := b.message("a")
		if d.Refused != "" || d.Receipt.Document != "4711" || d.History[len(d.History)-1].What != "marked delivered" {
			t.Errorf("the message is %+v", d)
		}
		if l := b.lane("o1"); l.State != outbox.Parked {
			t.Errorf("the lane is %s", l.State)
		}
		if got, want := problem.KindOf(mark("4711")), problem.Conflict; got != want {
			t.Errorf("once more: %s, want %s", got, want)
		}
	})
}
