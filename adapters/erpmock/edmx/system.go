package edmx

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"holdfast/adapters/erpmock"
)

// System is the services of one ERP: they share sessions, faults, clock, journal and ledger, and are steered through one control API
// below /__mock/. It is safe for concurrent use.
type System struct {
	*core
	services []*Mock
	restored bool
	apart    atomic.Bool // the control API has a listener of its own, which no outage closes
}

// Source is one service of a system: its $metadata, and its root, where that is not the usual one.
type Source struct {
	Metadata []byte
	Root     string
}

// NewSystem serves each service at its own root; that of cfg has no meaning.
func NewSystem(cfg Config, sources ...Source) (*System, error) {
	s := &System{}
	for i, source := range sources {
		cfg.Root = source.Root
		m, err := newMock(source.Metadata, cfg)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(s.services, func(o *Mock) bool { return o.cfg.Root == m.cfg.Root }) {
			return nil, fmt.Errorf("service %d has the same root as another, %s", i+1, m.cfg.Root)
		}
		s.services = append(s.services, m)
	}
	if len(s.services) == 0 {
		return nil, errors.New("a system has at least one service")
	}
	var err error
	s.core, err = newCore(s.services[0].cfg, s.services...)
	if err != nil {
		return nil, err
	}
	s.restored = s.seq > 0 || s.changes > 0
	return s, nil
}

// Restored tells whether the ledger held something: then the system goes on where it ended, and has what it was seeded with.
func (s *System) Restored() bool { return s.restored }

// Services are the system's, in the order in which they were given.
func (s *System) Services() []*Mock { return s.services }

// Root is the path at which a service is served.
func (m *Mock) Root() string { return m.cfg.Root }

// below is what follows the service's root in an address. A version of the service may stand between, as in API_BILL_OF_MATERIAL_SRV;v=0002:
// there is one.
func (m *Mock) below(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, m.cfg.Root)
	if version, found := strings.CutPrefix(rest, ";v="); found {
		rest = strings.TrimLeft(version, "0123456789")
	}
	return rest, ok && (rest == "" || rest[0] == '/')
}

// Service is the one that has a set, nil if none has.
func (s *System) Service(set string) *Mock {
	for _, m := range s.services {
		if m.model.Sets[set] != nil {
			return m
		}
	}
	return nil
}

// Seed puts documents of plain values in a set of whichever service has it.
func (s *System) Seed(set string, docs ...map[string]any) error {
	m := s.Service(set)
	if m == nil {
		return fmt.Errorf("seed: no service has a set %q", set)
	}
	return m.Seed(set, docs...)
}

// SeedAll puts documents in the sets of whichever service has each: all of them, or with an error none. In the ledger they are one line, so that no
// crash leaves a part, and they are on the disk when it returns.
func (s *System) SeedAll(docs map[string][]map[string]any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var done []*transaction
	var saved []savedDoc
	for _, set := range slices.Sorted(maps.Keys(docs)) {
		err := fmt.Errorf("seed: no service has a set %q", set)
		if m := s.Service(set); m != nil {
			tx := m.begin(nil)
			done = append(done, tx)
			err = tx.seed(set, docs[set])
			saved = append(saved, tx.saved()...)
		}
		if err != nil {
			for _, tx := range slices.Backward(done) {
				tx.rollback()
			}
			return err
		}
	}
	if s.ledger == nil || len(saved) == 0 {
		return nil
	}
	s.ledger.Append(line{Docs: saved, Numbers: s.numbers, Changes: s.changes})
	if err := s.ledger.Wait(s.ledger.Last()); err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}

// Handler serves every service, and the control API below /__mock/.
func (s *System) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/__mock/") {
			s.control(w, r)
			return
		}
		for _, m := range s.services {
			if _, ok := m.below(r.URL.EscapedPath()); ok {
				m.serve(w, r)
				return
			}
		}
		http.Error(w, "<html><body>Service not found</body></html>", http.StatusNotFound)
	})
}

// Control is the control API alone, for a listener that no outage closes.
func (s *System) Control() http.Handler {
	s.apart.Store(true)
	return http.HandlerFunc(s.control)
}

// Reset empties the system: documents, journal, faults, rules and sessions, after a restart too.
func (s *System) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.empty()
	clear(s.sessions)
	s.faults.Replace(nil)
	for _, m := range s.services {
		m.rows, m.rules = map[string]*table{}, nil
	}
	if s.ledger != nil {
		s.ledger.Append(line{Reset: true})
	}
}

// AddFault puts one more fault in force and gives its ID.
func (s *System) AddFault(f erpmock.Fault) (string, error) {
	if err := f.Check(); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.Add(f), nil
}
