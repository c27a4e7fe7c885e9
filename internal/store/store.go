// Package store is the database: SQLite inside by default, PostgreSQL where a plant outgrows it, one SQL for both.
//
// # Guarantees
//
//   - What InTx has committed survives a crash of the process and of the machine: SQLite runs in WAL mode with synchronous=FULL,
//     PostgreSQL with its own default of synchronous_commit=on.
//   - SQLite has one writer at a time, which waits its turn (BEGIN IMMEDIATE), and many readers beside it. Those who wait while one
//     writes share its commit, and so its fsync: each in a savepoint of its own, told after the commit that holds its work.
//   - A full disk is an error of kind storage-full to whoever writes; nothing is dropped.
//   - Migrations run at Open, under a lock, so that any number of nodes may start at once.
//
// A function given to InTx may run more than once (PostgreSQL asks for that after a deadlock, and on SQLite another's error may undo
// the transaction that they share): it must not act outside the transaction. What should happen after the commit goes to
// Tx.AfterCommit or Tx.Wake.
package store

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"

	"holdfast/internal/problem"
)

// Config is the tunable part of a DB; zero fields mean the default.
type Config struct {
	BusyTimeout time.Duration // SQLite: how long a writer waits for another process's; default 10 s
	Readers     int           // SQLite: connections for reading; default 8
	MaxConns    int           // PostgreSQL: connections in all; default 16
	IdleLimit   time.Duration // PostgreSQL: how long a transaction may stand still before the server ends it; default IdleLimit
	NoMigrate   bool          // leave the schema as it is
	Restoring   bool          // also open a database into which a restore has not ended; for that restore alone
	// Now is the process's own clock; default time.Now. Every time that is kept comes from it.
	Now func() time.Time
	// Before is called ahead of each statement and may delay or refuse it; torture uses it. Default none.
	Before func(ctx context.Context, statement string) error
	// Log is told when this process can no longer hear others, and when it can again; default nowhere.
	Log *slog.Logger
}

// IdleLimit is how long a transaction may stand still between two statements before PostgreSQL ends it and gives its locks to others.
// A process that was frozen, or whose machine was cut off, would hold up every other node for as long as that lasts. Ours wait for
// nothing between two statements: one that stands still is not working. Who waits for a lock gives up a little earlier, frees its own and
// runs again: of several that stand still one behind the other, each would else begin its time only when the one before has ended.
const IdleLimit = 5 * time.Second

// DB is an open database. It is safe for use by many goroutines.
type DB struct {
	dialect Dialect
	write   *sqlx.DB // SQLite: one connection
	read    *sqlx.DB // PostgreSQL: the same pool as write
	url     string
	cfg     Config
	wakes   *wakes
	line    *line // SQLite: where writers wait
	rest    Rest  // nil: nothing is sealed

	commitTime time.Duration // PostgreSQL: commitTime, but in tests
}

