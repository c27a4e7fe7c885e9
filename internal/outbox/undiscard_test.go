package outbox_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// undiscard has a discard undone, and is the message that is owed.
func (b box) undiscard(id string) outbox.Detail {
	b.t.Helper()
	var d outbox.Detail
	b.do(func(ctx context.Context, tx *store.Tx) error {
		now, err := b.Undiscard(ctx, tx, id, "it is wanted")
		if err == nil {
			d, err = b.Message(ctx, tx, now)
		}
		return err
	})
	return d
}

func (b box) discard(number int64) {
	b.t.Helper()
	b.do(func(ctx context.Context, tx *store.Tx) error {
		return b.Discard(ctx, tx, numbered(ctx, tx, "o1", number), "not wanted")
	})
}

// TestADiscardIsUndoneInItsPlace: as long as its turn has not come, it goes under its own number, and what was said of it stays.
func TestADiscardIsUndoneInItsPlace(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		large := `{"id":"` + strings.Repeat("x", 300<<10) + `"}`
		owe(t, b.db, b.Outbox, "o1", "a", "b")
		oweBody(b, "big", "o1", []byte(large))
		was := []outbox.Detail{b.message("a"), b.message("b"), b.message("big")}
		for _, d := range was[1:] {
			b.discard(d.Number)
			now := b.undiscard(d.ID)
			if now.ID != d.ID || now.Number != d.Number || now.Refers != d.Digest || string(whole(t, now.Message)) != string(whole(t, d.Message)) || now.Digest != now.Message.Digest() {
				t.Errorf("%s is owed as %+v, want what it was", d.Event, now)
			}
			if h := now.History; len(h) != 2 || h[0].Detail != "not wanted" || h[1].What != "discard undone" || h[1].Detail != "it is wanted" {
				t.Errorf("its history is %+v", h)
			}
		}
		c := b.claim("n1", 1, 3)[0]
		if got := len(c.Messages); got != 3 || c.Messages[1].Role == message.Void {
			t.Fatalf("claimed %d messages, want each of the three to be sent", got)
		}
		b.settle(done(c, 3))
		if l := b.lane("o1"); l.Owed != 0 {
			t.Errorf("the lane owes %d", l.Owed)
		}
	})
}

// TestADiscardWhoseNumberIsClosedIsOwedAnew: once, under the next number, and only where that can double or block nothing.
func TestADiscardWhoseNumberIsClosedIsOwedAnew(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b", "c")
		b.discard(2)
		b.settle(done(b.claim("n1", 1, 3)[0], 3))
		old := b.message("b")
		now := b.undiscard(old.ID)
		if now.Number != 4 || now.ID == old.ID || now.Cause != old.ID || string(now.Body) != `{"id":"b"}` || now.Kind != old.Kind || now.Mapping != "all" || now.Prev != b.message("c").Digest {
			t.Errorf("it is owed as %+v", now)
		}
		if h := b.message("b").History; len(h) != 2 || !strings.Contains(h[1].Detail, now.ID) {
			t.Errorf("the void's history is %+v, want it to name message %s", h, now.ID)
		}
		undo := func(id string) act {
			return func(ctx context.Context, tx *store.Tx) error {
				_, err := b.Undiscard(ctx, tx, id, "again")
				return err
			}
		}
		for name, id := range map[string]string{"twice": old.ID, "what is owed": now.ID, "what was delivered": outbox.MessageID("erp", "a")} {
			if err := b.try(undo(id)); problem.KindOf(err) != problem.Conflict {
				t.Errorf("%s: got %v, want a conflict", name, err)
			}
		}
		b.settle(done(b.claim("n1", 1, 1)[0], 1))
		if l := b.lane("o1"); l.Owed != 0 {
			t.Errorf("the lane owes %d", l.Owed)
		}
	})
}

