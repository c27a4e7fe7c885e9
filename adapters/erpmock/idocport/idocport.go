// Package idocport is a SAP that speaks IDocs alone, for the demo and tests: its port by HTTP, its folders, what it has booked, and the
// confirmations (ALEAUD01) that it sends of it.
//
// # Guarantees
//
//   - An IDoc is booked at once, as a document of its own, or refused with status 51 where it was told to. Of a time ticket the confirmation says
//     no more than that it is stored, as SAP's does. The journal has every request or
//     file with what came of it, in the form of every mock.
//   - As standard SAP does, it books an IDoc again that it gets again. With Config.DropsKnown it drops a number that it knows from a sender.
//   - What it owes its partner is sent until the partner has taken it, in order, also after a restart with the same ledger.
package idocport

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/sap/idoc"
)

// Config is what a port is told. Zero fields mean the default.
type Config struct {
	In         string // folder from which files are taken; none
	Out        string // folder into which what is owed to the partner is written; none
	Partner    string // address at which the partner takes IDocs, instead of Out; none
	Pay        Pay    // brings the partner what it is owed, instead of both; none
	User       string // by which to sign in there
	Password   string
	DropsKnown bool
	Silent     bool          // it sends no confirmations
	Every      time.Duration // how often folders are looked into, and an answer is tried again; 200 ms
	Seed       int64
	Faults     []erpmock.Fault
	Ledger     string // file that keeps journal and debts over a restart; none
	Now        func() time.Time
}

// Pay brings the partner an IDoc of ours, by a number that it may be brought under again after an error.
type Pay func(ctx context.Context, number, text string) error

// Port is safe for concurrent use.
type Port struct {
	cfg      Config
	types    idoc.Types
	gate     *erpmock.Gate
	ledger   *erpmock.Lines // nil without one
	restored bool
	stop     chan struct{}
	once     sync.Once

	mu       sync.Mutex // guards what follows
	faults   *erpmock.Faults
	journal  []*erpmock.Entry
	attempts map[string]int    // by message ID
	known    map[string]string // what was booked, by sender and number: the document
	refuse   []string          // texts with which the next IDocs are refused
	number   int64             // of documents and IDocs
	effects  int64
	owed     []debt
}

// debt is what the partner has yet to get.
type debt struct {
	Number string `json:"number"`
	Text   string `json:"text"`
}

// line is one line of a ledger.
type line struct {
	Entry *erpmock.Entry    `json:"entry,omitempty"`
	Known map[string]string `json:"known,omitempty"`
	Owed  *debt             `json:"owed,omitempty"`
	Paid  string            `json:"paid,omitempty"` // number of a debt
	Last  int64             `json:"last,omitempty"` // number that was given
}

// New opens the ledger, if there is one.
func New(cfg Config) (*Port, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Every == 0 {
		cfg.Every = 200 * time.Millisecond
	}
	for i := range cfg.Faults {
		if err := cfg.Faults[i].Check(); err != nil {
			return nil, fmt.Errorf("fault %d: %w", i+1, err)
		}
	}
	p := &Port{
		cfg: cfg, types: idoc.Shipped(), gate: erpmock.NewGate(cfg.Now(), cfg.Faults), stop: make(chan struct{}), faults: erpmock.NewFaults(cfg.Seed, cfg.Now()),
		attempts: map[string]int{}, known: map[string]string{},
	}
	p.faults.Replace(cfg.Faults)
	if cfg.Ledger == "" {
		return p, nil
	}
	var err error
	p.ledger, p.restored, err = erpmock.OpenLines(cfg.Ledger, p.restore)
	return p, err
}

// restore takes one line of a ledger.
func (p *Port) restore(text []byte) error {
	var ln line
	if err := json.Unmarshal(text, &ln); err != nil {
		return err
	}
	if ln.Entry != nil {
		p.journal = append(p.journal, ln.Entry)
		p.attempts[ln.Entry.MessageID] = max(p.attempts[ln.Entry.MessageID], ln.Entry.Attempt)
		p.effects += int64(len(ln.Entry.Effects))
	}
	for key, document := range ln.Known {
		p.known[key] = document
	}
	if ln.Owed != nil {
		p.owed = append(p.owed, *ln.Owed)
	}
	if ln.Paid != "" {
		p.owed = slices.DeleteFunc(p.owed, func(d debt) bool { return d.Number == ln.Paid })
	}
	p.number = max(p.number, ln.Last)
	return nil
}

// write appends to the ledger; sync has it on the disk. The mutex is held.
func (p *Port) write(ln line) (sync func() error) {
	if p.ledger == nil {
		return func() error { return nil }
	}
	ln.Last = p.number
	at := p.ledger.Append(ln)
	return func() error { return p.ledger.Wait(at) }
}

