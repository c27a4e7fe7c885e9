package token_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
	"holdfast/internal/token"
)

// each runs test on both databases, which seal under a keyring of the plant's own.
func each(t *testing.T, test func(t *testing.T, db *store.DB)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		safe := seal.NewSafe(t.TempDir(), "a passphrase for a test", 1)
		if err := seal.InitLocal(safe, "1000", time.Now()); err != nil {
			t.Fatal(err)
		}
		rest, err := seal.OpenRest(t.Context(), db, seal.NewLocal(safe, "a", time.Hour, time.Now), seal.RestConfig{
			Begin: func(context.Context, *store.Tx) (may, whole bool, err error) { return true, true, nil },
		}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		db.SealWith(rest)
		test(t, db)
	})
}

func people() *token.Tokens {
	return token.New(token.Config{Fields: map[string][]string{"person": {"personnel", "by"}, "badge": {"entry/badge"}}, Looks: 2})
}

func inTx[T any](t *testing.T, db *store.DB, fn func(tx *store.Tx) (T, error)) T {
	t.Helper()
	var v T
	if err := db.InTx(t.Context(), func(tx *store.Tx) (err error) { v, err = fn(tx); return err }); err != nil {
		t.Fatal(err)
	}
	return v
}

func of(t *testing.T, db *store.DB, tokens *token.Tokens, class, value string) string {
	t.Helper()
	return inTx(t, db, func(tx *store.Tx) (string, error) { return tokens.Of(t.Context(), tx, class, value) })
}

func TestAValueHasOneTokenOnEveryNodeAndThroughRotations(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		var all sync.WaitGroup
		got := make([]string, 8)
		for n := range got {
			all.Go(func() {
				nodes := people() // a node of its own: it shares nothing but the database
				err := db.InTx(t.Context(), func(tx *store.Tx) (err error) { got[n], err = nodes.Of(t.Context(), tx, "person", "4711"); return err })
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		a := people()
		for range 2 {
			if done, err := a.Rotate(t.Context(), db); done.Tokens != 1 || done.Left != 0 || err != nil {
				t.Fatalf("rotated %+v, %v, want 1", done, err)
			}
		}
		got = append(got, of(t, db, people(), "person", "4711"), of(t, db, a, "person", got[0]))
		for _, g := range got {
			if g != got[0] || !token.Is(g) {
				t.Fatalf("got %q, want one token", got)
			}
		}
		if other := of(t, db, a, "badge", "4711"); other == got[0] {
			t.Error("two classes share a token")
		}
	})
}

// TestARotationPassesOverWhatWasAltered: the others are found by the new key, the altered one is told, and taken by the next rotation once it is restored.
func TestARotationPassesOverWhatWasAltered(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		tokens := people()
		tokens.AlarmWith(record{})
		var all []string
		for _, value := range []string{"4711", "4712", "4713", "4714"} {
			all = append(all, of(t, db, tokens, "person", value))
		}
		was := inTx(t, db, func(tx *store.Tx) (value []byte, err error) {
			return value, tx.Get(t.Context(), &value, `SELECT value FROM tokens WHERE token = ?`, all[1])
		})
		set := func(value []byte, epoch string) {
			t.Helper()
			inTx(t, db, func(tx *store.Tx) (int64, error) {
				if _, err := tx.Exec(t.Context(), `UPDATE tokens SET value = ? WHERE token = ?`, value, all[1]); err != nil {
					return 0, err
				}
				return tx.Exec(t.Context(), `UPDATE tokens SET sealed = `+epoch+` WHERE token = ?`, all[3])
			})
		}
		set([]byte("altered"), "-sealed")
		keys := func() int {
			return inTx(t, db, func(tx *store.Tx) (n int, err error) {
				return n, tx.Get(t.Context(), &n, `SELECT COUNT(*) FROM token_keys`)
			})
		}
		for range 2 { // what is left does not keep the key from being replaced again
			done, err := tokens.Rotate(t.Context(), db)
			if err != nil || done.Tokens != 2 || done.Left != 1 || done.Away != 1 || !slices.Equal(done.Altered, all[1:2]) || keys() != 2 {
				t.Fatalf("rotated %+v, %v, and %d keys are kept, want two, the altered one named, and one whose seed is away, with their key", done, err, keys())
			}
		}
		if err := tokens.Tell(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		told := inTx(t, db, func(tx *store.Tx) ([]audit.Entry, error) {
			return audit.List(t.Context(), tx, audit.Filter{Action: "message.altered"})
		})
		if len(told) != 1 || told[0].Object != "token/"+all[1] {
			t.Errorf("told of %+v, want the altered one", told)
		}
		set(was, "-sealed")
		if done, err := tokens.Rotate(t.Context(), db); err != nil || done.Tokens != 2 || done.Away != 0 || done.Left != 0 || keys() != 1 {
			t.Errorf("once it is restored: %+v, %v, and %d keys, want it taken and one key", done, err, keys())
		}
		if got := of(t, db, people(), "person", "4712"); got != all[1] {
			t.Errorf("its value has the token %s, want %s", got, all[1])
		}
	})
}