func TestADiscardIsNotUndoneWhereTheERPMayHaveIt(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a")
		b.claim("gone", 1, 1)
		b.clock.forward(11 * time.Second)
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.DiscardInDoubt(ctx, tx, numbered(ctx, tx, "o1", 1), "r")
		})
		now := b.undiscard(outbox.MessageID("erp", "a")) // under its own number and ID it is asked for
		if !now.MaySent() {
			t.Errorf("it would be sent without asking: %+v", now)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.DiscardInDoubt(ctx, tx, numbered(ctx, tx, "o1", 1), "r")
		})
		b.settle(done(b.claim("n2", 1, 1)[0], 1))
		err := b.try(func(ctx context.Context, tx *store.Tx) error { _, err := b.Undiscard(ctx, tx, now.ID, "r"); return err })
		if problem.KindOf(err) != problem.Conflict || !strings.Contains(err.Error(), "the ERP may have it") {
			t.Errorf("got %v, want a conflict: it would have it twice", err)
		}
	})
}

// TestWhatComesBeforeWhatItNeedsStandsStillInSight: the message that creates an object was discarded and is owed again, behind one that needs the
// ERP's number of it. That one does not wait for ever: it parks, and goes last once it is discarded and owed again too.
func TestWhatComesBeforeWhatItNeedsStandsStillInSight(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		m := event("a", "o1")
		m.Creates = "order/o1"
		b.do(func(ctx context.Context, tx *store.Tx) error { return b.Append(ctx, tx, m) })
		owe(t, b.db, b.Outbox, "o1", "b")
		b.discard(1)
		b.settle(done(b.claim("n1", 1, 1)[0], 1))
		a := b.undiscard(outbox.MessageID("erp", "a"))
		c := b.claim("n1", 1, 1)[0]
		waits := done(c, 0)
		waits.SentTo, waits.Next = 1, outbox.Next{State: outbox.Waiting, ID: c.Messages[0].ID, Awaits: "order/o1"}
		b.settle(waits)
		if l := b.lane("o1"); l.State != outbox.Parked || l.Head != 2 || !strings.Contains(l.Reason, "order/o1") {
			t.Fatalf("the lane is %+v, want it parked at b", l)
		}
		b.discard(2)
		c = b.claim("n1", 1, 2)[0]
		if len(c.Messages) != 2 || c.Messages[1].ID != a.ID || c.Messages[1].Creates != "order/o1" {
			t.Fatalf("the lane owes %+v, want b's void and then a", c.Messages)
		}
		b.settle(done(c, 2))
		again := b.undiscard(outbox.MessageID("erp", "b"))
		if again.Number != 4 || string(again.Body) != `{"id":"b"}` {
			t.Errorf("b is owed as %+v", again)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			number, _, err := b.Reference(ctx, tx, "erp", "order/o1")
			if number != "D-"+a.ID {
				t.Errorf("the object's number is %q, want a's document", number)
			}
			return err
		})
	})
}

// TestWhatHasExpiredIsOwedAgain: a person wants it all the same, and then it no longer expires.
func TestWhatHasExpiredIsOwedAgain(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		for _, id := range []string{"a", "b"} {
			b.do(func(ctx context.Context, tx *store.Tx) error {
				return b.Append(ctx, tx, event(id, "o1"), outbox.Expires(at.Add(time.Second)))
			})
		}
		b.clock.forward(time.Hour)
		c := b.claim("n1", 1, 2)[0]
		if c.Messages[0].Role != message.Void {
			t.Fatalf("a has not expired: %+v", c.Messages[0])
		}
		b.settle(done(c, 1))
		b.undiscard(outbox.MessageID("erp", "a"))
		b.undiscard(outbox.MessageID("erp", "b"))
		for _, q := range b.claim("n1", 1, 3)[0].Messages {
			if q.Role == message.Void {
				t.Errorf("%s expires again", q.ID)
			}
		}
	})
}

