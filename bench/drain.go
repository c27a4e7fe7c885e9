package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/relay"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

const (
	history     = 1_000_000 // delivered messages behind the drain
	backlog     = 10_000    // messages to drain
	backlogKeys = 2_000     // lanes that they are in
	drainRounds = 5
	drainBound  = 1.2
)

// taker is an ERP that takes everything at once, so that what is measured is the engine.
type taker struct{}

func (taker) Deliver(_ context.Context, ds []message.Delivery) []message.Outcome {
	out := make([]message.Outcome, len(ds))
	for i, d := range ds {
		out[i] = message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: d.Event.Message().ID, Status: 201}}
	}
	return out
}

func (taker) Ask(context.Context, message.Delivery) (message.Outcome, error) {
	return message.Outcome{Verdict: message.Again}, nil
}

// yard is one database with an outbox.
type yard struct {
	place string
	db    *store.DB
	out   *outbox.Outbox
	round int
	close func()
}

// openYards opens two databases of the same kind: one without history, one with a million delivered messages.
func openYards(ctx context.Context, dialect store.Dialect) (empty, full *yard, err error) {
	if empty, err = openYard(ctx, dialect); err != nil {
		return nil, nil, err
	}
	if full, err = openYard(ctx, dialect); err != nil {
		empty.close()
		return nil, nil, err
	}
	if err := full.age(ctx); err != nil {
		empty.close()
		full.close()
		return nil, nil, fmt.Errorf("make history: %w", err)
	}
	return empty, full, nil
}

func openYard(ctx context.Context, dialect store.Dialect) (*yard, error) {
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return nil, err
	}
	place, drop := "sqlite:"+filepath.Join(dir, "plant.db"), func() {}
	if dialect == store.Postgres {
		if place, drop, err = schema(ctx); err != nil {
			return nil, err
		}
	}
	db, err := store.Open(ctx, place, store.Config{})
	if err != nil {
		return nil, err
	}
	y := &yard{place: place, db: db, out: newOutbox("")}
	y.close = func() { _ = db.Close(); drop(); _ = os.RemoveAll(dir) } // what is left is temporary
	return y, nil
}

// newOutbox owes every message to one link.
func newOutbox(mapping string) *outbox.Outbox {
	return outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: benchLink, Mapping: mapping}}, benchSource, outbox.Config{})
}

// schema makes a schema of its own in the PostgreSQL of the tests.
func schema(ctx context.Context) (place string, drop func(), err error) {
	base := os.Getenv(postgresEnv)
	u, err := url.Parse(base)
	if err != nil || base == "" {
		return "", nil, fmt.Errorf("%s does not name a PostgreSQL (deploy/dev/services up prints one): %w", postgresEnv, err)
	}
	name := fmt.Sprintf("bench%d", time.Now().UnixNano())
	ctx = context.WithoutCancel(ctx) // a run that is broken off drops its schema too
	run := func(statement string) error {
		db, err := store.Open(ctx, base, store.Config{NoMigrate: true})
		if err != nil {
			return err
		}
		defer db.Close()
		return db.InTx(ctx, func(tx *store.Tx) error { _, err := tx.Exec(ctx, statement); return err })
	}
	if err := run("CREATE SCHEMA " + name); err != nil {
		return "", nil, err
	}
	q := u.Query()
	q.Set("search_path", name)
	q.Set("application_name", name)
	u.RawQuery = q.Encode()
	return u.String(), func() { _ = run("DROP SCHEMA " + name + " CASCADE") }, nil
}

// age delivers one message and multiplies it in the tables themselves, ten to a lane: delivering a million would take an hour.
// Beside stock.go and pages.go it is the one place outside internal/outbox that names its tables.
func (y *yard) age(ctx context.Context) error {
	if err := y.fill(ctx, 1, 1); err != nil {
		return err
	}
	if _, err := y.drain(ctx); err != nil {
		return err
	}
	series := `WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d) `
	if y.db.Dialect() == store.Postgres {
		series = `WITH s (n) AS (SELECT generate_series(1, %d)) `
	}
	columns := `epoch, event, source, kind, version, key, time, body, creates, cause, trace, mapping, prev, role, refers, digest, attempts,
		redelivery, settled_at, sent_with, document, doc_kind, answer, status, answered, asked`
	statements := []string{
		fmt.Sprintf(series, history) + `INSERT INTO outbox_delivered (link, lane, number, id, created_at, ` + columns + `)
			SELECT link, 'h' || CAST((n / 10) AS TEXT), n % 10 + 1, id || '-' || CAST(n AS TEXT), created_at - n, ` + columns + `
			FROM s CROSS JOIN (SELECT * FROM outbox_delivered LIMIT 1) AS one`,
		fmt.Sprintf(series, history/10) + `INSERT INTO outbox_lanes (link, lane, next_number, head) SELECT 'erp', 'h' || CAST(n AS TEXT), 11, 11 FROM s`,
		`ANALYZE outbox_delivered`, `ANALYZE outbox_lanes`, `ANALYZE outbox_messages`,
	}
	for _, statement := range statements {
		err := y.db.InTx(ctx, func(tx *store.Tx) error { _, err := tx.Exec(ctx, statement); return err })
		if err != nil {
			return fmt.Errorf("%.60s…: %w", statement, err)
		}
	}
	return nil
}

