package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/message"
	"holdfast/internal/store"
)

const (
	appendTurn    = 600 * time.Millisecond // how long each contestant writes in a round
	businessTable = `CREATE TABLE bench_business (id TEXT PRIMARY KEY, lane TEXT NOT NULL, words TEXT NOT NULL)`
	outboxTable   = `CREATE TABLE bench_outbox (id TEXT PRIMARY KEY, lane TEXT NOT NULL, kind TEXT NOT NULL, created_at BIGINT NOT NULL, body %s NOT NULL)`
)

// appendRow measures committed business changes with their message by writers at once, each with a lane of its own, against plain
// transactions of two inserts by as many writers. The files of SQLite are in the folder for temporary files: TMPDIR chooses the disk.
func appendRow(ctx context.Context, o options) ([]Result, error) {
	sync, err := syncTime()
	if err != nil {
		return nil, fmt.Errorf("time a sync: %w", err)
	}
	results := []Result{plain("append: one fsync of 8 KiB in "+os.TempDir(), "µs", float64(sync.Nanoseconds())/1000)}
	for _, a := range []struct {
		dialect store.Dialect
		writers int
		wanted  float64
	}{{store.SQLite, 8, 4}, {store.SQLite, 64, 10}, {store.Postgres, 8, 0.9}} {
		got, err := appendContest(ctx, o, a.dialect, a.writers, a.wanted)
		if err != nil {
			return results, fmt.Errorf("%s, %d writers: %w", a.dialect, a.writers, err)
		}
		results = append(results, got...)
	}
	return results, nil
}

// syncTime is the median time that the disk takes to make one write durable.
func syncTime() (time.Duration, error) {
	f, err := os.CreateTemp("", "holdfast-bench-")
	if err != nil {
		return 0, err
	}
	defer func() { _, _ = f.Close(), os.Remove(f.Name()) }() // it is temporary
	times, page := make([]time.Duration, 201), make([]byte, 8<<10)
	for i := range times {
		if _, err := f.WriteAt(page, int64(i%64)<<13); err != nil {
			return 0, err
		}
		began := time.Now()
		if err := f.Sync(); err != nil {
			return 0, err
		}
		times[i] = time.Since(began)
	}
	return median(times), nil
}

// appendContest holds outbox.Append against a connection for each writer, as database/sql gives them, and on SQLite also against
// writers who share one connection, which is the most that one fsync for each can reach.
func appendContest(ctx context.Context, o options, dialect store.Dialect, writers int, wanted float64) ([]Result, error) {
	name := fmt.Sprintf("append, %s, %d writers", dialect, writers)
	ours, err := openYard(ctx, dialect)
	if err != nil {
		return nil, err
	}
	defer ours.close()
	err = ours.db.InTx(ctx, func(tx *store.Tx) error { _, err := tx.Exec(ctx, businessTable); return err })
	if err != nil {
		return nil, err
	}
	body, turn := kilobyte(), 0
	rate := func(write func(ctx context.Context, id, lane string, body []byte) error) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			turn++ // the rows of each turn are new ones
			return appendRate(ctx, writers, func(ctx context.Context, id, lane string) error {
				return write(ctx, fmt.Sprintf("%d-%s", turn, id), lane, body)
			})
		}
	}
	all := []contestant{{name, rate(ours.owe)}}
	each, one := "plain transactions, "+name, "plain transactions on one connection, "+name
	for _, c := range []struct {
		name  string
		conns int
	}{{each, writers}, {one, 1}} {
		if c.name == one && dialect != store.SQLite {
			continue
		}
		p, err := openPlain(ctx, dialect, c.conns)
		if err != nil {
			return nil, err
		}
		defer func() { _ = p.close() }() // what is left is temporary
		all = append(all, contestant{c.name, rate(p.write)})
	}
	medians, err := contest(ctx, o.rounds, all...)
	if err != nil {
		return nil, err
	}
	results := []Result{atLeast(name, "/s", medians[name], medians[each], wanted)}
	if ceiling, ok := medians[one]; ok {
		told := plain(name+", to plain ones on one connection", "/s", medians[name])
		told.Reference, told.Ratio = ceiling, medians[name]/ceiling
		results = append(results, told)
	}
	return results, nil
}

// appendRate is how many writes a second all writers together have committed.
func appendRate(ctx context.Context, writers int, write func(ctx context.Context, id, lane string) error) (float64, error) {
	var done atomic.Int64
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for w := range writers {
		g.Go(func() error {
			for i := 0; time.Since(began) < appendTurn; i++ {
				if err := write(ctx, fmt.Sprintf("%d-%d", w, i), fmt.Sprintf("order%d", w)); err != nil {
					return err
				}
				done.Add(1)
			}
			return nil
		})
	}
	err := g.Wait()
	return float64(done.Load()) / time.Since(began).Seconds(), err
}

// owe commits a business row and the message that it causes.
func (y *yard) owe(ctx context.Context, id, lane string, body []byte) error {
	return y.db.InTx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO bench_business (id, lane, words) VALUES (?, ?, ?)`, id, lane, "started"); err != nil {
			return err
		}
		return y.out.Append(ctx, tx, message.Message{ID: id, Kind: benchKind, Version: 1, Key: lane, Time: tx.Now, Body: body})
	})
}

// byHand is a program that keeps an outbox with the driver alone, by the settings that store gives it.
type byHand struct {
	db               *sql.DB
	business, outbox string // the two inserts
	yard             *yard
}

func openPlain(ctx context.Context, dialect store.Dialect, conns int) (*byHand, error) {
	y, err := openYard(ctx, dialect)
	if err != nil {
		return nil, err
	}
	p := &byHand{
		yard: y, business: `INSERT INTO bench_business (id, lane, words) VALUES (?, ?, ?)`,
		outbox: `INSERT INTO bench_outbox (id, lane, kind, created_at, body) VALUES (?, ?, ?, ?, ?)`,
	}
	driver, name, blob := "pgx", y.place, "BYTEA"
	if file, ok := strings.CutPrefix(y.place, "sqlite:"); ok {
		driver, blob = "sqlite", "BLOB"
		name = "file:" + file + "?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	} else {
		p.business = `INSERT INTO bench_business (id, lane, words) VALUES ($1, $2, $3)`
		p.outbox = `INSERT INTO bench_outbox (id, lane, kind, created_at, body) VALUES ($1, $2, $3, $4, $5)`
	}
	if p.db, err = sql.Open(driver, name); err != nil {
		y.close()
		return nil, err
	}
	p.db.SetMaxOpenConns(conns)
	p.db.SetMaxIdleConns(conns)
	for _, statement := range []string{businessTable, fmt.Sprintf(outboxTable, blob)} {
		if _, err := p.db.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	return p, nil
}

func (p *byHand) close() error {
	err := p.db.Close()
	p.yard.close()
	return err
}

// write begins, inserts twice and commits.
func (p *byHand) write(ctx context.Context, id, lane string, body []byte) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, p.business, id, lane, "started"); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, p.outbox, id, lane, benchKind, time.Now().UnixMicro(), body); err != nil {
		return err
	}
	return tx.Commit()
}
