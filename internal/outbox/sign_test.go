package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// week is how long the certificates of these tests last.
const week = 7 * 24 * time.Hour

// ring is what node a of the plant signs with, by the clock of the database.
func ring(t *testing.T, db *store.DB) *seal.Ring {
	t.Helper()
	safe := seal.NewSafe(t.TempDir(), "correct horse", 10)
	if err := seal.InitLocal(safe, "1000", db.Now()); err != nil {
		t.Fatal(err)
	}
	node := seal.NodeURI("urn:plant:1000", "a")
	r, err := seal.OpenRing(t.Context(), db, seal.NewLocal(safe, node, week, db.Now), nil, node, seal.RingConfig{Now: db.Now}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// genuine fails unless m has the signature of r's plant over what it is.
func genuine(t *testing.T, r *seal.Ring, m message.Message) {
	t.Helper()
	trust, err := r.Trust(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trust.VerifyMessage(m); err != nil {
		t.Errorf("%s %d of lane %s: %v", m.Role, m.Number, m.Lane, err)
	}
}

// TestWhatIsCommittedIsSigned: the message, and what a person makes of it; what it was before stays, with its signature.
func TestWhatIsCommittedIsSigned(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		r := ring(t, b.db)
		b.SignWith(r)
		owe(t, b.db, b.Outbox, "o1", "a", "b", "c")
		for _, id := range []string{"a", "b", "c"} {
			genuine(t, r, b.message(id).Message)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			if err := b.Amend(ctx, tx, outbox.MessageID("erp", "b"), []byte(`{"better":true}`), "typed wrong"); err != nil {
				return err
			}
			return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 3), "not wanted")
		})
		prev := b.message("a").Digest
		for i, role := range []message.Role{message.Amendment, message.Void} {
			d := b.message([]string{"b", "c"}[i])
			genuine(t, r, d.Message)
			was := d.Message
			h := d.History[0]
			was.Body, was.Role, was.Origin, was.Refers = h.Body, h.Role, h.Origin, ""
			genuine(t, r, was)
			if d.Role != role || d.Prev != prev || d.Refers != was.Digest() {
				t.Errorf("%s of number %d: follows %s and refers to %s, want %s and %s", d.Role, d.Number, d.Prev, d.Refers, prev, was.Digest())
			}
			prev = was.Digest()
		}
	})
}

// TestASignatureIsMadeOnce: what is delivered, and delivered again, has the signature that it was committed with.
func TestASignatureIsMadeOnce(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		r := ring(t, b.db)
		b.SignWith(r)
		owe(t, b.db, b.Outbox, "o1", "a")
		want := b.message("a").Origin
		b.clock.forward(time.Hour)
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, step := range []string{"delivered", "delivered again"} {
			c := b.claim("a", 1, 1)[0]
			if d := cmp.Diff(want, c.Messages[0].Origin); d != "" {
				t.Errorf("what is %s (-committed):\n%s", step, d)
			}
			b.settle(done(c, 1))
			b.do(func(ctx context.Context, tx *store.Tx) error {
				_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 1}, "restored")
				return err
			})
		}
		kept := b.list(outbox.Filter{Settled: true})
		for _, d := range kept {
			if diff := cmp.Diff(want, d.Origin); diff != "" {
				t.Errorf("what is kept (-committed):\n%s", diff)
			}
		}
		if len(kept) != 2 {
			t.Errorf("%d deliveries are kept, want 2", len(kept))
		}
	})
}

// late remembers of what it is told that it was signed late.
type late struct {
	*seal.Ring
	ids *[]string
}

func (l late) SignedLate(m message.Message) { *l.ids = append(*l.ids, m.ID) }

// TestWhatIsSignedLateIsToldOnceItIsSo: not of a claim that was undone, which is made again.
func TestWhatIsSignedLateIsToldOnceItIsSo(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b")
		var got []string
		b.SignWith(late{ring(t, b.db), &got})
		undone := errors.New("undone")
		err := b.try(func(ctx context.Context, tx *store.Tx) error {
			if _, err := b.Claim(ctx, tx, "a", "erp", 2, 2); err != nil {
				return err
			}
			return undone
		})
		if !errors.Is(err, undone) || len(got) != 0 {
			t.Errorf("after a claim that was undone: %v, told of %v", err, got)
		}
		for _, q := range b.claim("a", 2, 2)[0].Messages {
			if q.Origin == nil {
				t.Errorf("number %d is not signed", q.Number)
			}
		}
		if d := cmp.Diff([]string{outbox.MessageID("erp", "a"), outbox.MessageID("erp", "b")}, got); d != "" {
			t.Errorf("told (-want):\n%s", d)
		}
	})
}

// TestNodesWithAndWithoutKeysKeepOneChain: an upgrade goes node by node, and what the old ones append is signed before it leaves.
func TestNodesWithAndWithoutKeysKeepOneChain(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		r := ring(t, b.db)
		b.SignWith(r)
		before := everything(outbox.Config{})
		const writers, each = 8, 6
		var wg sync.WaitGroup
		for w := range writers {
			out := b.Outbox
			if w%2 == 0 {
				out = before
			}
			wg.Go(func() {
				for i := range each {
					m := event(fmt.Sprintf("%d-%d", w, i), fmt.Sprintf("o%d", i%2))
					if err := b.db.InTx(t.Context(), func(tx *store.Tx) error { return out.Append(t.Context(), tx, m) }); err != nil {
						t.Errorf("writer %d: %v", w, err)
					}
				}
			})
		}
		wg.Wait()
		for _, lane := range []string{"o0", "o1"} {
			chain(t, b.db, b.Outbox, lane, writers*each/2)
		}
		claimed := 0
		for _, c := range b.claim("a", 10, 100) {
			for _, q := range c.Messages {
				genuine(t, r, q.Message)
				claimed++
			}
		}
		kept := b.list(outbox.Filter{Limit: 1000})
		for _, d := range kept {
			genuine(t, r, d.Message)
		}
		if claimed != writers*each || len(kept) != claimed {
			t.Errorf("claimed %d messages, kept %d, want %d", claimed, len(kept), writers*each)
		}
	})
}

