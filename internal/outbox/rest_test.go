package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// wrapper is a keyring that may be away.
type wrapper struct {
	seal.Wrapper
	away *problem.Error
}

func (w *wrapper) Unwrap(ctx context.Context, wrapped []string) ([][]byte, error) {
	if w.away != nil {
		return nil, w.away
	}
	return w.Wrapper.Unwrap(ctx, wrapped)
}

// raised are the alarms of a test.
type raised struct {
	mu  sync.Mutex
	all []string // guarded by mu
}

func (r *raised) Raise(_ context.Context, tx *store.Tx, name, object string, _ error) error {
	tx.AfterCommit(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.all = append(r.all, name+" "+object)
	})
	return nil
}

func localKeys(t *testing.T, db *store.DB) *seal.Local {
	t.Helper()
	safe := seal.NewSafe(t.TempDir(), "correct horse", 10)
	if err := seal.InitLocal(safe, "1000", db.Now()); err != nil {
		t.Fatal(err)
	}
	return seal.NewLocal(safe, seal.NodeURI("urn:plant:1000", "a"), week, db.Now)
}

// sealing is what seals the bodies of b, which may begin at once.
func (b box) sealing(keys seal.Wrapper) *seal.Rest {
	b.t.Helper()
	return b.sealingWith(keys, seal.RestConfig{})
}

func (b box) sealingWith(keys seal.Wrapper, cfg seal.RestConfig) *seal.Rest {
	b.t.Helper()
	cfg.Now = b.db.Now
	cfg.Begin = func(ctx context.Context, tx *store.Tx) (bool, bool, error) {
		plain, err := b.OwesPlain(ctx, tx)
		return true, !plain, err
	}
	r, err := seal.OpenRest(b.t.Context(), b.db, keys, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		b.t.Fatal(err)
	}
	b.db.SealWith(r)
	return r
}

// sealedBox has keys, and seals at rest.
func sealedBox(t *testing.T, test func(t *testing.T, b box, r *seal.Ring, alarms *raised)) {
	t.Helper()
	each(t, func(t *testing.T, b box) {
		r, alarms := b.keyed()
		test(t, b, r, alarms)
	})
}

// keyed gives b keys; it seals from now on.
func (b box) keyed() (*seal.Ring, *raised) {
	b.t.Helper()
	b.sealing(localKeys(b.t, b.db))
	r, alarms := ring(b.t, b.db), &raised{}
	b.SignWith(r)
	b.AlarmWith(alarms)
	return r, alarms
}

// kept are the bodies of a table as they are kept.
func (b box) kept(table string) (all [][]byte) {
	b.t.Helper()
	b.do(func(ctx context.Context, tx *store.Tx) error {
		return tx.Select(ctx, &all, `SELECT body FROM `+table+` WHERE body IS NOT NULL AND LENGTH(body) > 0`)
	})
	return all
}

func secretEvent(id, key string) message.Message {
	m := event(id, key)
	m.Body = []byte(`{"worker":"canary-4711","of":"` + id + `"}`)
	return m
}

