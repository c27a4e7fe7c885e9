package audit

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// grow adds to the tree what waits; c is what is to be signed once nothing waits any more.
func (t *Tree) grow(ctx context.Context, tx *store.Tx, p *pass) (c *Checkpoint, more bool, err error) {
	var at treeRow
	if err := tx.Get(ctx, &at, selectTree+tx.ForUpdate()); err != nil {
		return nil, false, treeGone(err)
	}
	if until := store.FromMicros(at.Until); at.Owner != t.node && until.After(tx.Now) && !until.After(tx.Now.Add(t.cfg.Lease+latest)) { // beyond that it is no node's
		return nil, false, t.over(ctx, tx, p.by)
	}
	s, err := t.standing(ctx, tx, p.by)
	altered := ""
	if err == nil {
		altered, err = at.altered(ctx, tx)
	}
	if err != nil {
		return nil, false, err
	}
	if altered != "" {
		at.LanesAt = 0 // else nobody would look at what has moved until then
	}
	if p.first {
		if at, err = t.begin(ctx, tx, at, s, p); err != nil {
			return nil, false, err
		}
	}
	rows, more, err := t.good(ctx, tx, s, p)
	if err == nil && altered != "" {
		err = t.record(ctx, tx, altered)
	}
	if err != nil {
		return nil, false, err
	}
	g, err := readEdge(ctx, tx, at.Size)
	if err != nil {
		return nil, false, err
	}
	if err := place(ctx, tx, g, rows); err != nil {
		return nil, false, err
	}
	at.Size, at.Owner, at.Until = g.size, t.node, store.Micros(tx.Now.Add(t.cfg.Lease))
	if !more && p.later != nil { // another node may have the key
		at.Until = store.Micros(tx.Now)
	}
	if err := at.write(ctx, tx); err != nil || more {
		return nil, more, err
	}
	found := *p
	tx.AfterCommit(func() { t.seen(s, found) })
	c, err = t.next(ctx, tx, g)
	if err == nil && c == nil {
		err = t.release(ctx, tx, at)
	}
	return c, false, err
}

// good are the next entries that wait and are the plant's; p tells of the others.
func (t *Tree) good(ctx context.Context, tx *store.Tx, s *stand, p *pass) (rows []row, more bool, err error) {
	rows, more, err = t.waiting(ctx, tx, p)
	if err != nil {
		return nil, false, err
	}
	waited := len(rows)
	rows, forged, err := s.honestOf(ctx, tx, rows)
	p.left += waited - len(rows)
	p.forged = cmp.Or(p.forged, s.wrong, forged)
	return rows, more, err
}

// clocksDiffer is how far the time of a checkpoint may be ahead of the clock of the node that looks at it.
const clocksDiffer = time.Minute

// seen keeps what a pass through all that waits has found.
func (t *Tree) seen(s *stand, p pass) {
	t.left.Store(int64(p.left))
	t.forged.Store(nil)
	wrong := p.forged
	if len(p.wrong) > 0 {
		wrong = p.err()
	}
	if wrong != nil {
		t.forged.Store(&wrong)
	}
	ahead := int64(0)
	if s.by != nil && s.latest.Sub(s.now) > clocksDiffer {
		ahead = store.Micros(s.latest)
	}
	t.ahead.Store(ahead)
}

// over looks whether what this node has found still waits, when another one builds the tree.
func (t *Tree) over(ctx context.Context, tx *store.Tx, by *seal.Notes) error {
	if t.forged.Load() == nil {
		return nil
	}
	s, err := t.standing(ctx, tx, by)
	if err != nil {
		return err
	}
	var p pass
	for more := true; more; {
		if _, more, err = t.good(ctx, tx, s, &p); err != nil {
			return err
		}
	}
	tx.AfterCommit(func() { t.seen(s, p) })
	return nil
}

// next is the checkpoint of the tree as it is, nil if there is one.
func (t *Tree) next(ctx context.Context, tx *store.Tx, g *edge) (*Checkpoint, error) {
	var sealed int64
	if err := tx.Get(ctx, &sealed, selectSealed); err != nil || sealed >= g.size {
		return nil, err
	}
	return &Checkpoint{Origin: t.origin, Size: g.size, Root: g.root(), At: tx.Now.UTC().Truncate(time.Microsecond)}, nil
}

// begin is what a pass does first: it begins with MACs, also of receipts, if that is due, repeats what processes without keys have told, and which lanes have moved.
func (t *Tree) begin(ctx context.Context, tx *store.Tx, at treeRow, s *stand, p *pass) (treeRow, error) {
	actor := "node:" + t.node
	if keyless(ctx, tx) == nil {
		var err error
		if at, err = t.beginMACs(ctx, tx, at, p); err != nil {
			return at, err
		}
		if err := repeat(ctx, tx, actor); err != nil {
			return at, err
		}
	}
	if err := t.holdLanes(ctx, tx, s, store.FromMicros(at.LanesAt), p.before); err != nil {
		return at, err
	}
	if s.intruder != "" {
		if err := t.record(ctx, tx, s.intruder); err != nil {
			return at, err
		}
	}
	at.LanesAt = store.Micros(tx.Now)
	return at, nil
}

