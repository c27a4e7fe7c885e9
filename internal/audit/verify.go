package audit

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Wrong is one thing that is not as it was signed.
type Wrong struct {
	Entry int64  `json:"entry,omitempty"` // the number of an entry, 0 if it is about something else
	What  string `json:"what"`

	waits bool // the next checkpoint ends it: a person has revoked the key of the last one
}

// mostWrong is how many are told one by one: a record that was altered as a whole needs no list.
const mostWrong = 100

// Report is what the check of a record has found.
type Report struct {
	Entries         int64     `json:"entries"`       // that have their place in the tree
	Waiting         int64     `json:"waiting"`       // that no checkpoint covers yet, with a place and without
	Checkpoints     int64     `json:"checkpoints"`   // of the database
	Outside         int64     `json:"outside"`       // from outside the database
	Signed          int64     `json:"signed"`        // with a good signature of a node
	Anchored        int64     `json:"anchored"`      // with a good one of Vault's anchor
	Unchecked       int64     `json:"unchecked"`     // with a signature of a key that is not known
	Unsigned        int64     `json:"unsigned"`      // with none, as those of a plant without a keyring
	Revoked         int64     `json:"revoked"`       // with one of a key that was revoked since
	Last            time.Time `json:"last,omitzero"` // of the last checkpoint that somebody vouches for
	Covered         int64     `json:"covered"`       // entries that such a checkpoint covers; of a record whose signatures nobody checks, that any does
	Unauthenticated int64     `json:"without_mac"`   // entries that nothing but checkpoints vouches for: from before entries had MACs, or their key is not at hand
	Root            string    `json:"root"`          // of the tree, hexadecimal
	Wrong           []Wrong   `json:"wrong"`
	More            int64     `json:"more,omitempty"` // that are wrong besides
	// Doubtful are entries that took their place long after the time that they say: no fault of the record, for a clock may have been put back.
	Doubtful []Wrong `json:"doubtful,omitempty"`
}

// Err is nil if nothing is wrong; else a *problem.Error of kind Integrity that tells the first.
func (r Report) Err() error {
	if len(r.Wrong) == 0 {
		return nil
	}
	if len(r.Wrong) == 1 && r.Wrong[0].waits {
		return &problem.Error{
			Kind: problem.Integrity, What: "verify the audit record", Why: r.Wrong[0].What,
			Hint: "wait a minute for the next checkpoint while holdfast serve runs, or start it; then verify again",
		}
	}
	return &problem.Error{
		Kind: problem.Integrity, What: "verify the audit record", Why: r.Wrong[0].What,
		Hint: "somebody has altered it behind Holdfast: keep database and checkpoints as they are, and find out who could write there",
	}
}

// verifier goes through a record once, leaf by leaf, and holds it against every checkpoint that it meets or was given.
type verifier struct {
	origin  string
	by      Signatures
	outside []Checkpoint   // by size; those that are still ahead
	inside  map[int64]bool // sizes of the checkpoints in the database; nil where that is not at hand
	read    edge           // of what the entries say now
	kept    edge           // of the hashes that are kept; the same as read if nothing was altered
	good    int64          // up to here a checkpoint was right
	sealed  int64          // up to here there are checkpoints
	signed  int64          // the size of the last checkpoint with a good signature
	at      time.Time      // of the latest checkpoint that was right
	open    Wrong          // what is wrong if no checkpoint with a good signature follows; empty for nothing
	signers []string       // of the checkpoint that was met last
	revoked error          // why the signature of the checkpoint that was met last counts no more, nil if it was not revoked
	denied  Spans          // places that a checkpoint denies
	report  Report

	mistyped bool       // there are values that may not even be read
	begunAt  int64      // MACs of the checkpoints that were right
	macs     *macs      // judges the MACs of entries; nil where there are none, as in an export
	keyed    bool       // there is a keyring: a MAC whose key is not known to it is not believed
	unproven []unproven // entries whose MACs could not be checked
}

// unproven is an entry whose MAC could not be checked.
type unproven struct {
	place, entry int64
	why          error
}

