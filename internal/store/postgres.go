package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
)

// commitTime is how long a COMMIT may take once nobody waits for it any more.
const commitTime = 10 * time.Second

// session is a write transaction of PostgreSQL. What nobody waits for an answer to travels with the next statement, in one round
// trip: the BEGIN with the first, the statements of Tx.Later with the next or with the COMMIT.
type session struct {
	conn   *sqlx.Conn
	queue  []queued // not sent yet, in order
	begun  bool     // the BEGIN has left the queue
	broken error    // why it must not go on: it has not begun, or something that was queued is not in it
}

// queued is a statement that waits to be sent.
type queued struct {
	query string
	args  []any
	each  func(r *Row) // of a query: what its rows are given to
}

// inSession runs fn in one transaction of PostgreSQL.
func (db *DB) inSession(ctx context.Context, fn func(tx *Tx) error) error {
	conn, err := db.write.Connx(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", lost(ctx, err, false))
	}
	s := &session{conn: conn, queue: []queued{{query: "BEGIN"}}}
	tx := &Tx{Now: db.Now(), db: db, tx: s}
	err = errPanicked
	defer func() { // also when fn panics
		s.end(ctx, err == nil)
		tx.ended(err)
	}()
	err = s.run(ctx, tx, db.commitTime, fn)
	return err
}

// run calls fn and commits what it did.
func (s *session) run(ctx context.Context, tx *Tx, limit time.Duration, fn func(tx *Tx) error) error {
	if err := fn(tx); err != nil {
		return err
	}
	if s.broken != nil {
		return s.broken
	}
	if err := s.commit(ctx, limit); err != nil {
		return commitError(err)
	}
	return nil
}

// commit sends what waits and the COMMIT. The end of ctx does not break off a COMMIT that was sent, since nobody would know then whether
// it was kept; limit after that it is given up.
func (s *session) commit(ctx context.Context, limit time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.begun && len(s.queue) == 1 {
		return nil // nothing was asked
	}
	own, done := context.WithCancel(context.WithoutCancel(ctx))
	defer done()
	defer context.AfterFunc(ctx, func() {
		rest(own, limit)
		done()
	})()
	tag, err := s.send(own, queued{query: "COMMIT"})
	if err != nil && own.Err() != nil {
		return lostError{err}
	}
	if err == nil && tag.String() != "COMMIT" { // of what has failed before, the answer is ROLLBACK and no error
		return pgx.ErrTxCommitRollback
	}
	return err
}

// end gives the connection back without a transaction; one that cannot be freed of it is closed, which frees it too.
func (s *session) end(ctx context.Context, committed bool) {
	if s.begun && !committed {
		if _, err := s.conn.ExecContext(ctx, "ROLLBACK"); err != nil {
			_ = s.conn.Raw(func(any) error { return driver.ErrBadConn }) // how database/sql is told to close it
		}
	}
	_ = s.conn.Close()
}

// send sends what waits, and then last, together, and gives the answer to last.
func (s *session) send(ctx context.Context, last queued) (tag pgconn.CommandTag, err error) {
	if s.broken != nil {
		return tag, s.broken
	}
	batch, all := &pgx.Batch{}, append(slices.Clip(s.queue), last)
	for _, q := range all {
		batch.Queue(q.query, q.args...)
	}
	first, others := !s.begun, len(s.queue) > 0
	s.queue, s.begun = nil, true
	err = s.conn.Raw(func(conn any) error {
		tag, err = answers(conn.(*stdlib.Conn).Conn().SendBatch(ctx, batch), all)
		return err
	})
	err = s.lost(ctx, err)
	switch {
	case err != nil && first:
		s.broken = fmt.Errorf("the transaction has not begun: %w", err) // else what follows would be kept statement by statement
	case err != nil && others:
		s.miss(err)
	}
	return tag, err
}

// lost marks an error after which the connection is closed: pgx closes it after whatever makes it useless.
func (s *session) lost(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	closed := true // also where there is none to ask any more
	_ = s.conn.Raw(func(conn any) error {
		closed = conn.(*stdlib.Conn).Conn().IsClosed()
		return nil
	})
	return lost(ctx, err, closed)
}

// answers reads the answers to statements and gives the last.
func answers(batch pgx.BatchResults, all []queued) (tag pgconn.CommandTag, err error) {
	for _, q := range all {
		if q.each == nil {
			tag, err = batch.Exec()
		} else {
			err = answer(batch, q.each)
		}
		if err != nil {
			_ = batch.Close() // repeats the error
			return tag, err
		}
	}
	return tag, batch.Close()
}

// answer reads the rows of one.
func answer(batch pgx.BatchResults, each func(r *Row)) error {
	rows, err := batch.Query()
	if err != nil {
		return err
	}
	return new(Row).rowsOf(rows, each)
}

// miss remembers that statements which had been queued may not have run. Whoever reads err may pass over it, since it is the answer to
// another statement: the transaction, or the part of it that is within a savepoint, must not be kept without them.
func (s *session) miss(err error) {
	if s.broken == nil {
		s.broken = fmt.Errorf("a statement of the transaction was lost: %w", err)
	}
}

// flush sends what waits.
func (s *session) flush(ctx context.Context) error {
	if len(s.queue) == 0 {
		return s.broken
	}
	last := s.queue[len(s.queue)-1]
	s.queue = s.queue[:len(s.queue)-1]
	_, err := s.send(ctx, last)
	if err != nil {
		s.miss(err)
	}
	return err
}

// ExecContext runs a statement after those that wait.
func (s *session) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	tag, err := s.send(ctx, queued{query: query, args: args})
	return driver.RowsAffected(tag.RowsAffected()), err
}

// GetContext reads one row after the statements that wait.
func (s *session) GetContext(ctx context.Context, dst any, query string, args ...any) error {
	if err := s.flush(ctx); err != nil {
		return err
	}
	return s.lost(ctx, s.conn.GetContext(ctx, dst, query, args...))
}

// SelectContext reads rows after the statements that wait.
func (s *session) SelectContext(ctx context.Context, dst any, query string, args ...any) error {
	if err := s.flush(ctx); err != nil {
		return err
	}
	return s.lost(ctx, s.conn.SelectContext(ctx, dst, query, args...))
}
