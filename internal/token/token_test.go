package token_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

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
			if n, err := a.Rotate(t.Context(), db); n != 1 || err != nil {
				t.Fatalf("rotated %d, %v, want 1", n, err)
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
