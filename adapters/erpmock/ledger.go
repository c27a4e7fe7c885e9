package erpmock

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"time"

	"holdfast/openapi/contract"
)

// A ledger outlives the process: one line for each effect, on the disk before its answer is sent, and one for each answer, seeded
// document, setting and reset, so that documents come back with their order of change, their numbers and what an idempotent operation has
// answered. Faults, clock and outages are the test's and do not.

// line is one line of a ledger. Documents without an entry were seeded.
type line struct {
	Space  string         `json:"space,omitempty"` // where there is neither entry nor answer
	Entry  *Entry         `json:"entry,omitempty"`
	Docs   []savedDoc     `json:"docs,omitempty"`
	Keyed  *savedKey      `json:"keyed,omitempty"`
	Answer *savedReply    `json:"answer,omitempty"`
	Set    map[string]any `json:"set,omitempty"`
	Reset  bool           `json:"reset,omitempty"`
}

// savedDoc is a document as it was after an effect.
type savedDoc struct {
	Template string          `json:"template"` // of the collection; or act:TYPE
	Path     string          `json:"path"`
	Number   string          `json:"number"`
	Body     json.RawMessage `json:"body"`
	Version  int64           `json:"version"`
	Created  time.Time       `json:"created"`
	Target   string          `json:"target,omitempty"`
	Envelope envelope        `json:"envelope"`
	Gone     bool            `json:"gone,omitempty"`
	Pinned   bool            `json:"pinned,omitempty"`
	Counter  int64           `json:"counter,omitempty"` // of the collection's numbers
}

// savedKey is what an idempotent request was answered.
type savedKey struct {
	Key    string      `json:"key"`
	Sum    []byte      `json:"sum"` // of its body
	Status int         `json:"status"`
	Header http.Header `json:"header,omitempty"`
	Media  string      `json:"media,omitempty"`
	Body   []byte      `json:"body,omitempty"`
}

type savedReply struct {
	Space     string   `json:"space,omitempty"`
	Seq       int64    `json:"seq"`
	Status    int      `json:"status,omitempty"`
	Refusal   string   `json:"refusal,omitempty"`
	Delivered Delivery `json:"delivered,omitempty"`
}

// pendingWrite is a line that is written and not yet known to be on the disk.
type pendingWrite struct {
	l  *Lines
	at int64
}

// record writes an entry with its effects, in the order of commit. The space's mutex is held.
func (m *Mock) record(t *transaction) pendingWrite {
	if m.ledger == nil || t.s.gone {
		return pendingWrite{}
	}
	ln := line{Entry: t.entry, Docs: saved(t.touched)}
	if k, ok := t.s.keys[t.answered]; ok && t.answered != "" {
		ln.Keyed = &savedKey{t.answered, k.sum[:], k.ans.status, k.ans.header, k.ans.media, k.ans.body}
	}
	at := m.ledger.Append(ln)
	if len(t.entry.Effects) == 0 {
		return pendingWrite{}
	}
	return pendingWrite{m.ledger, at}
}

func saved(touched []*record) []savedDoc {
	var out []savedDoc
	for _, r := range touched {
		out = append(out, savedDoc{
			Template: r.in.spec.template, Path: r.in.path, Number: r.number, Body: r.body, Version: r.version, Created: r.created,
			Target: r.target, Envelope: r.envelope, Gone: r.gone, Pinned: r.pinned, Counter: r.in.counter,
		})
	}
	return out
}

// recordApart writes a line about a space that no request has brought about. The space's mutex is held.
func (m *Mock) recordApart(s *space, ln line) pendingWrite {
	if m.ledger == nil || s.gone {
		return pendingWrite{}
	}
	ln.Space = s.name
	return pendingWrite{m.ledger, m.ledger.Append(ln)}
}

// noteAnswer writes what became of an attempt; it need not be on the disk at once.
func (m *Mock) noteAnswer(s *space, e *Entry) {
	if m.ledger == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.gone:
	case len(e.Effects) == 0:
		m.ledger.Append(line{Entry: e})
	default:
		m.ledger.Append(line{Answer: &savedReply{s.name, e.Seq, e.Status, e.Refusal, e.Delivered}})
	}
}

