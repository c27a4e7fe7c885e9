package prove

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
)

// late is a message that was signed by a key that counts no more.
type late struct {
	at     place
	digest string
	event  bool // it is the original: what follows it in its lane names its digest
	word   seal.Word
}

// head is what the audit record held of a lane, and at which place in its tree.
type head struct {
	digest string
	place  int64
}

// proof takes a line that Vouch has written: a proof that the audit record has an entry with the heads of lanes. The checkpoint must be signed by
// a key that counts, or by the anchor: whoever has stolen a key that has ended can sign a whole record with it.
func (d *reading) proof(line []byte) error {
	var text string
	if json.Unmarshal(line, &text) != nil {
		return &problem.Error{Kind: problem.Integrity, What: "read a proof of the audit record", Why: "it is none", Hint: "have it made anew: holdfast msg prove"}
	}
	p, err := audit.CheckProof(text)
	if err != nil {
		return err
	}
	heads, err := p.Entry.Heads()
	if err != nil {
		return err
	}
	by := d.keys.Trust.Notes(p.Checkpoint.Origin, d.keys.Anchors).At(d.keys.At)
	signers, wrong, err := p.Checkpoint.Check(by)
	if err != nil {
		return err
	}
	if len(signers) == 0 {
		why := "nobody whose key counts has signed its checkpoint"
		if len(wrong) > 0 {
			why += ": " + wrong[0].Error()
		}
		return &problem.Error{Kind: problem.Denied, What: "check a proof of the audit record", Why: why, Hint: "have it made anew while the plant runs: holdfast msg prove"}
	}
	if p.Checkpoint.Denied.Has(p.Place) {
		return nil // who signed the checkpoint says that the entry is not the plant's
	}
	for _, h := range heads {
		at := place{p.Checkpoint.Origin, h.Link, h.Lane, h.Epoch, h.Number}
		d.heads[at] = append(d.heads[at], head{h.Digest, p.Place})
	}
	m, is, err := p.Entry.Mark()
	if is && m.Size <= p.Place {
		d.marks[p.Checkpoint.Origin] = append(d.marks[p.Checkpoint.Origin], m)
	}
	return err
}

// sealed is when the first checkpoint was made that covers a place of a tree, as the tree itself remembers: zero if that is not shown. What an
// entry says of its own time, and what a checkpoint says that the tree does not remember, whoever has a stolen key can write. A checkpoint is
// not earlier than those before it, whatever it says.
func (d *reading) sealed(origin string, at int64) (since time.Time) {
	marks := d.marks[origin]
	slices.SortFunc(marks, func(a, b audit.Mark) int { return cmp.Compare(a.Size, b.Size) })
	for _, m := range marks {
		if m.At.After(since) {
			since = m.At
		}
		if m.Size > at {
			return since
		}
	}
	return time.Time{}
}

// earlier is the earlier of two times, of which a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// direct is since when the audit record held this very message at its place.
func (d *reading) direct(at place, digest string) (since time.Time) {
	at.source = audit.Origin(string(seal.ForCheckpoint), at.source)
	for _, h := range d.heads[at] {
		if h.digest == digest {
			since = earlier(since, d.sealed(at.source, h.place))
		}
	}
	return since
}

// vouched tells of messages by keys that count no more since when the audit record held them: them themselves, or a later one of their lane, as
// far as all between are here, since each names the digest of the one before.
func (d *reading) vouched() map[string]time.Time {
	by := make(map[string]time.Time, len(d.late))
	broken := map[place]bool{} // what stands there says of itself alone what it follows
	for _, l := range d.late {
		since := d.direct(l.at, l.digest)
		if !since.IsZero() {
			by[l.digest] = since
		}
		if !l.event && (since.IsZero() || since.After(l.word.Until)) {
			broken[l.at] = true
		}
	}
	chain := d.chains(broken)
	for _, l := range d.late {
		if since := earlier(by[l.digest], chain[l.at]); l.event && !since.IsZero() {
			by[l.digest] = since
		}
	}
	return by
}

// chains tells of each place since when the audit record held what stands there or follows it.
func (d *reading) chains(broken map[place]bool) map[place]time.Time {
	since := make(map[place]time.Time, len(d.seen.seen))
	for _, numbers := range d.numbers() {
		slices.SortFunc(numbers, func(a, b place) int { return int(b.number - a.number) })
		var held time.Time
		for i, at := range numbers {
			if i > 0 && (numbers[i-1].number != at.number+1 || broken[numbers[i-1]]) {
				held = time.Time{}
			}
			held = earlier(held, d.direct(at, d.seen.seen[at].digest))
			since[at] = held
		}
	}
	return since
}

// numbers are the places that were seen, by lane.
func (d *reading) numbers() map[place][]place {
	lanes := map[place][]place{}
	for at := range d.seen.seen {
		lane := at
		lane.number = 0
		lanes[lane] = append(lanes[lane], at)
	}
	return lanes
}

// Vouched reads what Read reads, and tells of each message by a key that counts no more, and that is vouched for while it did, since when: by its
// digest. It is for a receiver, to whom the messages themselves come one by one (seal.Trust.Vouch).
func Vouched(text []byte, keys Keys) (map[string]time.Time, error) {
	d := newReading(keys)
	if err := d.read(bytes.NewReader(text)); err != nil {
		return nil, err
	}
	return d.vouched(), nil
}
