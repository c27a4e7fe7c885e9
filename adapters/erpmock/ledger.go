package erpmock

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"holdfast/openapi/contract"
)

// ledger is a JSONL file that outlives the process: one line for each effect, on the disk before
// its answer is sent, and one for each answer. A torn last line is the only damage that a crash
// can do; opening cuts it off.
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
	Entry  *Entry      `json:"entry,omitempty"`
	Docs   []savedDoc  `json:"docs,omitempty"`
	Answer *savedReply `json:"answer,omitempty"`
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
	l  *ledger
	at int64
}

// record writes an entry with its effects, in the order of commit. The space's mutex is held.
func (m *Mock) record(s *space, e *Entry, touched []*record) pendingWrite {
	if m.ledger == nil {
		return pendingWrite{}
	}
	ln := line{Entry: e}
	for _, r := range touched {
		ln.Docs = append(ln.Docs, savedDoc{
			Template: r.in.spec.template, Path: r.in.path, Number: r.number, Body: r.body, Version: r.version,
			Created: r.created, Target: r.target, Envelope: r.envelope, Gone: r.gone,
		})
	}
	at := m.ledger.append(ln)
	if len(e.Effects) == 0 {
		return pendingWrite{}
	}
	return pendingWrite{m.ledger, at}
}

// noteAnswer writes what became of an attempt; it need not be on the disk at once.
func (m *Mock) noteAnswer(s *space, e *Entry) {
	if m.ledger == nil {
		return
	}
	if len(e.Effects) == 0 {
		m.ledger.append(line{Entry: e})
		return
	}
	m.ledger.append(line{Answer: &savedReply{s.name, e.Seq, e.Status, e.Refusal, e.Delivered}})
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

// wait returns when the line is on the disk. Lines written together share one fsync.
func (p pendingWrite) wait() error {
	if p.l == nil {
		return nil
	}
	p.l.syncing.Lock()
	defer p.l.syncing.Unlock()
	p.l.mu.Lock()
	written, err := p.l.written, p.l.err
	p.l.mu.Unlock()
	if err != nil || p.l.synced >= p.at {
		return err
	}
	if err := p.l.file.Sync(); err != nil {
		return err
	}
	p.l.synced = written
	return nil
}

func (l *ledger) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.err, l.file.Sync(), l.file.Close())
}

// openLedger reads what a ledger holds into the mock and goes on behind it.
func (m *Mock) openLedger(path string) (*ledger, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the caller names the file
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	good, err := m.replay(f)
	if err == nil {
		err = f.Truncate(good)
	}
	if err == nil {
		_, err = f.Seek(good, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read ledger %s: %w", path, err), f.Close())
	}
	return &ledger{file: f}, nil
}

// replay restores state and journal, and gives the length of what is whole.
func (m *Mock) replay(f io.Reader) (good int64, err error) {
	in := bufio.NewReaderSize(f, 1<<20)
	open := map[string]*Entry{}
	for {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return good, nil
		}
		if err != nil {
			return good, err
		}
		var ln line
		if err := json.Unmarshal(text, &ln); err != nil {
			return good, fmt.Errorf("line at byte %d: %w", good, err)
		}
		if err := m.restore(&ln, open); err != nil {
			return good, fmt.Errorf("line at byte %d: %w", good, err)
		}
		good += int64(len(text))
	}
}

func (m *Mock) restore(ln *line, open map[string]*Entry) error {
	if a := ln.Answer; a != nil {
		if e := open[fmt.Sprint(a.Space, "\x00", a.Seq)]; e != nil {
			e.Status, e.Refusal, e.Delivered, e.Open = a.Status, a.Refusal, a.Delivered, false
		}
		return nil
	}
	if ln.Entry == nil {
		return nil
	}
	s, err := m.space(ln.Entry.Space)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.restore(ln.Entry)
	open[fmt.Sprint(s.name, "\x00", ln.Entry.Seq)] = ln.Entry
	for i := range ln.Docs {
		m.restoreDoc(s, &ln.Docs[i])
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
	rec, known := c.docs[d.Number]
	if d.Gone {
		if known {
			s.store.remove(rec)
		}
		return
	}
	if !known {
		rec = &record{in: c, number: d.Number, path: d.Path + "/" + d.Number, created: d.Created, envelope: d.Envelope, target: d.Target}
		c.counter++
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
