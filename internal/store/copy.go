package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jmoiron/sqlx"

	"holdfast/internal/problem"
)

// Copy writes a copy of the whole database, as it is at one moment, while others go on working. within, which may be nil, reads the database of that
// moment too. On SQLite the copy is the database, page by page, so that two copies differ where something was changed; on PostgreSQL it is pg_dump's
// custom format, of the schema alone that the connection works in. Errors: those of within and to as they are, Unavailable where pg_dump is missing or
// fails.
func (db *DB) Copy(ctx context.Context, to io.Writer, within func(tx *Tx) error) error {
	return db.View(ctx, func(tx *Tx) error {
		if db.dialect == Postgres {
			if _, err := tx.Exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
				return fmt.Errorf("begin a copy: %w", err)
			}
		}
		if within != nil { // whoever is the first to read fixes the moment
			if err := within(tx); err != nil {
				return err
			}
		}
		if db.dialect == Postgres {
			return tx.dump(ctx, to)
		}
		return tx.pages(ctx, to)
	})
}

// PageSize is the size of SQLite's pages; 0 on PostgreSQL, whose copies have none.
func (db *DB) PageSize(ctx context.Context) (n int64, err error) {
	if db.dialect == Postgres {
		return 0, nil
	}
	return n, db.View(ctx, func(tx *Tx) error { return tx.Get(ctx, &n, `PRAGMA page_size`) })
}

// pages are those of SQLite's file as the transaction sees them, in their order.
func (tx *Tx) pages(ctx context.Context, to io.Writer) error {
	t, ok := tx.tx.(*sqlx.Tx)
	if !ok {
		return errors.New("copy the database: the transaction is none for reading")
	}
	rows, err := t.QueryContext(ctx, `SELECT data FROM sqlite_dbpage ORDER BY pgno`)
	if err != nil {
		return fmt.Errorf("copy the pages: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var page sql.RawBytes
		if err := rows.Scan(&page); err != nil {
			return fmt.Errorf("copy a page: %w", err)
		}
		if _, err := to.Write(page); err != nil {
			return err
		}
	}
	return rows.Err()
}

// dump has pg_dump read the snapshot of the transaction.
func (tx *Tx) dump(ctx context.Context, to io.Writer) error {
	var at struct{ Snapshot, Schema string }
	if err := tx.Get(ctx, &at, `SELECT pg_export_snapshot() AS snapshot, current_schema() AS schema`); err != nil {
		return fmt.Errorf("fix the moment of a copy: %w", err)
	}
	return postgresProgram(ctx, tx.db.url, to, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--compress=0",
		"--snapshot="+at.Snapshot, "--schema="+pgx.Identifier{at.Schema}.Sanitize())
}

// CheckFile has SQLite look whether the file is a whole database. Errors: Integrity if it is not.
func CheckFile(ctx context.Context, file string) error {
	c, err := openSQLite("file:" + file + "?mode=ro&immutable=1")
	if err != nil {
		return fmt.Errorf("open the copy %s: %w", file, err)
	}
	defer c.Close()
	var says string
	if err := c.GetContext(ctx, &says, `PRAGMA integrity_check(1)`); err != nil || says != "ok" {
		return &problem.Error{Kind: problem.Integrity, What: "check the copy " + file, Why: cmp.Or(says, fmt.Sprint(err)), Hint: "take another; look for errors of the disk", Cause: err}
	}
	return nil
}

// counter is what rows are counted on: a database or a transaction.
type counter interface {
	GetContext(ctx context.Context, dst any, query string, args ...any) error
	SelectContext(ctx context.Context, dst any, query string, args ...any) error
}

// counts is how many rows each of the tables has that a query names.
func counts(ctx context.Context, q counter, tables string) (map[string]int64, error) {
	var names []string
	if err := q.SelectContext(ctx, &names, tables); err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	all := make(map[string]int64, len(names))
	for _, name := range names {
		var n int64
		if err := q.GetContext(ctx, &n, `SELECT COUNT(*) FROM "`+strings.ReplaceAll(name, `"`, `""`)+`"`); err != nil {
			return nil, fmt.Errorf("count the rows of %s: %w", name, err)
		}
		all[name] = n
	}
	return all, nil
}

// Counts is how many rows each table has now.
func (db *DB) Counts(ctx context.Context) (all map[string]int64, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		all, err = tx.Counts(ctx)
		return err
	})
	return all, err
}

