package audit

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// BegunAnew is the action of the entry that tells that the checkpoints of the record were gone when a node began: whoever took them away may have
// written anew all that stands before it.
const BegunAnew = "audit.begun-anew"

// Slack is how much later than a key of a node its first checkpoint may be: a node makes one as soon as it has a key, and clocks of nodes differ.
const Slack = latest

// Begin holds the record against what else the plant knows of itself, before this node signs anything, and then makes a checkpoint. since is from
// when on there must be checkpoints, zero if there need not be any; by checks who signed them, nil if that cannot be told now. A record that has
// none says so from then on, in an entry; the error is then of kind Integrity. That no checkpoint could be made is logged, and Run tries again.
func (t *Tree) Begin(ctx context.Context, since time.Time, by Signatures) error {
	wrong, err := t.lookBack(ctx, since, by)
	if err != nil {
		return err
	}
	_, err = t.Seal(ctx)
	t.tell(ctx, "build", errors.Join(wrong, t.orForged(err)))
	return wrong
}

// lookBack says what is wrong, nil for nothing.
func (t *Tree) lookBack(ctx context.Context, since time.Time, by Signatures) (wrong, err error) {
	if since.IsZero() {
		return nil, nil
	}
	err = t.db.InTx(ctx, func(tx *store.Tx) error {
		vouched, err := vouchedSince(ctx, tx, since.Add(-Slack), by)
		if err != nil || vouched {
			return err
		}
		after, err := json.Marshal(map[string]time.Time{"signs_since": since.UTC()})
		if err != nil {
			return err
		}
		wrong = t.begunAnew(since)
		return Append(ctx, tx, Entry{Actor: "node:" + t.node, Action: BegunAnew, Object: record, After: after})
	})
	return wrong, err
}

func (t *Tree) begunAnew(since time.Time) error {
	return &problem.Error{
		Kind: problem.Integrity, What: "go on with the audit record", Why: "the plant has keys since " + since.UTC().Format(time.RFC3339) + ", and no checkpoint since then is signed by any of them",
		Hint: "ALARM: somebody has removed them, and may have written the record anew: keep a copy of database and checkpoints as they are, and compare with copies elsewhere: holdfast audit verify --checkpoint",
	}
}

// vouchedSince tells whether there is a checkpoint of a time or later that somebody vouches for.
func vouchedSince(ctx context.Context, tx *store.Tx, since time.Time, by Signatures) (bool, error) {
	var rows []checkpointRow
	err := tx.Select(ctx, &rows, selectCheckpoints+` WHERE at >= ? ORDER BY at DESC LIMIT 1000`, store.Micros(since))
	if err != nil {
		return false, fmt.Errorf("read the checkpoints of the audit record: %w", err)
	}
	if by == nil {
		return len(rows) > 0, nil
	}
	for _, r := range rows {
		c, err := ParseCheckpoint(r.Note)
		if err != nil {
			continue
		}
		if signers, _, err := c.Check(by); err == nil && len(signers) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// begun tells of an entry by which a node said that the record before it was gone.
func (v *verifier) begun(p placed) {
	if p.Action == BegunAnew && v.by != nil {
		v.wrong(p.Seq, "entry %d (place %d) says that the checkpoints of the record were gone at %s, although the plant had signed some: what is before it may have been written anew",
			p.Seq, p.Leaf, store.FromMicros(p.At).Format(time.RFC3339))
	}
}

// unsealed tells of a record of a plant with keys that has no checkpoint at all, though there was time for many.
func (v *verifier) unsealed(ctx context.Context, tx *store.Tx) error {
	var oldest []int64
	if v.by == nil || v.report.Checkpoints > 0 {
		return nil
	}
	if err := tx.Select(ctx, &oldest, `SELECT at FROM audit_entries ORDER BY seq LIMIT 1`); err != nil {
		return err
	}
	if len(oldest) > 0 && tx.Now.Sub(store.FromMicros(oldest[0])) > latest {
		v.wrong(0, "the database has no checkpoint, and entries since %s: nothing vouches for any of them. Unless holdfast serve has never run here, somebody has removed them, and may have written the record anew",
			store.FromMicros(oldest[0]).Format(time.RFC3339))
	}
	return nil
}

// treeGone words the error of a tree whose own row is gone.
func treeGone(err error) error {
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return &problem.Error{
		Kind: problem.Integrity, What: "read how far the tree of the audit record has grown", Why: "the row of audit_tree is gone",
		Hint: "ALARM: somebody has removed it behind Holdfast: keep the database as it is, find out who could write there, and put back a backup",
	}
}