// Close ends requests that hang, and closes the ledger.
func (p *Port) Close() (err error) {
	p.once.Do(func() {
		close(p.stop)
		if p.ledger != nil {
			err = p.ledger.Close()
		}
	})
	return err
}

// IsDown tells whether nobody can reach it now.
func (p *Port) IsDown() bool { return p.gate.IsClosed(p.cfg.Now()) }

// Down makes it unreachable for a time; zero: until Up.
func (p *Port) Down(d time.Duration) { p.gate.Close(p.cfg.Now(), d) }

// Up makes it reachable again.
func (p *Port) Up() { p.gate.Open() }

// Restored tells whether it goes on from a ledger.
func (p *Port) Restored() bool { return p.restored }

// SetFaults replaces the faults.
func (p *Port) SetFaults(faults ...erpmock.Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults.Replace(faults)
}

// Refuse has the next IDoc not booked, for a reason (status 51).
func (p *Port) Refuse(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = append(p.refuse, why)
}

// Log is the journal.
func (p *Port) Log() erpmock.Log {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := erpmock.Log{Entries: []erpmock.Entry{}}
	for _, e := range p.journal {
		out.Entries = append(out.Entries, *e)
	}
	return out
}

// Owed is how many IDocs the partner has yet to take.
func (p *Port) Owed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.owed)
}

// Send has the partner sent an IDoc of a shipped type, with a number of its own: body is what it is made of, as mappings have it, and of an
// IDoc that the partner has sent says who it is.
func (p *Port) Send(of idoc.Control, basic string, body []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.number++
	d, err := idoc.FromSAP(of, basic, fmt.Sprintf("%016d", p.number), p.cfg.Now(), body)
	if err != nil {
		return err
	}
	return p.owe(d)()
}

// owe queues an IDoc. The mutex is held.
func (p *Port) owe(d idoc.Document) (sync func() error) {
	text, err := idoc.WriteXML([]idoc.Document{d})
	if err != nil {
		return func() error { return err }
	}
	one := debt{d.Control["DOCNUM"], string(text)}
	p.owed = append(p.owed, one)
	return p.write(line{Owed: &one})
}

// enter notes an attempt. The mutex is held.
func (p *Port) enter(e *erpmock.Entry) {
	e.Seq = int64(len(p.journal)) + 1
	if e.MessageID != "" {
		p.attempts[e.MessageID]++
		e.Attempt = p.attempts[e.MessageID]
	}
	p.journal = append(p.journal, e)
}

// read reads what came, XML or flat.
func (p *Port) read(text []byte) ([]idoc.Document, error) {
	if bytes.HasPrefix(text, []byte("EDI_DC40")) {
		return idoc.ReadFlat(text, "", p.types, idoc.Usual())
	}
	return idoc.ReadXML(text, p.types, idoc.Usual())
}

// take books what came, and owes the confirmation. The mutex is held.
func (p *Port) take(e *erpmock.Entry, ds []idoc.Document) (sync func() error) {
	syncs, known := []func() error{}, map[string]string{}
	for _, d := range ds {
		c := d.Control
		key := c["SNDPRN"] + "/" + c["DOCNUM"]
		if _, again := p.known[key]; again && p.cfg.DropsKnown {
			continue
		}
		said := idoc.Status{Number: c["DOCNUM"], Code: "41", State: idoc.Booked, At: p.cfg.Now()}
		if len(p.refuse) > 0 {
			said.Code, said.State, said.Text = "51", idoc.Refused, p.refuse[0]
			p.refuse, e.Refusal = p.refuse[1:], "51"
		} else {
			p.number, p.effects = p.number+1, p.effects+1
			document := fmt.Sprintf("49%08d", p.number)
			if strings.HasPrefix(c["MESTYP"], "MBGM") { // a time ticket is only stored, as PP-PDC does; a batch was numbered by the partner
				said.Document, said.Kind = document+p.cfg.Now().Format("2006"), "BUS2017"
			}
			e.Effects = append(e.Effects, erpmock.Effect{Seq: p.effects, Type: c["MESTYP"], Number: document, Act: "created", MessageID: c["ARCKEY"], At: p.cfg.Now()})
			p.known[key], known[key] = document, document
		}
		if p.cfg.Silent {
			continue
		}
		p.number++
		answer, err := idoc.Answer(c, fmt.Sprintf("%016d", p.number), p.cfg.Now(), said)
		if err != nil {
			return func() error { return err }
		}
		syncs = append(syncs, p.owe(answer))
	}
	syncs = append(syncs, p.write(line{Entry: e, Known: known}))
	return syncs[len(syncs)-1]
}
