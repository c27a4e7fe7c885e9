// Package edmx is the ERP of a $metadata file: it serves any OData V2 or V4 service from it, as SAP's gateway does, with state,
// faults and a journal, for tests and for integrators whose ERP is not there yet.
//
// # Guarantees
//
//   - What a service may refuse, this one refuses: unknown fields, values that do not fit, a JSON number for a V2 decimal, a JSON text
//     for a V4 one, a write without CSRF token and cookie, a change without its ETag. A refused request has no effect.
//   - A change set takes effect as a whole or not at all, and its failure is answered as one error.
//   - A fault has a phase. Before: the request has no effect. After: the effect is there before the fault touches the answer.
//   - The journal tells apart what was attempted, what took effect and what was delivered. Each write in a $batch has an entry of its
//     own beside that of the batch.
//   - The same document posted twice takes effect twice, unless Config.Repeatable is set and the request carries the same RequestID:
//     that is what SAP does without customizing.
package edmx

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/odata/edm"
)

// Config tunes a Mock; its zero value is ready for use.
type Config struct {
	Root           string           // path of the service; default /sap/opu/odata/sap/SERVICE
	Page           int              // entities on one page; default 50
	NoCSRF         bool             // take writes without a token, as a V4 service of another maker does
	NoHead         bool             // refuse HEAD, as some handlers do
	User, Password string           // that basic authentication asks for; empty for none
	IDFields       []string         // fields that carry the ID of a message, for the journal
	Repeatable     bool             // honour RequestID: the same one is answered again
	Delta          bool             // give delta links
	Host           string           // that links to the next page name; default the request's
	BodyLimit      int64            // bytes of a request; default 16 MiB
	Now            func() time.Time // default time.Now
}

// Rule is a refusal that the ERP's own state brings about: a locked order, a closed period, missing master data.
type Rule struct {
	Set    string // or operation; empty for every write
	Field  string // of the document, or of one nested in it; empty for all documents
	Value  any
	Status int // default 400
	Code   string
	Text   string
	Target string
	Count  int // refuse so often; 0 without end
}

// Mock is one service. It is safe for concurrent use.
type Mock struct {
	cfg   Config
	model *edm.Model
	text  []byte
	etag  string // of the $metadata
	stop  chan struct{}
	once  sync.Once

	mu       sync.Mutex // guards what follows: a request's rules, effect and journal are one step
	rows     map[string]*table
	sessions map[string]string // CSRF tokens by the cookie's value
	rules    []*Rule
	faults   []*erpmock.Fault
	journal  []*erpmock.Entry
	attempts map[string]int    // by message ID
	answered map[string]answer // by RequestID
	tokens   int               // how often a token was given
	calls    map[string]int    // by method
	effects  int64
	numbers  int64 // counts documents
	changes  int64 // counts changes, for ETags and delta tokens
}

// New compiles a $metadata document into a Mock.
func New(metadata []byte, cfg Config) (*Mock, error) {
	model, err := edm.Parse(metadata)
	if err != nil {
		return nil, fmt.Errorf("serve a $metadata: %w", err)
	}
	cfg.Root = cmp.Or(strings.TrimRight(cfg.Root, "/"), "/sap/opu/odata/sap/SERVICE")
	cfg.Page = cmp.Or(cfg.Page, 50)
	cfg.BodyLimit = cmp.Or(cfg.BodyLimit, 16<<20)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Mock{
		cfg: cfg, model: model, text: metadata, etag: fmt.Sprintf(`"%d-%d"`, len(metadata), cfg.Now().Unix()), stop: make(chan struct{}),
		rows: map[string]*table{}, sessions: map[string]string{}, attempts: map[string]int{}, answered: map[string]answer{}, calls: map[string]int{},
	}, nil
}

// Close ends requests that hang.
func (m *Mock) Close() { m.once.Do(func() { close(m.stop) }) }

// Model is what is served.
func (m *Mock) Model() *edm.Model { return m.model }

// Handler serves the service at Config.Root.
func (m *Mock) Handler() http.Handler { return http.HandlerFunc(m.serve) }

// SetFaults replaces the faults. Kinds that a link of HTTP does not have are taken for Lost.
func (m *Mock) SetFaults(faults ...erpmock.Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = nil
	for _, f := range faults {
		m.faults = append(m.faults, &f)
	}
}

// SetRules replaces the refusals.
func (m *Mock) SetRules(rules ...Rule) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rules = nil
	for _, r := range rules {
		m.rules = append(m.rules, &r)
	}
}

// ExpireSessions makes every cookie and token worthless, as SAP does after half an hour.
func (m *Mock) ExpireSessions() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.sessions)
}

// Tokens tells how often a CSRF token was given.
func (m *Mock) Tokens() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tokens
}

// Calls counts the requests on the wire by their method.
func (m *Mock) Calls() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.calls)
}

// Journal lists the attempts, oldest first.
func (m *Mock) Journal() []erpmock.Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]erpmock.Entry, 0, len(m.journal))
	for _, e := range m.journal {
		c := *e
		c.Effects = slices.Clone(e.Effects)
		out = append(out, c)
	}
	return out
}

// Effects lists all effects in the order of commit.
func (m *Mock) Effects() []erpmock.Effect { return erpmock.EffectsOf(m.Journal()) }

// Seed puts documents of plain values in a set, with what is nested in them, without an entry in the journal.
func (m *Mock) Seed(set string, docs ...map[string]any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.model.Sets[set]
	if !ok {
		return fmt.Errorf("seed: there is no set %q", set)
	}
	for _, d := range docs {
		plain, refused := m.plain(s.Of, d, "", true)
		if refused == nil {
			_, refused = m.begin(nil).create(s, plain, nil)
		}
		if refused != nil {
			return fmt.Errorf("seed %s: %s", set, refused.text)
		}
	}
	return nil
}

// Change sets fields of the documents of a set whose field has a value, as somebody in the ERP does, and tells how many there were.
func (m *Mock) Change(set, field string, value any, to map[string]any) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, r := range m.table(set).list {
		if r.values[field] == value {
			maps.Copy(r.values, to)
			m.touch(m.model.Sets[set], r)
			n++
		}
	}
	return n
}

// Documents are a set's documents in plain values, in the order of their making.
func (m *Mock) Documents(set string) []map[string]any {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []map[string]any
	for _, r := range m.table(set).list {
		out = append(out, maps.Clone(r.values))
	}
	return out
}