func newVerifier(origin string, outside []Checkpoint, by Signatures) *verifier {
	outside = slices.Clone(outside)
	slices.SortFunc(outside, func(a, b Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
	return &verifier{origin: origin, by: by, outside: outside, report: Report{Wrong: []Wrong{}, Outside: int64(len(outside))}}
}

func (v *verifier) wrong(entry int64, format string, args ...any) {
	if len(v.report.Wrong) == mostWrong {
		v.report.More++
		return
	}
	v.report.Wrong = append(v.report.Wrong, Wrong{Entry: entry, What: fmt.Sprintf(format, args...)})
}

// latest is how long after its time an entry may take its place: acts take as long as their transaction, and clocks of nodes differ.
const latest = 10 * time.Minute

// leaf takes the next leaf: the entry and the hashes that are kept of it, its own first; those over it are not known everywhere.
func (v *verifier) leaf(p placed, kept []tlog.Hash) {
	h, err := p.entry().hash()
	switch {
	case p.Entry == 0:
		v.wrong(0, "nothing is at place %d of the tree any more", p.Leaf)
	case p.Seq == 0:
		v.wrong(p.Entry, "entry %d was removed (place %d)", p.Entry, p.Leaf)
	case err != nil:
		v.wrong(p.Entry, "entry %d was changed (place %d): it is not text any more", p.Entry, p.Leaf)
	case h != kept[0]:
		v.wrong(p.Entry, "entry %d is not what was sealed (place %d)", p.Entry, p.Leaf)
	}
	told := store.FromMicros(p.At)
	if m, is, err := p.entry().Mark(); err == nil && is {
		v.remembered(p, m)
		if m.At.Before(told) {
			told = m.At // it follows that checkpoint, the latest there was
		}
	}
	if p.Seq != 0 && len(v.report.Doubtful) < mostWrong && v.at.Sub(told) > latest {
		v.report.Doubtful = append(v.report.Doubtful, Wrong{Entry: p.Seq, What: fmt.Sprintf("entry %d (place %d) says that it is of %s, and was not there yet at %s, when a checkpoint covered all that there was",
			p.Seq, p.Leaf, told.UTC().Format(time.RFC3339), v.at.Format(time.RFC3339))})
	}
	if _, err := p.entry().Signed(); err != nil && !v.part() {
		v.wrong(p.Entry, "the signature of entry %d (place %d) is not of what the entry says", p.Entry, p.Leaf)
	}
	if p.Seq == 0 {
		h = kept[0]
	}
	v.begun(p)
	v.read.add(h)
	for i, whole := range v.kept.add(kept[0]) {
		if i > 0 && i < len(kept) && whole != kept[i] {
			v.wrong(0, "a hash of the tree over place %d was changed", p.Leaf)
		}
	}
	v.met()
}

// part tells that only what a checkpoint is about to cover is looked at, for what would make it cover something else than Holdfast wrote.
func (v *verifier) part() bool { return v.macs != nil && v.macs.part }

// mac judges the MAC of an entry. place is that in the tree, or beyond every one for an entry that waits.
func (v *verifier) mac(ctx context.Context, tx *store.Tx, r row, place int64) error {
	if v.macs == nil || r.Seq == 0 || v.part() && v.denied.Has(place) {
		return nil
	}
	where := ""
	if place < beyond {
		where = fmt.Sprintf(" (place %d)", place)
	}
	if r.Chain == 0 {
		v.report.Unauthenticated++
	}
	wrong, forged, err := v.macs.judge(ctx, tx, r)
	if wrong != "" && (forged || !v.part()) { // what is missing was told when this got its place
		v.wrong(r.Seq, "%s%s", wrong, where)
	}
	if err == nil || !keyMissing(err) {
		return err
	}
	v.report.Unauthenticated++
	v.unproven = append(v.unproven, unproven{place, r.Seq, err})
	return nil
}

// beyond is the place of an entry that waits for one.
const beyond = math.MaxInt64

// met holds the tree against the checkpoints from outside that cover it as far as it is now.
func (v *verifier) met() {
	for len(v.outside) > 0 && v.outside[0].Size <= v.read.size {
		c := v.outside[0]
		v.outside = v.outside[1:]
		v.compare(c, "outside the database")
		if v.inside != nil && !v.inside[c.Size] && c.Root == v.read.root() { // it was in the database first
			v.wrong(0, "the checkpoint of %d entries (%s) is outside the database, and was removed from the database", c.Size, c.At.Format(time.RFC3339))
		}
	}
}

// compare holds a checkpoint of the present size against the tree.
func (v *verifier) compare(c Checkpoint, where string) {
	v.sealed = max(v.sealed, c.Size)
	vouched := v.vouched(c, where)
	at := c.At.Format(time.RFC3339)
	switch {
	case c.Origin != v.origin:
		v.wrong(0, "the checkpoint of %d entries %s is of another plant: %s", c.Size, where, c.Origin)
	case c.Size != v.read.size || c.Size < 1:
		v.wrong(0, "the checkpoint of %d entries %s has no place in the tree", c.Size, where)
	case c.Root == v.read.root():
		v.good = max(v.good, c.Size)
		if c.At.After(v.at) {
			v.at = c.At
		}
		if vouched {
			v.covered(c)
			v.begunAt = max(v.begunAt, c.MACs)
			v.deny(c)
		}
	case c.Root == v.kept.root():
		v.wrong(0, "the checkpoint of %d entries %s (%s) is right of the hashes, but not of the entries any more", c.Size, where, at)
	default:
		v.wrong(0, "the checkpoint of %d entries %s (%s) is of another history: places %d to %d are not what they were", c.Size, where, at, v.good, c.Size-1)
	}
}

// deny tells of places that the plant itself says that it does not stand by.
func (v *verifier) deny(c Checkpoint) {
	for _, s := range c.Denied {
		if v.denied.covers(s) {
			continue
		}
		v.denied = append(v.denied, s)
		if s.First == s.Last {
			v.wrong(0, "place %d is none of the plant's: the checkpoint of %d entries denies it", s.First, c.Size)
		} else {
			v.wrong(0, "places %d to %d are not the plant's, or are among such: the checkpoint of %d entries denies them", s.First, s.Last, c.Size)
		}
	}
}

// covered takes it that a checkpoint tells the truth of all that is before it.
func (v *verifier) covered(c Checkpoint) {
	v.report.Covered = max(v.report.Covered, c.Size)
	if c.At.After(v.report.Last) {
		v.report.Last = c.At
	}
}

// vouched tells whether a checkpoint of the present size has a good signature. Whoever can write the database can write a checkpoint without one:
// where there are keys it counts for nothing, and is wrong once the plant did sign. One by a key that was revoked or is not known, or that is
// from before the plant had keys, is believed if one with a good signature follows, which covers the same entries.
func (v *verifier) vouched(c Checkpoint, where string) bool {
	good, lines := v.signatures(c, where)
	switch {
	case v.by == nil:
		return true
	case good:
		v.signed, v.open = c.Size, Wrong{}
	case lines == 0 && v.signed > 0:
		v.wrong(0, "the checkpoint of %d entries %s has no signature, and earlier ones have: nobody with a key of the plant wrote it", c.Size, where)
	case c.Size > v.signed && v.revoked != nil:
		v.open = Wrong{What: fmt.Sprintf("the newest checkpoint, of %d entries %s, has no good signature any more (%v): nothing vouches for what follows the first %d until the next one",
			c.Size, where, v.revoked, v.signed), waits: true}
	case c.Size > v.signed:
		v.open = Wrong{What: fmt.Sprintf("the newest checkpoint, of %d entries %s, has no good signature: nothing vouches for what follows the first %d", c.Size, where, v.signed)}
	}
	return good
}

// signatures counts who vouches for a checkpoint. It tells whether one signature is good, and how many there are.
func (v *verifier) signatures(c Checkpoint, where string) (good bool, lines int) {
	if v.by == nil {
		v.report.Unchecked++
		return false, 0
	}
	signers, wrong, err := c.Check(v.by)
	v.signers = signers
	if err != nil {
		v.wrong(0, "the checkpoint of %d entries %s: %v", c.Size, where, err)
		return false, 1
	}
	for _, who := range signers {
		if who == "anchor" {
			v.report.Anchored++
		} else {
			v.report.Signed++
		}
	}
	v.flaws(c, where, wrong)
	if lines = len(signers) + len(wrong); lines == 0 {
		v.report.Unsigned++
	}
	return len(signers) > 0, lines
}

// flaws counts what is the matter with the signatures of a checkpoint that are not good.
func (v *verifier) flaws(c Checkpoint, where string, wrong []error) {
	unknown := int64(0)
	v.revoked = nil
	for _, err := range wrong {
		switch problem.KindOf(err) {
		case problem.NotFound:
			unknown = 1
		case problem.Denied:
			v.report.Revoked++
			v.revoked = err
		default:
			v.wrong(0, "the checkpoint of %d entries %s: %v", c.Size, where, err)
		}
	}
	v.report.Unchecked += unknown
}

// end tells what is left over.
func (v *verifier) end() Report {
	for _, c := range v.outside {
		v.signatures(c, "outside the database")
		v.wrong(0, "the checkpoint of %d entries outside the database (%s) covers more than there is: the record was cut after place %d",
			c.Size, c.At.Format(time.RFC3339), v.read.size-1)
	}
	if v.open.What != "" {
		v.report.Wrong = append(v.report.Wrong, v.open)
	}
	for _, u := range v.unproven {
		switch {
		case v.keyed && u.place >= v.report.Covered:
			v.wrong(u.entry, "nothing vouches for entry %d: no checkpoint covers it, and its MAC cannot be checked: %v", u.entry, u.why)
		case v.keyed && problem.KindOf(u.why) == problem.NotFound:
			v.wrong(u.entry, "entry %d was changed: its MAC is under a key that the plant never had: %v", u.entry, u.why)
		}
	}
	v.report.Entries = v.read.size
	v.report.Waiting += v.read.size - min(v.read.size, v.sealed)
	root := v.read.root()
	v.report.Root = hex.EncodeToString(root[:])
	return v.report
}

// leavesAtOnce is how many leaves are read at a time.
const leavesAtOnce = 1000

// Verify checks the whole record of the database: every entry, its place, the hashes over it, every checkpoint, and those that were kept
// outside. by checks signatures; nil checks none. The report tells what is wrong; the error is one of the database.
func Verify(ctx context.Context, tx *store.Tx, origin string, outside []Checkpoint, by Signatures) (Report, error) {
	v := newVerifier(origin, outside, by)
	v.macs, v.keyed = newMACs(false), keyless(ctx, tx) == nil
	if err := v.values(ctx, tx); err != nil {
		return Report{}, fmt.Errorf("read the audit record: %w", err)
	}
	err := v.all(ctx, tx)
	if err != nil && (!v.mistyped || ctx.Err() != nil) {
		return Report{}, fmt.Errorf("read the audit record: %w", err)
	}
	return v.end(), nil
}

// all goes through the record from its first place to what waits for one.
func (v *verifier) all(ctx context.Context, tx *store.Tx) error {
	var sizes []int64
	if err := tx.Select(ctx, &sizes, `SELECT size FROM audit_checkpoints`); err != nil {
		return err
	}
	v.inside = make(map[int64]bool, len(sizes))
	for _, size := range sizes {
		v.inside[size] = true
	}
	upto, err := v.extent(ctx, tx)
	for err == nil && v.read.size < upto {
		err = v.page(ctx, tx, min(v.read.size+leavesAtOnce, upto))
	}
	if err == nil {
		err = errors.Join(v.rest(ctx, tx), v.strays(ctx, tx), v.waiting(ctx, tx), v.unsealed(ctx, tx), v.treeRow(ctx, tx))
		v.begunBy()
	}
	return err
}

// extent is how many places are to be looked at.
func (v *verifier) extent(ctx context.Context, tx *store.Tx) (int64, error) {
	var size, leaves, beyond int64
	err := tx.Get(ctx, &size, `SELECT size FROM audit_tree WHERE id = 1`)
	if err = treeGone(err); problem.KindOf(err) == problem.Integrity {
		v.wrong(0, "the row of audit_tree, which tells how far the tree has grown, was removed")
	} else if err != nil {
		return 0, err
	}
	if err := tx.Get(ctx, &leaves, `SELECT COUNT(*) FROM audit_leaves`); err != nil {
		return 0, err
	}
	if err := tx.Get(ctx, &beyond, `SELECT COUNT(*) FROM audit_leaves WHERE leaf >= ? OR leaf < 0`, size); err != nil {
		return 0, err
	}
	var surplus int64
	if err := tx.Get(ctx, &surplus, `SELECT COUNT(*) FROM audit_hashes WHERE pos < 0 OR pos >= ?`, tlog.StoredHashCount(max(size, 0))); err != nil {
		return 0, err
	}
	if surplus > 0 {
		v.wrong(0, "%d hashes stand where the tree has none: they were put in", surplus)
	}
	if leaves != size {
		v.wrong(0, "the tree has %d places, and should have %d", leaves, size)
	}
	if beyond > 0 {
		v.wrong(0, "%d entries have a place that the tree does not have", beyond)
	}
	return min(size, leaves+leavesAtOnce), nil
}

// page checks the leaves up to a place, with the checkpoints between them.
func (v *verifier) page(ctx context.Context, tx *store.Tx, to int64) error {
	from := v.read.size
	var leaves []placed
	if err := tx.Select(ctx, &leaves, selectPlaced, from, to); err != nil {
		return err
	}
	hashes, err := hashesOf(ctx, tx, from, to)
	if err != nil {
		return err
	}
	var rows []checkpointRow
	if err := tx.Select(ctx, &rows, selectCheckpoints+` WHERE size > ? AND size <= ? ORDER BY size`, from, to); err != nil {
		return err
	}
	for n := from; n < to; n++ {
		at := placed{Leaf: n}
		if len(leaves) > 0 && leaves[0].Leaf == n {
			at, leaves = leaves[0], leaves[1:]
		}
		kept := hashes[n-from]
		if len(kept) == 0 {
			v.wrong(at.Entry, "the hash of entry %d (place %d) is gone, or has another length", at.Entry, n)
			h, _ := at.entry().hash()
			kept = []tlog.Hash{h}
		}
		v.leaf(at, kept)
		if err := v.mac(ctx, tx, at.row, n); err != nil {
			return err
		}
		for len(rows) > 0 && rows[0].Size <= v.read.size && !v.part() {
			v.checkpoint(rows[0])
			rows = rows[1:]
		}
	}
	return nil
}

// checkpoint checks one of the database.
func (v *verifier) checkpoint(r checkpointRow) {
	v.report.Checkpoints++
	c, err := ParseCheckpoint(r.Note)
	if err != nil || c.Size != r.Size || store.Micros(c.At) != r.At {
		v.wrong(0, "the checkpoint of %d entries in the database was changed", r.Size)
		return
	}
	v.signers = nil
	v.compare(c, "in the database")
	v.madeBy(r)
}

// rest tells of checkpoints for which there are no entries (any more).
func (v *verifier) rest(ctx context.Context, tx *store.Tx) error {
	var rows []checkpointRow
	if err := tx.Select(ctx, &rows, selectCheckpoints+` WHERE size > ? OR size < 1 ORDER BY size LIMIT ?`, v.read.size, mostWrong+1); err != nil {
		return err
	}
	for _, r := range rows {
		v.report.Checkpoints++
		v.wrong(0, "the checkpoint of %d entries in the database covers more than there is: the record was cut after place %d", r.Size, v.read.size-1)
	}
	return nil
}

// waiting judges the entries that wait for a place, and where the chains end.
func (v *verifier) waiting(ctx context.Context, tx *store.Tx) error {
	for after, more := int64(0), true; more; {
		var rows []row
		if err := tx.Select(ctx, &rows, selectPending, after, leavesAtOnce); err != nil {
			return err
		}
		for _, r := range rows {
			after = r.Seq
			if err := v.mac(ctx, tx, r, beyond); err != nil {
				return err
			}
		}
		more = len(rows) == leavesAtOnce
	}
	wrong, err := v.macs.heads(ctx, tx)
	for _, w := range wrong {
		v.wrong(0, "%s", w)
	}
	return err
}

// strays tells of entries that have no place and wait for none, and of those that waited and are gone.
func (v *verifier) strays(ctx context.Context, tx *store.Tx) error {
	var strays, gone, placed []int64
	if err := tx.Get(ctx, &v.report.Waiting, `SELECT COUNT(*) FROM audit_pending`); err != nil {
		return err
	}
	err := tx.Select(ctx, &strays, `SELECT seq FROM audit_entries WHERE NOT EXISTS (SELECT 1 FROM audit_leaves WHERE entry = seq)
		AND NOT EXISTS (SELECT 1 FROM audit_pending WHERE entry = seq) ORDER BY seq LIMIT ?`, mostWrong+1)
	if err != nil {
		return err
	}
	for _, seq := range strays {
		v.wrong(seq, "entry %d has no place in the tree and waits for none: it was put in, or its place was removed", seq)
	}
	err = tx.Select(ctx, &gone, `SELECT entry FROM audit_pending WHERE NOT EXISTS (SELECT 1 FROM audit_entries WHERE seq = entry)
		ORDER BY entry LIMIT ?`, mostWrong+1)
	if err != nil {
		return err
	}
	for _, seq := range gone {
		v.wrong(seq, "entry %d was removed before a checkpoint covered it", seq)
	}
	err = tx.Select(ctx, &placed, `SELECT entry FROM audit_pending WHERE EXISTS (SELECT 1 FROM audit_leaves WHERE audit_leaves.entry = audit_pending.entry)
		ORDER BY entry LIMIT ?`, mostWrong+1)
	for _, seq := range placed {
		v.wrong(seq, "entry %d has its place in the tree, and was put among those that wait for one", seq)
	}
	return err
}
