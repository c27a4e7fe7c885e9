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

// mark is the newest checkpoint that counts as the next entry is to remember it: where nothing else is new there is no need, or each checkpoint would
// make the next.
func (t *Tree) mark(ctx context.Context, tx *store.Tx, s *stand, moved bool) (size int64, text []byte, err error) {
	if s.last.Size == 0 || s.last.Size == t.noted {
		return t.noted, nil, nil
	}
	if !moved {
		var size, waits int64 // entries that no checkpoint covers, with a place or without; what is left out for good is no news
		if err := tx.Get(ctx, &size, `SELECT size FROM audit_tree WHERE id = 1`); err != nil {
			return t.noted, nil, err
		}
		left := t.left.Load()
		err := tx.Get(ctx, &waits, `SELECT COUNT(*) FROM (SELECT 1 FROM audit_pending LIMIT ?) AS waiting`, left+1)
		if err != nil || size <= s.last.Size && waits <= left {
			return t.noted, nil, err
		}
	}
	m, err := s.mark(ctx, tx, s.last)
	if err != nil {
		return t.noted, nil, err
	}
	text, err = json.Marshal(m)
	return s.last.Size, text, err
}

// honest leaves out entries with marks that are not those of the plant: whoever can write the database could have the tree remember that there
// was something before it was. They get no place.
func (s *stand) honestOf(ctx context.Context, tx *store.Tx, rows []row) (good []row, wrong error, err error) {
	good = rows[:0:0]
	seen := map[string]bool{}
	for _, r := range rows {
		m, is, err := r.entry().Mark()
		honest := err == nil
		if is {
			var known bool
			if honest, known = seen[string(r.Old)]; !known {
				if honest, err = s.honest(ctx, tx, m); err != nil {
					return nil, nil, err
				}
				seen[string(r.Old)] = honest
			}
		}
		if honest {
			good = append(good, r)
		} else if wrong == nil {
			wrong = forgery(fmt.Sprintf("give audit entry %d its place, for the checkpoint that it remembers", r.Seq))
		}
	}
	return good, wrong, nil
}
