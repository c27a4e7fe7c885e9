package outbox_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// eachOfTwo runs test where policy asks for a second person, in a plant that seals what it keeps.
func eachOfTwo(t *testing.T, test func(t *testing.T, b box)) {
	t.Helper()
	each(t, func(t *testing.T, b box) {
		b.Outbox = everything(outbox.Config{FourEyes: true})
		b.sealing(localKeys(t, b.db))
		owe(t, b.db, b.Outbox, "o1", "a", "b", "c")
		test(t, b)
	})
}

// sendable takes every correction.
func sendable(context.Context, *store.Tx, outbox.Detail) error { return nil }

func (b box) ask(w outbox.Wish) (made outbox.Wish, err error) {
	b.t.Helper()
	if w.By == "" {
		w.By, w.Reason = "user:anna", "wrong unit"
	}
	err = b.try(func(ctx context.Context, tx *store.Tx) (err error) {
		made, err = b.Ask(ctx, tx, w, sendable)
		return err
	})
	return made, err
}

func (b box) approve(id, by string) error {
	b.t.Helper()
	return b.try(func(ctx context.Context, tx *store.Tx) error {
		_, err := b.Approve(ctx, tx, id, by, "looked at it", sendable)
		return err
	})
}

func (b box) wishes() (ids []string) {
	b.t.Helper()
	b.do(func(ctx context.Context, tx *store.Tx) error {
		list, err := b.Wishes(ctx, tx)
		for _, w := range list {
			ids = append(ids, w.ID)
		}
		return err
	})
	return ids
}

// TestAChangeWaitsForAnotherPerson: until then nothing is another than it was, and afterwards it is what was asked.
func TestAChangeWaitsForAnotherPerson(t *testing.T) {
	eachOfTwo(t, func(t *testing.T, b box) {
		was := []outbox.Detail{b.message("a"), b.message("b")}
		alone := map[string]act{
			"amend": func(ctx context.Context, tx *store.Tx) error { return b.Amend(ctx, tx, was[0].ID, []byte(`{}`), "r") },
			"discard": func(ctx context.Context, tx *store.Tx) error {
				return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 1), "r")
			},
			"undiscard": func(ctx context.Context, tx *store.Tx) error {
				_, err := b.Undiscard(ctx, tx, was[0].ID, "r")
				return err
			},
			"mark delivered": func(ctx context.Context, tx *store.Tx) error { return b.MarkDelivered(ctx, tx, was[0].ID, "4711", "r") },
			"by force": func(ctx context.Context, tx *store.Tx) error {
				return b.DiscardInDoubt(ctx, tx, numbered(ctx, tx, "o1", 1), "r")
			},
		}
		for name, do := range alone {
			if err := b.try(do); problem.KindOf(err) != problem.Denied {
				t.Errorf("%s by one person: got %v, want it denied", name, err)
			}
		}
		text := []byte(`{"id":"` + strings.Repeat("x", 300<<10) + `"}`) // kept beside its row
		correction, err := b.ask(outbox.Wish{Message: was[0].ID, Act: outbox.ToAmend, Body: text})
		if err != nil {
			t.Fatal(err)
		}
		discard, err := b.ask(outbox.Wish{Message: was[1].ID, Act: outbox.ToDiscard})
		if err != nil {
			t.Fatal(err)
		}
		for i, event := range []string{"a", "b"} {
			now := b.message(event)
			if now.Digest != was[i].Digest || now.Role != message.Event || len(now.History) != 1 || now.History[0].What != outbox.Asked {
				t.Errorf("%s was only asked for, and is %+v", event, now)
			}
		}
		if _, err := b.ask(outbox.Wish{Message: was[0].ID, Act: outbox.ToDiscard}); problem.KindOf(err) != problem.Conflict {
			t.Errorf("a second request: got %v, want a conflict", err)
		}
		for _, by := range []string{"user:anna", "oidc:anna", "local:somebody"} {
			if err := b.approve(correction.ID, by); problem.KindOf(err) != problem.Denied {
				t.Errorf("%s approves what user:anna has asked: got %v, want it denied", by, err)
			}
		}
		if got := b.wishes(); !slices.Equal(got, []string{correction.ID, discard.ID}) {
			t.Errorf("%q wait", got)
		}
		for _, id := range []string{correction.ID, discard.ID} {
			if err := b.approve(id, "user:berta"); err != nil {
				t.Fatal(err)
			}
			if err := b.approve(id, "user:berta"); problem.KindOf(err) != problem.NotFound {
				t.Errorf("approved once more: got %v, want that it is not there", err)
			}
		}
		if now := b.message("a"); string(whole(t, now.Message)) != string(text) || now.Refers != was[0].Digest {
			t.Errorf("a is %+v, want what was asked for", now)
		}
		if now := b.message("b"); now.Role != message.Void || !strings.Contains(string(now.Body), "wrong unit") {
			t.Errorf("b is %s %s, want a void", now.Role, now.Body)
		}
		if got := b.wishes(); len(got) != 0 {
			t.Errorf("%q wait, want none", got)
		}
	})
}