// said tells whether the plant of r has signed a message.
func said(t *testing.T, r *seal.Ring) func(message.Message) error {
	t.Helper()
	trust, err := r.Trust(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return func(m message.Message) error { _, err := trust.Genuine(m); return err }
}

func (b box) owe(lane string, ids ...string) {
	b.t.Helper()
	for _, id := range ids {
		b.do(func(ctx context.Context, tx *store.Tx) error { return b.Append(ctx, tx, secretEvent(id, lane)) })
	}
}

// TestBodiesAreSealedWhereverTheyAreKept: owed, delivered, in the history, and what the ERP has answered. Whoever may read them does.
func TestBodiesAreSealedWhereverTheyAreKept(t *testing.T) {
	sealedBox(t, func(t *testing.T, b box, r *seal.Ring, _ *raised) {
		b.owe("o1", "a", "b", "c")
		b.do(func(ctx context.Context, tx *store.Tx) error {
			if err := b.Amend(ctx, tx, outbox.MessageID("erp", "b"), []byte(`{"worker":"canary-4712"}`), "typed wrong"); err != nil {
				return err
			}
			return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 3), "not wanted")
		})
		for _, id := range []string{"a", "b", "c"} {
			genuine(t, r, b.message(id).Message)
		}
		c := b.claim("a", 1, 10)[0]
		want := []string{string(secretEvent("a", "o1").Body), `{"worker":"canary-4712"}`, `{"reason":"not wanted"}`}
		for n, q := range c.Messages {
			if got := string(q.Body); got != want[n] {
				t.Errorf("claimed %s, want %s", got, want[n])
			}
			genuine(t, r, q.Message)
		}
		s := done(c, 3)
		s.Done[0].Receipt.Answer = []byte(`{"taken by":"canary-4711"}`)
		b.settle(s)
		d := b.message("a")
		if got, want := string(d.Receipt.Answer), `{"taken by":"canary-4711"}`; got != want {
			t.Errorf("the answer is %s, want %s", got, want)
		}
		if h := b.message("b").History; len(h) != 1 || string(h[0].Body) != string(secretEvent("b", "o1").Body) {
			t.Errorf("the history has %v, want what it was", h)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 1}, "restored")
			return err
		})
		genuine(t, r, b.claim("a", 1, 1)[0].Messages[0].Message)
		kept := slices.Concat(b.kept("outbox_messages"), b.kept("outbox_delivered"), b.kept("outbox_events"))
		b.do(func(ctx context.Context, tx *store.Tx) error {
			var answers [][]byte
			err := tx.Select(ctx, &answers, `SELECT answer FROM outbox_delivered WHERE answer IS NOT NULL`)
			kept = append(kept, answers...)
			return err
		})
		if len(kept) != 10 {
			t.Errorf("%d values are kept, want 10", len(kept))
		}
		for _, value := range kept {
			if bytes.Contains(value, []byte("canary")) || bytes.Contains(value, []byte("reason")) {
				t.Errorf("%q is kept", value)
			}
		}
	})
}

// TestWhatAWriterOfTheDatabaseAltersDoesNotLeave: its lane is parked and says why, an alarm is raised, and no other lane is held up. A
// message of which the signature was taken away must not be signed again.
func TestWhatAWriterOfTheDatabaseAltersDoesNotLeave(t *testing.T) {
	tests := []struct{ name, statement, body string }{
		{"the signature is taken away", `UPDATE outbox_messages SET signature = NULL WHERE event = 'b'`, ""},
		{"the signature is another's", `UPDATE outbox_messages SET signature = (SELECT signature FROM outbox_messages WHERE event = 'a') WHERE event = 'b'`, ""},
		{"the body is another's", `UPDATE outbox_messages SET body = (SELECT body FROM outbox_messages WHERE event = 'a') WHERE event = 'b'`, ""},
		{"the body is not sealed", `UPDATE outbox_messages SET sealed = 0, signature = NULL, body = ? WHERE event = 'b'`, `{"worker":"forged"}`},
		{"the body is cut short", `UPDATE outbox_messages SET body = ? WHERE event = 'b'`, "x"},
		{"the digest is another", `UPDATE outbox_messages SET digest = (SELECT digest FROM outbox_messages WHERE event = 'a') WHERE event = 'b'`, ""},
		{"the predecessor is another", `UPDATE outbox_messages SET prev = 'x' WHERE event = 'b'`, ""},
		{"it is in another lane", `UPDATE outbox_messages SET link = 'erp', lane = 'o1', number = 1, epoch = 2 WHERE event = 'b'`, ""},
		{"the secret of the lane is another's", `UPDATE outbox_lanes SET own = (SELECT own FROM outbox_lanes WHERE lane = 'o2') WHERE lane = 'o1'`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sealedBox(t, func(t *testing.T, b box, _ *seal.Ring, alarms *raised) {
				b.owe("o2", "other")
				b.owe("o1", "b")
				b.owe("o3", "a")
				b.do(func(ctx context.Context, tx *store.Tx) error {
					var args []any
					if tt.body != "" {
						args = append(args, []byte(tt.body))
					}
					_, err := tx.Exec(ctx, tt.statement, args...)
					return err
				})
				if strings.HasPrefix(tt.name, "it is in another lane") {
					b.do(func(ctx context.Context, tx *store.Tx) error {
						_, err := tx.Exec(ctx, `UPDATE outbox_lanes SET head_epoch = 2 WHERE lane = 'o1'`)
						return err
					})
				}
				var left []string
				for _, c := range b.claim("a", 10, 10) {
					left = append(left, c.Lane)
				}
				slices.Sort(left)
				if want := []string{"o2", "o3"}; !slices.Equal(left, want) {
					t.Errorf("lanes %v leave, want %v", left, want)
				}
				l := b.lane("o1")
				if l.State != outbox.Parked || !strings.Contains(l.Reason, "not what the plant has committed") {
					t.Errorf("the lane is %s: %q, want it parked with the reason", l.State, l.Reason)
				}
				if want := []string{"message.altered lane/erp/o1"}; !slices.Equal(alarms.all, want) {
					t.Errorf("raised %v, want %v", alarms.all, want)
				}
				b.do(func(ctx context.Context, tx *store.Tx) error {
					return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 1), "forged")
				})
				if c := b.claim("b", 10, 10); len(c) != 1 || c[0].Messages[0].Role != message.Void {
					t.Errorf("once it is discarded %v leave, want the void", c)
				}
			})
		})
	}
}

