package outbox_test

import (
	"context"
	"errors"
	"testing"

	"holdfast/internal/audit"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// counted makes so many more MACs of what was purged, and then the process dies.
type counted struct {
	store.Rest
	left, made *int
}

var errDied = errors.New("the process dies")

func (c counted) MAC(ctx context.Context, tx *store.Tx, cell store.Cell) ([]byte, int64, error) {
	if cell.Table == "outbox_purged" {
		if *c.left == 0 {
			return nil, 0, errDied
		}
		*c.left--
		*c.made++
	}
	return c.Rest.MAC(ctx, tx, cell)
}

// TestWhatWasPurgedGetsItsMACsInPages: a plant of the release before has noted many orders as purged. What a process has done before it dies is not done
// again, and the transaction with which MACs begin makes only those of rows that came since.
func TestWhatWasPurgedGetsItsMACsInPages(t *testing.T) {
	const all, page = 1200, 500
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := box{everything(outbox.Config{}), t, db, &clock{}}
		rest := b.sealing(localKeys(t, db))
		left, made := all-100, 0
		db.SealWith(counted{rest, &left, &made})
		series := `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)`
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO outbox_purged (link, lane, epoch, number) `+series+` SELECT 'erp', 'o' || i, 1, 4 FROM n`)
			return err
		})
		if err := b.VouchPurged(t.Context(), db); !errors.Is(err, errDied) {
			t.Fatalf("got %v, want that it dies", err)
		}
		left, made = all, 0
		next := box{everything(outbox.Config{}), t, db, b.clock}
		if err := next.VouchPurged(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if want := all - 2*page; made != want {
			t.Errorf("%d got their MACs by the next process, want the %d that are left", made, want)
		}
		left, made = all, 0
		b.do(func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO outbox_purged (link, lane, epoch, number) VALUES ('erp', 'since', 1, 4)`); err != nil {
				return err
			}
			return audit.BeginMACs(ctx, tx, "node:a", next.BeginMACs)
		})
		if made != 1 {
			t.Errorf("%d got their MACs in the transaction that begins with them, want the one that came since", made)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			var none int
			if err := tx.Get(ctx, &none, `SELECT COUNT(*) FROM outbox_purged WHERE mac IS NULL`); err != nil || none != 0 {
				t.Errorf("%d have none, %v", none, err)
			}
			return nil
		})
	})
}
