package audit

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// cell is what the MAC of the row is of: all that it says.
func (at treeRow) cell() store.Cell {
	said := make([][]byte, 0, 6)
	for _, n := range []int64{at.Size, at.Until, at.LanesAt, at.MACs, at.Receipts} {
		said = append(said, strconv.AppendInt(nil, n, 10))
	}
	return store.Cell{Table: "audit_tree", Row: "1", Bound: append(said, []byte(at.Owner))}
}

// write keeps the row, once entries have MACs with one of its own: who has no key for it cannot, and the error is of kind Unavailable.
func (at treeRow) write(ctx context.Context, tx *store.Tx) error {
	is, err := HasMACs(ctx, tx)
	at.MAC = nil
	if err == nil && is {
		var mac []byte
		var epoch int64
		if mac, epoch, err = tx.MAC(ctx, at.cell()); err == nil {
			at.MAC = append(binary.BigEndian.AppendUint64(nil, uint64(epoch)), mac...) //nolint:gosec // epochs count from 1
		}
	}
	if err == nil {
		_, err = tx.Exec(ctx, updateTree, at.Size, at.Owner, at.Until, at.LanesAt, at.Receipts, at.MAC)
	}
	if err != nil {
		return fmt.Errorf("write how far the tree of the audit record has grown: %w", err)
	}
	return nil
}

// again is the row as it was written since, with what is made of the time of the last look at lanes.
func (at treeRow) again(ctx context.Context, tx *store.Tx) (treeRow, error) {
	lanes := at.LanesAt
	err := tx.Get(ctx, &at, selectTree)
	at.LanesAt = lanes
	return at, err
}

// check is nil if Holdfast wrote the row as it is: Integrity or NotFound if not, Unavailable while the key of its MAC is not at hand.
func (at treeRow) check(ctx context.Context, tx *store.Tx) error {
	if len(at.MAC) <= 8 {
		return &problem.Error{Kind: problem.Integrity, What: "check the row of audit_tree", Why: "it has no MAC", Hint: "the database was altered behind Holdfast: find out by whom"}
	}
	return tx.CheckMAC(ctx, at.cell(), int64(binary.BigEndian.Uint64(at.MAC)), at.MAC[8:]) //nolint:gosec // what is none is none of the plant's
}

// altered says that somebody else has written the row, "" if nobody has, or nobody can tell.
func (at treeRow) altered(ctx context.Context, tx *store.Tx) (string, error) {
	if len(at.MAC) == 0 {
		return "", nil
	}
	err := at.check(ctx, tx)
	switch problem.KindOf(err) {
	case problem.Integrity, problem.NotFound:
		return "the row of audit_tree was not as Holdfast wrote it, and was written anew", nil
	case problem.Unavailable:
		return "", nil
	}
	return "", err
}

// treeRow tells of a row of audit_tree that Holdfast has not written as it is. It must have a MAC where a checkpoint says that entries have MACs: the
// same release makes both.
func (v *verifier) treeRow(ctx context.Context, tx *store.Tx) error {
	var rows []treeRow
	if err := tx.Select(ctx, &rows, selectTree); err != nil || len(rows) == 0 || len(rows[0].MAC) == 0 && v.begunAt == 0 {
		return err
	}
	err := rows[0].check(ctx, tx)
	switch k := problem.KindOf(err); {
	case k == problem.Integrity || k == problem.NotFound:
		v.wrong(0, "the row of audit_tree (how far the tree has grown, who builds it until when, and what is begun) is not as Holdfast wrote it: %v", err)
	case k == problem.Unavailable && v.keyed:
		v.wrong(0, "nothing vouches for the row of audit_tree, since its MAC cannot be checked: %v", err)
	case k == problem.Unavailable:
		return nil
	default:
		return err
	}
	return nil
}

// begunBy tells of a record that has no entry from which on each has a MAC, and a checkpoint that says where it is.
func (v *verifier) begunBy() {
	if v.begunAt > 0 && v.macs != nil && !v.macs.began {
		v.wrong(0, "place %d was the entry of %s, by what was signed, and is not any more: entries without a MAC are not told from those of Holdfast", v.begunAt-1, MACsBegin)
	}
}
