package erpmock

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Delivery says how much of the true answer went out.
type Delivery string

// The true answer went out in full, in part, or not at all. The mock knows what it gave to the
// network; that the client read it, nobody can know.
const (
	DeliveredFull Delivery = "full"
	DeliveredPart Delivery = "part"
	DeliveredNone Delivery = "none"
)

// Effect is one change that a request has brought about.
type Effect struct {
	Seq        int64     `json:"seq"`  // counts all effects of the space, from 1
	Type       string    `json:"type"` // of the document
	Number     string    `json:"number"`
	Act        string    `json:"act"` // created, changed, deleted
	Target     string    `json:"target,omitempty"`
	MessageID  string    `json:"messageId,omitempty"`
	Lane       string    `json:"lane,omitempty"`
	LaneNumber int64     `json:"laneNumber,omitempty"`
	At         time.Time `json:"at"`
}

// Entry is one attempt: one request on the wire, what it brought about and what was answered.
type Entry struct {
	Seq        int64     `json:"seq"`
	At         time.Time `json:"at"`
	Space      string    `json:"space,omitempty"`
	Operation  string    `json:"operation,omitempty"` // empty where the document has none
	Method     string    `json:"method"`
	Path       string    `json:"path"`
	Key        string    `json:"key,omitempty"` // Idempotency-Key
	MessageID  string    `json:"messageId,omitempty"`
	Digest     string    `json:"digest,omitempty"`
	Lane       string    `json:"lane,omitempty"`
	LaneNumber int64     `json:"laneNumber,omitempty"`
	Trace      string    `json:"traceparent,omitempty"`
	Origin     string    `json:"origin,omitempty"`    // Verified, or why its signature does not count; empty where nobody has looked
	Hop        string    `json:"hop,omitempty"`       // the same of the proof of its hop
	Encrypted  bool      `json:"encrypted,omitempty"` // the body came encrypted; Body is what was read
	Attempt    int       `json:"attempt"`             // of this message ID; 0 without one
	Bytes      int64     `json:"bytes"`               // of the body received
	Body       string    `json:"body,omitempty"`
	BodyCut    bool      `json:"bodyCut,omitempty"` // the body was longer than is kept
	Fault      Kind      `json:"fault,omitempty"`
	Phase      Phase     `json:"phase,omitempty"`
	FaultID    string    `json:"faultId,omitempty"`
	Effects    []Effect  `json:"effects,omitempty"`
	Refusal    string    `json:"refusal,omitempty"` // code of a refusal by validation or a rule
	Status     int       `json:"status,omitempty"`  // that went out; 0 for none
	Delivered  Delivery  `json:"delivered,omitempty"`
	Open       bool      `json:"open,omitempty"` // the request is still in hand
}

// Verified is Entry.Origin of a request whose signature counts.
const Verified = "verified"

// EffectsOf lists the effects in a journal, in the order of commit.
func EffectsOf(entries []Entry) []Effect {
	var out []Effect
	for _, e := range entries {
		out = append(out, e.Effects...)
	}
	slices.SortFunc(out, func(a, b Effect) int { return cmp.Compare(a.Seq, b.Seq) })
	return out
}

// Log is what a journal holds, as GET /__mock/journal gives it and erp mock --journal writes it.
type Log struct {
	Entries          []Entry `json:"entries"`
	Dropped          int64   `json:"dropped"`          // older entries, which are not there any more
	DocumentsDropped int64   `json:"documentsDropped"` // documents, which collections have no room for
}

// ReadLog reads a log from JSON.
func ReadLog(text []byte) (Log, error) {
	var l Log
	if err := strictJSON(text, &l); err != nil {
		return Log{}, fmt.Errorf("read a journal: %w; it has the form of GET /__mock/journal", err)
	}
	return l, nil
}

// Check holds the log against expectations, as CheckExpectations does. A log that is only the end of a journal fails: its counts
// would be too small.
func (l Log) Check(expectations []byte) (Report, error) {
	rep, err := CheckExpectations(expectations, l.Entries)
	rep.Dropped = l.Dropped
	if len(l.Entries) > 0 {
		rep.Dropped = max(rep.Dropped, l.Entries[0].Seq-1)
	}
	return rep, err
}

// Log is the journal of the default space as a whole.
func (m *Mock) Log() Log {
	var l Log
	_ = m.in("", func(s *space) { l = s.journal(0, 0) })
	return l
}

// journal lists the entries numbered above after, at most limit where that is positive. The space's mutex is held.
func (s *space) journal(after int64, limit int) Log {
	return Log{Entries: s.log.after(after, limit), Dropped: s.log.dropped, DocumentsDropped: s.store.dropped}
}

// journal is a bounded list of entries. The space's mutex guards it.
type journal struct {
	limits   Limits
	entries  []*Entry
	bytes    int64
	seq      int64
	effects  int64
	dropped  int64
	attempts map[string]*tally
}

// tally counts the attempts of one message ID, and those still in the journal.
type tally struct{ total, kept int }

func newJournal(l Limits) *journal {
	return &journal{limits: l, attempts: map[string]*tally{}}
}

// begin appends an attempt and numbers it.
func (j *journal) begin(e *Entry) {
	j.seq++
	e.Seq = j.seq
	e.Open = true
	if e.MessageID != "" {
		t := j.attempts[e.MessageID]
		if t == nil {
			t = &tally{}
			j.attempts[e.MessageID] = t
		}
		t.total++
		t.kept++
		e.Attempt = t.total
	}
	j.keep(e)
}

func (j *journal) keep(e *Entry) {
	j.entries = append(j.entries, e)
	j.bytes += int64(len(e.Body))
	for len(j.entries) > 1 && (len(j.entries) > j.limits.Count || j.bytes > j.limits.Bytes) {
		j.drop()
	}
}

func (j *journal) drop() {
	old := j.entries[0]
	j.entries[0] = nil
	j.entries = j.entries[1:]
	j.bytes -= int64(len(old.Body))
	j.dropped++
	if t := j.attempts[old.MessageID]; t != nil {
		if t.kept--; t.kept <= 0 {
			delete(j.attempts, old.MessageID)
		}
	}
}

// effect numbers a change and notes it with its attempt.
func (j *journal) effect(e *Entry, f Effect) Effect {
	j.effects++
	f.Seq, f.At = j.effects, e.At
	f.MessageID, f.Lane, f.LaneNumber = e.MessageID, e.Lane, e.LaneNumber
	e.Effects = append(e.Effects, f)
	return f
}

// after copies the entries numbered above seq, at most limit where that is positive.
func (j *journal) after(seq int64, limit int) []Entry {
	i, _ := slices.BinarySearchFunc(j.entries, seq+1, func(e *Entry, n int64) int { return cmp.Compare(e.Seq, n) })
	rest := j.entries[i:]
	if limit > 0 && len(rest) > limit {
		rest = rest[:limit]
	}
	out := make([]Entry, len(rest))
	for k, e := range rest {
		out[k] = *e
		out[k].Effects = slices.Clone(e.Effects)
	}
	return out
}

// insert puts an entry of a ledger at its place: lines stand there in the order of effects.
func (j *journal) insert(e *Entry) {
	i, found := slices.BinarySearchFunc(j.entries, e.Seq, func(o *Entry, n int64) int { return cmp.Compare(o.Seq, n) })
	if found {
		return
	}
	j.keep(e)
	last := len(j.entries) - 1
	if i < last {
		copy(j.entries[i+1:], j.entries[i:last])
		j.entries[i] = e
	}
}