// TestAWriterOfTheDatabaseCannotSayThatItIsNotSealedYet: neither by resetting since when all is sealed, nor by putting back what the plant said
// while it was not. His message parks its lane, also after a restart, and a person's reseal gives it no seal.
func TestAWriterOfTheDatabaseCannotSayThatItIsNotSealedYet(t *testing.T) {
	forge := `UPDATE outbox_messages SET sealed = 0, signature = NULL, body = ? WHERE event = 'b'`
	each(t, func(t *testing.T, b box) {
		keys, alarms := localKeys(t, b.db), &raised{}
		b.SignWith(ring(t, b.db))
		b.AlarmWith(alarms)
		b.owe("o2", "before")
		rest := b.sealing(keys)
		var early []byte
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return tx.Get(ctx, &early, `SELECT plain FROM rest_state`)
		})
		if len(early) == 0 || rest.AllSealed() {
			t.Fatal("the plant does not say that what it owes may be unsealed")
		}
		if _, err := b.SealOwed(t.Context(), b.db); err != nil {
			t.Fatal(err)
		}
		b.do(rest.EndPlain)
		b.do(func(ctx context.Context, tx *store.Tx) error { // and here the process ends
			_, err := tx.Exec(ctx, `UPDATE rest_state SET whole_at = 0, plain = ?`, early)
			return err
		})
		if crashed := b.sealing(keys); !crashed.AllSealed() {
			t.Error("put back before the process has done anything more, it is believed")
		}
		if err := rest.Visit(t.Context()); err != nil || !rest.AllSealed() {
			t.Fatalf("not whole: %v", err)
		}
		b.owe("o1", "b")
		for _, tt := range []struct {
			name, reset string
			args        []any
		}{
			{"the time is reset", `UPDATE rest_state SET whole_at = 0`, nil},
			{"what was said before is put back", `UPDATE rest_state SET whole_at = 0, plain = ?`, []any{early}},
			{"the row is removed", `DELETE FROM rest_state`, nil},
		} {
			b.do(func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Exec(ctx, tt.reset, tt.args...)
				return err
			})
			if err := rest.Visit(t.Context()); err != nil || !rest.AllSealed() {
				t.Errorf("%s: the process believes it (%v)", tt.name, err)
			}
			recorded, metrics := []string{}, prometheus.NewRegistry()
			rest = b.sealingWith(keys, seal.RestConfig{Metrics: metrics, Record: func(_ context.Context, tx *store.Tx, what string) error {
				tx.AfterCommit(func() { recorded = append(recorded, what) })
				return nil
			}})
			if err := rest.Visit(t.Context()); err != nil || !rest.AllSealed() {
				t.Errorf("%s: a new process believes it (%v)", tt.name, err)
			}
			if want := []string{seal.PlainDoubted}; !slices.Equal(recorded, want) {
				t.Errorf("%s: recorded %v, want %v", tt.name, recorded, want)
			}
			const doubted = "# HELP holdfast_keys_plain_doubted 1 once somebody has reset in the database whether what is owed may be unsealed, " +
				"which is not believed: an alarm.\n# TYPE holdfast_keys_plain_doubted gauge\nholdfast_keys_plain_doubted 1\n"
			if err := testutil.GatherAndCompare(metrics, strings.NewReader(doubted), "holdfast_keys_plain_doubted"); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, forge, []byte(`{"worker":"forged"}`))
			return err
		})
		if _, err := b.SealOwed(t.Context(), b.db); problem.KindOf(err) != problem.Integrity {
			t.Errorf("a reseal of what was forged: got %v, want a problem of kind %s", err, problem.Integrity)
		}
		for _, c := range b.claim("a", 10, 10) {
			if c.Lane == "o1" {
				t.Errorf("%v leaves", c.Messages)
			}
		}
		b.db.SealWith(seal.LazyRest(b.db, keys, seal.RestConfig{Now: b.db.Now}, slog.New(slog.DiscardHandler))) // a command, whose first act it is
		err := b.db.InTx(t.Context(), func(tx *store.Tx) error {
			return b.Amend(t.Context(), tx, outbox.MessageID("erp", "b"), []byte(`{}`), "typed wrong")
		})
		if h := b.message("b").History; problem.KindOf(err) != problem.Integrity || slices.ContainsFunc(h, func(e outbox.Happened) bool { return bytes.Contains(e.Body, []byte("forged")) }) {
			t.Errorf("a command takes what was forged for the plant's: %v, %v", h, err)
		}
		if want := []string{"message.altered lane/erp/o1"}; !slices.Equal(alarms.all, want) {
			t.Errorf("raised %v, want %v", alarms.all, want)
		}
	})
}

