package audit_test

import (
	"fmt"
	"testing"

	"holdfast/internal/audit"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestANumberAtTheEndOfAllNumbersStopsNoAct: on SQLite the next entry has one more than the largest number there ever was. Who puts in an entry with the
// last number that there can be, or has the database remember it, stops no act: it goes on after the largest number that the plant can have come to.
func TestANumberAtTheEndOfAllNumbersStopsNoAct(t *testing.T) {
	const last = "9223372036854775807"
	forgedRow := fmt.Sprintf(`INSERT INTO audit_entries (seq, at, actor, origin, action, object, reason, outcome) SELECT %s, MAX(at), 'local:eve', '', 'link.pause', 'link/1', '', 'done' FROM audit_entries`, last)
	for name, statement := range map[string]string{
		"an entry":               forgedRow,
		"the sequence":           `UPDATE sqlite_sequence SET seq = ` + last + ` WHERE name = 'audit_entries'`,
		"the sequence, negative": `UPDATE sqlite_sequence SET seq = -5 WHERE name = 'audit_entries'`,
		"the sequence, as text":  `UPDATE sqlite_sequence SET seq = 'x' WHERE name = 'audit_entries'`,
	} {
		for _, keys := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, keys %v", name, keys), func(t *testing.T) {
				db := storetest.SQLite(t)
				sign, by := signer(t, db)
				tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet())
				entries(t, db, 2)
				if keys {
					keyed(t, db, seal.RestConfig{Now: db.Now})
					if err := db.InTx(t.Context(), func(tx *store.Tx) error { return audit.BeginMACs(t.Context(), tx, "node:a", nil) }); err != nil {
						t.Fatal(err)
					}
				}
				sealed(t, tree)
				forge(t, db, statement)
				entries(t, db, 2)
				got := list(t, db, audit.Filter{Actor: "local:anna"})
				if want := map[bool]int64{false: 4, true: 5}[keys]; len(got) != 4 || got[0].Seq != want {
					t.Fatalf("got %d entries, the last %d, want it to be %d", len(got), got[0].Seq, want)
				}
				if _, err := tree.Seal(t.Context()); statement != forgedRow && err != nil {
					t.Error(err)
				}
				if r := verify(t, db, by); keys && statement == forgedRow {
					names(t, r, 9223372036854775807, "it has no MAC")
				} else if statement != forgedRow {
					whole(t, r)
				}
			})
		}
	}
}
