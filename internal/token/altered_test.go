package token_test

import (
	"context"
	"strings"
	"testing"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// record is an alarm that is kept in the audit record, as package alert keeps it.
type record struct{}

func (record) Raise(ctx context.Context, tx *store.Tx, name, object string, why error) error {
	return audit.Append(ctx, tx, audit.Entry{Actor: "holdfast", Action: name, Object: object, Reason: why.Error(), Outcome: audit.Refused})
}

// TestWhatWasAlteredIsToldOnce: a token whose row was altered opens nowhere, by the token or by its value, and the alert names it; so is the key.
func TestWhatWasAlteredIsToldOnce(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		tokens := people()
		tokens.AlarmWith(record{})
		mine, theirs := of(t, db, tokens, "person", "4711"), of(t, db, tokens, "person", "4712")
		altering := []struct{ name, sql, object string }{
			{"another's value", `UPDATE tokens SET value = (SELECT value FROM tokens WHERE token = '` + theirs + `') WHERE token = '` + mine + `'`, "token/" + mine},
			{"a readable value", `UPDATE tokens SET sealed = 0 WHERE token = '` + theirs + `'`, "token/" + theirs},
			{"the key", `UPDATE token_keys SET seed = (SELECT value FROM tokens WHERE token = '` + theirs + `')`, "tokens"},
		}
		for n, a := range altering {
			inTx(t, db, func(tx *store.Tx) (int64, error) { return tx.Exec(t.Context(), a.sql) })
			err := db.InTx(t.Context(), func(tx *store.Tx) error {
				if a.object == "tokens" {
					_, err := tokens.Of(t.Context(), tx, "person", "4713")
					return err
				}
				_, _, err := tokens.Value(t.Context(), tx, strings.TrimPrefix(a.object, "token/"))
				return err
			})
			if problem.KindOf(err) != problem.Integrity {
				t.Fatalf("%s: got %v, want a problem of kind %s", a.name, err, problem.Integrity)
			}
			for range 2 {
				if err := tokens.Tell(t.Context(), db); err != nil {
					t.Fatal(err)
				}
			}
			told := inTx(t, db, func(tx *store.Tx) ([]audit.Entry, error) {
				return audit.List(t.Context(), tx, audit.Filter{Action: "message.altered"})
			})
			if len(told) != n+1 || told[0].Object != a.object {
				t.Errorf("%s: told of %+v, want one more, of %s", a.name, told, a.object)
			}
		}
	})
}

// TestLooksAreCountedByTheRecordToo: whoever deletes the rows of token_looks has no more looks by it.
func TestLooksAreCountedByTheRecordToo(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		tokens := people() // two looks in an hour
		look := func() error {
			return db.InTx(t.Context(), func(tx *store.Tx) error {
				if err := tokens.Look(t.Context(), tx, "user:anna"); err != nil {
					return err
				}
				return audit.Append(t.Context(), tx, audit.Entry{Actor: "user:anna", Action: "token.reveal", Object: "token/x", Outcome: audit.Done})
			})
		}
		for range 2 {
			if err := look(); err != nil {
				t.Fatal(err)
			}
		}
		inTx(t, db, func(tx *store.Tx) (int64, error) { return tx.Exec(t.Context(), `DELETE FROM token_looks`) })
		if err := look(); problem.KindOf(err) != problem.TooMany {
			t.Errorf("the third look: got %v, want a problem of kind %s", err, problem.TooMany)
		}
	})
}
