package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Mark is a checkpoint as the record itself remembers it: what has its place before Size was there at At. It stands in an entry of LanesMoved
// that follows the checkpoint, so that a checkpoint with an earlier time cannot be made later: the key that signs one may be stolen, but what
// the tree has at a place, every later checkpoint says.
type Mark struct {
	Size int64     `json:"size"`
	Root tlog.Hash `json:"root"`
	At   time.Time `json:"at"`
}

// Mark is the checkpoint that an entry of LanesMoved remembers; false if it remembers none. What is none is an error of kind Integrity.
func (e Entry) Mark() (m Mark, is bool, err error) {
	if e.Action != LanesMoved || len(e.Before) == 0 {
		return m, false, nil
	}
	if err := json.Unmarshal(e.Before, &m); err != nil || m.Size < 1 || m.At.IsZero() {
		return m, false, &problem.Error{
			Kind: problem.Integrity, What: fmt.Sprintf("read audit entry %d", e.Seq), Why: "it remembers no checkpoint", Hint: "holdfast audit verify tells what else is wrong", Cause: err,
		}
	}
	return m, true, nil
}

// mark is the newest checkpoint as the next entry is to remember it: where nothing else is new there is no need, or each checkpoint would make
// the next.
func (t *Tree) mark(ctx context.Context, tx *store.Tx, moved bool) (size int64, text []byte, err error) {
	newest, err := Newest(ctx, tx)
	if problem.KindOf(err) == problem.NotFound {
		return 0, nil, nil
	}
	if err != nil || newest.Size == t.noted {
		return t.noted, nil, err
	}
	if !moved {
		var size, waits int64 // entries that no checkpoint covers, with a place or without; what is left out for good is no news
		if err := tx.Get(ctx, &size, `SELECT size FROM audit_tree WHERE id = 1`); err != nil {
			return t.noted, nil, err
		}
		err := tx.Get(ctx, &waits, `SELECT COUNT(*) FROM (SELECT 1 FROM audit_pending LIMIT ?) AS waiting`, t.left+1)
		if err != nil || size <= newest.Size && waits <= int64(t.left) {
			return t.noted, nil, err
		}
	}
	m := Mark{newest.Size, newest.Root, newest.At}
	if is, err := m.honest(ctx, tx); err != nil || !is {
		if err == nil {
			t.log.WarnContext(ctx, "a checkpoint is not remembered, for one before it has a later time: until the clock is past that, nothing vouches for messages whose keys end",
				"part", "audit", "size", m.Size)
		}
		return newest.Size, nil, err
	}
	text, err = json.Marshal(m)
	return newest.Size, text, err
}

// forgery is what a checkpoint or a mark is that has an earlier time than those before it.
func forgery(what string) error {
	return &problem.Error{
		Kind: problem.Integrity, What: what, Why: "it was not made when it says",
		Hint: "ALARM: somebody has written it into the database, to have something vouched for as older than it is: find out who can, and what keys they have",
	}
}

// honest leaves out entries with marks that are not those of the plant: whoever can write the database could have the tree remember that there
// was something before it was. They get no place.
func honest(ctx context.Context, tx *store.Tx, rows []row) (good []row, wrong, err error) {
	good = rows[:0:0]
	for _, r := range rows {
		m, is, err := r.entry().Mark()
		honest := err == nil
		if is {
			if honest, err = m.honest(ctx, tx); err != nil {
				return nil, nil, err
			}
		}
		if honest {
			good = append(good, r)
		} else {
			wrong = forgery(fmt.Sprintf("give audit entry %d its place, for the checkpoint that it remembers", r.Seq))
		}
	}
	return good, wrong, nil
}

// honest tells whether it is of a checkpoint that is there and is not older than those before it. Checkpoints come to be in the order of their
// sizes, so that the answer is the same whenever it is asked: what the plant has written once keeps its place, also where its clock was ahead and
// was set right.
func (m Mark) honest(ctx context.Context, tx *store.Tx) (bool, error) {
	var rows []checkpointRow
	if err := tx.Select(ctx, &rows, selectCheckpoints+` WHERE size = ?`, m.Size); err != nil {
		return false, fmt.Errorf("read a checkpoint of the audit record: %w", err)
	}
	if len(rows) == 0 {
		return false, nil
	}
	c, err := ParseCheckpoint(rows[0].Note)
	if err != nil || c.Root != m.Root || !c.At.Equal(m.At) {
		return false, nil //nolint:nilerr // what is no checkpoint is not the plant's
	}
	var latest []int64
	err = tx.Select(ctx, &latest, `SELECT at FROM audit_checkpoints WHERE size < ? ORDER BY at DESC LIMIT 1`, m.Size)
	if err != nil {
		return false, fmt.Errorf("read the checkpoints of the audit record: %w", err)
	}
	return len(latest) == 0 || store.Micros(m.At) >= latest[0], nil
}
