package prove

import (
	"bufio"
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
)

// Lane is what statements prove of one lane: that its messages from First to Last are all there, in this order, as they were signed.
type Lane struct {
	Source   string `json:"source"`
	Link     string `json:"link"`
	Lane     string `json:"lane"`
	Epoch    int64  `json:"epoch"`
	First    int64  `json:"first"`
	Last     int64  `json:"last"`
	Messages int    `json:"messages"` // each number once
	Voids    int    `json:"voids"`
	Head     string `json:"head"` // the digest of the last one's original: whoever has it can be told of no other lane

	// Begins tells that nothing is before First: it is number 1 of epoch 1, or of a later epoch and follows one that begins so. Else what was before is not
	// among the statements: the plant has purged it for its age, or somebody has cut it off.
	Begins bool `json:"begins"`
}

// Whole is an error of kind Integrity if the lane does not begin with its first message.
func (l Lane) Whole() error {
	if l.Begins {
		return nil
	}
	return &problem.Error{
		Kind: problem.Integrity, What: fmt.Sprintf("check lane %s of link %s", l.Lane, l.Link), Why: fmt.Sprintf("it begins with number %d of epoch %d, and not with its first", l.First, l.Epoch),
		Hint: "ask the plant for the whole lane: holdfast msg prove; what it has purged for its age is in an earlier file, if anywhere",
	}
}

// Write writes what a message says of itself, with its signature, in one line.
func Write(w io.Writer, m message.Message) error {
	s := m.Statement(m.Digest())
	if s == "" {
		return &problem.Error{
			Kind: problem.Conflict, What: fmt.Sprintf("prove number %d of lane %s", m.Number, m.Lane), Why: "it is not signed",
			Hint: "a plant with keys signs it before it leaves: docs/keys.md",
		}
	}
	_, err := io.WriteString(w, s+"\n")
	return err
}

// mostLine is what a line has at most: a proof of the audit record is longer than a statement.
const mostLine = 1 << 20

// Keys are what decides whose word counts.
type Keys struct {
	Trust   *seal.Trust
	Anchors []ed25519.PublicKey // of Vault's anchor; none if it is not known
	At      time.Time           // when what is read came here: a key whose certificate had ended by then, or that was revoked, needs a voucher
}

// Read checks statements, one a line, as Write has written them: each by itself and against its neighbours, and that no number is missing
// between the first and the last of its lane. The same one may be there again. What was signed by a key that counts no more must be vouched for
// by proofs of the audit record among the lines, as Vouch has written them. The error names the line, or the number, and is of kind Integrity or
// Denied.
func Read(r io.Reader, keys Keys) ([]Lane, error) {
	d := newReading(keys)
	if err := d.read(r); err != nil {
		return nil, err
	}
	vouched := d.vouched()
	for _, l := range d.late {
		if err := l.word.Counts(keys.At, vouched[l.digest]); err != nil {
			return nil, told(fmt.Sprintf("number %d of lane %s", l.at.number, l.at.lane), err)
		}
	}
	return whole(d.lanes)
}

// reading is what is known of lines so far.
type reading struct {
	keys  Keys
	seen  *Witness
	lanes map[place]*Lane
	heads map[place][]head        // that the audit record held
	marks map[string][]audit.Mark // that it holds of its checkpoints, by the origin of the record
	late  []late
}

func newReading(keys Keys) *reading {
	w := NewWitness(func() (*seal.Trust, error) { return keys.Trust, nil })
	return &reading{keys: keys, seen: w, lanes: map[place]*Lane{}, heads: map[place][]head{}, marks: map[string][]audit.Mark{}}
}

// read takes every line.
func (d *reading) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, mostLine)
	n := 0
	for lines.Scan() {
		n++
		line, take := lines.Bytes(), d.statement
		if len(line) > 0 && line[0] == '"' {
			take = d.proof
		}
		if err := take(line); err != nil {
			return told(fmt.Sprintf("line %d", n), err)
		}
	}
	if err := lines.Err(); err != nil {
		return &problem.Error{
			Kind: problem.Integrity, What: fmt.Sprintf("read line %d", n+1), Why: "it is no statement of a message", Hint: "it is written by holdfast msg prove", Cause: err,
		}
	}
	return nil
}

// statement takes what a message says of itself.
func (d *reading) statement(line []byte) error {
	m, _, err := message.ParseStatement(string(line))
	if err != nil {
		return err
	}
	word, err := d.keys.Trust.Genuine(m)
	if err != nil {
		return err
	}
	first, err := d.seen.take(m)
	if err != nil {
		return err
	}
	if word.Late(d.keys.At) {
		d.late = append(d.late, late{placeOf(m), m.Digest(), m.Role == message.Event, word})
	}
	if first {
		add(d.lanes, placeOf(m), m)
	}
	return nil
}

// told says where something is wrong, in what a person reads.
func told(where string, err error) error {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok {
		return fmt.Errorf("%s: %w", where, err)
	}
	told := *p
	told.What = where + ": " + p.What
	return &told
}

// add counts a message in its lane.
func add(lanes map[place]*Lane, at place, m message.Message) {
	number := at.number
	at.number = 0
	l, ok := lanes[at]
	if !ok {
		l = &Lane{Source: at.source, Link: at.link, Lane: at.lane, Epoch: at.epoch, First: number}
		lanes[at] = l
	}
	l.First = min(l.First, number)
	if number >= l.Last {
		l.Last, l.Head = number, cmp.Or(m.Refers, m.Digest())
	}
	l.Messages++
	if m.Role == message.Void {
		l.Voids++
	}
}

// whole lists the lanes; an error if a number is missing in one.
func whole(lanes map[place]*Lane) ([]Lane, error) {
	list := make([]Lane, 0, len(lanes))
	var missing []error
	for _, l := range lanes {
		if gap := l.Last - l.First + 1 - int64(l.Messages); gap > 0 {
			missing = append(missing, &problem.Error{
				Kind: problem.Integrity, What: "check lane " + l.Lane, Why: fmt.Sprintf("%d of its numbers %d to %d are missing", gap, l.First, l.Last),
				Hint: "ask the plant for the whole lane: holdfast msg prove",
			})
		}
		list = append(list, *l)
	}
	slices.SortFunc(list, func(a, b Lane) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Link, b.Link), cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Epoch, b.Epoch))
	})
	for i := range list {
		l := &list[i]
		l.Begins = l.First == 1 && (l.Epoch == 1 || i > 0 && list[i-1].Begins && list[i-1].Source == l.Source && list[i-1].Link == l.Link && list[i-1].Lane == l.Lane)
	}
	return list, errors.Join(missing...)
}
