package outbox

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// purgedTo is a row of outbox_purged: up to this number of an epoch of a lane messages were deleted because they were old.
type purgedTo struct {
	at
	MAC []byte // as macOf gives it; nil: from before receipts had any
}

func (p purgedTo) cell() store.Cell {
	return store.Cell{Table: "outbox_purged", Row: p.Lane, Bound: [][]byte{[]byte(p.Link), fmt.Appendf(nil, "%d/%d", p.Epoch, p.Number)}}
}

// keepPurged writes rows, or sets what differs in those that are there. One without a MAC would excuse nothing later: where entries of the audit record
// have MACs, the purge waits for the key.
func (o *Outbox) keepPurged(ctx context.Context, tx *store.Tx, all []purgedTo, differs string) (err error) {
	if len(all) == 0 {
		return nil
	}
	for i, p := range all {
		if all[i].MAC, err = o.vouch(ctx, tx, p.cell(), "note what was purged"); err != nil {
			return err
		}
	}
	return writePurged(ctx, tx, all, differs)
}

// writePurged is keepPurged of rows that have their MACs.
func writePurged(ctx context.Context, tx *store.Tx, all []purgedTo, differs string) error {
	slices.SortFunc(all, func(a, b purgedTo) int { // in one order, so that two nodes do not wait for each other
		return cmp.Or(cmp.Compare(a.Link, b.Link), cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Epoch, b.Epoch))
	})
	g := store.Give(
		store.Each("link", all, func(p purgedTo) string { return p.Link }), store.Each("lane", all, func(p purgedTo) string { return p.Lane }),
		store.Each("epoch", all, func(p purgedTo) int64 { return p.Epoch }), store.Each("number", all, func(p purgedTo) int64 { return p.Number }),
		store.Each("mac", all, func(p purgedTo) []byte { return p.MAC }),
	)
	insert, args := g.Insert(tx, "outbox_purged")
	if _, err := tx.Exec(ctx, insert+` ON CONFLICT (link, lane, epoch) DO UPDATE SET `+differs, args...); err != nil {
		return fmt.Errorf("note what was purged: %w", err)
	}
	return nil
}

// onlyMAC is what differs of a row that gets a MAC: else it was purged further meanwhile.
const onlyMAC = `mac = excluded.mac WHERE outbox_purged.number = excluded.number`

