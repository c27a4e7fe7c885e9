package inbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/inbox"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// clock is the process's clock, moved by the test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// plant keeps what it was told in the database, in the transaction it is given, so that an effect is there if and only if it is
// committed. It refuses what it is told to refuse.
type plant struct {
	mu     sync.Mutex
	refuse map[string]error
	calls  int
}

func (p *plant) apply(ctx context.Context, tx *store.Tx, m message.Message) error {
	p.mu.Lock()
	p.calls++
	call, err := p.calls, p.refuse[m.ID]
	p.mu.Unlock()
	if _, xerr := tx.Exec(ctx, `INSERT INTO effects (id, kind, body, call) VALUES (?, ?, ?, ?)`, m.ID, m.Kind, string(m.Body), call); xerr != nil {
		return xerr
	}
	return err
}

func (p *plant) set(id string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse == nil {
		p.refuse = map[string]error{}
	}
	p.refuse[id] = err
}

// mapper is one that knows a few names.
type mapper struct{}

func (mapper) ApplyIn(ctx context.Context, name string, m message.Message, refs mapping.Resolver) (message.Message, error) {
	switch name {
	case "upper":
		m.Kind, m.Body = strings.ToUpper(m.Kind), []byte(strings.ToUpper(string(m.Body)))
		return m, nil
	case "ref":
		id, known, err := refs(ctx, "order/4711")
		m.Kind = fmt.Sprint(id, known)
		return m, err
	case "leave":
		return m, mapping.ErrLeftOut
	default:
		return m, &problem.Error{Kind: problem.NotFound, What: "map by " + name, Why: "there is no such mapping"}
	}
}

type world struct {
	*inbox.Inbox
	t     *testing.T
	db    *store.DB
	plant *plant
	clock *clock
}

// each runs test on both databases, with an inbox of the given configuration.
func each(t *testing.T, cfg inbox.Config, test func(t *testing.T, w *world)) {
	t.Helper()
	c := &clock{at: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		test(t, newWorld(t, db, c, cfg))
	}, storetest.WithClock(c.now))
}

// newWorld makes an inbox, and a plant that it tells, in an empty database.
func newWorld(t *testing.T, db *store.DB, c *clock, cfg inbox.Config) *world {
	t.Helper()
	w := &world{t: t, db: db, plant: &plant{}, clock: c}
	w.tx(func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `CREATE TABLE effects (id TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, call BIGINT NOT NULL)`)
		return err
	})
	w.Inbox = w.another(cfg)
	return w
}

// another is one more inbox on the same database, as another process would have.
func (w *world) another(cfg inbox.Config) *inbox.Inbox {
	return inbox.New(w.db, mapper{}, w.plant.apply, cfg, quiet())
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (w *world) tx(fn func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.db.InTx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) receive(in message.Incoming) (taken inbox.Taken) {
	w.t.Helper()
	w.tx(func(tx *store.Tx) (err error) {
		taken, err = w.Receive(w.t.Context(), tx, in, "erp")
		return err
	})
	return taken
}

func (w *world) fresh(ins ...message.Incoming) {
	w.t.Helper()
	for _, in := range ins {
		if taken := w.receive(in); !taken.Fresh || taken.Rejected != 0 {
			w.t.Fatalf("%s was taken as %+v, want fresh", in.ID, taken)
		}
	}
}

// all receives a batch as a link does.
func (w *world) all(ins ...message.Incoming) []inbox.Taken {
	w.t.Helper()
	taken, err := w.ReceiveAll(w.t.Context(), ins, "erp")
	if err != nil {
		w.t.Fatal(err)
	}
	return taken
}

// drain applies all that is due.
func (w *world) drain() {
	w.t.Helper()
	for range 100 {
		n, err := w.Step(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
	w.t.Fatal("the inbox does not come to rest")
}

// effects are the IDs of what the plant has acted on, in order.
func (w *world) effects() (ids []string) {
	w.t.Helper()
	err := w.db.View(w.t.Context(), func(tx *store.Tx) error {
		return tx.Select(w.t.Context(), &ids, `SELECT id FROM effects ORDER BY call`)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return ids
}

func (w *world) wantEffects(want ...string) {
	w.t.Helper()
	if got := w.effects(); !slices.Equal(got, want) {
		w.t.Errorf("effects = %q, want %q", got, want)
	}
}

func (w *world) states() map[string]inbox.State {
	w.t.Helper()
	out := map[string]inbox.State{}
	for _, m := range w.list(inbox.Filter{Limit: 1000}) {
		out[m.ID] = m.State
	}
	return out
}

func (w *world) wantStates(want map[string]inbox.State) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.states()); diff != "" {
		w.t.Errorf("states (-want +got):\n%s", diff)
	}
}

func (w *world) list(f inbox.Filter) (ms []inbox.Message) {
	w.t.Helper()
	err := w.db.View(w.t.Context(), func(tx *store.Tx) (err error) {
		ms, err = w.Messages(w.t.Context(), tx, f)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return ms
}

func (w *world) seq(id string) int64 {
	w.t.Helper()
	ms := w.list(inbox.Filter{ID: id})
	if len(ms) != 1 {
		w.t.Fatalf("%d messages with ID %s", len(ms), id)
	}
	return ms[0].Seq
}

func (w *world) status() (s inbox.Status) {
	w.t.Helper()
	err := w.db.View(w.t.Context(), func(tx *store.Tx) (err error) {
		s, err = w.Status(w.t.Context(), tx)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// numbered is message number of lane L.
func numbered(number int64) message.Incoming {
	in := plain(fmt.Sprintf("m%d", number), "o1")
	in.Lane, in.Number = "L", number
	return in
}

// plain is a message without number or version.
func plain(id, key string) message.Incoming {
	return message.Incoming{Message: message.Message{
		ID: id, Source: "erp", Kind: "order.changed", Version: 1, Key: key, Time: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC),
		Body: []byte(`{"id":"` + id + `"}`), Place: message.Place{Role: message.Event},
	}}
}

// versioned is a version of object key.
func versioned(key, version string) message.Incoming {
	in := plain(key+"@"+version, key)
	in.ObjectVersion = version
	return in
}

func refusal(why string) error {
	return &problem.Error{Kind: problem.Conflict, What: "apply", Why: why}
}
