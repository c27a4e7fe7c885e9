package edmx

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"holdfast/adapters/erpmock"
)

// control serves /__mock/: what a test outside of the process steers the system by. It is that of the REST mock, save that there are no
// spaces and no settings, and that there are rules and sessions, which SAP has.
func (s *System) control(w http.ResponseWriter, r *http.Request) {
	what := strings.TrimPrefix(r.URL.Path, "/__mock/")
	handlers := map[string]func(*http.Request) (int, any, error){
		"GET faults": s.getFaults, "POST faults": s.postFaults, "DELETE faults": s.deleteFaults,
		"GET rules": s.getRules, "POST rules": s.postRules, "DELETE rules": s.deleteRules, "DELETE sessions": s.deleteSessions,
		"GET down": s.getDown, "POST down": s.postDown, "DELETE down": s.deleteDown,
		"GET clock": s.getClock, "POST clock": s.postClock, "POST reset": s.postReset,
		"GET journal": s.getJournal, "GET effects": s.getEffects, "POST expect": s.postExpect, "POST seed": s.postSeed,
	}
	h, ok := handlers[r.Method+" "+what]
	if set, isDoc := strings.CutPrefix(what, "documents/"); isDoc && r.Method == http.MethodGet {
		h, ok = func(*http.Request) (int, any, error) { return s.getDocuments(set) }, true
	}
	if !ok {
		reply(w, http.StatusNotFound, map[string]any{
			"title": "there is no " + r.Method + " " + r.URL.Path,
			"hint":  "there are faults, rules, sessions, down, clock, reset, journal, effects, documents/SET, expect and seed",
		})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<20)
	status, v, err := h(r)
	if err != nil {
		status, v = http.StatusBadRequest, map[string]any{"title": err.Error(), "hint": "see docs/odata.md"}
	}
	reply(w, status, v)
}

// reply writes an answer of the control API; the client is gone if that fails.
func reply(w http.ResponseWriter, status int, v any) {
	if v == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// read decodes a control body strictly; an empty one leaves the target as it is.
func read(r *http.Request, target any) error {
	b, err := io.ReadAll(r.Body)
	if err != nil || len(bytes.TrimSpace(b)) == 0 {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	d.UseNumber()
	return d.Decode(target)
}

// several reads one value, or a list of them.
func several[T any](r *http.Request) ([]T, error) {
	var raw json.RawMessage
	if err := read(r, &raw); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")) {
		raw = append(append([]byte("["), raw...), ']')
	}
	var out []T
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return out, d.Decode(&out)
}

func (s *System) getFaults(*http.Request) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return http.StatusOK, map[string]any{"faults": s.faults.List()}, nil
}

func (s *System) postFaults(r *http.Request) (int, any, error) {
	faults, err := several[erpmock.Fault](r)
	if err != nil {
		return 0, nil, err
	}
	for i := range faults {
		if err := faults[i].Check(); err != nil {
			return 0, nil, fmt.Errorf("fault %d: %w", i+1, err)
		}
		if faults[i].Kind == erpmock.Outage {
			return 0, nil, fmt.Errorf("fault %d: down concerns the whole mock; POST /__mock/down", i+1)
		}
	}
	ids := []string{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		ids = append(ids, s.faults.Add(f))
	}
	return http.StatusCreated, map[string]any{"ids": ids}, nil
}

func (s *System) deleteFaults(r *http.Request) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.URL.Query().Get("id")
	if id == "" {
		s.faults.Replace(nil)
	} else if !s.faults.Remove(id) {
		return 0, nil, fmt.Errorf("there is no fault %q", id)
	}
	return http.StatusNoContent, nil, nil
}

func (s *System) getRules(*http.Request) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []*Rule{}
	for _, m := range s.services {
		all = append(all, m.rules...)
	}
	return http.StatusOK, map[string]any{"rules": all}, nil
}

