package audit

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
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
	// Check gives what checks such signatures, of a plant that has keys; default none. Without it the tree believes what the database has.
	Check func(ctx context.Context) (*seal.Notes, error)

	// Prepare is called before receipts may begin to have MACs, outside of every transaction: what it does lasts by itself; default nothing.
	Prepare func(ctx context.Context) error
	// Receipts is what BeginReceipts calls; default: receipts have no MACs.
	Receipts func(ctx context.Context, tx *store.Tx) (bool, error)

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
	building     atomic.Pointer[trouble] // why there is no checkpoint; nil: there is one
	copying      atomic.Pointer[trouble] // why it is not outside; nil: it is
	known        atomic.Pointer[known]   // what checks signatures, as it was asked last
	ahead        atomic.Int64            // the time of a checkpoint that has not come yet; 0: there is none
	left         atomic.Int64            // how many entries the last pass has left without a place: they are no news
	forged       atomic.Pointer[error]   // why, or what is nobody's among the checkpoints, by the last pass

	last         map[Head]bool // what the round before held of lanes
	askedUnbegun time.Time     // when it was asked whether receipts may begin to have MACs, and they may not
	begunBefore  error         // what was said then

	marked   bool            // the record remembers checkpoints
	noted    int64           // the size of the checkpoint that an entry has remembered last
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

// round seals what is due and writes what is sealed outside. What it told of a checkpoint that could not be made stands until one could.
func (t *Tree) round(ctx context.Context, copies *copies) {
	due, err := t.due(ctx)
	told := t.building.Load() != nil
	if err == nil && due {
		_, err = t.Seal(ctx)
		told = false
	}
	due = due || err != nil
	if err = t.orForged(err); due || err != nil && !told {
		t.tell(ctx, "build", err)
	}
	if copies != nil {
		t.tell(ctx, "copy", copies.catchUp(ctx, t.db, t.record))
	}
}

// orForged is err, or what the last pass has found.
func (t *Tree) orForged(err error) error {
	if wrong := t.forged.Load(); err == nil && wrong != nil {
		return *wrong
	}
	return err
}

// trouble is why this node cannot go on with the record, or with its copy outside, and since when.
type trouble struct {
	why   error
	since time.Time
}

// patience is for how long it may be that no checkpoint can be made, and for how long an entry waits for its key.
const patience = 10 * time.Minute

// Trouble is why this node cannot go on with the record now, or with its copy outside; nil if it can.
func (t *Tree) Trouble() error {
	for _, is := range []*trouble{t.building.Load(), t.copying.Load()} {
		if is != nil {
			return is.why
		}
	}
	return nil
}

// Gap is why somebody must look at the record: it was altered, or this node has not been able to make a checkpoint of it for some minutes; "" if nobody must.
func (t *Tree) Gap() string {
	for _, is := range []*trouble{t.building.Load(), t.copying.Load()} {
		if is != nil && problem.KindOf(is.why) == problem.Integrity {
			return is.why.Error()
		}
	}
	if is := t.building.Load(); is != nil && t.db.Now().Sub(is.since) >= patience {
		return fmt.Sprintf("no checkpoint could be made since %s: %v", is.since.UTC().Format(time.RFC3339), is.why)
	}
	return ""
}