// wait returns when the line is on the disk. Lines written together share one fsync.
func (p pendingWrite) wait() error {
	if p.l == nil {
		return nil
	}
	return p.l.Wait(p.at)
}

// openLedger restores state and journal from a ledger, and goes on behind it.
func (m *Mock) openLedger(path string) (err error) {
	open := map[string]*Entry{}
	m.ledger, m.restored, err = OpenLines(path, func(text []byte) error {
		var ln line
		if err := readLine(text, &ln); err != nil {
			return err
		}
		return m.restore(&ln, open)
	})
	return err
}

func (m *Mock) restore(ln *line, open map[string]*Entry) error {
	if a := ln.Answer; a != nil {
		if e := open[fmt.Sprint(a.Space, "\x00", a.Seq)]; e != nil {
			e.Status, e.Refusal, e.Delivered, e.Open = a.Status, a.Refusal, a.Delivered, false
		}
		return nil
	}
	name := ln.Space
	if ln.Entry != nil {
		name = ln.Entry.Space
	}
	if ln.Reset {
		delete(m.spaces, name)
		return nil
	}
	s, err := m.space(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ln.Entry != nil {
		s.log.restore(ln.Entry)
		open[fmt.Sprint(s.name, "\x00", ln.Entry.Seq)] = ln.Entry
	}
	for i := range ln.Docs {
		m.restoreDoc(s, &ln.Docs[i])
	}
	if k := ln.Keyed; k != nil {
		s.keys[k.Key] = keyed{[32]byte(k.Sum), answer{status: k.Status, header: k.Header, media: k.Media, body: k.Body}}
	}
	maps.Copy(s.set, ln.Set)
	return nil
}

// readLine reads a line with its numbers in their own digits.
func readLine(text []byte, ln *line) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(ln); err != nil {
		return err
	}
	if ln.Keyed != nil && len(ln.Keyed.Sum) != sha256.Size {
		return fmt.Errorf("the digest of an answer has %d bytes", len(ln.Keyed.Sum))
	}
	return nil
}

// restore takes an entry with its number. An attempt that a crash cut stays open.
func (j *journal) restore(e *Entry) {
	if e.MessageID != "" {
		t := j.attempts[e.MessageID]
		if t == nil {
			t = &tally{}
			j.attempts[e.MessageID] = t
		}
		t.total, t.kept = max(t.total, e.Attempt), t.kept+1
	}
	j.seq = max(j.seq, e.Seq)
	for _, f := range e.Effects {
		j.effects = max(j.effects, f.Seq)
	}
	j.insert(e)
}

func (m *Mock) restoreDoc(s *space, d *savedDoc) {
	spec := m.plan.specs[d.Template]
	if spec == nil {
		spec = m.plan.actSpec(d.Path)
	}
	if spec == nil {
		return // the document of the ledger is not in this contract any more
	}
	c := s.store.collection(spec, d.Path)
	c.counter = max(c.counter, d.Counter)
	rec, known := c.docs[d.Number]
	if d.Gone {
		if known {
			s.store.remove(rec)
		}
		return
	}
	if !known {
		rec = &record{
			in: c, number: d.Number, path: d.Path + "/" + url.PathEscape(d.Number), created: d.Created, envelope: d.Envelope, target: d.Target, pinned: d.Pinned,
		}
	}
	rec.version = d.Version
	s.store.put(rec, d.Body, keysOf(spec, d.Body))
}

// actSpec finds the collection of an action's documents by its path, act:TYPE.
func (p *plan) actSpec(path string) *collectionSpec {
	for _, b := range p.behaviour {
		if b.actSpec != nil && path == "act:"+b.actSpec.Type {
			return b.actSpec
		}
	}
	return nil
}

// keysOf reads the filter fields of a stored document.
func keysOf(spec *collectionSpec, body []byte) []string {
	v, _ := contract.Decode(body)
	doc, _ := v.(map[string]any)
	keys := make([]string, len(spec.filters))
	for i, f := range spec.filters {
		keys[i] = scalarText(doc[f])
	}
	return keys
}
