package outbox_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// expiring has what is owed expire after a second.
func expiring(b box) box {
	b.Outbox = outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp", Mapping: "all", Expires: time.Second}}, "urn:plant:1000", outbox.Config{})
	return b
}

// parkedAsAltered tells of lane o1 that nothing of it leaves, and that it is parked, with an alarm, and nothing voided.
func (b box) parkedAsAltered(t *testing.T, alarms *raised) {
	t.Helper()
	for _, c := range b.claim("a", 10, 10) {
		if c.Lane == "o1" {
			t.Errorf("%v leave", c.Messages)
		}
	}
	if l := b.lane("o1"); l.State != outbox.Parked || !strings.Contains(l.Reason, "not what the plant has committed") || !strings.Contains(l.Reason, "What to do: ") {
		t.Errorf("the lane is %s: %q, want it parked with the reason and what to do", l.State, l.Reason)
	}
	if want := []string{"message.altered lane/erp/o1"}; !slices.Equal(alarms.all, want) {
		t.Errorf("raised %v, want %v", alarms.all, want)
	}
	if d := b.message("b"); d.Role != message.Event {
		t.Errorf("it is a %s", d.Role)
	}
}

// TestWhenAMessageExpiresIsSealedToo, and by what it is mapped, and which event it is: none of them is in its digest.
func TestWhenAMessageExpiresIsSealedToo(t *testing.T) {
	for name, statement := range map[string]string{
		"it expires at once":    `UPDATE outbox_messages SET expires_at = 1000000 WHERE event = 'b'`,
		"it expires never":      `UPDATE outbox_messages SET expires_at = 0 WHERE event = 'b'`,
		"its mapping":           `UPDATE outbox_messages SET mapping = 'other' WHERE event = 'b'`,
		"its event":             `UPDATE outbox_messages SET event = 'x' WHERE event = 'b'`,
		"the pin of another":    `UPDATE outbox_messages SET expires_at = 1000000, pin = (SELECT pin FROM outbox_messages WHERE event = 'a') WHERE event = 'b'`,
		"the pin is taken away": `UPDATE outbox_messages SET expires_at = 1000000, pin = NULL WHERE event = 'b'`,
		"the pin is cut":        `UPDATE outbox_messages SET pin = PIN WHERE event = 'b'`,
		"and made earlier":      `UPDATE outbox_messages SET created_at = 1, expires_at = 1000001, pin = NULL WHERE event = 'b'`,
	} {
		t.Run(name, func(t *testing.T) {
			sealedBox(t, func(t *testing.T, b box, r *seal.Ring, alarms *raised) {
				b = expiring(b)
				b.SignWith(r)
				b.AlarmWith(alarms)
				b.owe("o2", "a")
				b.owe("o1", "b")
				b.alter(strings.ReplaceAll(statement, "PIN", bytesOf(b)))
				id := outbox.MessageID("erp", "b")
				b.parkedAsAltered(t, alarms)
				err := b.try(func(ctx context.Context, tx *store.Tx) error {
					return b.Amend(ctx, tx, id, []byte(`{}`), "typed wrong")
				})
				if !strings.Contains(statement, "pin = NULL") && problem.KindOf(err) != problem.Integrity {
					t.Errorf("amended: %v, want a problem of kind %s", err, problem.Integrity)
				}
				b.do(func(ctx context.Context, tx *store.Tx) error {
					return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 1), "altered")
				})
				if c := b.claim("b", 10, 10); len(c) != 1 || c[0].Messages[0].Role != message.Void {
					t.Errorf("once it is discarded %v leave, want the void", c)
				}
			})
		})
	}
}

// bytesOf is one byte in the words of the database.
func bytesOf(b box) (text string) {
	b.do(func(_ context.Context, tx *store.Tx) error {
		if text = `x'00'`; tx.Dialect() == store.Postgres {
			text = `'\x00'`
		}
		return nil
	})
	return text
}

// TestWhatIsNotSealedExpiresByItsRouteAlone: no seal holds when it expires, but its signature says since when it is owed.
func TestWhatIsNotSealedExpiresByItsRouteAlone(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b = expiring(b)
		b.SignWith(ring(t, b.db))
		alarms := b.alarmed()
		b.owe("o1", "b")
		b.alter(`UPDATE outbox_messages SET expires_at = 1000000 WHERE event = 'b'`)
		b.parkedAsAltered(t, alarms)
	})
}

// TestWhatWasOwedBeforeTheUpgradeExpires, and goes out, as it would have: the release before has written no pin.
func TestWhatWasOwedBeforeTheUpgradeExpires(t *testing.T) {
	sealedBox(t, func(t *testing.T, b box, r *seal.Ring, alarms *raised) {
		b = expiring(b)
		b.SignWith(r)
		b.AlarmWith(alarms)
		b.owe("o1", "a", "b")
		b.owe("o2", "c")
		b.alter(`UPDATE outbox_messages SET pin = NULL`)
		c := b.claim("a", 10, 1)
		if len(c) != 2 {
			t.Fatalf("%d lanes leave, want 2", len(c))
		}
		for _, c := range c {
			b.settle(done(c, 1))
		}
		b.clock.forward(1500 * time.Millisecond)
		if c := b.claim("a", 10, 10); len(c) != 1 || c[0].Messages[0].Role != message.Void {
			t.Errorf("%+v leave, want a void", c)
		}
		if len(alarms.all) > 0 {
			t.Errorf("raised %v, want nothing", alarms.all)
		}
	})
}
