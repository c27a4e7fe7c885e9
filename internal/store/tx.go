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
	tx    handle
	after []func(err error)
	memo  any
}

// Memo is the place for the one thing that a Rest made in this transaction and may need again in it, such as the key of the lane whose messages
// are opened one after another. It is gone with the transaction.
func (tx *Tx) Memo() *any { return &tx.memo }

// handle is what statements run on: a transaction of PostgreSQL or a reader's, or SQLite's writing connection within a group.
type handle interface {
	GetContext(ctx context.Context, dst any, query string, args ...any) error
	SelectContext(ctx context.Context, dst any, query string, args ...any) error
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// InTx runs fn in one write transaction and commits it if fn returns nil; it returns nil once the commit is durable. It must not be
// called within itself, and fn must not wait for another InTx: SQLite has one writer, which would wait for itself. On SQLite those
// who come while another writes share its commit; what one of them does, fails or panics at undoes nothing of the others. Errors of
// the database come back as Full or Unavailable, those of fn as they are.
func (db *DB) InTx(ctx context.Context, fn func(tx *Tx) error) error {
	alone := false
	for run := 1; ; run++ {
		err := db.once(ctx, alone, fn)
		if errors.Is(err, errSpoiled) && run < maxRuns {
			alone = true
			continue
		}
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

// once runs fn in one transaction, on SQLite alone in it or with others.
func (db *DB) once(ctx context.Context, alone bool, fn func(tx *Tx) error) error {
	if err := db.before(ctx, "BEGIN"); err != nil {
		return err
	}
	if db.dialect == SQLite {
		return db.line.inTx(ctx, db, alone, fn)
	}
	return db.inSession(ctx, fn)
}

// ended tells everybody who asked how the transaction has ended.
func (tx *Tx) ended(err error) { tx.endedFrom(0, err) }

// endedFrom tells those who asked from a point of it on, and forgets them.
func (tx *Tx) endedFrom(first int, err error) {
	after := tx.after[first:]
	tx.after = tx.after[:first:first]
	tellAll(after, err)
}

// tellAll calls each, the others also when one panics: what it keeps for the transaction would never be given back.
func tellAll(after []func(err error), err error) {
	for i, f := range after {
		func() {
			told := false
			defer func() {
				if !told {
					tellAll(after[i+1:], err)
				}
			}()
			f(err)
			told = true
		}()
	}
}

// errPanicked ends a transaction whose function did not return.
var errPanicked = errors.New("the function of the transaction panicked")

// commitError keeps apart a commit that certainly failed and one of which nobody knows: the connection broke while PostgreSQL
// was being asked. The caller's own ID settles the latter: the same act again finds what the first one did.
func commitError(err error) error {
	_, broke := errors.AsType[lostError](err)
	if again(err) || full(err) || pgCode(err) != "" && !broke {
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
	if err := db.before(ctx, "BEGIN"); err != nil {
		return explain(err)
	}
	tx, err := db.read.BeginTxx(ctx, opts)
	if err != nil {
		return answered(ctx, fmt.Errorf("begin: %w", err))
	}
	defer abandon(tx)
	return explain(fn(&Tx{Now: db.Now(), db: db, tx: tx}))
}

// before asks Config.Before, whose errors count as the driver's.
func (db *DB) before(ctx context.Context, statement string) error {
	if db.cfg.Before == nil {
		return nil
	}
	return lost(ctx, db.cfg.Before(ctx, statement), false)
}

// abandon rolls back what was not committed. Its error says nothing that the first error has not said.
func abandon(tx *sqlx.Tx) { _ = tx.Rollback() }

// Dialect tells which database it is, for the few statements that differ.
func (tx *Tx) Dialect() Dialect { return tx.db.dialect }

// DB is the database that it is a transaction of, for what is read once this has ended.
func (tx *Tx) DB() *DB { return tx.db }

// Get reads one row into dst; sql.ErrNoRows if there is none.
func (tx *Tx) Get(ctx context.Context, dst any, query string, args ...any) error {
	if err := tx.db.before(ctx, query); err != nil {
		return err
	}
	return lost(ctx, tx.tx.GetContext(ctx, dst, tx.rebind(query), args...), false)
}

// Select reads every row into the slice that dst points to.
func (tx *Tx) Select(ctx context.Context, dst any, query string, args ...any) error {
	if err := tx.db.before(ctx, query); err != nil {
		return err
	}
	return lost(ctx, tx.tx.SelectContext(ctx, dst, tx.rebind(query), args...), false)
}

// Exec runs a statement and says how many rows it touched.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := tx.db.before(ctx, query); err != nil {
		return 0, err
	}
	res, err := tx.tx.ExecContext(ctx, tx.rebind(query), args...)
	if err != nil {
		return 0, lost(ctx, err, false)
	}
	return res.RowsAffected()
}

// Later runs a statement whose answer is not needed now: PostgreSQL is sent it with the next statement or the commit, which saves a
// round trip; SQLite runs it at once. Its error is that of the next statement, of the savepoint or of InTx.
func (tx *Tx) Later(ctx context.Context, query string, args ...any) error {
	s, ok := tx.tx.(*session)
	if !ok {
		_, err := tx.Exec(ctx, query, args...)
		return err
	}
	if err := tx.db.before(ctx, query); err != nil {
		return err
	}
	s.queue = append(s.queue, queued{query: tx.rebind(query), args: args})
	return nil
}

// In expands each slice in args to as many placeholders as it has elements (sqlx.In).
func (tx *Tx) In(query string, args ...any) (string, []any, error) { return sqlx.In(query, args...) }

// Savepoint runs fn so that its error undoes only what fn did; the transaction goes on.
func (tx *Tx) Savepoint(ctx context.Context, fn func() error) error {
	if _, err := tx.tx.ExecContext(ctx, "SAVEPOINT part"); err != nil {
		return fmt.Errorf("set a savepoint: %w", err)
	}
	hooks := len(tx.after)
	err := fn()
	s, ok := tx.tx.(*session)
	if ok && err == nil {
		s.queue = append(s.queue, queued{query: release}) // it does not run if one before it fails
		err = s.flush(ctx)
	}
	if err != nil {
		if tx.endedFrom(hooks, err); ok {
			s.queue, s.broken = nil, nil // all of it is fn's: the SAVEPOINT has taken along what waited before
		}
		if rerr := tx.undo(context.WithoutCancel(ctx)); rerr != nil {
			err = errors.Join(err, rerr)
			if ok {
				s.broken = err
			}
		}
		return err
	}
	if ok {
		return nil
	}
	if _, err := tx.tx.ExecContext(ctx, release); err != nil {
		return fmt.Errorf("release a savepoint: %w", err)
	}
	return nil
}

const release = "RELEASE SAVEPOINT part"

// undo rolls back to the savepoint and removes it: they all have one name, and the one around it must be found by its own rollback.
func (tx *Tx) undo(ctx context.Context) error {
	for _, statement := range []string{"ROLLBACK TO SAVEPOINT part", release} {
		if _, err := tx.tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("roll back to the savepoint: %w", err)
		}
	}
	return nil
}

// ForUpdate is the clause that locks the rows read: SQLite's writer has the whole database anyway.
func (tx *Tx) ForUpdate() string { return tx.lock(" FOR UPDATE") }

// SkipLocked is ForUpdate that passes over rows which another transaction has locked.
func (tx *Tx) SkipLocked() string { return tx.lock(" FOR UPDATE SKIP LOCKED") }

// Alone waits until no other transaction that has asked for this name is left, and keeps others of it waiting until this one ends: what is looked for
// from then on and not there, no other makes meanwhile. SQLite has one writer anyway.
func (tx *Tx) Alone(ctx context.Context, name string) error {
	if tx.db.dialect != Postgres {
		return nil
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || CAST(? AS TEXT), 0))`, name); err != nil {
		return fmt.Errorf("wait to be alone with %s: %w", name, err)
	}
	return nil
}

func (tx *Tx) lock(clause string) string {
	if tx.db.dialect == Postgres {
		return clause
	}
	return ""
}

// AfterCommit has fn called once the transaction is committed, and not at all if it is not. fn must not block.
func (tx *Tx) AfterCommit(fn func()) {
	tx.AfterEnd(func(err error) {
		if err == nil {
			fn()
		}
	})
}

// AfterEnd has fn called once, when the transaction has ended, or the savepoint in which AfterEnd was called was undone: with nil if it is committed,
// else with the reason. An error of kind Unavailable leaves open whether it was kept. fn must not block.
func (tx *Tx) AfterEnd(fn func(err error)) { tx.after = append(tx.after, fn) }

// Wake tells the subscribers of topic, once the transaction is committed, that there is something for them.
func (tx *Tx) Wake(topic string) { tx.AfterCommit(func() { tx.db.Wake(topic) }) }

func (tx *Tx) rebind(query string) string {
	if tx.db.dialect == SQLite {
		return query
	}
	return sqlx.Rebind(sqlx.DOLLAR, query)
}
