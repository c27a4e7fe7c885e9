// Package erpmock is the ERP of an OpenAPI file: it serves any OpenAPI 3.0 or 3.1 document with
// state, validation, faults and a journal, for the demo, for tests and for integrators whose ERP
// is not there yet.
//
// # Guarantees
//
//   - Validation is exact and complete (package contract); a refused request has no effect.
//   - A fault has a phase. Before: the request has no effect. After: the effect is committed, and
//     in the ledger where there is one, before the fault touches the answer.
//   - The journal tells apart what was attempted, what took effect and what was delivered. An
//     attempt is one request on the wire, so a client that re-sends inside its transport shows as two.
//   - The same message posted twice takes effect twice, unless the contract says x-mock-idempotent:
//     that is what most ERPs do, and what an oracle must be able to see.
//   - Memory is bounded: journal and collections drop their oldest, and the journal says how many.
//   - Everything random comes from Config.Seed; everything timed reads Config.Now and the clock offset.
//
// Spaces (header X-Mock-Space) are isolated from each other: state, journal, faults and settings.
package erpmock

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/internal/message"
	"holdfast/openapi/contract"
)

// Limits bound a store; zero fields mean the default.
type Limits struct {
	Count int   // entries or documents
	Bytes int64 // of their bodies
}

// Config tunes a Mock; its zero value is ready for use.
type Config struct {
	Name       string              // of the document, for positions in errors; default openapi.yaml
	Seed       int64               // of everything random
	Now        func() time.Time    // default time.Now
	Journal    Limits              // default 100,000 entries, 64 MiB of request bodies
	Store      Limits              // for each collection of each space; default 100,000 documents, 256 MiB
	Spaces     int                 // how many spaces there may be; default 1,024
	BodyLimit  int64               // bytes of a request body; default 4 MiB
	BodyKept   int                 // bytes of a request body kept in the journal; default 16 KiB
	Faults     []Fault             // in force in every space from its beginning
	Settings   map[string]any      // override x-mock-settings of the document
	Idempotent bool                // honour Idempotency-Key: the same body is answered again, another one refused
	Ledger     string              // a file that keeps effects over a restart; empty for none
	Signer     Signer              // signs answers and receipts; nil for an ERP without keys
	Hops       message.HopVerifier // looks at the proofs of requests; nil for nobody
	Origin     Origin              // looks at who signed what is sent; nil for nobody
	Decrypter  message.Decrypter   // reads bodies that are encrypted to this ERP, and then no others; nil for an ERP without a key for it
}

// Origin checks a request of a plant: statement is its header Holdfast-Statement, "" without one, and e has its message ID, digest, lane
// and number. The error says why the plant cannot have sent it.
type Origin func(statement string, e Entry) error