// TestALaneWaitsForAKeyringThatIsAway: nothing is parked, and nothing is lost.
func TestALaneWaitsForAKeyringThatIsAway(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		keys := &wrapper{Wrapper: localKeys(t, b.db)}
		b.sealing(keys)
		b.owe("o1", "a")
		keys.away = &problem.Error{Kind: problem.Unavailable, What: "ask the keyring", Why: "it is away"}
		b.db.SealWith(seal.LazyRest(b.db, keys, seal.RestConfig{Now: b.db.Now}, slog.New(slog.DiscardHandler)))
		if c := b.claim("b", 10, 10); len(c) != 0 {
			t.Errorf("claimed %v of what nobody can open", c)
		}
		if l := b.lane("o1"); l.State != outbox.Open || !strings.Contains(l.Reason, "cannot be opened yet") {
			t.Errorf("the lane is %s: %q, want it open, with the reason", l.State, l.Reason)
		}
		keys.away = nil
		b.clock.forward(time.Minute)
		c := b.claim("b", 10, 10)
		if len(c) != 1 || string(c[0].Messages[0].Body) != string(secretEvent("a", "o1").Body) {
			t.Fatalf("claimed %v, want the message", c)
		}
		b.settle(done(c[0], 1))
		if l := b.lane("o1"); l.Reason != "" {
			t.Errorf("the lane still says %q", l.Reason)
		}
	})
}

// TestWhatWasWrittenBeforeIsSealed: messages of a release that does not seal leave as they are, until they are sealed; from then on one that
// is not sealed is taken for a forged one.
func TestWhatWasWrittenBeforeIsSealed(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		r := ring(t, b.db)
		b.SignWith(r)
		b.owe("o1", "a", "b")
		b.owe("o2", "c")
		rest := b.sealing(localKeys(t, b.db))
		if rest.AllSealed() {
			t.Error("it is said that nothing is owed unsealed")
		}
		b.settle(done(b.claim("a", 1, 1)[0], 1))
		b.owe("o1", "d")
		for n := -1; n != 0; {
			var err error
			if n, err = b.SealOwed(t.Context(), b.db); err != nil {
				t.Fatal(err)
			}
		}
		b.do(rest.EndPlain)
		if err := rest.Visit(t.Context()); err != nil || !rest.AllSealed() {
			t.Errorf("not whole: %v", err)
		}
		for _, value := range b.kept("outbox_messages") {
			if bytes.Contains(value, []byte("canary")) {
				t.Errorf("%q is owed", value)
			}
		}
		for _, c := range b.claim("b", 10, 10) {
			for _, q := range c.Messages {
				genuine(t, r, q.Message)
			}
		}
	})
}

// TestWithoutAKeyringSealedBodiesAreNotShown: what cannot be opened is told, and not taken for the body.
func TestWithoutAKeyringSealedBodiesAreNotShown(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.sealing(localKeys(t, b.db))
		b.owe("o1", "a")
		b.db.SealWith(nil)
		err := b.db.View(t.Context(), func(tx *store.Tx) error {
			_, err := b.Message(t.Context(), tx, outbox.MessageID("erp", "a"))
			return err
		})
		if p, ok := errors.AsType[*problem.Error](err); !ok || p.Kind != problem.Unavailable {
			t.Errorf("got %v, want that there is no keyring", err)
		}
	})
}

// TestWhatIsSignedLateIsSealedAnew: its signature is bound into the seal.
func TestWhatIsSignedLateIsSealedAnew(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.sealing(localKeys(t, b.db))
		b.owe("o1", "a")
		r := ring(t, b.db)
		b.SignWith(r)
		genuine(t, r, b.claim("a", 1, 1)[0].Messages[0].Message)
		d := b.message("a")
		genuine(t, r, d.Message)
		if got, want := string(d.Body), string(secretEvent("a", "o1").Body); got != want {
			t.Errorf("shown is %s, want %s", got, want)
		}
	})
}

