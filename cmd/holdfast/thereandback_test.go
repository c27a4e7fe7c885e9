package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/odata"
	"holdfast/adapters/rest"
	"holdfast/internal/inbox"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// asTold is a mapper that changes nothing.
type asTold struct{}

func (asTold) ApplyIn(_ context.Context, _ string, m message.Message, _ mapping.Resolver) (message.Message, error) {
	return m, nil
}

// crashing is a source whose answer is lost with its process, as often as it is told.
type crashing struct {
	inbox.Source
	mu   sync.Mutex
	left int
}

func (c *crashing) Poll(ctx context.Context, cursor string) ([]message.Incoming, string, error) {
	batch, next, err := c.Source.Poll(ctx, cursor)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left > 0 && len(batch) > 0 {
		c.left--
		return nil, cursor, errors.New("the process was killed")
	}
	return batch, next, err
}

// changing is an ERP with one object: change gives it a state, later has the next change time be another one, and open is a link to it.
type changing struct {
	change func(state string)
	later  func()
	open   func(t *testing.T) inbox.Source
}

// TestAStateThatComesBackIsTakenOnce: an object of an ERP changes from A to B and back to A, each time within one second, while two nodes of the
// plant share the poll, fail between reading and keeping, and are restarted. Each change that the ERP shows is acted on once, in order.
func TestAStateThatComesBackIsTakenOnce(t *testing.T) {
	for name, begin := range map[string]func(*testing.T) changing{"odata": changingOData, "rest": changingREST} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				erp := begin(t)
				p := &thereAndBack{t: t, db: db, erp: erp}
				p.exec(`CREATE TABLE told (n BIGINT NOT NULL, state TEXT NOT NULL)`)
				erp.change("A")
				stop1 := p.node("node-1", 1)
				p.wait("A")
				stop2 := p.node("node-2", 1)
				erp.change("B")
				p.wait("A", "B")
				stop1() // the other one goes on, and is killed once before it has kept what it read
				erp.change("A")
				p.wait("A", "B", "A")
				stop2()
				erp.change("B") // while nobody looks
				erp.change("A")
				stop2 = p.node("node-2", 0)
				stop1 = p.node("node-1", 0)
				erp.later()
				erp.change("B")
				p.wait("A", "B", "A", "B")
				erp.later()
				erp.change("C")
				erp.change("B") // between two polls or not: what is last is B
				p.last("B")
				stop1()
				stop2()
				p.settled()
			})
		})
	}
}

// thereAndBack is a plant that remembers what it was told.
type thereAndBack struct {
	t   *testing.T
	db  *store.DB
	erp changing
}