func (c Config) withDefaults() Config {
	c.Name = cmp.Or(c.Name, "openapi.yaml")
	c.Journal.Count = cmp.Or(c.Journal.Count, 100_000)
	c.Journal.Bytes = cmp.Or(c.Journal.Bytes, 64<<20)
	c.Store.Count = cmp.Or(c.Store.Count, 100_000)
	c.Store.Bytes = cmp.Or(c.Store.Bytes, 256<<20)
	c.Spaces = cmp.Or(c.Spaces, 1024)
	c.BodyLimit = cmp.Or(c.BodyLimit, 4<<20)
	c.BodyKept = cmp.Or(c.BodyKept, 16<<10)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Mock is one ERP. It is safe for concurrent use; Close ends what hangs in it.
type Mock struct {
	cfg      Config
	doc      *contract.Document
	plan     *plan
	ledger   *Lines
	restored bool         // the ledger held something
	offset   atomic.Int64 // of the mock's clock, nanoseconds
	gate     gate
	apart    atomic.Bool // the control API has a listener of its own, which no outage closes
	stop     chan struct{}
	once     sync.Once

	mu     sync.Mutex // guards spaces
	spaces map[string]*space
}

// space is one isolated ERP. Its mutex makes a request's rules, effect and journal one step.
type space struct {
	name  string
	mu    sync.Mutex // guards all below
	gone  bool       // it was reset: what is still in hand leaves no trace
	began time.Time
	store *store
	log   *journal
	rules *faultSet
	set   map[string]any
	keys  map[string]keyed
}

// New compiles a document into a Mock. It opens nothing but the ledger, from which it restores
// documents and journal where there is one.
func New(doc []byte, cfg Config) (*Mock, error) {
	cfg = cfg.withDefaults()
	d, err := contract.Load(doc, cfg.Name)
	if err != nil {
		return nil, err
	}
	for i := range cfg.Faults {
		if err := cfg.Faults[i].checkIn(d); err != nil {
			return nil, fmt.Errorf("fault %d: %w", i+1, err)
		}
	}
	p, err := newPlan(d)
	if err != nil {
		return nil, err
	}
	m := &Mock{cfg: cfg, doc: d, plan: p, stop: make(chan struct{}), spaces: map[string]*space{}}
	m.gate.began = cfg.Now()
	if cfg.Ledger != "" {
		if err = m.openLedger(cfg.Ledger); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Close ends requests that hang and closes the ledger. The Mock takes no requests afterwards.
func (m *Mock) Close() error {
	var err error
	m.once.Do(func() {
		close(m.stop)
		if m.ledger != nil {
			err = m.ledger.Close()
		}
	})
	return err
}

// Document is the contract that is served.
func (m *Mock) Document() *contract.Document { return m.doc }

// Now is the time on the mock's clock.
func (m *Mock) Now() time.Time { return m.cfg.Now().Add(time.Duration(m.offset.Load())) }

// Advance moves the mock's clock; negative goes back.
func (m *Mock) Advance(d time.Duration) { m.offset.Add(int64(d)) }

// Handler serves the document's operations and the control API below /__mock/.
func (m *Mock) Handler() http.Handler { return http.HandlerFunc(m.serve) }

// space finds or makes a space.
func (m *Mock) space(name string) (*space, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.spaces[name]; ok {
		return s, nil
	}
	if len(m.spaces) >= m.cfg.Spaces {
		return nil, fmt.Errorf("there are %d spaces already; delete one by POST /__mock/reset", len(m.spaces))
	}
	s := m.newSpace(name)
	m.spaces[name] = s
	return s, nil
}

func (m *Mock) newSpace(name string) *space {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash takes everything
	s := &space{
		name: name, began: m.Now(),
		store: newStore(m.plan, m.cfg.Store), log: newJournal(m.cfg.Journal),
		rules: newFaultSet(m.cfg.Faults, rand.New(rand.NewPCG(uint64(m.cfg.Seed), h.Sum64()))), //nolint:gosec // repeatable on purpose
		set:   map[string]any{}, keys: map[string]keyed{},
	}
	for k, v := range m.plan.settings {
		s.set[k] = v
	}
	for k, v := range m.cfg.Settings {
		s.set[k] = v
	}
	return s
}

// in runs f on the default space, or the one named, under its lock.
func (m *Mock) in(name string, f func(*space)) error {
	s, err := m.space(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
	return nil
}

// Journal lists what the default space's journal holds, oldest first.
func (m *Mock) Journal() []Entry { return m.JournalOf("") }

// JournalOf lists the journal of one space.
func (m *Mock) JournalOf(name string) []Entry {
	var out []Entry
	_ = m.in(name, func(s *space) { out = s.log.after(0, 0) })
	return out
}

// Effects lists all effects that the default space's journal holds, in the order of commit.
func (m *Mock) Effects() []Effect { return EffectsOf(m.Journal()) }

// Documents lists the documents of one type of the default space as JSON, oldest change first.
func (m *Mock) Documents(kind string) [][]byte {
	var out [][]byte
	_ = m.in("", func(s *space) { out = s.store.all(kind) })
	return out
}

// SetFaults replaces the faults of the default space.
func (m *Mock) SetFaults(faults ...Fault) error {
	for i := range faults {
		if err := faults[i].check(); err != nil {
			return fmt.Errorf("fault %d: %w", i+1, err)
		}
	}
	return m.in("", func(s *space) { s.rules.replace(faults) })
}

// AddFault puts one more fault in force in the default space and gives its ID.
func (m *Mock) AddFault(f Fault) (string, error) {
	if err := f.check(); err != nil {
		return "", err
	}
	var id string
	err := m.in("", func(s *space) { id = s.rules.add(f) })
	return id, err
}

// Set changes a setting of the default space, such as closedUntil of openapi/erp.yaml.
func (m *Mock) Set(name string, value any) {
	_ = m.in("", func(s *space) {
		s.set[name] = value
		m.recordApart(s, line{Set: map[string]any{name: value}})
	})
}

// Reset empties a space: documents, journal, faults and settings are as in the beginning, after a
// restart too. Requests in hand end in the space as it was.
func (m *Mock) Reset(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.spaces[name]
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.recordApart(s, line{Reset: true})
	s.gone = true
	delete(m.spaces, name)
}

// Restored tells whether the ledger held something: then the mock goes on where it ended, and has
// what it was seeded with.
func (m *Mock) Restored() bool { return m.restored }

// Down makes the whole ERP unreachable for a time (zero: until Up), on the mock's clock.
func (m *Mock) Down(d time.Duration) { m.gate.close(m.Now(), d) }

// Up makes it reachable again.
func (m *Mock) Up() { m.gate.open() }