// postRules adds refusals: to the service whose set or operation a rule names, or to all.
func (s *System) postRules(r *http.Request) (int, any, error) {
	rules, err := several[Rule](r)
	if err != nil {
		return 0, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, one := range rules {
		found := false
		for _, m := range s.services {
			if one.Set == "" || m.model.Sets[one.Set] != nil || m.model.Operations[one.Set] != nil {
				rule := one
				m.rules, found = append(m.rules, &rule), true
			}
		}
		if !found {
			return 0, nil, fmt.Errorf("rule %d: no service has a set or operation %q", i+1, one.Set)
		}
	}
	return http.StatusCreated, map[string]any{"rules": len(rules)}, nil
}

func (s *System) deleteRules(*http.Request) (int, any, error) {
	for _, m := range s.services {
		m.SetRules()
	}
	return http.StatusNoContent, nil, nil
}

func (s *System) deleteSessions(*http.Request) (int, any, error) {
	s.ExpireSessions()
	return http.StatusNoContent, nil, nil
}

func (s *System) getDown(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]any{"down": s.IsDown()}, nil
}

func (s *System) postDown(r *http.Request) (int, any, error) {
	var in struct {
		For erpmock.Duration `json:"for"`
	}
	if err := read(r, &in); err != nil {
		return 0, nil, err
	}
	if in.For < 0 {
		return 0, nil, errors.New("for is negative")
	}
	if in.For == 0 && !s.apart.Load() {
		return 0, nil, errors.New(`an outage without an end would end this control API too: give a time, {"for": "20s"}, or start the mock with --control`)
	}
	s.Down(time.Duration(in.For))
	return http.StatusOK, map[string]any{"down": true, "for": in.For}, nil
}

func (s *System) deleteDown(*http.Request) (int, any, error) {
	s.Up()
	return http.StatusNoContent, nil, nil
}

func (s *System) getClock(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]any{"now": s.Now()}, nil
}

func (s *System) postClock(r *http.Request) (int, any, error) {
	var in struct {
		Advance erpmock.Duration `json:"advance"`
		Set     *time.Time       `json:"set"`
	}
	if err := read(r, &in); err != nil {
		return 0, nil, err
	}
	if in.Set != nil {
		s.Advance(in.Set.Sub(s.Now()))
	}
	s.Advance(time.Duration(in.Advance))
	return s.getClock(r)
}

func (s *System) postReset(*http.Request) (int, any, error) {
	s.Reset()
	return http.StatusNoContent, nil, nil
}

// getJournal gives the entries after a number, and how many older ones were dropped.
func (s *System) getJournal(r *http.Request) (int, any, error) {
	q := r.URL.Query()
	var n [2]int64
	for i, name := range []string{"after", "limit"} {
		if text := q.Get(name); text != "" {
			var err error
			if n[i], err = strconv.ParseInt(text, 10, 32); err != nil {
				return 0, nil, errors.New("after and limit are whole numbers")
			}
		}
	}
	return http.StatusOK, s.log(n[0], int(n[1])), nil
}

func (s *System) getEffects(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]any{"effects": append([]erpmock.Effect{}, s.Effects()...)}, nil
}

func (s *System) getDocuments(set string) (int, any, error) {
	m := s.Service(set)
	if m == nil {
		return 0, nil, fmt.Errorf("no service has a set %q", set)
	}
	return http.StatusOK, map[string]any{"documents": append([]map[string]any{}, m.Documents(set)...)}, nil
}

// postExpect checks the journal: 200 where it is as expected, 417 where not; the report either way.
func (s *System) postExpect(r *http.Request) (int, any, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, nil, err
	}
	rep, err := s.Log().Check(b)
	switch {
	case err != nil:
		return 0, nil, err
	case !rep.OK():
		return http.StatusExpectationFailed, rep, nil
	}
	return http.StatusOK, rep, nil
}

// postSeed takes documents by set: {"A_ProductionOrder_2": [{…}]}.
func (s *System) postSeed(r *http.Request) (int, any, error) {
	in := map[string][]map[string]any{}
	if err := read(r, &in); err != nil {
		return 0, nil, err
	}
	n := 0
	for set, docs := range in {
		if err := s.Seed(set, docs...); err != nil {
			return 0, nil, err
		}
		n += len(docs)
	}
	return http.StatusCreated, map[string]any{"documents": n}, nil
}