// TestADiscardIsNotUndoneIntoWhatWasAltered: the plant does not sign what somebody has written into the history of a void. Neither into that of
// the event itself nor into that of a correction of it, whose digest only the audit record and its seal hold, also where the digest was altered with it.
func TestADiscardIsNotUndoneIntoWhatWasAltered(t *testing.T) {
	forged := []byte(`{"id":"forged","quantity":"999999"}`)
	altered := func(t *testing.T, b box) {
		for i, c := range []struct{ settled, amended, digest, refers bool }{
			{}, {settled: true}, {amended: true}, {amended: true, digest: true}, {digest: true}, {digest: true, refers: true}, {settled: true, amended: true, digest: true}, {settled: true, digest: true, refers: true},
		} {
			lane, event := fmt.Sprint("o", i), fmt.Sprint("e", i)
			owe(t, b.db, b.Outbox, lane, "first"+event, event)
			d := b.message(event)
			if c.amended {
				b.do(func(ctx context.Context, tx *store.Tx) error {
					return b.Amend(ctx, tx, d.ID, []byte(`{"better":1}`), "wrong")
				})
				b.clock.forward(time.Second)
				d = b.message(event)
			}
			b.do(func(ctx context.Context, tx *store.Tx) error { return b.Discard(ctx, tx, d.ID, "not wanted") })
			if c.settled {
				for _, claim := range b.claim("n1", 100, 10) {
					b.settle(done(claim, len(claim.Messages)))
				}
			}
			d.Body = forged
			digest := d.Digest
			if c.digest {
				digest = d.Message.Digest()
			}
			b.do(func(ctx context.Context, tx *store.Tx) error {
				if _, err := tx.Exec(ctx, `UPDATE outbox_events SET body = ?, sealed = 0, digest = ? WHERE id = ? AND what = 'voided'`, forged, digest, d.ID); err != nil || !c.refers {
					return err
				}
				_, err := tx.Exec(ctx, `UPDATE outbox_`+map[bool]string{true: "delivered", false: "messages"}[c.settled]+` SET refers = ? WHERE id = ?`, digest, d.ID)
				return err
			})
			err := b.try(func(ctx context.Context, tx *store.Tx) error {
				_, err := b.Undiscard(ctx, tx, d.ID, "it is wanted")
				return err
			})
			if problem.KindOf(err) != problem.Integrity {
				t.Errorf("%+v: got %v, want a problem of kind %s", c, err, problem.Integrity)
			}
			if d = b.message(event); d.Role != message.Void {
				t.Errorf("%+v: it is a %s now", c, d.Role)
			}
		}
	}
	t.Run("sealed", func(t *testing.T) {
		sealedBox(t, func(t *testing.T, b box, _ *seal.Ring, _ *raised) { altered(t, b) })
	})
	t.Run("signed", func(t *testing.T) {
		each(t, func(t *testing.T, b box) {
			b.SignWith(ring(t, b.db))
			altered(t, b)
		})
	})
}

// TestADiscardIsNotUndoneThatTheRecordDoesNotHave: since the plant's entries have MACs each change is on the record, and who puts one into it, or moves the
// change to another time, has the plant sign nothing.
func TestADiscardIsNotUndoneThatTheRecordDoesNotHave(t *testing.T) {
	sealedBox(t, func(t *testing.T, b box, _ *seal.Ring, _ *raised) {
		b.held()
		b.unguarded()
		b.clock.forward(time.Second)
		owe(t, b.db, b.Outbox, "o1", "a")
		d := b.message("a")
		b.discard(1)
		b.do(func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Exec(ctx, `UPDATE outbox_events SET at = at + 1000000 WHERE id = ?`, d.ID); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `INSERT INTO audit_entries (at, actor, origin, action, object, reason, new, outcome)
				SELECT at + 1000000, actor, origin, action, object, reason, new, outcome FROM audit_entries WHERE object = 'lanes' AND at = ?`, store.Micros(b.db.Now()))
			return err
		})
		err := b.try(func(ctx context.Context, tx *store.Tx) error {
			_, err := b.Undiscard(ctx, tx, d.ID, "it is wanted")
			return err
		})
		if problem.KindOf(err) != problem.Integrity {
			t.Errorf("got %v, want a problem of kind %s", err, problem.Integrity)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE outbox_events SET at = at - 1000000 WHERE id = ?`, d.ID)
			return err
		})
		if d := b.undiscard(d.ID); d.Role == message.Void {
			t.Errorf("what is on the record is not undone: %+v", d)
		}
	})
}
