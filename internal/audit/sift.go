package audit

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"holdfast/internal/problem"
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
		last := m.last[r.Chain]
		wrong, forged, err := m.judge(ctx, tx, r)
		if keyMissing(err) {
			m.last[r.Chain] = last
			wrong, forged, err = p.keyless(ctx, tx, m, r, err)
		}
		if err != nil {
			return nil, err
		}
		if wrong != "" {
			p.wrong = append(p.wrong, wrong)
		}
		if !forged {
			good = append(good, r)
		}
	}
	p.left += len(rows) - len(good)
	return good, nil
}

// keyless judges an entry whose key is not at hand, for the reason why: it and what follows it wait for the key, so that they keep their order. It waits in
// vain if the plant never had such a key, or it follows nothing of its chain: then it is left where it is, and keeps nobody. After patience it gets its
// place all the same if what Holdfast wrote after it says that it stands there; no checkpoint covers it before its MAC was checked.
func (p *pass) keyless(ctx context.Context, tx *store.Tx, m *macs, r row, why error) (wrong string, left bool, err error) {
	if problem.KindOf(why) == problem.NotFound {
		return fmt.Sprintf("entry %d was not written by Holdfast as it is: the plant has no key of epoch %d", r.Seq, r.Epoch), true, nil
	}
	if last := m.last[r.Chain]; r.Link != last.Length+1 || !bytes.Equal(r.Previous, last.MAC) {
		return fmt.Sprintf("entry %d follows nothing in its chain (chain %d, link %d), and its key is not at hand: it was put in, or what was before it altered", r.Seq, r.Chain, r.Link), true, nil
	}
	p.later = fmt.Errorf("give audit entry %d its place: %w", r.Seq, why)
	if known := p.vouched[r.Chain]; r.Link >= known && tx.Now.Sub(store.FromMicros(r.At)) >= patience {
		if known, err = vouchedTo(ctx, tx, r); err != nil {
			return "", false, err
		}
		p.vouched = with(p.vouched, r.Chain, known)
	}
	if r.Link < p.vouched[r.Chain] {
		m.follows(r)
		return "", false, nil
	}
	p.stuck = with(p.stuck, r.Chain, true)
	return "", true, nil
}

func with[V any](all map[int64]V, chain int64, v V) map[int64]V {
	if all == nil {
		all = map[int64]V{}
	}
	all[chain] = v
	return all
}

// vouchedTo is the link of the next entry in the chain whose MAC says that what is before it is what Holdfast wrote, as far as that can be followed back to
// this one; 0 if there is none.
func vouchedTo(ctx context.Context, tx *store.Tx, r row) (int64, error) {
	var rows []row
	if err := tx.Select(ctx, &rows, selectEntries+` WHERE chain = ? AND chain > 0 AND link > ? ORDER BY link LIMIT ?`, r.Chain, r.Link, atOnce); err != nil {
		return 0, err
	}
	for _, next := range rows {
		if next.Link != r.Link+1 || !bytes.Equal(next.Previous, r.MAC) {
			return 0, nil
		}
		good, err := next.genuine(ctx, tx)
		if good {
			return next.Link, nil
		}
		if problem.KindOf(err) != problem.Unavailable { // nil: it is forged
			return 0, err
		}
		r = next
	}
	return 0, nil
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
