package audit_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestNobodyHasReceiptsBegunAnew: by SQL somebody alters what says that they have MACs, and has the node find that they have none. All that he has forged would
// count as from before.
func TestNobodyHasReceiptsBegunAnew(t *testing.T) {
	const again = `UPDATE audit_tree SET receipts = 1, macs = 1`
	for name, statements := range map[string][]string{
		"the entry altered":                 {`UPDATE audit_entries SET new = '{}' WHERE action = 'audit.macs'`, again},
		"the entry removed":                 {`DELETE FROM audit_entries WHERE action = 'audit.macs'`, again},
		"the chains removed too":            {`DELETE FROM audit_entries WHERE action = 'audit.macs'`, `DELETE FROM audit_chains`, again},
		"every MAC and the chains removed":  {`UPDATE audit_entries SET chain = 0, link = 0, mac = NULL`, `DELETE FROM audit_chains`, again},
		"the chain set back to before that": {`DELETE FROM audit_entries WHERE action = 'audit.macs'`, `UPDATE audit_chains SET length = 0, mac = ''`, again},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				sign, by := signer(t, db)
				entries(t, db, 1)
				keyed(t, db, seal.RestConfig{Now: db.Now})
				asked := 0
				begin := func(context.Context, *store.Tx) (bool, error) { asked++; return asked > 1, nil }
				if err := db.InTx(t.Context(), func(tx *store.Tx) error { return audit.BeginMACs(t.Context(), tx, "node:a", begin) }); err != nil {
					t.Fatal(err)
				}
				tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign, Receipts: begin, Check: func(context.Context) (*seal.Notes, error) { return by.(*seal.Notes), nil }}, quiet())
				entries(t, db, 3)
				sealed(t, tree)
				forge(t, db, statements...)
				for range 2 {
					if err := tree.Begin(t.Context(), time.Time{}, nil); err != nil {
						t.Fatal(err)
					}
				}
				if asked != 1 {
					t.Errorf("receipts were begun with %d times", asked)
				}
				if gap := tree.Gap(); !strings.Contains(gap, "begin to give") && !strings.Contains(gap, "removed") && !strings.Contains(gap, "it has no MAC") {
					t.Errorf("got gap %q, want that it is told", gap)
				}
			})
		})
	}
}

// TestAPersonBeginsWithReceiptsOnlyInAWholeRecord: so keys reseal asks.
func TestAPersonBeginsWithReceiptsOnlyInAWholeRecord(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, _ := signer(t, db)
		may := func() (is bool, err error) {
			err = db.View(t.Context(), func(tx *store.Tx) error { is, err = audit.ReceiptsUnbegun(t.Context(), tx); return err })
			return is, err
		}
		begun(t, db, sign)
		if is, err := may(); !is || err != nil {
			t.Fatalf("of a plant whose receipts have not begun: %v, %v, want that they may", is, err)
		}
		none := func(context.Context, *store.Tx) (bool, error) { return false, nil }
		if err := db.InTx(t.Context(), func(tx *store.Tx) error { return audit.BeginReceipts(t.Context(), tx, "local:anna", none) }); err != nil {
			t.Fatal(err)
		}
		if is, err := may(); is || err != nil {
			t.Errorf("once they have: %v, %v, want no", is, err)
		}
		forge(t, db, `DELETE FROM audit_entries WHERE action = 'receipts.macs'`)
		if is, err := may(); is || problem.KindOf(err) != problem.Integrity {
			t.Errorf("once the entry was removed: %v, %v, want that it is told", is, err)
		}
	})
}