// TestAShreddedLaneStillProvesWhole: nobody reads its bodies, with whatever copy of the database's values and the keys of now; digests, chain and
// signatures are as they were, and the lane goes on.
func TestAShreddedLaneStillProvesWhole(t *testing.T) {
	sealedBox(t, func(t *testing.T, b box, r *seal.Ring, _ *raised) {
		b.owe("o1", "a", "b")
		b.owe("o2", "other")
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.Amend(ctx, tx, outbox.MessageID("erp", "b"), []byte(`{"worker":"canary-4712"}`), "typed wrong")
		})
		shred := func(ctx context.Context, tx *store.Tx) error {
			n, err := b.Shred(ctx, tx, "erp", "o1")
			if err == nil && n != 2 {
				t.Errorf("%d bodies were shredded, want 2", n)
			}
			return err
		}
		if err := b.try(shred); problem.KindOf(err) != problem.Conflict {
			t.Errorf("of a lane that owes: got %v, want a problem of kind %s", err, problem.Conflict)
		}
		for _, c := range b.claim("a", 10, 10) {
			b.settle(done(c, len(c.Messages)))
		}
		before := []outbox.Detail{b.message("a"), b.message("b")}
		b.do(shred)
		for n, id := range []string{"a", "b"} {
			d := b.message(id)
			genuine(t, r, d.Message)
			if got, want := d.Message.Digest(), before[n].Message.Digest(); got != want || got != d.Digest {
				t.Errorf("message %s: digest %s, want %s", id, got, want)
			}
			if len(d.Body) > 0 || d.Large == nil || !d.Large.Gone || d.Receipt.Answer != nil {
				t.Errorf("message %s still has %s, %v", id, d.Body, d.Large)
			}
			if _, err := d.Large.Open(t.Context()); problem.KindOf(err) != problem.NotFound {
				t.Errorf("opened: got %v, want a problem of kind %s", err, problem.NotFound)
			}
			for _, h := range d.History {
				if len(h.Body) > 0 {
					t.Errorf("the history of %s still has %s", id, h.Body)
				}
			}
		}
		if got, want := string(b.message("other").Body), string(secretEvent("other", "o2").Body); got != want {
			t.Errorf("another lane's body is %s, want %s", got, want)
		}
		err := b.try(func(ctx context.Context, tx *store.Tx) error {
			_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 1}, "restored")
			return err
		})
		if problem.KindOf(err) != problem.Conflict {
			t.Errorf("replayed: got %v, want a problem of kind %s", err, problem.Conflict)
		}
		b.owe("o1", "c")
		genuine(t, r, b.claim("a", 1, 10)[0].Messages[0].Message)
	})
}

// TestWhatWasDeliveredBeforeIsSealed, with its history and the answers.
func TestWhatWasDeliveredBeforeIsSealed(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		r := ring(t, b.db)
		b.SignWith(r)
		b.owe("o1", "a", "b")
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.Amend(ctx, tx, outbox.MessageID("erp", "b"), []byte(`{"worker":"canary-4712"}`), "typed wrong")
		})
		s := done(b.claim("a", 1, 10)[0], 2)
		s.Done[0].Receipt.Answer = []byte("canary-4713")
		b.settle(s)
		b.sealing(localKeys(t, b.db))
		total := 0
		for at := (outbox.Kept{}); !at.End; {
			n, next, err := b.SealKept(t.Context(), b.db, at, said(t, r))
			if err != nil {
				t.Fatal(err)
			}
			total, at = total+n, next
		}
		if total != 3 {
			t.Errorf("%d rows were sealed, want two deliveries and what one was before", total)
		}
		kept := slices.Concat(b.kept("outbox_delivered"), b.kept("outbox_events"))
		b.do(func(ctx context.Context, tx *store.Tx) error {
			var answers [][]byte
			err := tx.Select(ctx, &answers, `SELECT answer FROM outbox_delivered`)
			kept = append(kept, answers...)
			return err
		})
		for _, value := range kept {
			if bytes.Contains(value, []byte("canary")) {
				t.Errorf("%q is kept", value)
			}
		}
		for _, id := range []string{"a", "b"} {
			genuine(t, r, b.message(id).Message)
		}
		if got := string(b.message("a").Receipt.Answer); got != "canary-4713" {
			t.Errorf("the answer is %s", got)
		}
	})
}

