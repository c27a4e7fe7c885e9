package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// stand is what the plant can rely on of its own record at one moment, whoever can write the database: what somebody signed whose key counts now.
type stand struct {
	origin string
	by     *seal.Notes // nil: a plant without keys, which has nothing but what is there
	now    time.Time
	base   Checkpoint // the newest that counts; none: of size 0
	last   Checkpoint // base; after a standstill for so long that nobody's word is enough any more, the newest whose signer's was at its time
	latest time.Time  // the latest time of a checkpoint of the plant up to base: it is ahead of now where a clock was
	wrong  error      // a row among the checkpoints that is none of the plant's

	began    bool   // entries have MACs from here on
	macs     *macs  // judges them
	intruder string // what is wrong with a checkpoint after base
}

// standing is the stand of the record. The error is of kind Integrity where entries are gone that such a checkpoint covers.
func (t *Tree) standing(ctx context.Context, tx *store.Tx, by *seal.Notes) (*stand, error) {
	s := &stand{origin: t.origin, by: by, now: tx.Now}
	size, err := Size(ctx, tx)
	if err != nil {
		return nil, err
	}
	var after []checkpointRow
	err = eachCheckpoint(ctx, tx, func(r checkpointRow) bool {
		c, err := ParseCheckpoint(r.Note)
		if err == nil && c.Size == r.Size && s.counts(c) && (by != nil || c.Size <= size) {
			s.base, s.last = c, c
			return false
		}
		if s.last.Size == 0 && err == nil && c.Size == r.Size && c.Size <= size && s.signed(c) {
			s.last = c
		}
		if len(after) < mostDenied {
			after = append(after, r)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	if by != nil && s.base.Size > 0 {
		s.intruders(after)
	}
	if s.base.Size > size {
		return nil, &problem.Error{
			Kind: problem.Integrity, What: "go on with the audit record", Why: fmt.Sprintf("it has %d entries, and the plant has signed %d", size, s.base.Size),
			Hint: "ALARM: its end was cut off: holdfast audit verify; put back a backup if nothing else explains it",
		}
	}
	s.latest, err = s.limit(ctx, tx, s.base.Size, true)
	return s, err
}

// intruders tells of checkpoints after base that the plant has not made when they say: none at all, without a signature, or by a key whose time is over
// with a time before that of base. One by a key that was revoked since, or that is not known yet, may be the plant's.
func (s *stand) intruders(after []checkpointRow) {
	for _, r := range after {
		c, err := ParseCheckpoint(r.Note)
		unsigned := err == nil && strings.HasSuffix(c.Note, "\n\n")
		if err != nil || c.Size != r.Size || unsigned || s.signed(c) && s.base.At.Sub(c.At) > clocksDiffer {
			s.intruder = fmt.Sprintf("the database has a checkpoint of %d entries that the plant has not made when it says: its last one is of %d, of %s",
				r.Size, s.base.Size, s.base.At.Format(time.RFC3339))
			return
		}
	}
}

// eachCheckpoint goes through the checkpoints by size, from the largest down, until fn wants no more.
func eachCheckpoint(ctx context.Context, tx *store.Tx, fn func(r checkpointRow) (more bool)) error {
	const atOnce = 100
	for before, limit := int64(1<<62), 1; ; limit = atOnce { // the first one is nearly always enough
		var rows []checkpointRow
		if err := tx.Select(ctx, &rows, selectCheckpoints+` WHERE size < ? ORDER BY size DESC LIMIT ?`, before, limit); err != nil {
			return fmt.Errorf("read the checkpoints of the audit record: %w", err)
		}
		for _, r := range rows {
			if before = r.Size; !fn(r) {
				return nil
			}
		}
		if len(rows) < limit {
			return nil
		}
	}
}

// counts tells whether somebody has signed a checkpoint whose word is enough now.
func (s *stand) counts(c Checkpoint) bool {
	if s.by == nil {
		return true
	}
	signers, _, err := c.Check(s.by.At(s.now))
	return err == nil && len(signers) > 0 && c.Origin == s.origin
}

// limit is the latest time of the checkpoints up to a size that somebody has signed whose key counted at that time; zero if there is none. The column
// is there to be quick: what it says counts only if the note says it too. told has a row that is nobody's kept as what is wrong.
func (s *stand) limit(ctx context.Context, tx *store.Tx, size int64, told bool) (time.Time, error) {
	for skip := 0; ; {
		var rows []checkpointRow
		err := tx.Select(ctx, &rows, selectCheckpoints+` WHERE size <= ? ORDER BY at DESC, size DESC LIMIT 20 OFFSET ?`, size, skip)
		if err != nil {
			return time.Time{}, fmt.Errorf("read the checkpoints of the audit record: %w", err)
		}
		for _, r := range rows {
			c, err := ParseCheckpoint(r.Note)
			honest := err == nil && c.Size == r.Size && store.Micros(c.At) == r.At
			if honest && s.signed(c) {
				return c.At, nil
			}
			if told && (!honest || r.At > store.Micros(s.now)) {
				s.wrong = forgery(fmt.Sprintf("go on with the audit record after the checkpoint of %d entries that is in the database", r.Size))
			}
		}
		if skip += len(rows); len(rows) < 20 {
			return time.Time{}, nil
		}
	}
}

// signed tells whether somebody has signed a checkpoint whose key counted at the time that it says.
func (s *stand) signed(c Checkpoint) bool {
	if s.by == nil {
		return true
	}
	signers, _, err := c.Check(s.by)
	return err == nil && len(signers) > 0 && c.Origin == s.origin
}

// mark is a checkpoint as the record is to remember it. It is not earlier than those before it: where a clock was ahead, it is remembered as later than
// it was, and not as earlier.
func (s *stand) mark(ctx context.Context, tx *store.Tx, c Checkpoint) (Mark, error) {
	at, err := s.limit(ctx, tx, c.Size, false)
	if c.At.After(at) {
		at = c.At
	}
	return Mark{c.Size, c.Root, at}, err
}

// honest tells whether a mark is one that the plant has made. Checkpoints come to be in the order of their sizes, so that the answer is the same
// whenever it is asked: what the plant has written once keeps its place, also where its clock was ahead and was set right.
func (s *stand) honest(ctx context.Context, tx *store.Tx, m Mark) (bool, error) {
	var rows []checkpointRow
	if err := tx.Select(ctx, &rows, selectCheckpoints+` WHERE size = ?`, m.Size); err != nil {
		return false, fmt.Errorf("read a checkpoint of the audit record: %w", err)
	}
	if len(rows) == 0 {
		return false, nil
	}
	c, err := ParseCheckpoint(rows[0].Note)
	if err != nil || c.Size != m.Size || c.Root != m.Root || m.Size < s.base.Size && !s.counts(c) {
		return false, nil //nolint:nilerr // what is no checkpoint is not the plant's
	}
	want, err := s.mark(ctx, tx, c)
	return err == nil && want.At.Equal(m.At), err
}

// forgery is what a checkpoint, or what remembers one, is that the plant has not made.
func forgery(what string) error {
	return &problem.Error{
		Kind: problem.Integrity, What: what, Why: "it was not made when it says",
		Hint: "ALARM: somebody has written it into the database, to have something vouched for as older than it is: find out who can, and what keys they have",
	}
}

// mostDenied is how many spans of places a checkpoint denies at most: its text goes out with every proof.
const mostDenied = 100

// review looks at all that a checkpoint is to cover since the last one that counts, before the plant signs it. An entry that was given its place by SQL, as
// it has no MAC that the plant has made or, without one, remembers a checkpoint that there was not, cannot be taken out again: it gets into the text that is signed, so that
// nobody believes it. An error of kind Integrity tells that what Holdfast wrote was altered, so that there is nothing that it could sign: that is never denied.
func (t *Tree) review(ctx context.Context, by *seal.Notes, c *Checkpoint) (denied []int64, err error) {
	var s *stand
	err = t.db.View(ctx, func(tx *store.Tx) (err error) {
		if s, err = t.standing(ctx, tx, by); err == nil {
			err = tx.Get(ctx, &s.began, selectBegan, record, MACsBegin, s.base.Size)
		}
		return err
	})
	if err != nil || s.base.Size >= c.Size { // another node was first
		return nil, err
	}
	s.macs = newMACs(s.began)
	s.macs.part = true
	for from := s.base.Size; from < c.Size && by != nil; from += leavesAtOnce {
		err := t.db.View(ctx, func(tx *store.Tx) error {
			some, err := s.page(ctx, tx, from, min(from+leavesAtOnce, c.Size))
			denied = append(denied, some...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if err := t.unbroken(ctx, s.base.Size, c.Size, denied); err != nil {
		return nil, err
	}
	if c.MACs = s.base.MACs; c.MACs == 0 && by != nil {
		if err := t.db.View(ctx, func(tx *store.Tx) (err error) { c.MACs, err = macsFrom(ctx, tx, c.Size); return err }); err != nil {
			return nil, err
		}
	}
	c.Denied = s.base.Denied.with(denied)
	return denied, t.recheck(ctx, *c, s.last)
}

// page tells which leaves up to a place the plant does not stand by.
func (s *stand) page(ctx context.Context, tx *store.Tx, from, to int64) (denied []int64, err error) {
	var leaves []placed
	if err := tx.Select(ctx, &leaves, selectPlaced, from, to); err != nil {
		return nil, fmt.Errorf("read entries of the audit record: %w", err)
	}
	for _, p := range leaves {
		good, err := s.good(ctx, tx, p)
		if err != nil {
			return nil, err
		}
		if !good {
			denied = append(denied, p.Leaf)
		}
	}
	return denied, nil
}

// good tells whether a leaf may be the plant's: it has a MAC, by a key of the plant's, or is from before there were any, and what it remembers is so. A key
// that is not at hand is waited for: recheck tells of it.
func (s *stand) good(ctx context.Context, tx *store.Tx, p placed) (bool, error) {
	e, has := p.entry(), p.Chain > 0 && len(p.MAC) > 0
	if s.began && !has {
		return false, nil
	}
	if has {
		_, forged, err := s.macs.judge(ctx, tx, p.row)
		if forged || problem.KindOf(err) == problem.NotFound {
			return false, nil
		}
		if err != nil && !keyMissing(err) {
			return false, err
		}
		s.began = s.began || e.Object == record && e.Action == MACsBegin
		return true, nil // what it remembers is the plant's word too, whatever became of the checkpoint in the database
	}
	m, remembers, err := e.Mark()
	if err != nil || !remembers {
		return err == nil, nil //nolint:nilerr // what remembers no checkpoint that there could be is not the plant's
	}
	return s.honest(ctx, tx, m)
}

// unmarked are the checkpoints that a record is to remember which remembers none, as one of a release that did not: of each hour the last that counts
// now. Nobody but the plant can have made these, since their signers' word is still enough, or Vault's anchor has signed them too.
func (t *Tree) unmarked(ctx context.Context, by *seal.Notes) (all []Mark, err error) {
	if t.marked || by == nil || t.cfg.Lanes == nil {
		return nil, nil
	}
	err = t.db.View(ctx, func(tx *store.Tx) error {
		var seen []int64
		if err := tx.Select(ctx, &seen, selectMarked, lanes, LanesMoved); err != nil || len(seen) > 0 {
			return err
		}
		s, err := t.standing(ctx, tx, by)
		if err != nil {
			return err
		}
		var some []Checkpoint
		var asked time.Time // of the one that was asked for last, which is dear
		err = eachCheckpoint(ctx, tx, func(r checkpointRow) bool {
			c, err := ParseCheckpoint(r.Note)
			last := len(some) - 1
			if err != nil || c.Size >= s.base.Size || asked.Sub(c.At).Abs() < 10*time.Minute || last >= 0 && some[last].At.Sub(c.At) < time.Hour {
				return true
			}
			if asked = c.At; s.counts(c) {
				some = append(some, c)
			}
			return true
		})
		for _, c := range slices.Backward(some) {
			m, merr := s.mark(ctx, tx, c)
			if merr != nil {
				return merr
			}
			all = append(all, m)
		}
		return err
	})
	return all, err
}