// TestWhatIsAnotherByNowIsNotApproved: a change since, a delivery since, and what somebody has altered in the database.
func TestWhatIsAnotherByNowIsNotApproved(t *testing.T) {
	eachOfTwo(t, func(t *testing.T, b box) {
		ask := func(event string) outbox.Wish {
			t.Helper()
			w, err := b.ask(outbox.Wish{Message: outbox.MessageID("erp", event), Act: outbox.ToAmend, Body: []byte(`{"id":"other"}`)})
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
		changed, altered := ask("b"), ask("c")
		one := everything(outbox.Config{}) // a node on which policy does not ask for it yet
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return one.Amend(ctx, tx, changed.Message, []byte(`{"id":"third"}`), "r")
		})
		if err := b.approve(changed.ID, "user:berta"); problem.KindOf(err) != problem.Conflict || !strings.Contains(err.Error(), "changed since") {
			t.Errorf("what was changed since: got %v, want a conflict", err)
		}
		if anew := ask("b"); anew.ID == changed.ID || !slices.Equal(b.wishes(), []string{altered.ID, anew.ID}) {
			t.Errorf("it cannot be asked for anew: %+v", anew)
		}
		errUndo := errors.New("undo it")
		err := b.try(func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Exec(ctx, `UPDATE outbox_events SET body = (SELECT body FROM outbox_messages WHERE id = ?) WHERE id = ?`, changed.Message, altered.Message); err != nil {
				return err
			}
			_, err := b.Approve(ctx, tx, altered.ID, "user:berta", "r", sendable)
			return errors.Join(errUndo, err)
		})
		if !errors.Is(err, errUndo) || problem.KindOf(err) != problem.Integrity {
			t.Errorf("what was altered: got %v, want that it is not what was asked", err)
		}
		b.settle(done(b.claim("n1", 1, 3)[0], 3))
		if err := b.approve(altered.ID, "user:berta"); problem.KindOf(err) != problem.Conflict {
			t.Errorf("what was delivered since: got %v, want a conflict", err)
		}
	})
}

// TestARequestIsItsAuthors: who can write the database can give a request another author and the ID that fits, or put one there, and nobody can approve it.
func TestARequestIsItsAuthors(t *testing.T) {
	forgeries := map[string]string{
		"another author": `UPDATE outbox_asked SET id = ?, author = 'user:zoe'`,
		"no MAC":         `UPDATE outbox_asked SET id = ?, author = 'user:zoe', mac = NULL`,
		"of another":     `UPDATE outbox_asked SET id = ?, author = 'user:zoe', mac = (SELECT mac FROM outbox_asked AS o WHERE o.message <> outbox_asked.message)`,
	}
	eachOfTwo(t, func(t *testing.T, b box) {
		b.SignWith(ring(t, b.db))
		w, err := b.ask(outbox.Wish{Message: outbox.MessageID("erp", "a"), Act: outbox.ToDiscard})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.ask(outbox.Wish{Message: outbox.MessageID("erp", "b"), Act: outbox.ToDiscard}); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal([]any{w.Message, w.Act, []byte(nil), false, "user:zoe", w.Reason, w.At.UnixMicro(), b.message("a").Digest, 0})
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(text)
		forged, errUndo := hex.EncodeToString(sum[:16]), errors.New("undo it")
		for name, forgery := range forgeries {
			err := b.try(func(ctx context.Context, tx *store.Tx) error {
				if _, err := tx.Exec(ctx, forgery+` WHERE message = ?`, forged, w.Message); err != nil {
					return err
				}
				_, err := b.Approve(ctx, tx, forged, "user:anna", "r", sendable)
				return errors.Join(errUndo, err)
			})
			if !errors.Is(err, errUndo) || problem.KindOf(err) != problem.Integrity {
				t.Errorf("%s: anna approves her own request as zoe's: got %v, want that nothing vouches for it", name, err)
			}
		}
		if err := b.approve(w.ID, "user:berta"); err != nil {
			t.Errorf("what is as it was asked: %v", err)
		}
	})
}

