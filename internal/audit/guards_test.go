package audit_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestAGuardThatIsGoneIsNamed: each trigger of the record, removed, switched off, or made anew so that it guards nothing.
func TestAGuardThatIsGoneIsNamed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		unguarded := func(statements ...string) (text string) {
			undone := errors.New("undone")
			err := db.InTx(t.Context(), func(tx *store.Tx) error {
				for _, s := range statements {
					if _, err := tx.Exec(t.Context(), s); err != nil {
						return fmt.Errorf("%s: %w", s, err)
					}
				}
				wrong, err := audit.Unguarded(t.Context(), tx)
				for _, w := range wrong {
					text += w.What + "\n"
				}
				return errors.Join(err, undone)
			})
			if !errors.Is(err, undone) || strings.Contains(err.Error(), "\n") {
				t.Fatal(err)
			}
			return text
		}
		if got := unguarded(); got != "" {
			t.Errorf("of a database as it was made: %s", got)
		}
		var all []string
		err := db.View(t.Context(), func(tx *store.Tx) error {
			query := `SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'audit_%'`
			if tx.Dialect() == store.Postgres {
				query = `SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace AND tgname LIKE 'audit_%'`
			}
			return tx.Select(t.Context(), &all, query)
		})
		if err != nil || len(all) < 7 {
			t.Fatal(all, err)
		}
		for _, name := range all {
			table := name[:strings.LastIndex(name, "_")]
			ways := []string{"DROP TRIGGER " + name}
			if db.Dialect() == store.Postgres {
				ways = []string{"DROP TRIGGER " + name + " ON " + table, "ALTER TABLE " + table + " DISABLE TRIGGER " + name, "ALTER TABLE " + table + " ENABLE REPLICA TRIGGER " + name}
			}
			for _, way := range ways {
				if got := unguarded(way); strings.Count(got, "\n") != 1 || !strings.Contains(got, name) {
					t.Errorf("%s: %q, want %s named", way, got, name)
				}
			}
		}
		idle := []string{"DROP TRIGGER audit_leaves_keep", "CREATE TRIGGER audit_leaves_keep BEFORE UPDATE ON audit_leaves WHEN 0 BEGIN SELECT RAISE(ABORT, 'x'); END"}
		if db.Dialect() == store.Postgres {
			idle = []string{"CREATE OR REPLACE FUNCTION audit_entries_wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"}
		}
		if got := unguarded(idle...); strings.Count(got, "\n") != 1 {
			t.Errorf("one that guards nothing: %q", got)
		}
	})
}

// TestALeaseBeyondEveryNodesIsNobodys: by SQL somebody gives the tree to a node that there is not, so that no checkpoint would be made.
func TestALeaseBeyondEveryNodesIsNobodys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, by := signer(t, db)
		tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign, Lease: time.Minute}, quiet())
		entries(t, db, 2)
		lease := func(until time.Time) {
			alter(t, db, fmt.Sprintf(`UPDATE audit_tree SET owner = 'b', until = %d`, store.Micros(until)))
		}
		lease(db.Now().Add(30 * time.Second))
		if c, err := tree.Seal(t.Context()); c != nil || err != nil {
			t.Errorf("another node's lease: %v, %v", c, err)
		}
		lease(db.Now().Add(24 * time.Hour))
		if c := sealed(t, tree); c.Size != 2 {
			t.Errorf("got %d entries sealed, want 2", c.Size)
		}
		whole(t, verify(t, db, by))
	})
}
