package edmx

import (
	"bytes"
	"encoding/json"
	"slices"

	"holdfast/adapters/erpmock"
)

// A ledger outlives the process: a line for each attempt with its effects, on the disk before its answer is sent, one for each answer, and
// one for each seeded document. Sessions and faults do not outlive it.

// line is one line of a ledger.
type line struct {
	Entry   *erpmock.Entry `json:"entry,omitempty"`
	Docs    []savedDoc     `json:"docs,omitempty"`
	Answer  *answerLine    `json:"answer,omitempty"`
	Numbers int64          `json:"numbers,omitempty"` // the counters as they then were
	Changes int64          `json:"changes,omitempty"`
	Reset   bool           `json:"reset,omitempty"`
}

// savedDoc is a document as it was after an effect.
type savedDoc struct {
	Service string         `json:"service"` // its root
	Set     string         `json:"set"`
	Values  map[string]any `json:"values"`
	Changed int64          `json:"changed"`
	Gone    string         `json:"gone,omitempty"` // the path that it had
}

type answerLine struct {
	Seq       int64            `json:"seq"`
	Status    int              `json:"status"`
	Delivered erpmock.Delivery `json:"delivered"`
}

// openLedger takes a file for itself, and restores what it holds.
func (c *core) openLedger(name string, services []*Mock) (err error) {
	byRoot, open := map[string]*Mock{}, map[int64]*erpmock.Entry{}
	for _, m := range services {
		byRoot[m.cfg.Root] = m
	}
	c.ledger, _, err = erpmock.OpenLines(name, func(text []byte) error {
		var ln line
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&ln); err != nil {
			return err
		}
		c.restore(ln, byRoot, open)
		return nil
	})
	return err
}

// restore takes one line.
func (c *core) restore(ln line, byRoot map[string]*Mock, open map[int64]*erpmock.Entry) {
	switch {
	case ln.Reset:
		c.empty()
		for _, m := range byRoot {
			m.rows = map[string]*table{}
		}
	case ln.Answer != nil:
		if e := open[ln.Answer.Seq]; e != nil {
			e.Status, e.Delivered, e.Open = ln.Answer.Status, ln.Answer.Delivered, false
			delete(open, ln.Answer.Seq)
		}
	case ln.Entry != nil:
		c.keep(ln.Entry)
		open[ln.Entry.Seq] = ln.Entry
		c.seq = max(c.seq, ln.Entry.Seq)
		if id := ln.Entry.MessageID; id != "" {
			c.attempts[id] = max(c.attempts[id], ln.Entry.Attempt)
		}
		for _, f := range ln.Entry.Effects {
			c.effects = max(c.effects, f.Seq)
		}
	}
	c.numbers, c.changes = max(c.numbers, ln.Numbers), max(c.changes, ln.Changes)
	for _, d := range ln.Docs {
		if m := byRoot[d.Service]; m != nil && m.model.Sets[d.Set] != nil {
			m.restoreDoc(d)
		}
	}
}

// empty forgets journal and counters.
func (c *core) empty() {
	c.journal, c.dropped, c.seq, c.effects, c.numbers = nil, 0, 0, 0, 0
	clear(c.attempts)
	clear(c.answered)
}

func (m *Mock) restoreDoc(d savedDoc) {
	set, t := m.model.Sets[d.Set], m.table(d.Set)
	r := t.find(set, d.Values)
	if d.Gone != "" {
		t.list = slices.DeleteFunc(t.list, func(o *row) bool { return o == r })
		t.gone = append(t.gone, tombstone{d.Gone, d.Changed})
		return
	}
	if r == nil {
		r = &row{}
		t.add(set, r, d.Values)
	}
	r.values, r.changed = d.Values, d.Changed
}
