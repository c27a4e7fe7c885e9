package audit

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Config is the tunable part of a Tree; zero fields mean the default.
type Config struct {
	Every  time.Duration // how old an entry is at most when a checkpoint covers it; default a minute
	Most   int           // so many entries make a checkpoint before that; default 1000
	Poll   time.Duration // how often it is looked; default 5 s
	Lease  time.Duration // for how long another node leaves the tree to this one; default twice Every
	Folder string        // where each checkpoint is written outside the database; empty: nowhere

	// Lanes gives the heads of the lanes that have moved since; default none.
	Lanes func(ctx context.Context, tx *store.Tx, since time.Time) ([]Head, error)
	// Sign gives the signature lines that stand under the text of a checkpoint; default none. What it signed counts although it also
	// returns an error, which is logged: a second signer may be away.
	Sign func(ctx context.Context, origin, text string) (lines string, err error)

	Metrics prometheus.Registerer // default none
}

// Tree makes the record a Merkle tree and has its checkpoints signed. Acts do not wait for it: they leave their entries in audit_pending,
// in their own transactions, and the node that has the lease gives each its place a little later. Run does the work.
//
// # Guarantees
//
//   - An entry gets one place, whatever crashes and however many nodes there are: place, hashes and size are one transaction, under a
//     lock of the one row of audit_tree. The lease only saves them the work of waiting for each other.
//   - A checkpoint is in the database before it is outside of it, and whatever is in the database and not outside is written there later.
//     So the copy outside is never ahead of the database unless somebody has cut or restored the database.
type Tree struct {
	db           *store.DB
	origin, node string
	cfg          Config
	log          *slog.Logger
	figures      *figures
	trouble      atomic.Pointer[error] // the last; nil: there is none
	forged       atomic.Pointer[error] // what has got no place since the last round that was due

	last     map[Head]bool   // what the round before held of lanes
	noted    int64           // the size of the checkpoint that an entry has remembered last
	left     int             // how many entries the last pass has left without a place: they are no news
	macs     bool            // entries were seen to have MACs
	lengths  map[int64]int64 // of chains, the longest that each was seen
	sealed   time.Time       // of the last checkpoint that this node made
	anchored bool            // Sign was whole the last time
	ending   bool            // the lease is given up with the next round
}

// NewTree returns the Tree of a plant, built by this node among others. It opens nothing.
func NewTree(db *store.DB, origin, node string, cfg Config, log *slog.Logger) *Tree {
	cfg.Every = cmp.Or(cfg.Every, time.Minute)
	cfg.Most = cmp.Or(cfg.Most, 1000)
	cfg.Poll = min(cmp.Or(cfg.Poll, 5*time.Second), cfg.Every)
	cfg.Lease = cmp.Or(cfg.Lease, 2*cfg.Every)
	t := &Tree{db: db, origin: origin, node: node, cfg: cfg, log: log, anchored: true}
	t.figures = newFigures(cfg.Metrics)
	return t
}

// Run makes checkpoints until ctx ends, and a last one then, so that what the plant did is sealed while it stands still. Whatever goes
// wrong is logged, counted and tried again.
func (t *Tree) Run(ctx context.Context) error {
	tick := time.NewTicker(t.cfg.Poll)
	defer tick.Stop()
	copies := newCopies(t.cfg.Folder, t.node)
	for {
		t.round(ctx, copies)
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			t.ending = true
			t.round(last, copies)
			return nil
		case <-tick.C:
		}
	}
}

// round seals what is due and writes what is sealed outside.
func (t *Tree) round(ctx context.Context, copies *copies) {
	due, err := t.due(ctx)
	if err == nil && due {
		t.forged.Store(nil)
		_, err = t.Seal(ctx)
	}
	if wrong := t.forged.Load(); err == nil && wrong != nil {
		err = *wrong // until the next look at what waits, or nobody would see it
	}
	t.tell(ctx, "build", err)
	if copies != nil {
		t.tell(ctx, "copy", copies.catchUp(ctx, t.db))
	}
}