// TestWhoAsksOftenSinceWhenReceiptsHaveMACsReadsTheRecordOnce in ten minutes, where nothing says that they have any.
func TestWhoAsksOftenSinceWhenReceiptsHaveMACsReadsTheRecordOnce(t *testing.T) {
	now, read := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC), 0
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, _ := signer(t, db)
		begun(t, db, sign)
		var s audit.Since
		ask := func(what string, is bool, reads int) {
			t.Helper()
			read = 0
			err := db.View(t.Context(), func(tx *store.Tx) error {
				_, got, err := s.Receipts(t.Context(), tx)
				if got != is || read != reads {
					t.Errorf("%s: got %v after %d pages of the record, want %v after %d", what, got, read, is, reads)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		ask("at first", false, 1)
		ask("again", false, 0)
		forge(t, db, `DELETE FROM audit_entries WHERE action = 'audit.macs'`)
		ask("of a record that was altered meanwhile", false, 0)
		now = now.Add(10 * time.Minute)
		ask("ten minutes later", true, 1)
	}, storetest.WithClock(func() time.Time { return now }), storetest.WithBefore(func(_ context.Context, statement string) error {
		if strings.Contains(statement, "FROM audit_entries WHERE seq >") {
			read++
		}
		return nil
	}))
}

// TestAnEntryFromBeforeMACsCountsAtItsOwnPlaceOnly: by SQL somebody puts an entry without a MAC into the record, and has the tree say that it was there before
// entries had one. The plant says by the entry that begins with them what was there or, where an earlier release wrote that, by the next checkpoint that it remembers.
func TestAnEntryFromBeforeMACsCountsAtItsOwnPlaceOnly(t *testing.T) {
	const (
		forged = `INSERT INTO audit_entries (at, actor, origin, action, object, reason, outcome) SELECT at, 'user:ben', '', action, object, reason, outcome FROM audit_entries WHERE seq = 1`
		moved  = `UPDATE audit_leaves SET entry = (SELECT MAX(seq) FROM audit_entries) WHERE leaf = 1`
		gone   = `DELETE FROM audit_entries WHERE seq = 3` // which began with MACs and says what was there
	)
	for name, earlier := range map[string]bool{"": false, "begun by an earlier release": true} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				sign, by := signer(t, db)
				entries(t, db, 2)
				keyed(t, db, seal.RestConfig{Now: db.Now})
				tree := audit.NewTree(db, origin, "a", audit.Config{
					Sign: sign, Check: func(context.Context) (*seal.Notes, error) { return by.(*seal.Notes), nil },
					Lanes: func(context.Context, *store.Tx, time.Time) ([]audit.Head, error) { return nil, nil },
				}, quiet())
				if err := db.InTx(t.Context(), func(tx *store.Tx) error { return audit.BeginMACs(t.Context(), tx, "node:a", nil) }); err != nil {
					t.Fatal(err)
				}
				write(t, db, audit.Entry{Actor: "node:a", Action: audit.MACsBegin, Object: "audit/record", After: []byte(`{"without_mac":2}`)})
				for range 3 {
					entries(t, db, 1)
					sealed(t, tree)
				}
				believed := func(what string, want ...string) {
					t.Helper()
					err := db.View(t.Context(), func(tx *store.Tx) error {
						all, err := audit.Genuine(t.Context(), tx, "link.pause", "link/0")
						var got []string
						for _, e := range all {
							if e.Seq < 3 || e.Actor != "local:anna" {
								got = append(got, e.Actor)
							}
						}
						if !slices.Equal(got, want) {
							t.Errorf("%s: believed are those of %q, want %q", what, got, want)
						}
						return err
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				if earlier {
					forge(t, db, gone)
				}
				believed("as it was written", "local:anna")
				forge(t, db, forged)
				believed("with an entry that was put in", "local:anna")
				forge(t, db, moved)
				believed("with its place among those from before", "local:anna")
				forge(t, db, rehashed)
				believed("with the tree made anew") // what is there by the database was not there
				forge(t, db, `UPDATE audit_entries SET chain = 0, link = 0, mac = NULL, previous = NULL`, `DELETE FROM audit_chains`)
				believed("with every MAC taken away")
			})
		})
	}
}