// TestAResealGivesWhatThePlantDidNotSayNoWayOut: once all that is owed is sealed, a delivery that is not may be one that was put into the
// database. It is sealed too, and shown, but does not leave when it is delivered again; one that the plant has signed does.
func TestAResealGivesWhatThePlantDidNotSayNoWayOut(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		r, alarms := ring(t, b.db), &raised{}
		b.AlarmWith(alarms)
		b.SignWith(r)
		b.owe("o1", "a")
		b.owe("o2", "b")
		for _, c := range b.claim("a", 10, 10) {
			b.settle(done(c, 1))
		}
		forged := []byte(`{"worker":"forged"}`)
		b.do(func(ctx context.Context, tx *store.Tx) error { // a body, and no signature
			_, err := tx.Exec(ctx, `UPDATE outbox_delivered SET body = ?, signature = NULL WHERE lane = 'o2'`, forged)
			return err
		})
		if rest := b.sealing(localKeys(t, b.db)); !rest.AllSealed() {
			t.Fatal("the plant owes something unsealed")
		}
		var at outbox.Kept
		for !at.End {
			var err error
			if _, at, err = b.SealKept(t.Context(), b.db, at, said(t, r)); err != nil {
				t.Fatal(err)
			}
		}
		if at.Unsaid != 1 || slices.ContainsFunc(b.kept("outbox_delivered"), func(k []byte) bool { return bytes.Contains(k, []byte("worker")) }) {
			t.Errorf("%d were not known for the plant's, want 1, and all sealed", at.Unsaid)
		}
		if got := b.message("b").Body; !bytes.Equal(got, forged) {
			t.Errorf("shown %s, want what is kept", got)
		}
		for _, lane := range []string{"o1", "o2"} {
			b.do(func(ctx context.Context, tx *store.Tx) error {
				_, err := b.Replay(ctx, tx, "erp", lane, outbox.Range{From: 1}, "the ERP was restored")
				return err
			})
		}
		if c := b.claim("b", 10, 10); len(c) != 1 || c[0].Lane != "o1" {
			t.Errorf("%v leave, want what the plant has signed", c)
		}
		if want := []string{"message.altered lane/erp/o2"}; !slices.Equal(alarms.all, want) {
			t.Errorf("raised %v, want %v", alarms.all, want)
		}
	})
}

// TestWhatWasNotSealedIsShreddedToWhatItWas, although all that is owed is sealed: the lane still proves whole.
func TestWhatWasNotSealedIsShreddedToWhatItWas(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		r := ring(t, b.db)
		b.SignWith(r)
		b.owe("o1", "a")
		b.settle(done(b.claim("a", 1, 1)[0], 1))
		if rest := b.sealing(localKeys(t, b.db)); !rest.AllSealed() {
			t.Fatal("the plant owes something unsealed")
		}
		b.do(func(ctx context.Context, tx *store.Tx) error { _, err := b.Shred(ctx, tx, "erp", "o1"); return err })
		genuine(t, r, b.message("a").Message)
		if n, _, err := b.SealKept(t.Context(), b.db, outbox.Kept{}, said(t, r)); err != nil || n != 0 {
			t.Errorf("%d shredded bodies were sealed (%v), want none", n, err)
		}
	})
}

// TestWhatWasAlteredIsNotAmended: a correction would make what somebody else wrote, or nothing at all, the plant's own original.
func TestWhatWasAlteredIsNotAmended(t *testing.T) {
	test := func(t *testing.T, b box) {
		t.Helper()
		b.owe("o1", "a")
		before := b.message("a")
		b.alter(`UPDATE outbox_messages SET body = ? WHERE event = 'a'`, []byte(`{"yield":"9"}`))
		b.do(func(ctx context.Context, tx *store.Tx) error {
			err := b.Amend(ctx, tx, outbox.MessageID("erp", "a"), []byte(`{"yield":"1"}`), "typo")
			if problem.KindOf(err) != problem.Integrity || !strings.Contains(err.Error(), "it is not what the plant has committed") {
				t.Errorf("got %v, want that it is refused", err)
			}
			return nil
		})
		if after := b.message("a"); after.Digest != before.Digest || after.Role != message.Event || len(after.History) != len(before.History) {
			t.Errorf("got %+v, want nothing changed of %+v", after, before)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 1), "forged")
		})
	}
	t.Run("sealed", func(t *testing.T) { sealedBox(t, func(t *testing.T, b box, _ *seal.Ring, _ *raised) { test(t, b) }) })
	t.Run("not sealed", func(t *testing.T) { each(t, test) })
}
