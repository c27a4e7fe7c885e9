package store

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	// notifyEvery is the shortest time between two notifications of a process: PostgreSQL takes a lock of the whole cluster at
	// the commit of each NOTIFY, so there must be few of them, and none in the business transaction.
	notifyEvery = 100 * time.Millisecond
	firstPause  = time.Second      // pause before what failed is tried again, plus jitter, doubled each time
	mostPause   = 30 * time.Second // up to this
)

// wakes tells goroutines of this process, and through PostgreSQL those of others, that there is work. A wake may be lost between
// processes; whoever waits for one also polls.
type wakes struct {
	node string // begins each notification, so that a process knows its own

	mu   sync.Mutex
	subs map[string][]chan struct{} // guarded by mu
	due  map[string]bool            // topics to notify other processes of; guarded by mu
	told chan struct{}              // due has something
}

func newWakes() *wakes {
	return &wakes{node: uuid.NewString(), subs: map[string][]chan struct{}{}, due: map[string]bool{}, told: make(chan struct{}, 1)}
}

// Subscribe returns a channel that holds a token whenever topic was woken since the last receive, and a function that ends it.
func (db *DB) Subscribe(topic string) (<-chan struct{}, func()) {
	w, ch := db.wakes, make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subs[topic] = append(w.subs[topic], ch)
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		kept := make([]chan struct{}, 0, len(w.subs[topic]))
		for _, c := range w.subs[topic] {
			if c != ch {
				kept = append(kept, c)
			}
		}
		w.subs[topic] = kept
	}
}

// Wake tells the subscribers of topic that there is something for them, of what is committed already.
func (db *DB) Wake(topic string) { db.wakes.wake(topic, true) }

// wake gives each subscriber of topic a token; others tells whether the news began here and other processes should hear it.
func (w *wakes) wake(topic string, others bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ch := range w.subs[topic] {
		token(ch)
	}
	if others {
		w.due[topic] = true
		token(w.told)
	}
}

func token(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// take empties the list of topics to notify of.
func (w *wakes) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	topics := make([]string, 0, len(w.due))
	for t := range w.due {
		topics = append(topics, t)
	}
	clear(w.due)
	return topics
}

// put says again what could not be told.
func (w *wakes) put(topic string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due[topic] = true
}

// Run carries wakes between the processes of one PostgreSQL database until ctx ends; on SQLite it only waits. Without it
// everything works, at the pace of polling.
func (db *DB) Run(ctx context.Context) error {
	if db.dialect == SQLite {
		<-ctx.Done()
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		db.notify(ctx)
	}()
	hears := contact{log: db.cfg.Log, what: "hear the wakes of other processes; polling bridges the gap"}
	for ctx.Err() == nil {
		err := db.listen(ctx, func() { hears.tell(ctx, nil) })
		rest(ctx, hears.tell(ctx, err))
	}
	<-done
	return nil
}

// contact is a way to other processes. It tells the log once that it is lost, and once that it is there again.
type contact struct {
	log      *slog.Logger
	what     string // it is for, and what happens without
	failures int    // in a row
}

// tell takes how one try went and returns how long to wait before the next.
func (c *contact) tell(ctx context.Context, err error) time.Duration {
	switch {
	case ctx.Err() != nil:
		return 0
	case err == nil:
		if c.failures > 0 {
			c.log.InfoContext(ctx, "contact through the database is back", "part", "store", "what", c.what)
		}
		c.failures = 0
		return 0
	case c.failures == 0:
		c.log.WarnContext(ctx, "contact through the database is lost", "part", "store", "what", c.what, "err", answered(ctx, err))
	}
	wait := min(mostPause, firstPause<<min(c.failures, 10))
	c.failures++
	return wait + rand.N(wait)
}

// rest waits for d or the end of ctx.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// channel is the name of the PostgreSQL channel: one for each schema, so that plants in one database do not wake each other.
func (db *DB) channel(ctx context.Context) (string, error) {
	var schema string
	if err := db.read.GetContext(ctx, &schema, "SELECT current_schema()"); err != nil {
		return "", fmt.Errorf("read the schema's name: %w", err)
	}
	return "holdfast_" + schema, nil
}

// notify tells other processes what they should look at, not more often than notifyEvery. What could not be told is told later.
func (db *DB) notify(ctx context.Context) {
	tells := contact{log: db.cfg.Log, what: "wake other processes; they poll meanwhile"}
	for {
		select {
		case <-ctx.Done():
			return
		case <-db.wakes.told:
		}
		err := db.notifyDue(ctx)
		if err != nil {
			token(db.wakes.told)
		}
		rest(ctx, max(notifyEvery, tells.tell(ctx, err)))
	}
}

func (db *DB) notifyDue(ctx context.Context) error {
	name, err := db.channel(ctx)
	if err != nil {
		return err
	}
	for _, topic := range db.wakes.take() {
		_, terr := db.write.ExecContext(ctx, "SELECT pg_notify($1, $2)", name, db.wakes.node+" "+topic)
		if terr != nil {
			db.wakes.put(topic)
			err = fmt.Errorf("notify of %s: %w", topic, terr)
		}
	}
	return err
}

// listen hears other processes until the connection is lost; listening is called once it is there.
func (db *DB) listen(ctx context.Context, listening func()) error {
	name, err := db.channel(ctx)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, db.url)
	if err != nil {
		return fmt.Errorf("connect to listen: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{name}.Sanitize()); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	listening()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("wait for a notification: %w", err)
		}
		if node, topic, ok := strings.Cut(n.Payload, " "); ok && node != db.wakes.node {
			db.wakes.wake(topic, false)
		}
	}
}
