package erpmock

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/openapi/contract"
)

// ErrLedgerTaken is what New says of a ledger that another mock has open: two would write over each other's effects.
var ErrLedgerTaken = errors.New("another mock has this ledger")

// ledger is a JSONL file that outlives the process: one line for each effect, on the disk before
// its answer is sent, and one for each answer, seeded document, setting and reset, so that documents
// come back with their order of change, their numbers and what an idempotent operation has answered.
// Faults, clock and outages are the test's and do not. A torn last line is the only damage that a
// crash can do; opening cuts it off.
type ledger struct {
	mu      sync.Mutex // guards file order and err
	file    *os.File
	err     error
	written int64

	syncing sync.Mutex // one fsync at a time; who waits may find the work done
	synced  int64
}

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
	l  *ledger
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
	at := m.ledger.append(ln)
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
	return pendingWrite{m.ledger, m.ledger.append(ln)}
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
		m.ledger.append(line{Entry: e})
	default:
		m.ledger.append(line{Answer: &savedReply{s.name, e.Seq, e.Status, e.Refusal, e.Delivered}})
	}
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
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { //nolint:gosec // a descriptor fits
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLedgerTaken
		}
		return nil, errors.Join(fmt.Errorf("lock ledger %s: %w", path, err), f.Close())
	}
	good, err := m.replay(f)
	m.restored = good > 0
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
		if err := readLine(text, &ln); err != nil {
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