// Open opens the database at rawURL and brings its schema up to date. The URL is "sqlite:FILE", "sqlite::memory:" (one
// connection, gone at Close) or "postgres://…" as PostgreSQL writes it. Errors: Invalid for another URL, Unavailable for a
// database that does not answer.
func Open(ctx context.Context, rawURL string, cfg Config) (*DB, error) {
	cfg.BusyTimeout = cmp.Or(cfg.BusyTimeout, 10*time.Second)
	cfg.Readers = cmp.Or(cfg.Readers, 8)
	cfg.MaxConns = cmp.Or(cfg.MaxConns, 16)
	cfg.IdleLimit = cmp.Or(cfg.IdleLimit, IdleLimit)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	db := &DB{url: rawURL, cfg: cfg, wakes: newWakes(), commitTime: commitTime}
	if err := db.connect(); err != nil {
		return nil, err
	}
	err := db.write.PingContext(ctx)
	if err == nil {
		err = db.ended(ctx)
	}
	if err == nil && !cfg.NoMigrate {
		err = db.migrate(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", db, answered(ctx, joinClose(err, db)))
	}
	return db, nil
}

func joinClose(err error, db *DB) error {
	if cerr := db.Close(); cerr != nil {
		return fmt.Errorf("%w (and close: %w)", err, cerr)
	}
	return err
}

func (db *DB) connect() error {
	switch {
	case strings.HasPrefix(db.url, "sqlite:"):
		return db.connectSQLite(strings.TrimPrefix(db.url, "sqlite:"))
	case strings.HasPrefix(db.url, "postgres://"), strings.HasPrefix(db.url, "postgresql://"):
		return db.connectPostgres()
	default:
		return &problem.Error{
			Kind: problem.Invalid, What: "open database", Why: "its URL begins neither with sqlite: nor with postgres://",
			Hint: "write sqlite:/var/lib/holdfast/plant.db or postgres://user@host/database",
		}
	}
}

func (db *DB) connectSQLite(file string) error {
	db.dialect = SQLite
	memory := file == ":memory:"
	if !memory {
		abs, err := filepath.Abs(file)
		if err != nil {
			return fmt.Errorf("find database file %s: %w", file, err)
		}
		// SQLite would make it for all to read, and what lies beside it with its mode. That it cannot be made SQLite says better.
		if made, err := os.OpenFile(abs, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err == nil {
			if err := made.Close(); err != nil {
				return fmt.Errorf("make database file %s: %w", abs, err)
			}
		}
		file = "file:" + (&url.URL{Path: abs}).EscapedPath()
	}
	var err error
	if db.write, err = openSQLite(db.sqliteName(file, "immediate", false)); err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	db.write.SetMaxOpenConns(1)
	db.write.SetMaxIdleConns(1)
	db.line = newLine(db.write)
	if memory {
		db.read = db.write
		return nil
	}
	if db.read, err = openSQLite(db.sqliteName(file, "deferred", true)); err != nil {
		return fmt.Errorf("open %s for reading: %w", file, err)
	}
	db.read.SetMaxOpenConns(db.cfg.Readers)
	db.read.SetMaxIdleConns(db.cfg.Readers)
	return nil
}

// file is the one name of SQLite's file, by whatever links it was opened: what lies beside it as a lock is then the same for every
// process. The file must be there. "" if there is none, as with PostgreSQL.
func (db *DB) file() (string, error) {
	file, ok := strings.CutPrefix(db.url, "sqlite:")
	if !ok || file == ":memory:" {
		return "", nil
	}
	file, err := filepath.Abs(file)
	if err == nil {
		file, err = filepath.EvalSymlinks(file)
	}
	if err != nil {
		return "", fmt.Errorf("find the database: %w", err)
	}
	return file, nil
}

// sqliteName is the name that the driver modernc.org/sqlite understands. The busy timeout comes first, so that it already holds
// while the journal mode is set.
func (db *DB) sqliteName(file, lock string, readOnly bool) string {
	q := url.Values{"_txlock": {lock}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", db.cfg.BusyTimeout.Milliseconds()), "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
	}}
	if readOnly {
		q.Add("_pragma", "query_only(1)")
	}
	return file + "?" + q.Encode()
}

func (db *DB) connectPostgres() error {
	db.dialect = Postgres
	cfg, err := pgx.ParseConfig(db.url)
	if err != nil {
		return fmt.Errorf("open PostgreSQL: %w", err)
	}
	ms := db.cfg.IdleLimit.Milliseconds()
	limit := fmt.Sprintf("SET idle_in_transaction_session_timeout = %d; SET lock_timeout = %d", ms, ms*4/5)
	still := stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error { // a pooler takes no such parameter at the start
		_, err := conn.Exec(ctx, limit)
		return err
	})
	pool := sqlx.NewDb(stdlib.OpenDB(*cfg, still), "pgx")
	pool.SetMaxOpenConns(db.cfg.MaxConns)
	pool.SetMaxIdleConns(db.cfg.MaxConns)
	db.write, db.read = pool, pool
	return nil
}

// Close closes every connection. It waits for statements that have begun.
func (db *DB) Close() error {
	err := db.write.Close()
	if db.read != db.write && db.read != nil {
		err = cmp.Or(err, db.read.Close())
	}
	return err
}

// Now is the process's own clock.
func (db *DB) Now() time.Time { return db.cfg.Now() }

// Dialect tells which database it is.
func (db *DB) Dialect() Dialect { return db.dialect }

// String is scheme, host and path of the URL: a password may stand before the host or among the parameters.
func (db *DB) String() string {
	u, err := url.Parse(db.url)
	if err != nil {
		return string(db.dialect)
	}
	return (&url.URL{Scheme: u.Scheme, Opaque: u.Opaque, Host: u.Host, OmitHost: u.OmitHost, Path: u.Path}).String()
}

// Ping tells whether the database answers.
func (db *DB) Ping(ctx context.Context) error { return answered(ctx, db.write.PingContext(ctx)) }
