package outbox_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func (b box) postpone(event string, after time.Duration) (held int64, err error) {
	b.t.Helper()
	err = b.try(func(ctx context.Context, tx *store.Tx) (err error) {
		held, err = b.Postpone(ctx, tx, outbox.MessageID("erp", event), tx.Now.Add(after), "the period is closed")
		return err
	})
	return held, err
}

func TestAPostponedMessageHoldsItsLaneAndNoOther(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b", "c")
		owe(t, b.db, b.Outbox, "o2", "d")
		if held, err := b.postpone("a", time.Hour); held != 3 || err != nil {
			t.Fatalf("held %d, %v, want 3", held, err)
		}
		if claims := b.claim("n1", 10, 10); len(claims) != 1 || claims[0].Lane != "o2" {
			t.Errorf("claimed %+v, want only lane o2", claims)
		}
		if d := b.message("a"); !d.NotBefore.Equal(b.clock.now().Add(time.Hour)) || !strings.Contains(d.History[len(d.History)-1].Detail, "the period is closed") {
			t.Errorf("not before %s, history %+v", d.NotBefore, d.History)
		}
		b.clock.forward(time.Hour)
		if claims := b.claim("n1", 10, 10); len(claims) != 1 || len(claims[0].Messages) != 3 {
			t.Errorf("claimed %+v after an hour, want the whole lane", claims)
		}
	})
}

func TestWhatFollowsIsPostponedWithoutItsPredecessors(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b", "c")
		if held, err := b.postpone("b", time.Hour); held != 2 || err != nil {
			t.Fatalf("held %d, %v, want 2", held, err)
		}
		if claims := b.claim("n1", 10, 10); len(claims) != 1 || len(claims[0].Messages) != 1 {
			t.Errorf("claimed %+v, want the first alone", claims)
		}
	})
}

func TestAPostponementEnds(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a")
		for _, after := range []time.Duration{time.Hour, -time.Second} {
			if _, err := b.postpone("a", after); err != nil {
				t.Fatal(err)
			}
		}
		if claims := b.claim("n1", 10, 10); len(claims) != 1 {
			t.Errorf("claimed %+v, want the lane", claims)
		}
	})
}

func TestWhatCannotBePostponed(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "sent", "a")
		b.claim("n1", 10, 1)
		owe(t, b.db, b.Outbox, "void", "b")
		b.do(func(ctx context.Context, tx *store.Tx) error { return b.PauseLane(ctx, tx, "erp", "void", "r") })
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.Discard(ctx, tx, numbered(ctx, tx, "void", 1), "r")
		})
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.Append(ctx, tx, event("c", "short"), outbox.Expires(tx.Now.Add(time.Minute)))
		})
		for event, want := range map[string]problem.Kind{"a": problem.Conflict, "b": problem.Conflict, "c": problem.Conflict, "none": problem.NotFound} {
			if _, err := b.postpone(event, time.Hour); problem.KindOf(err) != want {
				t.Errorf("%s: %v, want %q", event, err, want)
			}
		}
	})
}

// TestAParkedLaneStaysParked: to postpone its head is not to let it go on.
func TestAParkedLaneStaysParked(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a")
		b.do(func(ctx context.Context, tx *store.Tx) error { return park(ctx, tx, "o1", "refused") })
		if _, err := b.postpone("a", time.Minute); err != nil {
			t.Fatal(err)
		}
		b.clock.forward(time.Hour)
		if claims := b.claim("n1", 10, 10); len(claims) != 0 {
			t.Errorf("claimed %+v of a parked lane", claims)
		}
	})
}

func TestARouteDelaysItsMessages(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.Outbox = outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp", Delay: time.Minute}}, "urn:plant", outbox.Config{})
		owe(t, b.db, b.Outbox, "o1", "a")
		if claims := b.claim("n1", 10, 10); len(claims) != 0 {
			t.Errorf("claimed %+v at once", claims)
		}
		b.clock.forward(time.Minute)
		if claims := b.claim("n1", 10, 10); len(claims) != 1 {
			t.Errorf("claimed %+v after the delay, want the lane", claims)
		}
	})
}