// mostAtBegin is how many entries that wait get their places in the transaction that begins with MACs: of more, as in a record that an earlier release has
// left, pages get theirs first, and the next pass begins.
const mostAtBegin = 10 * atOnce

// beginMACs begins with MACs of entries and receipts, if that is due. Where somebody has altered the record so that it seems to be, that is told.
func (t *Tree) beginMACs(ctx context.Context, tx *store.Tx, at treeRow, p *pass) (treeRow, error) {
	actor := "node:" + t.node
	receipts := t.cfg.Receipts
	if at.Receipts == 0 {
		receipts = nil
	}
	if at.MACs > 0 {
		var waits int64
		if err := tx.Get(ctx, &waits, `SELECT COUNT(*) FROM (SELECT 1 FROM audit_pending LIMIT ?) AS waiting`, mostAtBegin+1); err != nil || waits > mostAtBegin {
			return at, err
		}
		err := BeginMACs(ctx, tx, actor, receipts)
		if problem.KindOf(err) == problem.Integrity {
			p.forged, err = err, nil
		} else if err == nil {
			at, err = at.again(ctx, tx)
		}
		if err != nil {
			return at, err
		}
	}
	if receipts != nil && at.Receipts > 0 && p.unbegun {
		if err := BeginReceipts(ctx, tx, actor, receipts); err != nil {
			return at, err
		}
		return at.again(ctx, tx)
	}
	return at, nil
}

// unbegun tells whether receipts may begin to have MACs, by ReceiptsUnbegun, which is asked but every ten minutes. It is beside the pass, since it reads the whole record.
func (t *Tree) unbegun(ctx context.Context, p *pass) error {
	now := t.db.Now()
	if p.unbegun, p.forged = false, t.begunBefore; t.cfg.Receipts == nil || now.Sub(t.askedUnbegun).Abs() < patience {
		return nil
	}
	asked := false
	err := t.db.View(ctx, func(tx *store.Tx) error {
		var at treeRow
		if err := treeGone(tx.Get(ctx, &at, selectTree)); err != nil || at.Receipts == 0 || keyless(ctx, tx) != nil {
			return err
		}
		var err error
		asked = true
		p.unbegun, err = ReceiptsUnbegun(ctx, tx)
		return err
	})
	if err == nil && p.unbegun && t.cfg.Prepare != nil {
		err = t.cfg.Prepare(ctx)
	}
	p.unbegun = p.unbegun && err == nil
	p.forged = nil
	switch k := problem.KindOf(err); {
	case asked && k == problem.Integrity:
		p.forged = err
	case err != nil && k != problem.Unavailable:
		return err
	}
	if t.begunBefore = p.forged; asked && !p.unbegun {
		t.askedUnbegun = now
	}
	return nil
}

// place gives entries the next places.
func place(ctx context.Context, tx *store.Tx, g *edge, rows []row) error {
	var leaves, hashes, entries []any
	pos := tlog.StoredHashCount(g.size)
	for _, r := range rows {
		h, err := r.entry().hash()
		if err != nil {
			return err
		}
		leaves = append(leaves, g.size, r.Seq)
		entries = append(entries, r.Seq)
		for _, whole := range g.add(h) {
			hashes = append(hashes, pos, whole[:])
			pos++
		}
	}
	if err := inParts(leaves, 2, func(part []any) error { return insert(ctx, tx, `INSERT INTO audit_leaves (leaf, entry) VALUES `, part) }); err != nil {
		return err
	}
	if err := inParts(hashes, 2, func(part []any) error { return insert(ctx, tx, `INSERT INTO audit_hashes (pos, hash) VALUES `, part) }); err != nil {
		return err
	}
	return inParts(entries, 1, func(part []any) error {
		_, err := tx.Exec(ctx, `DELETE FROM audit_pending WHERE entry IN (`+strings.Repeat("?, ", len(part)-1)+`?)`, part...)
		return err
	})
}

// inParts hands values on in parts that a statement of either database takes, each of whole rows.
func inParts(values []any, columns int, fn func(part []any) error) error {
	for part := range slices.Chunk(values, 500*columns) {
		if err := fn(part); err != nil {
			return err
		}
	}
	return nil
}

// insert inserts pairs.
func insert(ctx context.Context, tx *store.Tx, into string, pairs []any) error {
	_, err := tx.Exec(ctx, into+strings.Repeat("(?, ?), ", len(pairs)/2-1)+"(?, ?)", pairs...)
	return err
}

// readEdge reads the right edge of the tree.
func readEdge(ctx context.Context, tx *store.Tx, size int64) (*edge, error) {
	hashes, err := stored(ctx, tx)(edgeAt(size))
	return &edge{size, hashes}, err
}