// TestAKeyThatWasUndoneIsForgotten: the first transaction that makes a key may be rolled back, and so may that of a rotation.
func TestAKeyThatWasUndoneIsForgotten(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		tokens, undone := people(), errors.New("undone")
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tokens.Of(t.Context(), tx, "person", "4711")
			return errors.Join(err, undone)
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
		want := of(t, db, tokens, "person", "4711")
		if got := of(t, db, people(), "person", "4711"); got != want {
			t.Errorf("another node has %s for the value, want %s", got, want)
		}
	})
}

func TestADocumentIsVeiledAndRevealedToTheByte(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		tokens := people()
		const was = `{ "qty": 1.50, "Personnel" : "4711","list":[{"\u0062y":12},{"by":null}], "entry":{"badge":"a\"b"}, "badge":"free" }`
		veiled := inTx(t, db, func(tx *store.Tx) ([]byte, error) { return tokens.Veil(t.Context(), tx, []byte(was)) })
		for _, gone := range []string{"4711", ":12", `a\"b`} {
			if bytes.Contains(veiled, []byte(gone)) {
				t.Errorf("%s still has %s", veiled, gone)
			}
		}
		var shown token.Shown
		err := db.View(t.Context(), func(tx *store.Tx) (err error) {
			veiled, shown, err = tokens.Reveal(t.Context(), tx, veiled, []string{"person", "badge"})
			return err
		})
		if want := strings.Replace(was, ":12", `:"12"`, 1); err != nil || string(veiled) != want {
			t.Errorf("got  %s, %v\nwant %s", veiled, err, want)
		}
		said := shown.Scrub("no person 4711, nor 47110")
		if strings.Contains(said, "person 4711,") || !strings.Contains(said, "47110") {
			t.Errorf("scrubbed: %s", said)
		}
	})
}

func TestWhatIsForgottenOrAlteredIsNotShown(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		tokens := people()
		a, b := of(t, db, tokens, "person", "1"), of(t, db, tokens, "person", "2")
		value := func(tok string) error {
			return db.View(t.Context(), func(tx *store.Tx) error { _, _, err := tokens.Value(t.Context(), tx, tok); return err })
		}
		inTx(t, db, func(tx *store.Tx) (int, error) { return 0, tokens.Forget(t.Context(), tx, a) })
		if err := value(a); problem.KindOf(err) != problem.NotFound {
			t.Errorf("a forgotten token: got %v", err)
		}
		if again := of(t, db, tokens, "person", "1"); again == a {
			t.Error("a forgotten value has its token again")
		}
		inTx(t, db, func(tx *store.Tx) (int64, error) {
			return tx.Exec(t.Context(), `UPDATE tokens SET value = ?, sealed = 0 WHERE token = ?`, []byte("3"), b)
		})
		if err := value(b); problem.KindOf(err) != problem.Integrity {
			t.Errorf("a value put in by SQL: got %v", err)
		}
	})
}

func TestLooksAreLimited(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		tokens, got := people(), ""
		for range 3 {
			err := db.InTx(t.Context(), func(tx *store.Tx) error { return tokens.Look(t.Context(), tx, "a") })
			got += fmt.Sprint(problem.KindOf(err), ";")
		}
		if !strings.HasSuffix(got, string(problem.TooMany)+";") {
			t.Errorf("got %s", got)
		}
	})
}

func TestNothingIsKeptThatIsNotSealed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		err := db.InTx(t.Context(), func(tx *store.Tx) error { _, err := people().Of(t.Context(), tx, "person", "4711"); return err })
		if problem.KindOf(err) != problem.Unavailable {
			t.Errorf("got %v, want a problem of kind %s", err, problem.Unavailable)
		}
	})
}
