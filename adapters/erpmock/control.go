package erpmock

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// control serves /__mock/: what a test outside of the process steers the mock by. It acts on the
// space that X-Mock-Space names; down and clock are the whole mock's.
func (m *Mock) control(w http.ResponseWriter, r *http.Request) {
	what := strings.TrimPrefix(r.URL.Path, "/__mock/")
	handlers := map[string]func(*http.Request, *space) answer{
		"GET faults": m.getFaults, "POST faults": m.postFaults, "DELETE faults": m.deleteFaults,
		"GET down": m.getDown, "POST down": m.postDown, "DELETE down": m.deleteDown,
		"GET clock": m.getClock, "POST clock": m.postClock,
		"POST reset":  m.postReset,
		"GET journal": m.getJournal, "GET effects": m.getEffects, "POST expect": m.postExpect,
		"GET settings": m.getSettings, "POST settings": m.postSettings, "POST seed": m.postSeed,
	}
	h, ok := handlers[r.Method+" "+what]
	if kind, isDoc := strings.CutPrefix(what, "documents/"); isDoc && r.Method == http.MethodGet {
		h, ok = func(_ *http.Request, s *space) answer { return m.getDocuments(s, kind) }, true
	}
	if !ok {
		_ = write(w, problem(http.StatusNotFound, "unknown-control", "there is no "+r.Method+" "+r.URL.Path,
			"there are faults, down, clock, reset, journal, effects, documents/TYPE, expect, settings and seed")) // the client is gone if this fails
		return
	}
	s, err := m.space(r.Header.Get("X-Mock-Space"))
	if err != nil {
		_ = write(w, problem(http.StatusTooManyRequests, "too-many-spaces", err.Error(), "POST /__mock/reset in spaces that are done")) // as above
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, m.cfg.BodyLimit)
	_ = write(w, h(r, s)) // as above
}

func reply(status int, v any) answer {
	b, err := json.Marshal(v)
	if err != nil {
		return problem(http.StatusInternalServerError, "internal", err.Error(), "")
	}
	return answer{status: status, media: "application/json", body: append(b, '\n')}
}

func badControl(err error) answer {
	return problem(http.StatusBadRequest, "bad-control", err.Error(), "see docs/erp-mock.md")
}

// decodeControl reads a control body strictly; an empty one leaves the target as it is.
func decodeControl(r *http.Request, target any) error {
	b, err := readBody(nil, r, maxControl)
	if err != nil || len(b) == 0 {
		return err
	}
	return strictJSON(b, target)
}

const maxControl = 4 << 20

func (m *Mock) getFaults(_ *http.Request, s *space) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return reply(http.StatusOK, map[string]any{"faults": append([]*armed{}, s.rules.list...)})
}

// postFaults adds one fault, or a list of them.
func (m *Mock) postFaults(r *http.Request, s *space) answer {
	b, err := readBody(nil, r, maxControl)
	if err != nil {
		return badControl(err)
	}
	var faults []Fault
	if t := strings.TrimSpace(string(b)); strings.HasPrefix(t, "[") {
		err = strictJSON(b, &faults)
	} else {
		faults = make([]Fault, 1)
		err = strictJSON(b, &faults[0])
	}
	if err != nil {
		return badControl(err)
	}
	for i := range faults {
		if err := faults[i].checkIn(m.doc); err != nil {
			return badControl(fmt.Errorf("fault %d: %w", i+1, err))
		}
		if faults[i].Kind == Outage {
			return badControl(fmt.Errorf("fault %d: down concerns the whole mock; POST /__mock/down", i+1))
		}
	}
	ids := []string{}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rules.list)+len(faults) > 1000 {
		return badControl(fmt.Errorf("more than 1000 faults in one space"))
	}
	for _, f := range faults {
		ids = append(ids, s.rules.add(f))
	}
	return reply(http.StatusCreated, map[string]any{"ids": ids})
}

func (m *Mock) deleteFaults(r *http.Request, s *space) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.URL.Query().Get("id")
	if id == "" {
		s.rules.replace(nil)
	} else if !s.rules.remove(id) {
		return problem(http.StatusNotFound, "unknown-fault", "there is no fault "+strconv.Quote(id), "GET /__mock/faults")
	}
	return answer{status: http.StatusNoContent}
}

func (m *Mock) getDown(*http.Request, *space) answer {
	return reply(http.StatusOK, map[string]any{"down": m.IsDown()})
}

