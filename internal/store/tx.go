package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jmoiron/sqlx"

	"holdfast/internal/problem"
)

// maxRuns is how often InTx runs a function that the database asks to repeat.
const maxRuns = 10

// Tx is one transaction. Its placeholders are question marks on both databases.
type Tx struct {
	Now   time.Time // one reading of the process's clock for the whole transaction
	db    *DB
	tx    *sqlx.Tx
	after []func()
}

// InTx runs fn in one write transaction and commits it if fn returns nil. It must not be called within itself: SQLite has one
// writer, which would wait for itself. Errors of the database come back as Full or Unavailable, those of fn as they are.
func (db *DB) InTx(ctx context.Context, fn func(tx *Tx) error) error {
	for run := 1; ; run++ {
		err := db.once(ctx, fn)
		if err == nil || !again(err) || run == maxRuns || ctx.Err() != nil {
			return explain(err)
		}
		pause := time.Duration(rand.Int64N(int64(run) * int64(5*time.Millisecond)))
		select {
		case <-ctx.Done():
			return explain(err)
		case <-time.After(pause):
		}
	}
}

func (db *DB) once(ctx context.Context, fn func(tx *Tx) error) error {
	tx, err := db.begin(ctx, db.write, nil)
	if err != nil {
		return err
	}
	defer tx.abandon()
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.tx.Commit(); err != nil {
		return commitError(err)
	}
	for _, f := range tx.after {
		f()
	}
	return nil
}

// commitError keeps apart a commit that certainly failed and one of which nobody knows: the connection broke while PostgreSQL
// was being asked. The caller's own ID settles the latter: the same act again finds what the first one did.
func commitError(err error) error {
	if again(err) || full(err) || pgCode(err) != "" || errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("commit: %w", err)
	}
	if unreachable(err) {
		return &problem.Error{
			Kind: problem.Unavailable, What: "commit", Why: "the connection broke while the database was being asked; the change may have been kept",
			Hint: "send the same request with the same ID or Idempotency-Key again: it takes effect once", Cause: err,
		}
	}
	return fmt.Errorf("commit: %w", err)
}

// View runs fn on one unchanging picture of the database. fn must not write.
func (db *DB) View(ctx context.Context, fn func(tx *Tx) error) error {
	opts := &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}
	if db.dialect == SQLite {
		opts = nil // the reading connections are query_only, and a deferred transaction is a snapshot
	}
	tx, err := db.begin(ctx, db.read, opts)
	if err != nil {
		return explain(err)
	}
	defer tx.abandon()
	return explain(fn(tx))
}

func (db *DB) begin(ctx context.Context, pool *sqlx.DB, opts *sql.TxOptions) (*Tx, error) {
	if err := db.before(ctx, "BEGIN"); err != nil {
		return nil, err
	}
	tx, err := pool.BeginTxx(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	return &Tx{Now: db.Now(), db: db, tx: tx}, nil
}

func (db *DB) before(ctx context.Context, statement string) error {
	if db.cfg.Before == nil {
		return nil
	}
	return db.cfg.Before(ctx, statement)
}

// abandon rolls back what was not committed. Its error says nothing that the first error has not said.
func (tx *Tx) abandon() { _ = tx.tx.Rollback() }

// Dialect tells which database it is, for the few statements that differ.
func (tx *Tx) Dialect() Dialect { return tx.db.dialect }

// Get reads one row into dst; sql.ErrNoRows if there is none.
func (tx *Tx) Get(ctx context.Context, dst any, query string, args ...any) error {
	if err := tx.db.before(ctx, query); err != nil {
		return err
	}
	return tx.tx.GetContext(ctx, dst, tx.rebind(query), args...)
}

// Select reads every row into the slice that dst points to.
func (tx *Tx) Select(ctx context.Context, dst any, query string, args ...any) error {
	if err := tx.db.before(ctx, query); err != nil {
		return err
	}
	return tx.tx.SelectContext(ctx, dst, tx.rebind(query), args...)
}

// Exec runs a statement and says how many rows it touched.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := tx.db.before(ctx, query); err != nil {
		return 0, err
	}
	res, err := tx.tx.ExecContext(ctx, tx.rebind(query), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// In expands each slice in args to as many placeholders as it has elements (sqlx.In).
func (tx *Tx) In(query string, args ...any) (string, []any, error) { return sqlx.In(query, args...) }

// Savepoint runs fn so that its error undoes only what fn did; the transaction goes on.
func (tx *Tx) Savepoint(ctx context.Context, fn func() error) error {
	if _, err := tx.tx.ExecContext(ctx, "SAVEPOINT part"); err != nil {
		return fmt.Errorf("set a savepoint: %w", err)
	}
	hooks := len(tx.after)
	if err := fn(); err != nil {
		tx.after = tx.after[:hooks]
		if _, rerr := tx.tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT part"); rerr != nil {
			return errors.Join(err, fmt.Errorf("roll back to the savepoint: %w", rerr))
		}
		return err
	}
	if _, err := tx.tx.ExecContext(ctx, "RELEASE SAVEPOINT part"); err != nil {
		return fmt.Errorf("release a savepoint: %w", err)
	}
	return nil
}

// ForUpdate is the clause that locks the rows read: SQLite's writer has the whole database anyway.
func (tx *Tx) ForUpdate() string { return tx.lock(" FOR UPDATE") }

// SkipLocked is ForUpdate that passes over rows which another transaction has locked.
func (tx *Tx) SkipLocked() string { return tx.lock(" FOR UPDATE SKIP LOCKED") }

func (tx *Tx) lock(clause string) string {
	if tx.db.dialect == Postgres {
		return clause
	}
	return ""
}

// AfterCommit has fn called once the transaction is committed, and not at all if it is not. fn must not block.
func (tx *Tx) AfterCommit(fn func()) { tx.after = append(tx.after, fn) }

// Wake tells the subscribers of topic, once the transaction is committed, that there is something for them.
func (tx *Tx) Wake(topic string) { tx.AfterCommit(func() { tx.db.wakes.wake(topic, true) }) }

func (tx *Tx) rebind(query string) string {
	if tx.db.dialect == SQLite {
		return query
	}
	return sqlx.Rebind(sqlx.DOLLAR, query)
}