// TestAMarkAndAnUndoneDiscardWaitForAnother, also of what is settled: what took two to give up is not owed again by one.
func TestAMarkAndAnUndoneDiscardWaitForAnother(t *testing.T) {
	eachOfTwo(t, func(t *testing.T, b box) {
		b.SignWith(ring(t, b.db))
		both := func(w outbox.Wish) {
			t.Helper()
			w, err := b.ask(w)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.wishes(); !slices.Equal(got, []string{w.ID}) {
				t.Errorf("%q wait, want %s", got, w.ID)
			}
			if err := b.approve(w.ID, "user:anna"); problem.KindOf(err) != problem.Denied {
				t.Errorf("anna approves her own: %v", err)
			}
			if err := b.approve(w.ID, "user:berta"); err != nil {
				t.Fatal(err)
			}
		}
		a, second := b.message("a"), b.message("b")
		both(outbox.Wish{Message: a.ID, Act: outbox.ToDiscard})
		both(outbox.Wish{Message: a.ID, Act: outbox.ToUndiscard})
		if now := b.message("a"); now.Role == message.Void || string(now.Body) != string(a.Body) {
			t.Errorf("the discard is not undone: %+v", now)
		}
		both(outbox.Wish{Message: a.ID, Act: outbox.ToDiscard})
		b.settle(done(b.claim("n1", 1, 1)[0], 1))
		both(outbox.Wish{Message: a.ID, Act: outbox.ToUndiscard}) // its number is closed
		if now := b.message("a"); !now.Settled || now.History[len(now.History)-1].What != "discard undone" {
			t.Errorf("the discard of what is settled is not undone: %+v", now)
		}
		c := b.claim("n1", 1, 1)[0]
		b.settle(outbox.Settlement{Lane: c.Lane, Token: c.Token, Release: true, Next: outbox.Next{State: outbox.Parked, ID: second.ID, Reason: "no such material"}})
		both(outbox.Wish{Message: second.ID, Act: outbox.ToMarkDelivered, Document: "4711"})
		if now := b.message("b"); !now.Settled || now.Receipt.Document != "4711" {
			t.Errorf("it does not count as delivered: %+v", now)
		}
	})
}

// TestARefusedDeliveryIsMarkedByTwo: it is settled already.
func TestARefusedDeliveryIsMarkedByTwo(t *testing.T) {
	eachOfTwo(t, func(t *testing.T, b box) {
		id := outbox.MessageID("erp", "a")
		b.settle(confirmed(b.claim("n1", 1, 1)[0], 1))
		if err := b.answer(outbox.RefusalKind, map[string]any{"message": id, "text": "no such order"}); err != nil {
			t.Fatal(err)
		}
		w, err := b.ask(outbox.Wish{Message: id, Act: outbox.ToMarkDelivered, Document: "4711"})
		if err != nil {
			t.Fatal(err)
		}
		if got := b.wishes(); !slices.Equal(got, []string{w.ID}) {
			t.Errorf("%q wait, want %s", got, w.ID)
		}
		if d := b.message("a"); d.Refused == "" {
			t.Error("one person has ended its refusal")
		}
		if err := b.approve(w.ID, "user:berta"); err != nil {
			t.Fatal(err)
		}
		if d := b.message("a"); d.Refused != "" || d.Receipt.Document != "4711" {
			t.Errorf("it is %q, refused %q", d.Receipt.Document, d.Refused)
		}
		if got := b.wishes(); len(got) != 0 {
			t.Errorf("%q wait, want none", got)
		}
	})
}