func (m *Mock) postDown(r *http.Request, _ *space) answer {
	var in struct {
		For Duration `json:"for"`
	}
	if err := decodeControl(r, &in); err != nil {
		return badControl(err)
	}
	if in.For < 0 {
		return badControl(fmt.Errorf("for is negative"))
	}
	if in.For == 0 && !m.apart.Load() {
		return badControl(fmt.Errorf(`an outage without an end would end this control API too: give a time, {"for": "20s"}, or start the mock with --control`))
	}
	m.Down(time.Duration(in.For))
	return reply(http.StatusOK, map[string]any{"down": true, "for": in.For})
}

func (m *Mock) deleteDown(*http.Request, *space) answer {
	m.Up()
	return answer{status: http.StatusNoContent}
}

func (m *Mock) getClock(*http.Request, *space) answer {
	return reply(http.StatusOK, map[string]any{"now": m.Now(), "offset": Duration(m.offset.Load())})
}

// postClock moves the clock: by a duration, or to a time.
func (m *Mock) postClock(r *http.Request, s *space) answer {
	var in struct {
		Advance Duration   `json:"advance"`
		Set     *time.Time `json:"set"`
	}
	if err := decodeControl(r, &in); err != nil {
		return badControl(err)
	}
	if in.Set != nil {
		m.Advance(in.Set.Sub(m.Now()))
	}
	m.Advance(time.Duration(in.Advance))
	return m.getClock(r, s)
}

func (m *Mock) postReset(_ *http.Request, s *space) answer {
	m.Reset(s.name)
	return answer{status: http.StatusNoContent}
}

// getJournal gives the entries after a number, and how many older ones were dropped.
func (m *Mock) getJournal(r *http.Request, s *space) answer {
	after, err1 := queryInt(r, "after")
	limit, err2 := queryInt(r, "limit")
	if err1 != nil || err2 != nil {
		return badControl(fmt.Errorf("after and limit are whole numbers"))
	}
	s.mu.Lock()
	l := s.journal(after, int(limit))
	s.mu.Unlock()
	return reply(http.StatusOK, l)
}

func queryInt(r *http.Request, name string) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	return strconv.ParseInt(text, 10, 32)
}

func (m *Mock) getEffects(_ *http.Request, s *space) answer {
	s.mu.Lock()
	entries, dropped := s.log.after(0, 0), s.log.dropped
	s.mu.Unlock()
	return reply(http.StatusOK, map[string]any{"effects": append([]Effect{}, EffectsOf(entries)...), "dropped": dropped})
}

func (m *Mock) getDocuments(s *space, kind string) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	docs := []json.RawMessage{}
	for _, b := range s.store.all(kind) {
		docs = append(docs, b)
	}
	return reply(http.StatusOK, map[string]any{"documents": docs})
}

// postExpect checks the journal: 200 where it is as expected, 417 where not; the report either way.
func (m *Mock) postExpect(r *http.Request, s *space) answer {
	b, err := readBody(nil, r, maxControl)
	if err != nil {
		return badControl(err)
	}
	s.mu.Lock()
	l := s.journal(0, 0)
	s.mu.Unlock()
	rep, err := l.Check(b)
	if err != nil {
		return badControl(err)
	}
	if !rep.OK() {
		return reply(http.StatusExpectationFailed, rep)
	}
	return reply(http.StatusOK, rep)
}

func (m *Mock) getSettings(_ *http.Request, s *space) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return reply(http.StatusOK, s.set)
}

// postSettings changes settings that the contract has.
func (m *Mock) postSettings(r *http.Request, s *space) answer {
	in := map[string]any{}
	if err := decodeControl(r, &in); err != nil {
		return badControl(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range in {
		if _, known := s.set[k]; !known {
			return badControl(fmt.Errorf("there is no setting %q", k))
		}
	}
	maps.Copy(s.set, in)
	m.recordApart(s, line{Set: in})
	return reply(http.StatusOK, s.set)
}

// postSeed takes documents by type: {"productionOrder": [{…}]}.
func (m *Mock) postSeed(r *http.Request, s *space) answer {
	in := map[string][]map[string]any{}
	if err := decodeControl(r, &in); err != nil {
		return badControl(err)
	}
	n := 0
	for kind, docs := range in {
		if err := m.SeedIn(s.name, kind, docs...); err != nil {
			return badControl(err)
		}
		n += len(docs)
	}
	return reply(http.StatusCreated, map[string]any{"documents": n})
}