// TestAPlantWithoutAGoodKeyGoesOn: what is appended while the certificate has ended is kept and does not leave, and leaves signed once there
// is a key. What was signed before leaves meanwhile.
func TestAPlantWithoutAGoodKeyGoesOn(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		r := ring(t, b.db)
		b.SignWith(r)
		owe(t, b.db, b.Outbox, "o1", "a")
		b.clock.set(week + time.Hour)
		owe(t, b.db, b.Outbox, "o1", "b")
		owe(t, b.db, b.Outbox, "o2", "c")
		if d := b.message("b"); d.Origin != nil {
			t.Fatalf("signed by %s, whose certificate has ended", d.Origin.Key)
		}
		claims := b.claim("a", 10, 10)
		if len(claims) != 1 || len(claims[0].Messages) != 1 || claims[0].Messages[0].ID != outbox.MessageID("erp", "a") {
			t.Fatalf("claimed %+v, want the first message of lane o1 alone", claims)
		}
		if l := b.lane("o2"); !strings.Contains(l.Reason, "not signed") || l.State != outbox.Open {
			t.Errorf("lane o2 is %s, %q", l.State, l.Reason)
		}
		b.settle(done(claims[0], 1))

		b.clock.set(week + 2*time.Hour)
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := 0
		for _, c := range b.claim("a", 10, 10) {
			for _, q := range c.Messages {
				genuine(t, r, q.Message)
				got++
			}
		}
		if got != 2 {
			t.Errorf("%d messages leave once there is a key, want 2", got)
		}
	})
}

// TestASignatureDoesNotOutliveWhatItIsOver: a node of the release before amends without knowing of signatures.
func TestASignatureDoesNotOutliveWhatItIsOver(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		r := ring(t, b.db)
		b.SignWith(r)
		owe(t, b.db, b.Outbox, "o1", "a")
		m := b.message("a").Message
		m.Body = []byte(`{"amended":"by a node of the release before"}`)
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE outbox_messages SET body = ?, digest = ? WHERE id = ?`, m.Body, m.Digest(), m.ID)
			return err
		})
		if d := b.message("a"); d.Origin != nil {
			t.Error("it still has the signature of what it was")
		}
		genuine(t, r, b.claim("a", 1, 1)[0].Messages[0].Message)
	})
}

// TestANodeWithoutAKeyLeavesLanesToOneThatHas: it puts nothing off, does not fill its room with what it cannot sign, and says why it waits.
func TestANodeWithoutAKeyLeavesLanesToOneThatHas(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		good := everything(outbox.Config{})
		b.SignWith(ring(t, b.db))
		b.clock.set(week + time.Hour)
		const unsigned = 3
		for i := range unsigned {
			owe(t, b.db, b.Outbox, fmt.Sprintf("o%d", i), fmt.Sprint(i))
		}
		good.SignWith(ring(t, b.db)) // its certificate is of now
		b.clock.set(week + 2*time.Hour)
		owe(t, b.db, good, "signed", "s")

		claims := b.claim("a", 2, 10)
		if len(claims) != 1 || claims[0].Lane != "signed" {
			t.Fatalf("without a key: claimed %+v, want lane signed alone", claims)
		}
		if l := b.lane("o0"); !strings.Contains(l.Reason, "not signed") {
			t.Errorf("lane o0 says %q", l.Reason)
		}
		b.do(func(ctx context.Context, tx *store.Tx) (err error) {
			claims, err = good.Claim(ctx, tx, "b", "erp", 10, 10)
			return err
		})
		if len(claims) != unsigned {
			t.Fatalf("with a key: claimed %d lanes, want %d", len(claims), unsigned)
		}
		b.settle(done(claims[0], 1))
		if l := b.lane(claims[0].Lane); l.Reason != "" {
			t.Errorf("lane %s still says %q", claims[0].Lane, l.Reason)
		}
	})
}

// TestASignatureOfSomethingElseIsNotTakenForOne: while there is no key its lane is left alone too, after the first look.
func TestASignatureOfSomethingElseIsNotTakenForOne(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		r := ring(t, b.db)
		b.SignWith(r)
		owe(t, b.db, b.Outbox, "o1", "a")
		b.clock.set(time.Minute)
		owe(t, b.db, b.Outbox, "o2", "b")
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE outbox_messages SET signature = ? WHERE lane = 'o1'`, []byte("not a signature"))
			return err
		})
		b.clock.set(week + time.Hour)
		if claims := b.claim("a", 1, 10); len(claims) != 0 {
			t.Fatalf("claimed %+v, want nothing", claims)
		}
		if claims := b.claim("a", 1, 10); len(claims) != 1 || claims[0].Lane != "o2" {
			t.Errorf("claimed %+v, want lane o2 alone", claims)
		}
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		genuine(t, r, b.claim("b", 1, 10)[0].Messages[0].Message)
	})
}
