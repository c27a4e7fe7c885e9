package audit

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"holdfast/internal/store"
)

// waiting are the next entries that are to get their places: where entries have MACs, those alone that Holdfast wrote as they are. The others wait on,
// and p tells of them.
func (t *Tree) waiting(ctx context.Context, tx *store.Tx, p *pass) (good []row, more bool, err error) {
	var rows []row
	if err := tx.Select(ctx, &rows, selectPending, p.after, atOnce); err != nil {
		return nil, false, err
	}
	if more = len(rows) == atOnce; more {
		p.after = rows[len(rows)-1].Seq
	}
	is, err := HasMACs(ctx, tx)
	if err != nil || !is && !t.macs {
		return rows, more, err
	}
	if good, err = sift(ctx, tx, p, rows); err != nil || more {
		return good, more, err
	}
	wrong, err := t.ends(ctx, tx)
	p.wrong = append(p.wrong, wrong...)
	tx.AfterCommit(func() { t.macs = true })
	return good, false, err
}

// sift leaves what Holdfast wrote.
func sift(ctx context.Context, tx *store.Tx, p *pass, rows []row) (good []row, err error) {
	m := newMACs(true)
	for _, r := range rows {
		if p.stuck[r.Chain] {
			continue
		}
		if _, known := m.last[r.Chain]; !known && r.Chain > 0 {
			if m.last[r.Chain], err = before(ctx, tx, r); err != nil {
				return nil, err
			}
		}
		wrong, forged, err := m.judge(ctx, tx, r)
		switch {
		case err != nil && !keyMissing(err):
			return nil, err
		case err != nil:
			p.later = fmt.Errorf("give audit entry %d its place: %w", r.Seq, err)
			if p.stuck == nil {
				p.stuck = map[int64]bool{}
			}
			p.stuck[r.Chain] = true
			continue
		case wrong != "":
			p.wrong = append(p.wrong, wrong)
		}
		if !forged {
			good = append(good, r)
		}
	}
	p.left += len(rows) - len(good)
	return good, nil
}

// ends says which chains do not end with the entry that was written last, or are shorter than this node has seen them.
func (t *Tree) ends(ctx context.Context, tx *store.Tx) (wrong []string, err error) {
	var rows []struct {
		chainRow
		Has  []byte `db:"has"`
		Most int64  `db:"most"`
	}
	if err := tx.Select(ctx, &rows, selectEnds); err != nil {
		return nil, err
	}
	now := map[int64]int64{}
	for _, c := range rows {
		switch now[c.ID] = c.Length; {
		case c.Seq == 0 || !bytes.Equal(c.MAC, c.Has):
			wrong = append(wrong, fmt.Sprintf("the entry that was written last in chain %d (link %d) was removed or altered", c.ID, c.Length))
		case c.Most > c.Length:
			wrong = append(wrong, fmt.Sprintf("chain %d says that it ends with link %d, and has %d: it was set back", c.ID, c.Length, c.Most))
		}
	}
	seen := maps.Clone(now)
	for _, id := range slices.Sorted(maps.Keys(t.lengths)) {
		if was := t.lengths[id]; now[id] < was {
			wrong = append(wrong, fmt.Sprintf("entries were removed from the end: chain %d had %d, and has %d", id, was, now[id]))
			seen[id] = was
		}
	}
	tx.AfterCommit(func() { t.lengths = seen })
	return wrong, nil
}

// recheck reads what a checkpoint is to cover anew, as far as the last that counts does not: between its place and the checkpoint an entry is guarded by
// its MAC. Places that c denies are passed over.
func (t *Tree) recheck(ctx context.Context, c, last Checkpoint) error {
	from := last.Size
	return t.db.View(ctx, func(tx *store.Tx) error {
		v, err := t.resume(ctx, tx, last, c.Denied)
		for err == nil && v.read.size < c.Size {
			err = v.page(ctx, tx, min(v.read.size+leavesAtOnce, c.Size))
		}
		if err != nil {
			return fmt.Errorf("read the audit record again: %w", err)
		}
		is, err := HasMACs(ctx, tx)
		switch {
		case err != nil:
			return fmt.Errorf("read the audit record again: %w", err)
		case len(v.report.Wrong) > 0:
			return altered(v.report.Wrong[0].What)
		case len(v.unproven) > 0:
			return v.unproven[0].why
		case is && !v.macs.began:
			return altered("the entry of " + MACsBegin + " was removed")
		case v.read.root() != c.Root:
			return altered(fmt.Sprintf("places %d to %d are not what they were a moment ago", from, c.Size-1))
		}
		return nil
	})
}

// resume is a verifier at the end of what the last checkpoint covers.
func (t *Tree) resume(ctx context.Context, tx *store.Tx, last Checkpoint, denied Spans) (*verifier, error) {
	v := newVerifier(t.origin, nil, nil)
	g, err := readEdge(ctx, tx, last.Size)
	if err != nil {
		return nil, err
	}
	v.read, v.kept, v.denied = *g, edge{g.size, slices.Clone(g.roots)}, denied
	if last.Size > 0 {
		v.compare(last, "in the database")
	}
	var began bool
	err = tx.Get(ctx, &began, selectBegan, record, MACsBegin, last.Size)
	v.macs = newMACs(began)
	v.macs.part = true
	return v, err
}