// VouchPurged gives MACs to what was noted as purged so far, a page in each transaction, so that the one of BeginMACs has little left to do: a plant has a
// row of each order that it has forgotten. What was done lasts, whatever ends it. The error is of kind Unavailable without the plant's keys.
func (o *Outbox) VouchPurged(ctx context.Context, db *store.DB) error {
	for from, more := (at{}), true; more; {
		err := db.InTx(ctx, func(tx *store.Tx) (err error) {
			next := from // it may run again
			if next, more, err = vouchSome(ctx, tx, next); err == nil {
				tx.AfterCommit(func() { from = next })
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("give what was purged MACs: %w", err)
		}
	}
	o.vouched.Store(true)
	return nil
}

// vouchSome gives MACs to a page of what was purged, as far as it has none that counts: a node of the release before may have changed a row that had one.
func vouchSome(ctx context.Context, tx *store.Tx, from at) (next at, more bool, err error) {
	var some, without []purgedTo
	err = tx.Select(ctx, &some, `SELECT link, lane, epoch, number, mac FROM outbox_purged WHERE (link, lane, epoch) > (?, ?, ?) ORDER BY link, lane, epoch LIMIT ?`,
		from.Link, from.Lane, from.Epoch, resealRows)
	if err != nil || len(some) == 0 {
		return from, false, err
	}
	for _, p := range some {
		good, err := p.genuine(ctx, tx)
		if err != nil && problem.KindOf(err) != problem.Unavailable { // its key is not at hand: it gets a MAC by one that is
			return from, false, err
		}
		if good {
			continue
		}
		mac, epoch, err := tx.MAC(ctx, p.cell())
		if err != nil {
			return from, false, err
		}
		p.MAC = append(binary.BigEndian.AppendUint64(nil, uint64(epoch)), mac...) //nolint:gosec // read back as it is
		without = append(without, p)
	}
	if len(without) > 0 {
		err = writePurged(ctx, tx, without, onlyMAC)
	}
	return some[len(some)-1].at, len(some) == resealRows, err
}

// BeginMACs has what was noted as purged so far bear MACs, once for a plant, and tells whether the receipt of anything has none (audit.BeginReceipts).
// Unless VouchPurged was called before, it looks at every row.
func (o *Outbox) BeginMACs(ctx context.Context, tx *store.Tx) (without bool, err error) {
	only := ""
	if o.vouched.Load() {
		only = " AND mac IS NULL"
	}
	for from, n := (at{}), resealRows; n == resealRows; {
		var some []purgedTo
		err := tx.Select(ctx, &some, `SELECT link, lane, epoch, number FROM outbox_purged WHERE (link, lane, epoch) > (?, ?, ?)`+only+` ORDER BY link, lane, epoch LIMIT ?`,
			from.Link, from.Lane, from.Epoch, resealRows)
		if n = len(some); err == nil && n > 0 {
			from = some[n-1].at
			err = o.keepPurged(ctx, tx, some, onlyMAC)
		}
		if err != nil {
			return false, fmt.Errorf("begin to give what was purged MACs: %w", err)
		}
	}
	err = tx.Get(ctx, &without, `SELECT EXISTS (SELECT 1 FROM outbox_delivered WHERE receipt_mac IS NULL) OR EXISTS (SELECT 1 FROM outbox_receipts WHERE receipt_mac IS NULL)`)
	if err != nil {
		return false, fmt.Errorf("look for receipts without a MAC: %w", err)
	}
	return without, nil
}

// genuine tells whether the plant has noted that.
func (p purgedTo) genuine(ctx context.Context, tx *store.Tx) (bool, error) {
	return genuine(ctx, tx, p.cell(), p.MAC)
}

// Believed is e with that of Purged alone which the plant has noted: what somebody else has excuses nothing. It is for a plant of which receipts have MACs.
func (o *Outbox) Believed(ctx context.Context, tx *store.Tx, e End) (End, error) {
	purged := make(map[int64]int64, len(e.noted))
	for _, p := range e.noted {
		is, err := p.genuine(ctx, tx)
		if err != nil {
			return End{}, fmt.Errorf("read what was purged of lane %s: %w", e.Lane, err)
		}
		if is {
			purged[p.Epoch] = p.Number
		}
	}
	e.Purged = purged
	return e, nil
}

// believer tells which rows of outbox_purged count, of many. A key that is not at hand is not waited for again for each of them.
type believer struct {
	asked, any bool
	away       error            // nobody can tell whether receipts have MACs
	keys       map[string]error // those of rows that are not at hand
}

// counts tells whether a row counts. Until receipts have MACs every one does.
func (b *believer) counts(ctx context.Context, tx *store.Tx, p purgedTo) (is bool, err error) {
	if !b.asked {
		var begun bool
		begun, err = audit.ReceiptsBegun(ctx, tx)
		if b.away = err; err != nil && problem.KindOf(err) != problem.Unavailable {
			return false, err
		}
		b.asked, b.any, b.keys = true, err == nil && !begun, map[string]error{}
	}
	key := string(p.MAC[:min(8, len(p.MAC))])
	if err := cmp.Or(b.away, b.keys[key]); err != nil || b.any {
		return err == nil, err
	}
	if is, err = p.genuine(ctx, tx); problem.KindOf(err) == problem.Unavailable {
		b.keys[key] = err
	}
	return is, err
}

// wasPurged tells whether what was at a place may have been deleted for its age. The error is of kind Unavailable while a key is not at hand by which that
// is told: whoever can write the database can name one that never is.
func (o *Outbox) wasPurged(ctx context.Context, tx *store.Tx, of at, b *believer) (is bool, err error) {
	var rows []purgedTo
	err = tx.Select(ctx, &rows, `SELECT link, lane, epoch, number, mac FROM outbox_purged WHERE link = ? AND lane = ? AND epoch = ? AND number >= ?`,
		of.Link, of.Lane, of.Epoch, of.Number)
	if err == nil && len(rows) > 0 {
		is, err = b.counts(ctx, tx, rows[0])
	}
	if err != nil {
		return false, fmt.Errorf("read what was purged of lane %s: %w", of.Lane, err)
	}
	return is, nil
}