// Counts is how many rows each table has in the transaction.
func (tx *Tx) Counts(ctx context.Context) (map[string]int64, error) {
	return counts(ctx, tx.tx, tablesOf(tx.db.dialect))
}

func tablesOf(d Dialect) string {
	if d == Postgres {
		return `SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename`
	}
	return `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`
}

// RestoreCopy makes a database of what Copy has written. On SQLite the file that the URL names must not be there; on PostgreSQL the database must
// be, and have nothing of ours. Errors: Conflict where something is there already.
func RestoreCopy(ctx context.Context, rawURL, file string) error {
	if path, ok := strings.CutPrefix(rawURL, "sqlite:"); ok {
		if err := restoreFile(path, file); err != nil {
			return err
		}
		return CheckFile(ctx, path)
	}
	db, err := Open(ctx, rawURL, Config{NoMigrate: true})
	if err != nil {
		return err
	}
	// of any schema: pg_restore drops the copy's, whatever schema this URL leads to
	var there int64
	err = db.read.GetContext(ctx, &there, `SELECT COUNT(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'm', 'S')`)
	if err = errors.Join(err, db.Close()); err != nil {
		return answered(ctx, fmt.Errorf("look what is in %s: %w", db, err))
	}
	if there > 0 {
		return &problem.Error{
			Kind: problem.Conflict, What: "restore into " + db.String(), Why: fmt.Sprintf("it has %d tables, views or sequences already", there),
			Hint: "make an empty database for it: createdb NAME",
		}
	}
	cfg, err := pgx.ParseConfig(rawURL)
	if err != nil {
		return fmt.Errorf("read the URL of the database: %w", err)
	}
	if err := begin(ctx, rawURL); err != nil {
		return err
	}
	// the empty schema that is there gives way to the one of the copy
	err = postgresProgram(ctx, rawURL, io.Discard, "pg_restore", "--clean", "--if-exists", "--no-owner", "--no-privileges", "--exit-on-error",
		"--single-transaction", "--dbname="+cfg.Database, file)
	if err != nil {
		return errors.Join(err, UndoRestore(context.WithoutCancel(ctx), rawURL))
	}
	return nil
}

