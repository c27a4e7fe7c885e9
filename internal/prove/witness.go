// Package prove says of messages what a receiver can say of them: who signed each, and that none is missing, doubled, changed or out of
// order in its lane. It needs public keys alone.
package prove

import (
	"cmp"
	"fmt"
	"sync"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
)

// Witness checks the messages that a receiver is given, in whatever order and however often they come: each must be signed by a key that
// counts, and fit to its neighbours in its lane as far as these were seen. It is safe for use by many goroutines.
type Witness struct {
	trust func() (*seal.Trust, error)

	mu    sync.Mutex
	seen  map[place]link
	known *seal.Trust
}

// place is where a message stands.
type place struct {
	source, link, lane string
	epoch, number      int64
}

// link is what the chain needs of a message: the digest of its original, which its successor names, and the one that it names itself.
type link struct{ digest, prev string }

// NewWitness returns a Witness. trust gives the keys that count; it is asked again when a message names one that is not known, since
// nodes replace theirs.
func NewWitness(trust func() (*seal.Trust, error)) *Witness {
	return &Witness{trust: trust, seen: map[place]link{}}
}

// Check is nil for a message that is signed and fits, and remembers it. The node is who signed. Otherwise the error is a *problem.Error of
// kind Integrity or Denied.
func (w *Witness) Check(m message.Message) (node string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if node, err = w.verify(m); err != nil {
		return "", err
	}
	_, err = w.take(m)
	return node, err
}

// take is what Check does with a message that is signed; first tells that nothing was seen at its place yet. It needs mu.
func (w *Witness) take(m message.Message) (first bool, err error) {
	if m.Number == 0 {
		return false, nil
	}
	at := placeOf(m)
	mine := link{cmp.Or(m.Refers, m.Digest()), m.Prev}
	if err := w.fits(at, mine); err != nil {
		return false, err
	}
	_, again := w.seen[at]
	w.seen[at] = mine
	return !again, nil
}

func placeOf(m message.Message) place { return place{m.Source, m.Link, m.Lane, m.Epoch, m.Number} }

// verify needs mu.
func (w *Witness) verify(m message.Message) (node string, err error) {
	if w.known != nil {
		node, err = w.known.VerifyMessage(m)
	}
	if w.known == nil || problem.KindOf(err) == problem.Denied {
		if w.known, err = w.trust(); err != nil {
			return "", err
		}
		node, err = w.known.VerifyMessage(m)
	}
	return node, err
}

// fits says what is wrong with the place of a message, as far as its neighbours were seen.
func (w *Witness) fits(at place, mine link) error {
	bad := func(why string) error {
		return &problem.Error{
			Kind: problem.Integrity, What: fmt.Sprintf("check number %d of lane %s", at.number, at.lane), Why: why,
			Hint: "ask the plant for its lane: holdfast msg list --lane " + at.lane,
		}
	}
	before, after := at, at
	before.number--
	after.number++
	if same, ok := w.seen[at]; ok && same != mine {
		return bad("another message had this number before")
	}
	if b, ok := w.seen[before]; ok && b.digest != mine.prev {
		return bad("it does not follow the message that had the number before it")
	}
	if a, ok := w.seen[after]; ok && a.prev != mine.digest {
		return bad("the message that has the next number does not follow it")
	}
	if at.number == 1 && at.epoch == 1 && mine.prev != "" {
		return bad("it is the first of its lane and names a predecessor")
	}
	return nil
}