// Trouble is why this node cannot go on with the record now, or with its copy outside; nil if it can.
func (t *Tree) Trouble() error {
	if err := t.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// tell logs and counts what went wrong: build is the making of checkpoints, copy their writing outside the database.
func (t *Tree) tell(ctx context.Context, what string, err error) {
	if ctx.Err() != nil && err != nil {
		return
	}
	t.figures.trouble(what, err)
	if err != nil || what == "build" {
		t.trouble.Store(&err)
	}
	switch {
	case err == nil:
	case problem.KindOf(err) == problem.Integrity:
		t.log.ErrorContext(ctx, "ALARM: the audit record is not what it was", "part", "audit", "what", what, "err", err)
	default:
		t.log.ErrorContext(ctx, "the checkpoints of the audit record fall behind", "part", "audit", "what", what, "err", err)
	}
}

// due tells whether it is time for a checkpoint.
func (t *Tree) due(ctx context.Context) (bool, error) {
	var waiting, placed int64 // without a place, and with one that no checkpoint covers
	var now time.Time
	err := t.db.View(ctx, func(tx *store.Tx) error {
		now = tx.Now
		if err := tx.Get(ctx, &waiting, `SELECT COUNT(*) FROM (SELECT 1 FROM audit_pending LIMIT ?) AS waiting`, t.cfg.Most); err != nil {
			return err
		}
		return treeGone(tx.Get(ctx, &placed, `SELECT size - (`+selectSealed+`) FROM audit_tree WHERE id = 1`))
	})
	if err != nil {
		return false, fmt.Errorf("look at what waits for a checkpoint: %w", err)
	}
	t.figures.waiting(waiting + placed)
	since := now.Sub(t.sealed)
	return t.ending || waiting >= int64(t.cfg.Most) || since >= t.cfg.Every || since < 0, nil
}

// atOnce is how many entries one transaction gives their places: it is soon over, and few find SQLite's writer busy.
const atOnce = 2000

// pass is one way through all that waits.
type pass struct {
	first bool
	after int64    // entries up to this number were looked at
	wrong []string // what was found
	left  int      // how many got no place
	later error    // why some wait on that may be good
}

// err is what the pass has found, nil for nothing.
func (p pass) err() error {
	if len(p.wrong) == 0 {
		return p.later
	}
	why := p.wrong[0]
	if n := len(p.wrong) - 1; n > 0 {
		why += fmt.Sprintf("; and %d more", n)
	}
	return altered(why)
}

// altered is what is told instead of sealing it.
func altered(why string) error {
	return &problem.Error{
		Kind: problem.Integrity, What: "seal the audit record", Why: why,
		Hint: "ALARM: somebody has altered it behind Holdfast; that is not sealed: keep the database as it is, holdfast audit verify tells more",
	}
}

// Seal gives every entry that waits its place and makes a checkpoint of the tree as it is then. nil is returned where nothing is new, or
// another node does it. What Holdfast did not write gets no place, and is the error of kind Integrity beside the checkpoint of the others; where what
// has its place was altered there is no checkpoint.
func (t *Tree) Seal(ctx context.Context) (*Checkpoint, error) {
	c, p, err := t.placeAll(ctx)
	if err != nil {
		return nil, fmt.Errorf("build the tree of the audit record: %w", err)
	}
	t.sealed = t.db.Now()
	if c == nil {
		return nil, p.err()
	}
	if err := t.recheck(ctx, *c); err != nil {
		return nil, err
	}
	if err := t.sign(ctx, c); err != nil {
		return nil, err
	}
	kept := false
	err = t.db.InTx(ctx, func(tx *store.Tx) (err error) {
		kept, err = t.keep(ctx, tx, *c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("keep a checkpoint of the audit record: %w", err)
	}
	if !kept {
		return nil, p.err() // another node did it
	}
	t.figures.sealed(c)
	return c, p.err()
}

// placeAll gives all that waits its place.
func (t *Tree) placeAll(ctx context.Context) (c *Checkpoint, p pass, err error) {
	p.first = true
	for more := true; more; p.first = false {
		next := p
		err = t.db.InTx(ctx, func(tx *store.Tx) (err error) {
			next = p // it may run again
			c, more, err = t.grow(ctx, tx, &next)
			return err
		})
		if p = next; err != nil {
			return nil, p, err
		}
	}
	t.left = p.left
	return c, p, nil
}

// Place gives every entry that waits its place, and leaves the checkpoint to Seal: for who hands entries on and must not wait for one. Where
// another node has the lease it does nothing: that node does it.
func (t *Tree) Place(ctx context.Context) error {
	var p pass
	for more := true; more; {
		next := p
		err := t.db.InTx(ctx, func(tx *store.Tx) (err error) {
			next, more = p, false // it may run again
			var waits []int64
			if err := tx.Select(ctx, &waits, `SELECT entry FROM audit_pending LIMIT 1`); err != nil || len(waits) == 0 {
				return err
			}
			_, more, err = t.grow(ctx, tx, &next)
			return err
		})
		if err != nil {
			return fmt.Errorf("give entries of the audit record their places: %w", err)
		}
		p = next
	}
	return nil
}

// Placed is one page of entries in the order of their places, from place from on: an order that never changes and has no gaps, whatever
// transactions end when. next is where the next page begins.
func Placed(ctx context.Context, tx *store.Tx, from int64, limit int) (entries []Entry, next int64, err error) {
	var leaves []placed
	if err := tx.Select(ctx, &leaves, selectPlaced, from, from+int64(limit)); err != nil {
		return nil, from, fmt.Errorf("read entries of the audit record: %w", err)
	}
	for _, l := range leaves {
		entries = append(entries, l.entry())
		next = l.Leaf + 1
	}
	return entries, max(next, from), nil
}

// keep inserts a checkpoint, unless another node has made one of this size or a later one while this one was signed: checkpoints come to be
// in the order of their sizes, and so none is missed by who copies them.
func (t *Tree) keep(ctx context.Context, tx *store.Tx, c Checkpoint) (bool, error) {
	var at treeRow
	if err := tx.Get(ctx, &at, selectTree+tx.ForUpdate()); err != nil {
		return false, err
	}
	var sealed int64
	if err := tx.Get(ctx, &sealed, selectSealed); err != nil || sealed >= c.Size {
		return false, err
	}
	if _, err := tx.Exec(ctx, insertCheckpoint, c.Size, store.Micros(c.At), t.node, c.Note); err != nil {
		return false, err
	}
	return true, t.release(ctx, tx, at)
}

// release gives up the lease with the last checkpoint of a node that ends.
func (t *Tree) release(ctx context.Context, tx *store.Tx, at treeRow) error {
	if !t.ending || at.Owner != t.node {
		return nil
	}
	_, err := tx.Exec(ctx, updateTree, at.Size, at.Owner, store.Micros(tx.Now), at.LanesAt)
	return err
}

// sign completes the note. A signer that is away is told once, and once that it is back.
func (t *Tree) sign(ctx context.Context, c *Checkpoint) error {
	lines := ""
	if t.cfg.Sign != nil {
		var err error
		lines, err = t.cfg.Sign(ctx, c.Origin, c.text())
		if lines == "" && err != nil {
			return fmt.Errorf("sign a checkpoint of the audit record: %w", err)
		}
		if (err == nil) != t.anchored {
			if t.anchored = err == nil; t.anchored {
				t.log.InfoContext(ctx, "checkpoints of the audit record are anchored again", "part", "audit")
			} else {
				t.log.WarnContext(ctx, "checkpoints of the audit record are signed by the node alone", "part", "audit", "err", err)
			}
		}
	}
	c.Note = c.text() + "\n" + lines
	return nil
}

// grow adds to the tree what waits; c is what is to be signed once nothing waits any more.
func (t *Tree) grow(ctx context.Context, tx *store.Tx, p *pass) (c *Checkpoint, more bool, err error) {
	var at treeRow
	if err := tx.Get(ctx, &at, selectTree+tx.ForUpdate()); err != nil {
		return nil, false, treeGone(err)
	}
	if at.Owner != t.node && store.FromMicros(at.Until).After(tx.Now) {
		return nil, false, nil
	}
	if p.first {
		if at, err = t.begin(ctx, tx, at); err != nil {
			return nil, false, err
		}
	}
	rows, more, err := t.waiting(ctx, tx, p)
	if err != nil {
		return nil, false, err
	}
	waited := len(rows)
	rows, forged, err := honest(ctx, tx, rows)
	if err != nil {
		return nil, false, err
	}
	p.left += waited - len(rows)
	if forged != nil {
		tx.AfterCommit(func() { t.forged.Store(&forged) })
	}
	g, err := readEdge(ctx, tx, at.Size)
	if err != nil {
		return nil, false, err
	}
	if err := place(ctx, tx, g, rows); err != nil {
		return nil, false, err
	}
	at.Size, at.Owner, at.Until = g.size, t.node, store.Micros(tx.Now.Add(t.cfg.Lease))
	if _, err := tx.Exec(ctx, updateTree, at.Size, at.Owner, at.Until, at.LanesAt); err != nil {
		return nil, false, err
	}
	if more {
		return nil, true, nil
	}
	c, err = t.next(ctx, tx, g)
	if err == nil && c == nil {
		err = t.release(ctx, tx, at)
	}
	return c, false, err
}

// next is the checkpoint of the tree as it is, nil if there is one.
func (t *Tree) next(ctx context.Context, tx *store.Tx, g *edge) (*Checkpoint, error) {
	var sealed int64
	if err := tx.Get(ctx, &sealed, selectSealed); err != nil || sealed >= g.size {
		return nil, err
	}
	return &Checkpoint{Origin: t.origin, Size: g.size, Root: g.root(), At: tx.Now.UTC().Truncate(time.Microsecond)}, nil
}

// begin is what a pass does first: it begins with MACs if that is due, repeats what processes without keys have told, and which lanes have moved.
func (t *Tree) begin(ctx context.Context, tx *store.Tx, at treeRow) (treeRow, error) {
	actor := "node:" + t.node
	if keyless(ctx, tx) == nil {
		if at.MACs > 0 {
			if err := BeginMACs(ctx, tx, actor); err != nil {
				return at, err
			}
			if err := tx.Get(ctx, &at, selectTree); err != nil {
				return at, err
			}
		}
		if err := repeat(ctx, tx, actor); err != nil {
			return at, err
		}
	}
	if err := t.holdLanes(ctx, tx, store.FromMicros(at.LanesAt)); err != nil {
		return at, err
	}
	at.LanesAt = store.Micros(tx.Now)
	return at, nil
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

// Size is how many entries have their place.
func Size(ctx context.Context, tx *store.Tx) (int64, error) {
	var at treeRow
	if err := tx.Get(ctx, &at, selectTree); err != nil {
		return 0, fmt.Errorf("read the size of the audit record: %w", err)
	}
	return at.Size, nil
}
