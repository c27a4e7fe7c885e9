package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
)

// maxStatements is how many statements a SQLite connection keeps prepared.
const maxStatements = 128

// The statements that begin and end a writer's transaction; rollbackAll also ends one that SQLite has rolled back already.
const (
	beginWrite  = "BEGIN IMMEDIATE"
	commitAll   = "COMMIT"
	rollbackAll = "ROLLBACK"
)

// errSpoiled is the answer to a statement in a transaction that SQLite has rolled back by itself, as it does after some errors (a
// full disk, an interrupted write). Without it the statement would run, and be kept, outside of any transaction.
var errSpoiled = errors.New("SQLite has rolled the transaction back")

// openSQLite is a pool of connections that keep their statements prepared: to prepare one costs the driver more than to run it.
func openSQLite(name string) (*sqlx.DB, error) {
	inner, err := sqlite.NewConnector(name)
	if err != nil {
		return nil, err
	}
	return sqlx.NewDb(sql.OpenDB(connector{inner}), "sqlite"), nil
}

type connector struct{ driver.Connector }

// Connect opens a connection that knows when its transaction is gone.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := inner.(sqliteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the SQLite driver's %T lacks a method", inner), inner.Close())
	}
	conn := &keepingConn{sqliteConn: full, kept: map[string]driver.Stmt{}}
	full.RegisterRollbackHook(func() { conn.spoiled = conn.writing })
	return conn, nil
}

// sqliteConn is what the driver's connections can do.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	sqlite.HookRegisterer
}

// keepingConn is one connection. database/sql calls it from one goroutine at a time.
type keepingConn struct {
	sqliteConn
	kept    map[string]driver.Stmt // prepared and not in use
	writing bool                   // beginWrite has run, and neither commitAll nor rollbackAll
	spoiled bool                   // SQLite has rolled back what beginWrite began
}

// ExecContext runs a statement, prepared once.
func (c *keepingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	res, err := s.(driver.StmtExecContext).ExecContext(ctx, args)
	switch query {
	case beginWrite:
		c.writing = true
	case commitAll:
		c.writing = err != nil
	case rollbackAll:
		c.writing, c.spoiled = false, false
	}
	return res, errors.Join(err, c.keep(query, s, err))
}

// QueryContext runs a query, prepared once; its statement is free again when the rows are closed.
func (c *keepingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		return nil, errors.Join(err, c.keep(query, s, err))
	}
	return &keptRows{rows, func(err error) error { return c.keep(query, s, err) }}, nil
}

// take hands out a prepared statement that nobody uses.
func (c *keepingConn) take(ctx context.Context, query string) (driver.Stmt, error) {
	if c.spoiled && query != rollbackAll {
		return nil, errSpoiled
	}
	if s, ok := c.kept[query]; ok {
		delete(c.kept, query)
		return s, nil
	}
	return c.PrepareContext(ctx, query)
}

// keep takes a statement back. One that failed is not kept; neither is a second one of the same text.
func (c *keepingConn) keep(query string, s driver.Stmt, failed error) error {
	if _, twice := c.kept[query]; twice || failed != nil {
		return s.Close()
	}
	if len(c.kept) == maxStatements {
		for q, old := range c.kept { // any: what is used often is soon prepared again
			delete(c.kept, q)
			if err := old.Close(); err != nil {
				return errors.Join(err, s.Close())
			}
			break
		}
	}
	c.kept[query] = s
	return nil
}

// ResetSession is called before a connection is used anew.
func (c *keepingConn) ResetSession(ctx context.Context) error {
	c.writing, c.spoiled = false, false
	return c.sqliteConn.ResetSession(ctx)
}

// Close closes the statements and the connection.
func (c *keepingConn) Close() error {
	var err error
	for _, s := range c.kept {
		err = errors.Join(err, s.Close())
	}
	clear(c.kept)
	return errors.Join(err, c.sqliteConn.Close())
}

// keptRows gives its statement back when it is closed.
type keptRows struct {
	driver.Rows
	done func(error) error
}

// Close ends the query.
func (r *keptRows) Close() error {
	if r.done == nil {
		return nil
	}
	done, err := r.done, r.Rows.Close()
	r.done = nil
	return errors.Join(err, done(err))
}
