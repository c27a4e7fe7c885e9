package audit

import (
	"bytes"
	"context"
	"fmt"

	"holdfast/internal/store"
)

// unbroken is nil if what is denied was put in: without it every chain is whole, from its end back to what the last checkpoint that counts covers. Else
// one of these places is, or hides, what Holdfast wrote, and that it did not write it is not to be signed.
func (t *Tree) unbroken(ctx context.Context, base, size int64, denied []int64) error {
	if len(denied) == 0 {
		return nil
	}
	not := make(map[int64]bool, len(denied))
	for _, place := range denied {
		not[place] = true
	}
	return t.db.View(ctx, func(tx *store.Tx) error {
		why, err := t.broken(ctx, tx, base, size, not)
		if err != nil {
			return fmt.Errorf("read the chains of the audit record: %w", err)
		}
		if why != "" {
			return altered(fmt.Sprintf("%s: it may be what is at places %v of the tree, or was put away for that", why, Spans(nil).with(denied)))
		}
		return nil
	})
}

// broken says what is missing of any chain, "" for nothing.
func (t *Tree) broken(ctx context.Context, tx *store.Tx, base, size int64, not map[int64]bool) (why string, err error) {
	var chains []chainRow
	if err := tx.Select(ctx, &chains, `SELECT id, length, mac FROM audit_chains ORDER BY id`); err != nil {
		return "", err
	}
	now := map[int64]int64{}
	for _, c := range chains {
		now[c.ID] = c.Length
		if why, err = c.broken(ctx, tx, base, size, not); err != nil || why != "" {
			return why, err
		}
	}
	for id, was := range t.lengths {
		if now[id] < was {
			return fmt.Sprintf("entries were removed from the end: chain %d had %d, and has %d", id, was, now[id]), nil
		}
	}
	var removed []int64
	if err := tx.Select(ctx, &removed, selectRemoved, base); err != nil || len(removed) == 0 {
		return "", err
	}
	return fmt.Sprintf("chain %d was removed", removed[0]), nil
}

// broken says what is missing of a chain beyond base where some places are not counted, "" for nothing. What has its place before size was judged.
func (c chainRow) broken(ctx context.Context, tx *store.Tx, base, size int64, not map[int64]bool) (why string, err error) {
	for c.Length > 0 {
		var rows []placed
		if err := tx.Select(ctx, &rows, selectChained, c.ID, c.Length); err != nil {
			return "", err
		}
		if len(rows) == 0 {
			return missing(c), nil
		}
		for _, p := range rows {
			if p.Link != c.Length {
				return missing(c), nil
			}
			good := bytes.Equal(p.MAC, c.MAC) && !not[p.Leaf]
			if good && (p.Leaf < 0 || p.Leaf >= size) {
				if good, err = p.genuine(ctx, tx); err != nil {
					return "", err
				}
			}
			if !good {
				return fmt.Sprintf("entry %d is not what Holdfast wrote there (chain %d, link %d), or not where it was", p.Seq, c.ID, p.Link), nil
			}
			if p.Leaf >= 0 && p.Leaf < base {
				return "", nil
			}
			c.Length, c.MAC = p.Link-1, p.Previous
		}
	}
	return "", nil
}

func missing(c chainRow) string {
	return fmt.Sprintf("what Holdfast wrote as link %d of chain %d is not there any more", c.Length, c.ID)
}