// TestARequestIsRefused: nothing comes of it, and its author may take it back. What could not be done is not even asked.
func TestARequestIsRefused(t *testing.T) {
	eachOfTwo(t, func(t *testing.T, b box) {
		id := outbox.MessageID("erp", "a")
		for _, by := range []string{"user:berta", "user:anna"} {
			w, err := b.ask(outbox.Wish{Message: id, Act: outbox.ToDiscard})
			if err != nil {
				t.Fatal(err)
			}
			b.do(func(ctx context.Context, tx *store.Tx) error {
				_, err := b.Refuse(ctx, tx, w.ID, by, "it is right")
				return err
			})
			if err := b.approve(w.ID, "user:berta"); problem.KindOf(err) != problem.NotFound {
				t.Errorf("approved after it was refused by %s: got %v", by, err)
			}
		}
		if d := b.message("a"); d.Role != message.Event || len(d.History) != 4 || d.History[3].Detail != "user:anna: it is right" {
			t.Errorf("the message is %+v", d)
		}
		if _, err := b.ask(outbox.Wish{Message: id, Act: outbox.ToAmend, Body: []byte(`{`)}); problem.KindOf(err) != problem.Invalid {
			t.Errorf("a body that is no JSON: got %v", err)
		}
		cannot := errors.New("the ERP has no such unit")
		err := b.try(func(ctx context.Context, tx *store.Tx) error {
			_, err := b.Ask(ctx, tx, outbox.Wish{Message: id, Act: outbox.ToAmend, Body: []byte(`{}`), By: "user:anna"}, func(context.Context, *store.Tx, outbox.Detail) error { return cannot })
			return err
		})
		if !errors.Is(err, cannot) || len(b.wishes()) != 0 {
			t.Errorf("what cannot be sent: got %v, and %q wait", err, b.wishes())
		}
	})
}

// TestOfTwoWhoDecideAtOnceOneIsHeard: the change is made once or not at all, and its history tells of one decision.
func TestOfTwoWhoDecideAtOnceOneIsHeard(t *testing.T) {
	decisions := map[string]func(b box, ctx context.Context, tx *store.Tx, id, by string) error{
		"change approved": func(b box, ctx context.Context, tx *store.Tx, id, by string) error {
			_, err := b.Approve(ctx, tx, id, by, "looked at it", sendable)
			return err
		},
		"change refused": func(b box, ctx context.Context, tx *store.Tx, id, by string) error {
			_, err := b.Refuse(ctx, tx, id, by, "looked at it")
			return err
		},
	}
	eachOfTwo(t, func(t *testing.T, b box) {
		for event, second := range map[string]string{"a": "change approved", "b": "change refused"} {
			was := b.message(event)
			w, err := b.ask(outbox.Wish{Message: was.ID, Act: outbox.ToAmend, Body: []byte(`{"id":"x"}`)})
			if err != nil {
				t.Fatal(err)
			}
			begun, decided := make(chan struct{}), make(chan error, 1)
			var once sync.Once // the transaction may be run again
			go func() {
				<-begun
				decided <- b.try(func(ctx context.Context, tx *store.Tx) error { return decisions[second](b, ctx, tx, w.ID, "user:carl") })
			}()
			first := b.try(func(ctx context.Context, tx *store.Tx) error {
				err := decisions["change approved"](b, ctx, tx, w.ID, "user:berta")
				once.Do(func() { close(begun) })
				return err
			})
			if other := <-decided; problem.KindOf(first) == problem.KindOf(other) || first != nil && problem.KindOf(first) != problem.NotFound || other != nil && problem.KindOf(other) != problem.NotFound {
				t.Errorf("%s beside an approval: %v and %v, want one heard, and the other told that nothing waits", second, first, other)
			}
			ends, amended := 0, 0
			for _, h := range b.message(event).History {
				if decisions[h.What] != nil {
					ends++
				}
				if h.What == "amended" {
					amended++
				}
			}
			if ends != 1 || amended > 1 {
				t.Errorf("%s beside an approval: %d decisions and %d changes are in the history", second, ends, amended)
			}
		}
	})
}
