package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// LanesMoved is the action of the entries that hold the head of every lane that has moved, so that what a lane said at that time cannot be
// denied later, nor added to it later. Nobody did it: a list leaves them out unless it asks for them.
const LanesMoved = "lanes.moved"

// lanes is the object of these entries.
const lanes = "lanes"

// Head is the last message of a lane, or one that was amended or voided, as it is since.
type Head struct {
	Link   string `json:"link"`
	Lane   string `json:"lane"`
	Epoch  int64  `json:"epoch"`
	Number int64  `json:"number"`
	Digest string `json:"digest"`
}

const (
	headsAtOnce  = 250              // in one entry
	overlap      = 30 * time.Second // what an append may take from its reading of the clock to its commit, and clocks differ
	firstLanesAt = 24 * time.Hour   // so far the first look goes back
)

// holdLanes writes the heads of the lanes that have moved since the last time as entries of this tree.
func (t *Tree) holdLanes(ctx context.Context, tx *store.Tx, s *stand, since time.Time, before []Mark) error {
	if t.cfg.Lanes == nil {
		return nil
	}
	if since.IsZero() || since.After(tx.Now.Add(overlap)) { // ahead only if somebody has written it, or a clock was put back
		since = tx.Now.Add(-firstLanesAt)
	}
	all, err := t.cfg.Lanes(ctx, tx, since.Add(-overlap))
	if err != nil {
		return fmt.Errorf("read which lanes have moved: %w", err)
	}
	moved, now := all[:0:0], make(map[Head]bool, len(all))
	for _, h := range all {
		if now[h] = true; !t.last[h] {
			moved = append(moved, h)
		}
	}
	for _, m := range before {
		text, err := json.Marshal(m)
		if err == nil {
			err = hold(ctx, tx, "node:"+t.node, text, nil)
		}
		if err != nil {
			return err
		}
	}
	newest, noted, err := t.mark(ctx, tx, s, len(moved) > 0)
	if err == nil {
		err = hold(ctx, tx, "node:"+t.node, noted, moved)
	}
	if err != nil {
		return err
	}
	tx.AfterCommit(func() { t.last, t.noted, t.marked = maps.Clone(now), newest, true })
	return nil
}

// Hold writes down, in the transaction in which they came to be, that lanes have these messages.
func Hold(ctx context.Context, tx *store.Tx, actor string, heads []Head) error {
	return hold(ctx, tx, actor, nil, heads)
}

// hold is Hold, with a Mark in the first entry; where there is one, there is an entry.
func hold(ctx context.Context, tx *store.Tx, actor string, mark []byte, heads []Head) error {
	parts := slices.Collect(slices.Chunk(heads, headsAtOnce))
	if mark != nil && len(parts) == 0 {
		parts = [][]Head{{}}
	}
	for _, part := range parts {
		text, err := json.Marshal(part)
		if err != nil {
			return fmt.Errorf("write which lanes have moved: %w", err)
		}
		if err := Append(ctx, tx, Entry{Actor: actor, Action: LanesMoved, Object: lanes, Before: mark, After: text}); err != nil {
			return err
		}
		mark = nil
	}
	return nil
}

// Heads are what an entry of the action LanesMoved holds. Anything else is an error of kind Integrity.
func (e Entry) Heads() ([]Head, error) {
	var heads []Head
	if err := json.Unmarshal(e.After, &heads); err != nil || e.Action != LanesMoved {
		return nil, &problem.Error{
			Kind: problem.Integrity, What: fmt.Sprintf("read audit entry %d", e.Seq), Why: "it does not hold the heads of lanes", Hint: "have the proof made anew: holdfast msg prove",
		}
	}
	return heads, nil
}