func restoreFile(path, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("open the copy: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return &problem.Error{Kind: problem.Conflict, What: "restore into " + path, Why: "it is there already", Hint: "name a new folder, or move the old file away"}
	}
	if err != nil {
		return fmt.Errorf("restore into %s: %w", path, err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("restore into %s: %w", path, err)
	}
	return nil
}

// Scratch is an empty database for a trial: its URL, and what removes it. On SQLite it is a file in the folder given, on PostgreSQL a database beside
// that of rawURL, for which its role needs the right to make one (CREATEDB). Errors: Denied where it lacks that.
//
// It removes those that are older than an hour and that nobody uses: their processes were killed.
func Scratch(ctx context.Context, rawURL, folder string) (scratch string, drop func(context.Context) error, err error) {
	var tail [6]byte
	if _, err := rand.Read(tail[:]); err != nil {
		return "", nil, fmt.Errorf("name a database for a trial: %w", err)
	}
	name := fmt.Sprintf("%s%d_%x", trialPrefix, time.Now().Unix(), tail)
	if strings.HasPrefix(rawURL, "sqlite:") {
		file := filepath.Join(folder, name+".db")
		return "sqlite:" + file, func(context.Context) error { return nil }, nil // the folder goes as a whole
	}
	do := func(ctx context.Context, statement string) error {
		conn, err := pgx.Connect(ctx, rawURL)
		if err != nil {
			return answered(ctx, fmt.Errorf("connect for a trial: %w", err))
		}
		_, err = conn.Exec(ctx, statement)
		return errors.Join(err, conn.Close(ctx))
	}
	if err := sweepTrials(ctx, rawURL); err != nil {
		return "", nil, err
	}
	quoted := pgx.Identifier{name}.Sanitize()
	if err := do(ctx, `CREATE DATABASE `+quoted); err != nil {
		return "", nil, &problem.Error{
			Kind: problem.Denied, What: "make a database for a trial", Why: err.Error(), Hint: "let the role make one: ALTER ROLE … CREATEDB", Cause: err,
		}
	}
	other, err := withDatabase(rawURL, name)
	return other, func(ctx context.Context) error { return do(ctx, `DROP DATABASE `+quoted+` WITH (FORCE)`) }, err
}

// trialPrefix begins the names of databases for trials; the second in which they were made follows.
const trialPrefix = "holdfast_trial_"

// sweepTrials removes the databases of trials that did not end. One that is in use, or another role's, stays.
func sweepTrials(ctx context.Context, rawURL string) error {
	conn, err := pgx.Connect(ctx, rawURL)
	if err != nil {
		return answered(ctx, fmt.Errorf("connect for a trial: %w", err))
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, `SELECT datname FROM pg_database WHERE starts_with(datname, $1)`, trialPrefix)
	if err != nil {
		return answered(ctx, fmt.Errorf("look for old trials: %w", err))
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return answered(ctx, fmt.Errorf("look for old trials: %w", err))
	}
	for _, name := range names {
		made, _, _ := strings.Cut(strings.TrimPrefix(name, trialPrefix), "_")
		if s, err := strconv.ParseInt(made, 10, 64); err == nil && time.Since(time.Unix(s, 0)) > time.Hour {
			_, _ = conn.Exec(ctx, `DROP DATABASE `+pgx.Identifier{name}.Sanitize()) // the next trial tries again
		}
	}
	return nil
}

// postgresProgram runs one of PostgreSQL's programs on the database of a URL. What it needs to connect goes by its environment: arguments
// can be read by everybody on the machine.
func postgresProgram(ctx context.Context, rawURL string, out io.Writer, name string, args ...string) error {
	program, err := findProgram(name)
	if err != nil {
		return err
	}
	cfg, err := pgx.ParseConfig(rawURL)
	if err != nil {
		return fmt.Errorf("read the URL of the database: %w", err)
	}
	cmd := exec.CommandContext(ctx, program, append(args, "--no-password")...) //nolint:gosec // a program of the system, arguments of ours
	cmd.Env = append(os.Environ(), "PGHOST="+cfg.Host, "PGPORT="+strconv.Itoa(int(cfg.Port)), "PGUSER="+cfg.User, "PGPASSWORD="+cfg.Password, "PGDATABASE="+cfg.Database)
	cmd.Env = append(cmd.Env, connectionEnv(rawURL)...)
	cmd.Stdout = out
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return &problem.Error{
			Kind: problem.Unavailable, What: "run " + name, Why: cmp.Or(strings.TrimSpace(said.String()), err.Error()),
			Hint: "it must be at least as new as the server; set PATH to the newest", Cause: err,
		}
	}
	return nil
}

// findProgram prefers the newest of Debian's folders: what stands on the PATH there is a wrapper that asks for a cluster.
func findProgram(name string) (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err == nil && len(found) > 0 {
		version := func(path string) int {
			n, _ := strconv.Atoi(strings.Split(path, "/")[4])
			return n
		}
		return slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(version(a), version(b)) }), nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", &problem.Error{
			Kind: problem.Unavailable, What: "find " + name, Why: "it is not installed", Hint: "install PostgreSQL's client programs (Debian: postgresql-client)", Cause: err,
		}
	}
	return path, nil
}

// connectionEnv is what else a URL says of the connection, as PostgreSQL's programs read it from their environment. What it does not say they
// take from the same variables as this process.
func connectionEnv(rawURL string) (env []string) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil
	}
	for name, variable := range map[string]string{
		"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY", "sslcrl": "PGSSLCRL", "sslsni": "PGSSLSNI",
		"sslnegotiation": "PGSSLNEGOTIATION", "channel_binding": "PGCHANNELBINDING", "require_auth": "PGREQUIREAUTH", "gssencmode": "PGGSSENCMODE",
		"connect_timeout": "PGCONNECT_TIMEOUT", "target_session_attrs": "PGTARGETSESSIONATTRS", "options": "PGOPTIONS",
	} {
		if v := u.Query().Get(name); v != "" {
			env = append(env, variable+"="+v)
		}
	}
	return env
}

// withDatabase is the URL of another database of the same server.
func withDatabase(rawURL, name string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", fmt.Errorf("read the URL of the database: %w", err)
	}
	u.Path = "/" + name
	return u.String(), nil
}
