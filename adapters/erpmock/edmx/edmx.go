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
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/odata/edm"
)

// Config tunes a Mock; its zero value is ready for use.
type Config struct {
	Root           string           // path of the service; default /sap/opu/odata/sap/ and the namespace of its types, V4: /sap/opu/odata4/
	Page           int              // entities on one page; default 50
	NoCSRF         bool             // take writes without a token, as a V4 service of another maker does
	NoHead         bool             // refuse HEAD, as some handlers do
	User, Password string           // that basic authentication asks for; empty for none
	IDFields       []string         // fields that carry the ID of a message, for the journal; without one the RequestID names it
	Repeatable     bool             // honour RequestID: the same one is answered again
	Delta          bool             // give delta links
	Coarse         bool             // two changes in one second have one change time, as with SAP; by default they have two
	Zone           *time.Location   // of change times in 14 digits; default UTC
	SessionWrites  int              // end every session after so many writes; 0 never
	Host           string           // that links to the next page name; default the request's
	BodyLimit      int64            // bytes of a request; default 16 MiB
	Now            func() time.Time // default time.Now
	Seed           int64            // of the faults that are left to chance
	Faults         []erpmock.Fault  // in force from the beginning
	Ledger         string           // a file that keeps documents and journal over a restart; empty for none
	Origin         erpmock.Origin   // looks at who signed what is written; nil for nobody. The message is named by its RequestID, its lane by nothing
}

// Rule is a refusal that the ERP's own state brings about: a locked order, a closed period, missing master data.
type Rule struct {
	Set    string `json:"set,omitempty"`   // or operation; empty for every write
	Field  string `json:"field,omitempty"` // of the document, or of one nested in it; empty for all documents
	Value  any    `json:"value,omitempty"`
	Status int    `json:"status,omitempty"` // default 400
	Code   string `json:"code"`
	Text   string `json:"text"`
	Target string `json:"target,omitempty"`
	Count  int    `json:"count,omitempty"` // refuse so often; 0 without end

	Probability float64 `json:"probability,omitempty"` // of refusing; 0 means always
}

// Mock is one service. It is safe for concurrent use.
type Mock struct {
	*core
	cfg   Config
	model *edm.Model
	text  []byte
	etag  string // of the $metadata

	rows  map[string]*table // by set; core's mutex guards these two
	rules []*Rule
	drops []drop
}

// New compiles a $metadata document into a Mock that stands alone.
func New(metadata []byte, cfg Config) (*Mock, error) {
	m, err := newMock(metadata, cfg)
	if err != nil {
		return nil, err
	}
	m.core, err = newCore(m.cfg, m)
	return m, err
}

func newMock(metadata []byte, cfg Config) (*Mock, error) {
	model, err := edm.Parse(metadata)
	if err != nil {
		return nil, fmt.Errorf("serve a $metadata: %w", err)
	}
	cfg.Root = cmp.Or(strings.TrimRight(cfg.Root, "/"), usualRoot(model))
	cfg.Page, cfg.Zone = cmp.Or(cfg.Page, 50), cmp.Or(cfg.Zone, time.UTC)
	cfg.BodyLimit = cmp.Or(cfg.BodyLimit, 16<<20)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Mock{cfg: cfg, model: model, text: metadata, etag: fmt.Sprintf(`"%d-%d"`, len(metadata), cfg.Now().Unix()), rows: map[string]*table{}}, nil
}

// usualRoot is where SAP's gateway has a service: below its name, which is the namespace of its types.
func usualRoot(model *edm.Model) string {
	name := "SERVICE"
	for _, set := range slices.Sorted(maps.Keys(model.Sets)) {
		of := model.Sets[set].Of.Name
		if i := strings.LastIndexByte(of, '.'); i > 0 {
			name = of[:i]
			break
		}
	}
	if model.Version == edm.V4 {
		return "/sap/opu/odata4/" + name
	}
	return "/sap/opu/odata/sap/" + name
}

// Model is what is served.
func (m *Mock) Model() *edm.Model { return m.model }

// Handler serves the service at Config.Root.
func (m *Mock) Handler() http.Handler { return http.HandlerFunc(m.serve) }

// SetRules replaces the refusals.
func (m *Mock) SetRules(rules ...Rule) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rules = nil
	for _, r := range rules {
		m.rules = append(m.rules, &r)
	}
}

// Seed puts documents of plain values in a set, with what is nested in them, without an entry in the journal: all of them, or with an error none.
func (m *Mock) Seed(set string, docs ...map[string]any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	tx := m.begin(nil)
	if err := tx.seed(set, docs); err != nil {
		tx.rollback()
		return err
	}
	tx.commit()
	return nil
}

// seed makes the documents of a set.
func (tx *transaction) seed(set string, docs []map[string]any) error {
	s, ok := tx.m.model.Sets[set]
	if !ok {
		return fmt.Errorf("seed: there is no set %q", set)
	}
	for _, d := range docs {
		plain, refused := tx.m.plain(s.Of, d, "", true)
		if refused == nil {
			_, refused = tx.create(s, plain, nil)
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
			tx := m.begin(nil)
			tx.change(m.model.Sets[set], r, to)
			tx.commit()
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

// DropNested leaves out, from now on, what is nested in a new document and has this value in a field: SAP posts a confirmation and keeps
// a goods movement that failed for a person.
func (m *Mock) DropNested(set, field string, value any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drops = append(m.drops, drop{set, field, value})
}

// drop is what DropNested was told.
type drop struct {
	set, field string
	value      any
}