// HeldAt tells whether Hold has written down a head in a transaction of this time, and else whether it has another one of the same message then, as far as the
// plant has written the entries. The error is of kind Integrity if one of those holds no heads, and Unavailable while a key is not at hand without which
// nobody can tell.
func HeldAt(ctx context.Context, tx *store.Tx, h Head, at time.Time) (is, other bool, err error) {
	var rows []row
	err = tx.Select(ctx, &rows, selectEntries+` WHERE object = '`+lanes+`' AND at = ? AND action = ? ORDER BY seq`, store.Micros(at), LanesMoved)
	if err != nil {
		return false, false, fmt.Errorf("read which lanes have moved: %w", err)
	}
	rows, _, away, err := written(ctx, tx, rows)
	if err != nil {
		return false, false, fmt.Errorf("read which lanes have moved: %w", err)
	}
	for _, r := range rows {
		heads, err := r.entry().Heads()
		if err != nil {
			return false, false, err
		}
		if slices.Contains(heads, h) {
			return true, false, nil
		}
		other = other || slices.ContainsFunc(heads, func(o Head) bool {
			return o.Link == h.Link && o.Lane == h.Lane && o.Epoch == h.Epoch && o.Number == h.Number
		})
	}
	return false, other, away
}

// EachMoved calls fn with each entry of the action LanesMoved since then that has its place in the tree, the earliest first.
func EachMoved(ctx context.Context, tx *store.Tx, since time.Time, fn func(e Entry, place int64) error) error {
	for after := int64(0); ; {
		var rows []placed
		err := tx.Select(ctx, &rows, selectMoved, lanes, LanesMoved, store.Micros(since), after)
		if err != nil {
			return fmt.Errorf("read which lanes have moved: %w", err)
		}
		for _, r := range rows {
			if err := fn(r.entry(), r.Leaf); err != nil {
				return err
			}
			after = r.Seq
		}
		if len(rows) < 100 {
			return nil
		}
	}
}

// Held is what some entries of the action LanesMoved hold, as far as the plant has written them.
type Held struct {
	Heads    []Head
	Last     int64   // the last of the entries
	N        int     // how many there are
	Unjudged []int64 // those of them whose key is not at hand: nobody can tell yet whether the plant has written them
}

// HeldAfter is what at most so many entries hold that come after one.
func HeldAfter(ctx context.Context, tx *store.Tx, after int64, limit int) (Held, error) {
	var rows []row
	err := tx.Select(ctx, &rows, selectEntries+` WHERE object = '`+lanes+`' AND action = ? AND seq > ? ORDER BY seq LIMIT ?`, LanesMoved, after, limit)
	if err != nil {
		return Held{}, fmt.Errorf("read which lanes have moved: %w", err)
	}
	return heldBy(ctx, tx, Held{Last: after}, rows)
}

// HeldBy is what entries of these numbers hold.
func HeldBy(ctx context.Context, tx *store.Tx, numbers []int64) (Held, error) {
	if len(numbers) == 0 {
		return Held{}, nil
	}
	query, args, err := tx.In(selectEntries+` WHERE object = '`+lanes+`' AND action = '`+LanesMoved+`' AND seq IN (?) ORDER BY seq`, numbers)
	var rows []row
	if err == nil {
		err = tx.Select(ctx, &rows, query, args...)
	}
	if err != nil {
		return Held{}, fmt.Errorf("read which lanes have moved: %w", err)
	}
	return heldBy(ctx, tx, Held{}, rows)
}

func heldBy(ctx context.Context, tx *store.Tx, h Held, rows []row) (Held, error) {
	macs, err := HasMACs(ctx, tx)
	if err != nil {
		return Held{}, fmt.Errorf("read which lanes have moved: %w", err)
	}
	for _, r := range rows {
		h.Last = r.Seq
		good := !macs
		if macs {
			good, err = r.genuine(ctx, tx)
		}
		if problem.KindOf(err) == problem.Unavailable {
			h.Unjudged = append(h.Unjudged, r.Seq)
			continue
		}
		if err != nil {
			return Held{}, err
		}
		if heads, err := r.entry().Heads(); good && err == nil { // else the plant has not written it
			h.Heads = append(h.Heads, heads...)
		}
	}
	h.N = len(rows)
	return h, nil
}

// HeldSince is after which entry those come that hold heads since a time.
func HeldSince(ctx context.Context, tx *store.Tx, since time.Time) (after int64, err error) {
	err = tx.Get(ctx, &after, `SELECT COALESCE((SELECT seq - 1 FROM audit_entries WHERE object = '`+lanes+`' AND at >= ? ORDER BY at, seq LIMIT 1),
		(SELECT MAX(seq) FROM audit_entries WHERE object = '`+lanes+`'), 0)`, store.Micros(since))
	if err != nil {
		return 0, fmt.Errorf("read which lanes have moved: %w", err)
	}
	return after, nil
}
