package prove

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"holdfast/internal/message"
	"holdfast/internal/problem"
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

// mostLine is what a statement has at most.
const mostLine = 64 << 10

// Read checks statements, one a line, as Write has written them: each by itself and against its neighbours, and that no number is missing
// between the first and the last of its lane. The same one may be there again. The error names the line, or the number that is missing,
// and is of kind Integrity or Denied.
func Read(r io.Reader, w *Witness) ([]Lane, error) {
	lanes := map[place]*Lane{}
	seen := map[place]bool{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, mostLine)
	n := 0
	for lines.Scan() {
		n++
		m, _, err := message.ParseStatement(lines.Text())
		if err == nil {
			_, err = w.Check(m)
		}
		if err != nil {
			return nil, atLine(n, err)
		}
		at := place{m.Source, m.Link, m.Lane, m.Epoch, m.Number}
		if !seen[at] {
			seen[at] = true
			add(lanes, at, m)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, &problem.Error{
			Kind: problem.Integrity, What: fmt.Sprintf("read line %d", n+1), Why: "it is no statement of a message", Hint: "it is written by holdfast msg prove", Cause: err,
		}
	}
	return whole(lanes)
}

// atLine says in which line something is wrong, in what a person reads.
func atLine(n int, err error) error {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok {
		return fmt.Errorf("line %d: %w", n, err)
	}
	told := *p
	told.What = fmt.Sprintf("line %d: %s", n, p.What)
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
	return list, errors.Join(missing...)
}
