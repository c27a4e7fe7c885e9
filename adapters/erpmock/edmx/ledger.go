package edmx

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"holdfast/adapters/erpmock"
)

// ledger is a JSONL file that outlives the process: a line for each attempt with its effects, on the disk before its answer is sent, one
// for each answer, and one for each seeded document. Sessions and faults do not outlive it. A torn last line is cut off at the opening.
type ledger struct {
	mu      sync.Mutex // guards file order and err
	file    *os.File
	err     error
	written int64

	syncing sync.Mutex // one fsync at a time; who waits may find the work done
	synced  int64
}

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
func openLedger(name string, c *core, services []*Mock) (*ledger, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { //nolint:gosec // a descriptor fits
		return nil, errors.Join(erpmock.ErrLedgerTaken, f.Close())
	}
	good, err := c.restoreAll(f, services)
	if err == nil {
		err = f.Truncate(good)
	}
	if err == nil {
		_, err = f.Seek(good, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the ledger %s: %w", name, err), f.Close())
	}
	return &ledger{file: f}, nil
}

// restoreAll reads every whole line, and gives where the last one ends.
func (c *core) restoreAll(f io.Reader, services []*Mock) (good int64, err error) {
	byRoot, open := map[string]*Mock{}, map[int64]*erpmock.Entry{}
	for _, m := range services {
		byRoot[m.cfg.Root] = m
	}
	r := bufio.NewReader(f)
	for {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return good, nil
		}
		if err != nil {
			return good, err
		}
		var ln line
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&ln); err != nil {
			return good, fmt.Errorf("line at byte %d: %w", good, err)
		}
		c.restore(ln, byRoot, open)
		good += int64(len(text))
	}
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

func (l *ledger) append(ln line) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, err := json.Marshal(ln)
	if err == nil && l.err == nil {
		_, err = l.file.Write(append(b, '\n'))
	}
	l.err = errors.Join(l.err, err)
	l.written++
	return l.written
}

// sync returns when what is written by now is on the disk. Those who wait together share one fsync.
func (l *ledger) sync() error {
	l.mu.Lock()
	at := l.written
	l.mu.Unlock()
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.Lock()
	written, err := l.written, l.err
	l.mu.Unlock()
	if err != nil || l.synced >= at {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.synced = written
	return nil
}

func (l *ledger) close() error {
	err := l.sync()
	return errors.Join(err, l.file.Close())
}
