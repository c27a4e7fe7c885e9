package audit_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/audit"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestAPlaceGivenBySQLIsDenied: an entry without a MAC gets its place with the hashes over it, so that nothing waits. The plant goes on, and says in
// what it signs that this is not its own.
func TestAPlaceGivenBySQLIsDenied(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		sign, by := signer(t, db)
		begun(t, db, sign)
		tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign, Check: func(context.Context) (*seal.Notes, error) { return by.(*seal.Notes), nil }}, quiet())
		entries(t, db, 1)
		if err := tree.Place(ctx); err != nil {
			t.Fatal(err)
		}
		forge(t, db, `INSERT INTO audit_entries (at, actor, origin, action, object, reason, outcome)
			SELECT MAX(at), 'local:eve', '', 'link.pause', 'link/1', 'mine', 'done' FROM audit_entries`)
		var place int64
		if err := db.InTx(ctx, func(tx *store.Tx) (err error) {
			place, err = placeLast(ctx, tx)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		entries(t, db, 1)
		c, err := tree.Seal(ctx)
		if err != nil || c == nil || !slices.Equal(c.Denied, []int64{place}) {
			t.Fatalf("got %+v, %v, want a checkpoint that denies place %d", c, err, place)
		}
		entries(t, db, 1)
		if next, err := tree.Seal(ctx); err != nil || next == nil || !slices.Equal(next.Denied, c.Denied) {
			t.Errorf("got %+v, %v, want that the next one denies it too", next, err)
		}
		r := verify(t, db, by)
		if !slices.ContainsFunc(r.Wrong, func(w audit.Wrong) bool { return strings.Contains(w.What, "none of the plant's") }) {
			t.Errorf("got %+v, want that it is told", r.Wrong)
		}
	})
}

// placeLast gives the last entry the next place, as the tree does.
func placeLast(ctx context.Context, tx *store.Tx) (int64, error) {
	last, err := audit.List(ctx, tx, audit.Filter{Limit: 1})
	if err != nil {
		return 0, err
	}
	size, err := audit.Size(ctx, tx)
	if err != nil {
		return 0, err
	}
	leaf, err := last[0].Leaf()
	if err != nil {
		return 0, err
	}
	hashes, err := tlog.StoredHashes(size, leaf, tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, pos := range at {
			var h []byte
			if err := tx.Get(ctx, &h, `SELECT hash FROM audit_hashes WHERE pos = ?`, pos); err != nil {
				return nil, err
			}
			copy(out[i][:], h)
		}
		return out, nil
	}))
	if err != nil {
		return 0, err
	}
	for i, h := range hashes {
		if _, err := tx.Exec(ctx, `INSERT INTO audit_hashes (pos, hash) VALUES (?, ?)`, tlog.StoredHashIndex(0, size)+int64(i), h[:]); err != nil {
			return 0, err
		}
	}
	if _, err := tx.Exec(ctx, `INSERT INTO audit_leaves (leaf, entry) VALUES (?, ?)`, size, last[0].Seq); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM audit_pending WHERE entry = ?`, last[0].Seq); err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `UPDATE audit_tree SET size = ?`, size+1)
	return size, err
}