// tell logs and counts what went wrong: build is the making of checkpoints, copy their writing outside the database.
func (t *Tree) tell(ctx context.Context, what string, err error) {
	if ctx.Err() != nil && err != nil {
		return
	}
	t.figures.trouble(what, err)
	kept := &t.building
	if what == "copy" {
		kept = &t.copying
	}
	if was := kept.Load(); err == nil {
		kept.Store(nil)
	} else if was == nil {
		kept.Store(&trouble{err, t.db.Now()})
	} else {
		kept.Store(&trouble{err, was.since})
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
	left := t.left.Load()
	err := t.db.View(ctx, func(tx *store.Tx) error {
		now = tx.Now
		if err := tx.Get(ctx, &waiting, `SELECT COUNT(*) FROM (SELECT 1 FROM audit_pending LIMIT ?) AS waiting`, int64(t.cfg.Most)+left); err != nil {
			return err
		}
		return treeGone(tx.Get(ctx, &placed, `SELECT size - (`+selectSealed+`) FROM audit_tree WHERE id = 1`))
	})
	if err != nil {
		return false, fmt.Errorf("look at what waits for a checkpoint: %w", err)
	}
	waiting = max(0, waiting-left)
	t.figures.waiting(waiting + placed)
	since := now.Sub(t.sealed)
	return t.ending || waiting >= int64(t.cfg.Most) || since >= t.cfg.Every || since < 0, nil
}

// known is what checks signatures, and when it was asked for.
type known struct {
	by *seal.Notes
	at time.Time
}

// signers is what checks the signatures under checkpoints, as it was no longer ago than age; nil of a plant without keys.
func (t *Tree) signers(ctx context.Context, age time.Duration) (*seal.Notes, error) {
	if t.cfg.Check == nil {
		return nil, nil //nolint:nilnil // there are none to check
	}
	now := t.db.Now()
	if k := t.known.Load(); k != nil && now.Sub(k.at) < age && !now.Before(k.at) {
		return k.by, nil
	}
	by, err := t.cfg.Check(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask whose signatures under checkpoints count: %w", err)
	}
	t.known.Store(&known{by, now})
	return by, nil
}

// Ahead is until when a checkpoint of the record has a time that has not come: the clock of the node that made it was ahead. Zero if there is none.
func (t *Tree) Ahead() time.Time {
	if at := t.ahead.Load(); at != 0 {
		return store.FromMicros(at)
	}
	return time.Time{}
}

// atOnce is how many entries one transaction gives their places: it is soon over, and few find SQLite's writer busy.
const atOnce = 2000

// pass is one way through all that waits.
type pass struct {
	by     *seal.Notes
	before []Mark // what the record is to remember of when it remembered nothing
	first  bool
	after  int64          // entries up to this number were looked at
	wrong  []string       // what was found
	left   int            // how many got no place
	later  error          // why some wait on that may be good
	stuck  map[int64]bool // chains of which one does: what follows it in them would be placed before it

	vouched map[int64]int64 // of chains, up to which link entries are what Holdfast wrote by a later one
	unbegun bool            // receipts may begin to have MACs
	forged  error           // what remembers a checkpoint that there was not, or is nobody's among the checkpoints
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
	denied, err := t.review(ctx, p.by, c)
	if err == nil {
		err = t.sign(ctx, c)
	} else if keyMissing(err) {
		err = errors.Join(err, t.yield(ctx))
	}
	if err != nil {
		return nil, err
	}
	kept := false
	err = t.db.InTx(ctx, func(tx *store.Tx) (err error) {
		if kept, err = t.keep(ctx, tx, *c); err == nil && kept && len(denied) > 0 {
			err = t.record(ctx, tx, fmt.Sprintf("what is at places %v of the tree is not what Holdfast wrote, or remembers a checkpoint that there was not", Spans(nil).with(denied)))
		}
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

// Forged is the action of the entries that tell that somebody has altered the record behind Holdfast.
const Forged = "audit.forged"

// record writes down, once, that the record is not what it was.
func (t *Tree) record(ctx context.Context, tx *store.Tx, why string) error {
	tx.AfterCommit(func() {
		t.figures.altered()
		t.log.ErrorContext(ctx, "ALARM: the audit record is not what it was", "part", "audit", "what", why)
	})
	return Append(ctx, tx, Entry{Actor: "node:" + t.node, Action: Forged, Object: record, Reason: why})
}

// placeAll gives all that waits its place.
func (t *Tree) placeAll(ctx context.Context) (c *Checkpoint, p pass, err error) {
	p.first = true
	if p.by, err = t.signers(ctx, 0); err == nil {
		p.before, err = t.unmarked(ctx, p.by)
	}
	if err == nil {
		err = t.unbegun(ctx, &p)
	}
	if err != nil {
		return nil, p, err
	}
	c, err = t.through(ctx, &p)
	return c, p, err
}

// through is one pass.
func (t *Tree) through(ctx context.Context, p *pass) (c *Checkpoint, err error) {
	for more := true; more; p.first = false {
		next := *p
		err = t.db.InTx(ctx, func(tx *store.Tx) (err error) {
			next = *p // it may run again
			c, more, err = t.grow(ctx, tx, &next)
			return err
		})
		if *p = next; err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Place gives every entry that waits its place, and leaves the checkpoint to Seal: for who hands entries on and must not wait for one. Where
// another node has the lease it does nothing: that node does it.
func (t *Tree) Place(ctx context.Context) error {
	var waits int64
	left := t.left.Load()
	err := t.db.View(ctx, func(tx *store.Tx) error {
		return tx.Get(ctx, &waits, `SELECT COUNT(*) FROM (SELECT 1 FROM audit_pending LIMIT ?) AS waiting`, left+1)
	})
	if err == nil && waits > left {
		var p pass
		if p.by, err = t.signers(ctx, t.cfg.Every); err == nil {
			_, err = t.through(ctx, &p)
		}
	}
	if err != nil {
		return fmt.Errorf("give entries of the audit record their places: %w", err)
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

// Unplaced is one page of the entries that wait for a place, by their numbers, those after one: for who must go on while the record stands. No key has
// vouched for them yet, and one with a smaller number may come to be later.
func Unplaced(ctx context.Context, tx *store.Tx, after int64, limit int) ([]Entry, error) {
	var rows []row
	if err := tx.Select(ctx, &rows, selectPending, after, limit); err != nil {
		return nil, fmt.Errorf("read entries of the audit record that wait for their places: %w", err)
	}
	all := make([]Entry, len(rows))
	for i, r := range rows {
		all[i] = r.entry()
	}
	return all, nil
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
	return giveUp(ctx, tx, at)
}

func giveUp(ctx context.Context, tx *store.Tx, at treeRow) error {
	at.Until = store.Micros(tx.Now)
	return at.write(ctx, tx)
}

// yield gives up the lease of a node that has not the key of an entry, for another one that may have it.
func (t *Tree) yield(ctx context.Context) error {
	return t.db.InTx(ctx, func(tx *store.Tx) error {
		var at treeRow
		if err := tx.Get(ctx, &at, selectTree+tx.ForUpdate()); err != nil || at.Owner != t.node {
			return err
		}
		return giveUp(ctx, tx, at)
	})
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

// Size is how many entries have their place.
func Size(ctx context.Context, tx *store.Tx) (int64, error) {
	var at treeRow
	if err := tx.Get(ctx, &at, selectTree); err != nil {
		return 0, fmt.Errorf("read the size of the audit record: %w", err)
	}
	return at.Size, nil
}

// Tip is how many entries have their place in the tree, and its root in hexadecimal, by the hashes that are kept of it: where nothing is wrong Verify, which
// computes it anew of every entry, comes to the same.
func Tip(ctx context.Context, tx *store.Tx) (entries int64, root string, err error) {
	if entries, err = Size(ctx, tx); err != nil {
		return 0, "", err
	}
	e, err := readEdge(ctx, tx, entries)
	if err != nil {
		return 0, "", fmt.Errorf("read the edge of the audit record: %w", err)
	}
	h := e.root()
	return entries, hex.EncodeToString(h[:]), nil
}
