package audit_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
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
		if err != nil || c == nil || !slices.Equal(c.Denied, audit.Spans{{First: place, Last: place}}) {
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

// TestALeafWithABogusMACIsDenied: a MAC that is not the plant's, or under a key that there never was, stops no checkpoint.
func TestALeafWithABogusMACIsDenied(t *testing.T) {
	for name, epoch := range map[string]string{"of another entry": "epoch", "under a key that there is not": "4711"} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				tree, by := checked(t, db)
				forge(t, db, `INSERT INTO audit_entries (at, actor, origin, action, object, reason, outcome, chain, link, previous, mac, epoch)
					SELECT at, 'local:eve', origin, action, object, reason, outcome, chain, 9999, previous, mac, `+epoch+` FROM audit_entries WHERE seq = 4`)
				var place int64
				if err := db.InTx(t.Context(), func(tx *store.Tx) (err error) {
					place, err = placeLast(t.Context(), tx)
					return err
				}); err != nil {
					t.Fatal(err)
				}
				entries(t, db, 1)
				c, err := tree.Seal(t.Context())
				if problem.KindOf(err) != problem.Integrity || c == nil || !slices.Equal(c.Denied, audit.Spans{{First: place, Last: place}}) { // it is told beside the checkpoint
					t.Fatalf("got %+v, %v, want a checkpoint that denies place %d", c, err, place)
				}
				if r := verify(t, db, by); len(r.Wrong) == 0 || r.Covered != c.Size {
					t.Errorf("got %+v, want that it is told and %d covered", r, c.Size)
				}
			})
		})
	}
}

// TestWhatHoldfastWroteIsNotDeniedForACheckpointThatIsGone: by SQL somebody removes what an entry remembers, or writes something else there; the entry has its MAC.
func TestWhatHoldfastWroteIsNotDeniedForACheckpointThatIsGone(t *testing.T) {
	for name, statement := range map[string]string{
		"removed": `DELETE FROM audit_checkpoints WHERE size = (SELECT MAX(size) FROM audit_checkpoints)`,
		"altered": `UPDATE audit_checkpoints SET note = 'none' WHERE size = (SELECT MAX(size) FROM audit_checkpoints)`,
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				sign, by := signer(t, db)
				_, outside := begun(t, db, sign)
				tree := audit.NewTree(db, origin, "a", audit.Config{
					Sign: sign, Check: func(context.Context) (*seal.Notes, error) { return by.(*seal.Notes), nil },
					Lanes: func(context.Context, *store.Tx, time.Time) ([]audit.Head, error) { return nil, nil },
				}, quiet())
				entries(t, db, 1)
				sealed(t, tree)
				if held := list(t, db, audit.Filter{Action: audit.LanesMoved}); len(held) != 1 || held[0].Before == nil {
					t.Fatalf("got %+v, want an entry that remembers the first checkpoint", held)
				}
				forge(t, db, statement, strings.Replace(statement, "MAX(size)", "MIN(size)", 1))
				entries(t, db, 1)
				c, _ := tree.Seal(t.Context())
				if c == nil || len(c.Denied) > 0 {
					t.Errorf("got %+v, want a checkpoint that denies nothing", c)
				}
				if r := verify(t, db, by, outside); len(r.Wrong) == 0 {
					t.Error("verify does not tell what became of the checkpoint")
				}
				if r := verify(t, db, by); len(r.Wrong) == 0 {
					t.Error("verify without copies does not tell what became of the checkpoint")
				}
			})
		})
	}
}

// TestHoweverManyPlacesAreDeniedThePlantSigns: beyond a hundred spans what is between some is denied too, and the text stays short.
func TestHoweverManyPlacesAreDeniedThePlantSigns(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		tree, by := checked(t, db)
		forge(t, db)
		var forged []int64
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			for range 130 {
				if err := audit.Append(t.Context(), tx, audit.Entry{Actor: "local:anna", Action: "link.pause", Object: "link/1"}); err != nil {
					return err
				}
				if _, err := placeLast(t.Context(), tx); err != nil {
					return err
				}
				if _, err := tx.Exec(t.Context(), `INSERT INTO audit_entries (at, actor, origin, action, object, reason, outcome)
					SELECT MAX(at), 'local:eve', '', 'link.pause', 'link/1', 'mine', 'done' FROM audit_entries`); err != nil {
					return err
				}
				place, err := placeLast(t.Context(), tx)
				if forged = append(forged, place); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			entries(t, db, 1)
			c, err := tree.Seal(t.Context())
			if err != nil || c == nil || len(c.Denied) != 100 {
				t.Fatalf("got %+v, %v, want a checkpoint that denies 100 spans", c, err)
			}
			for _, place := range forged {
				if !c.Denied.Has(place) {
					t.Errorf("place %d is not denied by %v", place, c.Denied)
				}
			}
			if c.Denied.Has(c.Size - 1) {
				t.Errorf("the last place is denied by %v", c.Denied)
			}
		}
		if r := verify(t, db, by); len(r.Wrong) == 0 {
			t.Error("nothing is told")
		}
	})
}

// checked is the tree of a plant with five entries, whose checkpoints are checked as in serve.
func checked(t *testing.T, db *store.DB) (*audit.Tree, audit.Signatures) {
	t.Helper()
	sign, by := signer(t, db)
	begun(t, db, sign)
	return audit.NewTree(db, origin, "a", audit.Config{Sign: sign, Check: func(context.Context) (*seal.Notes, error) { return by.(*seal.Notes), nil }}, quiet()), by
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