// TestANumberThatComesEndsNoPostponement has a person postpone a message that waits for a number.
func TestANumberThatComesEndsNoPostponement(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a")
		c := b.claim("n1", 1, 1)[0]
		s := done(c, 0)
		s.Next = outbox.Next{State: outbox.Waiting, ID: c.Messages[0].ID, Reason: "needs it", Awaits: "lot/9", Verdict: message.Again}
		b.settle(s)
		until := b.clock.now().Add(5 * time.Hour)
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := b.Postpone(ctx, tx, c.Messages[0].ID, until, "not today")
			return err
		})
		b.do(func(ctx context.Context, tx *store.Tx) error { return b.SetReference(ctx, tx, "erp", "lot/9", "4711") })
		if l := b.lane("o1"); l.State != outbox.Open || !l.DueAt.Equal(until) {
			t.Errorf("got %+v, want it open and due at %s", l, until)
		}
		b.clock.forward(5 * time.Hour)
		if c := b.claim("n1", 1, 1); len(c) != 1 {
			t.Errorf("claimed %+v at its time, want the message", c)
		}
	})
}

// TestAMessageIsNotHandedOutBeforeItsTime has something else than the message say when its lane is due: the node that had it is gone.
func TestAMessageIsNotHandedOutBeforeItsTime(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a")
		b.claim("gone", 1, 1)
		until := b.clock.now().Add(5 * time.Hour)
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE outbox_messages SET not_before = ?`, store.Micros(until))
			return err
		})
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := b.TakeBack(ctx, tx, "gone", "erp", nil)
			return err
		})
		b.clock.forward(time.Minute)
		if c := b.claim("n1", 1, 1); len(c) != 0 {
			t.Errorf("claimed %+v before its time", c)
		}
		if l := b.lane("o1"); l.State != outbox.Open || !l.DueAt.Equal(until) {
			t.Errorf("got %+v, want it open and due at %s", l, until)
		}
		b.clock.forward(5 * time.Hour)
		if c := b.claim("n1", 1, 1); len(c) != 1 || !c[0].Messages[0].Ask {
			t.Errorf("claimed %+v at its time, want the message, to be asked for", c)
		}
	})
}

// TestARetryAndADiscardEndAPostponement: neither leaves its lane waiting for a time that no longer matters.
func TestARetryAndADiscardEndAPostponement(t *testing.T) {
	for name, do := range map[string]func(b box, ctx context.Context, tx *store.Tx) error{
		"retry": func(b box, ctx context.Context, tx *store.Tx) error {
			return b.Retry(ctx, tx, outbox.MessageID("erp", "a"), "r")
		},
		"discard": func(b box, ctx context.Context, tx *store.Tx) error {
			return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 1), "r")
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b box) {
				owe(t, b.db, b.Outbox, "o1", "a")
				if _, err := b.postpone("a", time.Hour); err != nil {
					t.Fatal(err)
				}
				if l := b.lane("o1"); l.NotBefore.IsZero() || b.link().Postponed != 1 {
					t.Errorf("got %+v, %+v, want them to say that it is postponed", l, b.link())
				}
				b.do(func(ctx context.Context, tx *store.Tx) error { return do(b, ctx, tx) })
				if l := b.lane("o1"); !l.NotBefore.IsZero() || b.link().Postponed != 0 {
					t.Errorf("got %+v, %+v, want the postponement lifted", l, b.link())
				}
				if claims := b.claim("n1", 10, 10); len(claims) != 1 {
					t.Errorf("claimed %+v, want the lane", claims)
				}
			})
		})
	}
}

func TestWhatIsDeliveredIsSaidToBe(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a")
		b.settle(done(b.claim("n1", 1, 1)[0], 1))
		id := outbox.MessageID("erp", "a")
		for name, do := range map[string]act{
			"retry": func(ctx context.Context, tx *store.Tx) error { return b.Retry(ctx, tx, id, "r") },
			"amend": func(ctx context.Context, tx *store.Tx) error { return b.Amend(ctx, tx, id, []byte(`{}`), "r") },
			"send again": func(ctx context.Context, tx *store.Tx) error {
				return b.SendAgain(ctx, tx, numbered(ctx, tx, "o1", 1), "r")
			},
			"postpone": func(ctx context.Context, tx *store.Tx) error {
				_, err := b.Postpone(ctx, tx, id, tx.Now.Add(time.Hour), "r")
				return err
			},
		} {
			if err := b.try(do); problem.KindOf(err) != problem.Conflict || !strings.Contains(err.Error(), "it was delivered") {
				t.Errorf("%s: got %v, want a conflict: it was delivered", name, err)
			}
		}
	})
}