// fill owes n messages in that many lanes.
func (y *yard) fill(ctx context.Context, n, lanes int) error {
	y.round++
	for from := 0; from < n; from += 500 {
		err := y.db.InTx(ctx, func(tx *store.Tx) error {
			for i := from; i < min(n, from+500); i++ {
				m := message.Message{
					ID: fmt.Sprintf("%d-%d", y.round, i), Kind: "operation.confirmed", Version: 1, Key: fmt.Sprintf("%d-o%d", y.round, i%lanes),
					Time: tx.Now, Body: []byte(`{"operation":"0010","yield":"12.5","unit":"PCE","personnel":"4711","start":"2026-11-24T06:00:00+01:00"}`),
				}
				if err := y.out.Append(ctx, tx, m); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// drain runs a relay until nothing is owed and says how long that took.
func (y *yard) drain(ctx context.Context) (time.Duration, error) {
	settled, done := y.db.Subscribe(outbox.Settled)
	defer done()
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	r := relay.New(y.db, y.out, nil, seal.Chain, map[string]relay.Link{benchLink: {Deliverer: taker{}, Concurrency: 16}}, relay.Config{}, slog.New(slog.DiscardHandler))
	began := time.Now()
	go func() { ended <- r.Run(running) }()
	var took time.Duration
	err := y.untilEmpty(ctx, settled)
	took = time.Since(began)
	stop()
	if rerr := <-ended; err == nil {
		err = rerr
	}
	return took, err
}

func (y *yard) untilEmpty(ctx context.Context, settled <-chan struct{}) error {
	for {
		var links []outbox.Link
		err := y.db.View(ctx, func(tx *store.Tx) (err error) { links, err = y.out.Links(ctx, tx); return err })
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(links, func(l outbox.Link) bool { return l.Owed > 0 }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-settled:
		}
	}
}

// drainRow compares draining with and without history, turn by turn, so that a machine which slows down meanwhile slows both.
func drainRow(ctx context.Context) ([]Result, error) {
	var results []Result
	for _, dialect := range []store.Dialect{store.SQLite, store.Postgres} {
		empty, full, err := openYards(ctx, dialect)
		if err != nil {
			return results, fmt.Errorf("%s: %w", dialect, err)
		}
		bare, behind, err := race(ctx, empty, full)
		empty.close()
		full.close()
		if err != nil {
			return results, fmt.Errorf("%s: %w", dialect, err)
		}
		ratio := behind.Seconds() / bare.Seconds()
		results = append(results, Result{
			Name: fmt.Sprintf("drain of 10,000 behind 1,000,000, %s", dialect), Unit: "s", Value: behind.Seconds(), Reference: bare.Seconds(), Ratio: ratio,
			Bound: fmt.Sprintf("at most %.1f × the time without history", drainBound), OK: ratio <= drainBound, At: time.Now().UTC(),
		})
	}
	return results, nil
}

// race gives the median times of both.
func race(ctx context.Context, empty, full *yard) (bare, behind time.Duration, err error) {
	times := map[*yard][]time.Duration{}
	for round := range drainRounds + 1 {
		for _, y := range []*yard{empty, full} {
			if err := y.fill(ctx, backlog, backlogKeys); err != nil {
				return 0, 0, err
			}
			took, err := y.drain(ctx)
			if err != nil {
				return 0, 0, err
			}
			if round > 0 { // the first warms up
				times[y] = append(times[y], took)
			}
		}
	}
	return median(times[empty]), median(times[full]), nil
}

// explainRow prints how each database runs the claim with a million delivered messages behind it, and checks that it reads the
// index of lanes that are due, and no whole table.
func explainRow(ctx context.Context) ([]Result, error) {
	var results []Result
	for _, dialect := range []store.Dialect{store.SQLite, store.Postgres} {
		empty, full, err := openYards(ctx, dialect)
		if err != nil {
			return results, fmt.Errorf("%s: %w", dialect, err)
		}
		r, err := explain(ctx, full, dialect)
		empty.close()
		full.close()
		if err != nil {
			return results, fmt.Errorf("%s: %w", dialect, err)
		}
		results = append(results, r)
	}
	return results, nil
}

func explain(ctx context.Context, y *yard, dialect store.Dialect) (Result, error) {
	if err := y.fill(ctx, backlog, backlogKeys); err != nil {
		return Result{}, err
	}
	var lines []string
	var took time.Duration
	err := y.db.InTx(ctx, func(tx *store.Tx) (err error) {
		if lines, err = y.out.Plan(ctx, tx, "erp", 32); err != nil {
			return err
		}
		began := time.Now()
		_, err = y.out.Claim(ctx, tx, "bench", "erp", 32, 16)
		took = time.Since(began)
		return err
	})
	if err != nil {
		return Result{}, err
	}
	plan := strings.Join(lines, "\n")
	fmt.Printf("claim on %s with %d delivered messages in %d lanes:\n%s\n\n", dialect, history, history/10, plan)
	ok := strings.Contains(plan, "outbox_lanes_due") && !strings.Contains(plan, "SCAN outbox_lanes") && !strings.Contains(plan, "Seq Scan")
	return Result{
		Name: fmt.Sprintf("claim of 32 lanes behind 1,000,000, %s", dialect), Unit: "ms", Value: float64(took.Microseconds()) / 1000,
		Bound: "the plan reads the index outbox_lanes_due and no whole table", OK: ok, At: time.Now().UTC(),
	}, nil
}