func (p *thereAndBack) exec(statement string, args ...any) {
	p.t.Helper()
	err := p.db.InTx(p.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(p.t.Context(), statement, args...)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// apply remembers the state in a message.
func (p *thereAndBack) apply(ctx context.Context, tx *store.Tx, m message.Message) error {
	var doc struct{ Material, Name string }
	if err := json.Unmarshal(m.Body, &doc); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO told (n, state) SELECT COUNT(*) + 1, ? FROM told`, doc.Material+doc.Name)
	return err
}

// node starts a node of the plant with a link of its own, which is killed so often before it has kept what it has read.
func (p *thereAndBack) node(name string, kills int) (stop func()) {
	in := inbox.New(p.db, asTold{}, p.apply, inbox.Config{Node: name, Poll: 10 * time.Millisecond, Retry: time.Millisecond, Feeds: []inbox.Feed{
		{Name: "erp/objects", Link: "erp", Every: 10 * time.Millisecond, Source: &crashing{Source: p.erp.open(p.t), left: kills}},
	}}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	}
}

func (p *thereAndBack) told() (states []string) {
	p.t.Helper()
	err := p.db.View(p.t.Context(), func(tx *store.Tx) error {
		return tx.Select(p.t.Context(), &states, `SELECT state FROM told ORDER BY n`)
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return states
}

// wait waits until the plant was told these states, and no others.
func (p *thereAndBack) wait(want ...string) {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); len(p.told()) < len(want) && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	if got := p.told(); !slices.Equal(got, want) {
		p.t.Fatalf("the plant was told %q, want %q", got, want)
	}
}

// last waits until this is what the plant knows last.
func (p *thereAndBack) last(want string) {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got := p.told(); len(got) > 4 && got[len(got)-1] == want {
			return
		}
	}
	p.t.Fatalf("the plant was told %q, want %q at last", p.told(), want)
}

// settled has a new node read all again: nothing more is told, and nothing was rejected or is left.
func (p *thereAndBack) settled() {
	p.t.Helper()
	before := p.told()
	p.exec(`UPDATE inbox_cursors SET owner = '', lease_until = 0`)
	stop := p.node("node-3", 0)
	time.Sleep(200 * time.Millisecond) // some twenty polls
	stop()
	if got := p.told(); !slices.Equal(got, before) {
		p.t.Errorf("after a restart the plant was told %q, before %q", got, before)
	}
	var rejected, waiting int
	err := p.db.View(p.t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.Get(p.t.Context(), &rejected, `SELECT COUNT(*) FROM inbox_rejected`),
			tx.Get(p.t.Context(), &waiting, `SELECT COUNT(*) FROM inbox_messages WHERE state IN ('ready', 'quarantined')`))
	})
	if err != nil || rejected != 0 || waiting != 0 {
		p.t.Errorf("%d messages rejected, %d without effect, %v", rejected, waiting, err)
	}
}

// changingOData is an order of an OData service whose change time is to the second.
func changingOData(t *testing.T) changing {
	text, err := os.ReadFile(filepath.Join("..", "..", "adapters", "odata", "testdata", "order-v2.xml"))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	now := time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC)
	m, s := edmx.Start(t, text, edmx.Config{Root: "/orders", Coarse: true, Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	const set = "A_ProductionOrder_2"
	seeded := false
	return changing{
		change: func(state string) {
			if !seeded {
				seeded = true
				if err := m.Seed(set, map[string]any{"ManufacturingOrder": "1", "Material": state}); err != nil {
					t.Fatal(err)
				}
			}
			m.Change(set, "ManufacturingOrder", "1", map[string]any{"Material": state})
		},
		later: func() { mu.Lock(); defer mu.Unlock(); now = now.Add(time.Second) },
		open: func(t *testing.T) inbox.Source {
			l, err := odata.Open(odata.Config{BaseURL: s.URL, Services: map[string]odata.Service{"orders": {Path: "/orders"}}, Polls: []odata.PollConfig{{
				Name: "objects", Set: "orders/" + set, Watermark: "LastChangeDateTime", Source: "urn:erp", Kind: "erp.order", Mapping: "in", Key: "ManufacturingOrder", Zone: "Europe/Berlin",
			}}}, nil, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(l.Close)
			return l.Polls()[0]
		},
	}
}

// changingREST is an object of a REST service whose version is a time to the second.
func changingREST(t *testing.T) changing {
	const contract = `openapi: 3.1.0
info: {title: ERP, version: "1"}
paths:
  /things:
    get:
      operationId: things
      parameters: [{name: since, in: query, schema: {type: string}}]
      responses:
        "200": {description: things, content: {application/json: {schema: {type: object, properties: {things: {type: array, items: {type: object}}, token: {type: string}}}}}}
`
	spec := filepath.Join(t.TempDir(), "erp.yaml")
	if err := os.WriteFile(spec, []byte(contract), 0o600); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	now, state := time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC), ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"things":[{"id":"1","name":%q,"changed":%q}],"token":"1"}`, state, now.Format(time.RFC3339))
	}))
	t.Cleanup(s.Close)
	return changing{
		change: func(next string) { mu.Lock(); defer mu.Unlock(); state = next },
		later:  func() { mu.Lock(); defer mu.Unlock(); now = now.Add(time.Second) },
		open: func(t *testing.T) inbox.Source {
			l, err := rest.Open(rest.Config{BaseURL: s.URL, Spec: spec, Polls: []rest.PollConfig{{
				Name: "objects", Operation: "things", Since: "since", Token: "/token", Items: "/things", Source: "urn:erp", Kind: "erp.thing", Mapping: "in", Key: "/id", Version: "/changed",
			}}}, nil, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(l.Close)
			return l.Polls()[0]
		},
	}
}
