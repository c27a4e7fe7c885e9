package prove

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Voucher finds in the audit record what vouches for messages that were signed by keys that count no more.
type Voucher struct {
	lanes map[audit.Head]*wanted // by link, lane and epoch
	since time.Time              // of the earliest signature
	until time.Time              // up to when a voucher is good for any of them
}

// wanted are the messages of a lane that need a voucher.
type wanted struct {
	events []need          // originals; what follows them vouches for them
	others map[string]need // amendments and voids, by digest: they alone vouch for themselves
	best   candidate       // for the first of events
	lost   []int64         // of events, those that nothing vouches for
}

// need is a message that was signed by a key that counted until then.
type need struct {
	number int64
	until  time.Time
}

// candidate is an entry of the audit record that holds a lane's head, with the one that remembers the first checkpoint over it.
type candidate struct{ entry, mark, number int64 }

// moved is an entry of the audit record that holds heads of lanes that are wanted.
type moved struct {
	entry, place int64
	heads        []audit.Head
}

// Want adds a message that was signed by a key whose word was enough until then.
func (v *Voucher) Want(m message.Message, until time.Time) {
	if v.lanes == nil {
		v.lanes = map[audit.Head]*wanted{}
	}
	lane := audit.Head{Link: m.Link, Lane: m.Lane, Epoch: m.Epoch}
	w := v.lanes[lane]
	if w == nil {
		w = &wanted{others: map[string]need{}}
		v.lanes[lane] = w
	}
	n := need{m.Number, until}
	if m.Role == message.Event {
		w.events = append(w.events, n)
	} else {
		w.others[m.Digest()] = n
	}
	v.since = earlier(v.since, m.Origin.At)
	if until.After(v.until) {
		v.until = until
	}
}

// Write writes a proof, a line each, of every entry that is needed. What nothing vouches for is left out: who reads it refuses it.
func (v *Voucher) Write(ctx context.Context, tx *store.Tx, to io.Writer) error {
	chosen, err := v.find(ctx, tx)
	if err != nil {
		return err
	}
	return writeProofs(ctx, tx, to, slices.Sorted(maps.Keys(chosen)))
}

// Unvouched are the messages that nothing vouches for, by link and lane in the order of their numbers: of what Write writes nobody believes them. It is
// asked once, instead of Write.
func (v *Voucher) Unvouched(ctx context.Context, tx *store.Tx) (map[[2]string][]int64, error) {
	if _, err := v.find(ctx, tx); err != nil {
		return nil, err
	}
	all := map[[2]string][]int64{}
	for lane, w := range v.lanes {
		numbers := w.lost
		for _, n := range w.others {
			numbers = append(numbers, n.number)
		}
		if len(numbers) > 0 {
			at := [2]string{lane.Link, lane.Lane}
			all[at] = append(all[at], numbers...)
			slices.Sort(all[at])
			all[at] = slices.Compact(all[at])
		}
	}
	return all, nil
}

// errFound ends the way through the record, since nothing later can vouch.
var errFound = errors.New("all is found")

// find chooses the entries that are needed.
func (v *Voucher) find(ctx context.Context, tx *store.Tx) (chosen map[int64]bool, err error) {
	chosen = map[int64]bool{}
	if len(v.lanes) == 0 {
		return chosen, nil
	}
	for _, w := range v.lanes {
		w.sort()
	}
	newest, err := audit.Newest(ctx, tx)
	if err != nil && problem.KindOf(err) != problem.NotFound {
		return nil, err
	}
	var open []moved // that no checkpoint covers which the record remembers
	var latest time.Time
	err = audit.EachMoved(ctx, tx, v.since.Add(-time.Hour), func(e audit.Entry, place int64) error {
		if newest.Denied.Has(place) {
			return nil // it is not the plant's
		}
		m, is, err := e.Mark()
		if err != nil {
			return err
		}
		if is {
			if m.At.After(latest) { // no checkpoint is earlier than those before it, whatever it says
				latest = m.At
			}
			if latest.After(v.until) {
				return errFound
			}
			open = v.cover(open, audit.Mark{Size: m.Size, At: latest}, e.Seq, chosen)
		}
		heads, err := e.Heads()
		if err == nil && slices.ContainsFunc(heads, v.wants) {
			open = append(open, moved{e.Seq, place, heads})
		}
		return err
	})
	if err != nil && !errors.Is(err, errFound) {
		return nil, err
	}
	for _, w := range v.lanes {
		w.choose(chosen)
		for _, n := range w.events {
			w.lost = append(w.lost, n.number)
		}
		w.events = nil
	}
	return chosen, nil
}

// laneOf is under which lanes are kept.
func laneOf(h audit.Head) audit.Head { return audit.Head{Link: h.Link, Lane: h.Lane, Epoch: h.Epoch} }

func (v *Voucher) wants(h audit.Head) bool { return v.lanes[laneOf(h)] != nil }

// cover takes the heads of entries that a checkpoint covers, which an entry remembers; the others are given back.
func (v *Voucher) cover(open []moved, m audit.Mark, mark int64, chosen map[int64]bool) (still []moved) {
	for _, o := range open {
		if o.place >= m.Size {
			still = append(still, o)
			continue
		}
		for _, h := range o.heads {
			if w := v.lanes[laneOf(h)]; w != nil {
				w.take(m.At, candidate{o.entry, mark, h.Number}, h, chosen)
			}
		}
	}
	return still
}

// sort puts the messages in the order of their numbers. A voucher for one must be good for those behind it too: that of the first that is
// older than the first end of a key among them is.
func (w *wanted) sort() {
	slices.SortFunc(w.events, func(a, b need) int { return cmp.Compare(a.number, b.number) })
	for i := len(w.events) - 2; i >= 0; i-- {
		w.events[i].until = earlier(w.events[i].until, w.events[i+1].until)
	}
}

// take looks at a head of the lane that a checkpoint covers since then; they come in the order of these times.
func (w *wanted) take(since time.Time, c candidate, h audit.Head, chosen map[int64]bool) {
	if n, ok := w.others[h.Digest]; ok && n.number == h.Number && !since.After(n.until) {
		chosen[c.entry], chosen[c.mark] = true, true
		delete(w.others, h.Digest)
	}
	for len(w.events) > 0 && since.After(w.events[0].until) {
		if !w.choose(chosen) {
			w.lost = append(w.lost, w.events[0].number)
			w.events = w.events[1:]
		}
	}
	if len(w.events) > 0 && h.Number >= w.events[0].number {
		w.best = c
	}
}

// choose takes the best entry so far, if there is one, for all messages up to its number.
func (w *wanted) choose(chosen map[int64]bool) bool {
	if w.best.entry == 0 {
		return false
	}
	chosen[w.best.entry], chosen[w.best.mark] = true, true
	for len(w.events) > 0 && w.events[0].number <= w.best.number {
		w.events = w.events[1:]
	}
	w.best = candidate{}
	return true
}

// writeProofs writes proofs that entries are in the record as it is now.
func writeProofs(ctx context.Context, tx *store.Tx, to io.Writer, entries []int64) error {
	for _, seq := range entries {
		proof, err := audit.ProveNow(ctx, tx, seq)
		if problem.KindOf(err) == problem.Conflict { // no checkpoint covers it yet
			continue
		}
		if err != nil {
			return err
		}
		line, err := json.Marshal(proof)
		if err != nil {
			return err
		}
		if _, err := to.Write(append(line, '\n')); err != nil {
			return errors.Join(errors.New("write a proof of the audit record"), err)
		}
	}
	return nil
}
