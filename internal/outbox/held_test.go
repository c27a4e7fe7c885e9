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

// hold owes an event that is held.
func (b box) hold(key, id, why string) {
	b.t.Helper()
	b.do(func(ctx context.Context, tx *store.Tx) error {
		return b.Append(ctx, tx, event(id, key), outbox.Hold(why))
	})
}

// release lets an event go, and is how many of its messages were held.
func (b box) release(id string) (n int) {
	b.t.Helper()
	b.do(func(ctx context.Context, tx *store.Tx) (err error) {
		n, err = b.Release(ctx, tx, id, "counted again")
		return err
	})
	return n
}

// claimed are the events of all claims, in order.
func claimed(claims []outbox.Claim) (ids []string) {
	for _, c := range claims {
		for _, q := range c.Messages {
			for _, id := range []string{"a", "b", "c", "d"} {
				if q.ID == outbox.MessageID("erp", id) {
					ids = append(ids, id)
				}
			}
		}
	}
	return ids
}

func TestAHeldMessageHoldsWhatFollowsItAndNothingElse(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a")
		b.hold("o1", "b", "consumed 41 kg a piece")
		owe(t, b.db, b.Outbox, "o1", "c")
		owe(t, b.db, b.Outbox, "o2", "d")
		claims := b.claim("n1", 10, 10)
		if got := claimed(claims); len(got) != 2 || got[0] != "a" && got[1] != "a" {
			t.Fatalf("claimed %v, want what precedes it and the other lane", got)
		}
		for _, c := range claims {
			b.settle(done(c, len(c.Messages)))
		}
		b.clock.forward(1000 * time.Hour)
		if got := claimed(b.claim("n1", 10, 10)); len(got) != 0 {
			t.Fatalf("claimed %v after a month, want nothing: a person has not decided", got)
		}
		d := b.message("b")
		if !outbox.Held(d.NotBefore) || !outbox.Held(d.LaneState.NotBefore) || d.History[0].What != "held" || d.History[0].Detail != "consumed 41 kg a piece" {
			t.Errorf("not before %s, lane %+v, history %+v", d.NotBefore, d.LaneState, d.History)
		}
		if n := b.release("b"); n != 1 {
			t.Errorf("let %d go, want 1", n)
		}
		if got := claimed(b.claim("n1", 10, 10)); len(got) != 2 || got[0] != "b" || got[1] != "c" {
			t.Errorf("claimed %v, want b and then c", got)
		}
		if n := b.release("b"); n != 0 {
			t.Errorf("let %d go a second time, want none", n)
		}
	})
}

func TestWhatIsHeldBehindAnotherWaitsForItsTurn(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.hold("o1", "a", "twice as much")
		b.hold("o1", "b", "twice as much")
		b.release("b")
		if got := claimed(b.claim("n1", 10, 10)); len(got) != 0 {
			t.Fatalf("claimed %v, want nothing: a is held before it", got)
		}
		b.release("a")
		if got := claimed(b.claim("n1", 10, 10)); len(got) != 2 || got[0] != "a" {
			t.Errorf("claimed %v, want both in order", got)
		}
	})
}

func TestADiscardedMessageIsHeldNoMore(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.hold("o1", "a", "twice as much")
		owe(t, b.db, b.Outbox, "o1", "b")
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 1), "was a mistake")
		})
		if n := b.release("a"); n != 0 {
			t.Errorf("let %d go, want none", n)
		}
		if got := claimed(b.claim("n1", 10, 10)); len(got) != 2 {
			t.Errorf("claimed %v, want the void and b", got)
		}
	})
}

func TestARetryLetsAHeldMessageGo(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.hold("o1", "a", "twice as much")
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.Retry(ctx, tx, outbox.MessageID("erp", "a"), "it is so")
		})
		if got := claimed(b.claim("n1", 10, 10)); len(got) != 1 {
			t.Errorf("claimed %v, want a", got)
		}
	})
}

func TestNobodyLetsGoWhatWasNeverOwed(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		err := b.try(func(ctx context.Context, tx *store.Tx) error {
			n, err := b.Release(ctx, tx, "nothing", "why not")
			if n != 0 {
				t.Errorf("let %d go", n)
			}
			return err
		})
		if err != nil && problem.KindOf(err) != problem.NotFound {
			t.Error(err)
		}
	})
}

// TestWhatWasHeldIsHeldAgainWhenItsDiscardIsUndone: a discard that is undone lets nothing go, whether its void was delivered meanwhile or not, corrected or not.
func TestWhatWasHeldIsHeldAgainWhenItsDiscardIsUndone(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		for n, tt := range []struct {
			name          string
			amend, closed bool
		}{{"as it was", false, false}, {"corrected", true, false}, {"its number closed", false, true}, {"corrected, its number closed", true, true}} {
			event := string(rune('a' + n))
			b.hold("o"+event, event, "twice as much")
			id := outbox.MessageID("erp", event)
			if tt.amend {
				b.do(func(ctx context.Context, tx *store.Tx) error {
					return b.Amend(ctx, tx, id, []byte(`{"yield":"99"}`), "so it is")
				})
			}
			for range 2 { // also of one that was held again
				b.do(func(ctx context.Context, tx *store.Tx) error { return b.Discard(ctx, tx, id, "was a mistake") })
				if tt.closed {
					for _, c := range b.claim("n1", 10, 10) {
						b.settle(done(c, len(c.Messages)))
					}
				}
				b.do(func(ctx context.Context, tx *store.Tx) error {
					d, err := b.Message(ctx, tx, id)
					if err != nil {
						return err
					}
					about, err := b.LetGo(ctx, tx, d)
					if want := "confirmation/" + event; err != nil || !slices.Contains(about, want) {
						t.Errorf("%s: undone it is about %q, %v, want %s among that", tt.name, about, err, want)
					}
					id, err = b.Undiscard(ctx, tx, id, "it was not")
					return err
				})
				for _, c := range b.claim("n1", 10, 10) {
					t.Errorf("%s: claimed %d messages, and nobody let them go", tt.name, len(c.Messages))
				}
			}
			b.do(func(ctx context.Context, tx *store.Tx) error {
				d, err := b.Message(ctx, tx, id)
				if err != nil {
					return err
				}
				about, err := b.LetGo(ctx, tx, d)
				if want := "confirmation/" + event; !slices.Contains(about, want) {
					t.Errorf("%s: let go it is about %q, %v, want %s among that", tt.name, about, err, want)
				}
				return err
			})
			if n := b.release(event); n != 1 {
				t.Errorf("%s: %d let go, want 1", tt.name, n)
			}
			if c := b.claim("n1", 10, 10); len(c) != 1 || c[0].Messages[0].ID != id {
				t.Errorf("%s: once it is let go: claimed %v", tt.name, c)
			}
		}
	})
}
