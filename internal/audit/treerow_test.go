package audit_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// stripped takes away all by which the record itself tells that entries have MACs.
var stripped = []string{
	`DELETE FROM audit_entries WHERE action = 'audit.macs'`, `DELETE FROM audit_chains`,
	`UPDATE audit_entries SET chain = 0, link = 0, previous = NULL, mac = NULL, epoch = 0`, `UPDATE audit_tree SET mac = NULL, macs = 1, receipts = 1`,
}

// TestAStrippedRecordIsNotTakenForOneWithoutMACs: what was signed says where they began, so that what is put in then without one gets no place, also from a
// node that was not there when they did; and they are not begun anew.
func TestAStrippedRecordIsNotTakenForOneWithoutMACs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		tree, by := checked(t, db)
		entries(t, db, 1)
		before := sealed(t, tree)
		if !strings.Contains(before.Note, "\nmacs 1\n") || before.MACs != 2 {
			t.Fatalf("got %q (%d), want that it says that entries have MACs from place 1", before.Note, before.MACs)
		}
		forge(t, db, append(stripped, `INSERT INTO audit_entries (at, actor, origin, action, object, reason, outcome) SELECT MAX(at), 'local:eve', '', 'link.pause', 'link/1', 'mine', 'done' FROM audit_entries`)...)
		names(t, verify(t, db, by), 0, "place 1 was the entry of audit.macs")
		begin := func(context.Context, *store.Tx) (bool, error) {
			t.Error("receipts are begun with anew")
			return false, nil
		}
		again := audit.NewTree(db, origin, "a", audit.Config{Receipts: begin, Check: func(context.Context) (*seal.Notes, error) { return by.(*seal.Notes), nil }}, quiet())
		if c, err := again.Seal(t.Context()); c != nil || problem.KindOf(err) != problem.Integrity || !strings.Contains(err.Error(), "it has no MAC") {
			t.Errorf("got %v, %v, want that the entry gets no place", c, err)
		}
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			if is, err := audit.HasMACs(t.Context(), tx); err != nil || !is {
				return fmt.Errorf("it is said that entries have no MACs: %w", err)
			}
			if size, err := audit.Size(t.Context(), tx); err != nil || size != before.Size {
				return fmt.Errorf("%d entries have a place, want %d: %w", size, before.Size, err)
			}
			return audit.BeginMACs(t.Context(), tx, "node:a", begin)
		})
		if problem.KindOf(err) != problem.Integrity || !strings.Contains(err.Error(), "begin to give audit entries MACs") {
			t.Errorf("got %v, want that they are not begun with anew", err)
		}
	})
}

// TestARowOfTheTreeThatSomebodyElseWroteIsRecorded: the node's next pass writes it anew, and says so in the record, once; what it says of lanes is not believed.
func TestARowOfTheTreeThatSomebodyElseWroteIsRecorded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, by := signer(t, db)
		begun(t, db, sign)
		var since []time.Time
		tree := audit.NewTree(db, origin, "a", audit.Config{
			Sign: sign, Check: func(context.Context) (*seal.Notes, error) { return by.(*seal.Notes), nil },
			Lanes: func(_ context.Context, _ *store.Tx, s time.Time) ([]audit.Head, error) {
				since = append(since, s)
				return []audit.Head{{Link: "erp", Lane: "1", Epoch: 1, Number: int64(len(since)), Digest: "ab"}}, nil
			},
		}, quiet())
		sealed(t, tree)
		forge(t, db, `UPDATE audit_tree SET lanes_at = lanes_at + 1000000`)
		names(t, verify(t, db, by), 0, "the row of audit_tree")
		sealed(t, tree)
		sealed(t, tree)
		whole(t, verify(t, db, by))
		if got := list(t, db, audit.Filter{Action: audit.Forged}); len(got) != 1 || !strings.Contains(got[0].Reason, "the row of audit_tree") {
			t.Errorf("got %+v, want one entry that tells of it", got)
		}
		if ago := db.Now().Sub(since[1]); ago < 23*time.Hour || ago > 25*time.Hour {
			t.Errorf("lanes are looked at since %s ago, want a day", ago)
		}
	})
}
