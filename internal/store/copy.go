package store

import (
	"bytes"
	"cmp"
	"context"
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

	"github.com/jackc/pgx/v5"

	"holdfast/internal/problem"
)

// Copy writes a copy of the whole database, as it is at one moment, into a file that must not be there, while others go on working, and tells
// how many rows each table has in it. On SQLite it is a database (VACUUM INTO), on PostgreSQL pg_dump's custom format, of the schema alone that
// the connection works in. Errors: Unavailable where pg_dump is missing or fails.
func (db *DB) Copy(ctx context.Context, file string) (map[string]int64, error) {
	if db.dialect == Postgres {
		return db.copyPostgres(ctx, file)
	}
	path, err := db.file()
	if err != nil {
		return nil, err
	}
	if path == "" {
		return nil, &problem.Error{Kind: problem.Invalid, What: "copy the database", Why: "it is in memory only", Hint: "name a file: sqlite:FILE"}
	}
	// the connections for reading may write nothing, not even a copy
	own, err := openSQLite(db.sqliteName("file:"+path, "deferred", false))
	if err != nil {
		return nil, fmt.Errorf("open %s to copy it: %w", path, err)
	}
	_, err = own.ExecContext(ctx, `VACUUM INTO ?`, file)
	if err = errors.Join(err, own.Close()); err != nil {
		return nil, answered(ctx, fmt.Errorf("copy %s: %w", path, err))
	}
	return countFile(ctx, file)
}

// countFile counts what a copy holds, and checks that SQLite finds it whole.
func countFile(ctx context.Context, file string) (map[string]int64, error) {
	c, err := openSQLite("file:" + file + "?mode=ro&immutable=1")
	if err != nil {
		return nil, fmt.Errorf("open the copy %s: %w", file, err)
	}
	defer c.Close()
	var says string
	if err := c.GetContext(ctx, &says, `PRAGMA integrity_check(1)`); err != nil || says != "ok" {
		return nil, &problem.Error{Kind: problem.Integrity, What: "check the copy " + file, Why: says, Hint: "take another; look for errors of the disk", Cause: err}
	}
	return counts(ctx, c, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`)
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
		if err := q.GetContext(ctx, &n, `SELECT COUNT(*) FROM "`+strings.ReplaceAll(name, `"`, `""`)+`"`); err != nil { //nolint:gosec // a name of the catalogue
			return nil, fmt.Errorf("count the rows of %s: %w", name, err)
		}
		all[name] = n
	}
	return all, nil
}

// Counts is how many rows each table has now.
func (db *DB) Counts(ctx context.Context) (all map[string]int64, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		all, err = counts(ctx, tx.tx, tablesOf(db.dialect))
		return err
	})
	return all, err
}

func tablesOf(d Dialect) string {
	if d == Postgres {
		return `SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename`
	}
	return `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`
}

// copyPostgres has pg_dump read the snapshot in which the rows are counted.
func (db *DB) copyPostgres(ctx context.Context, file string) (map[string]int64, error) {
	tx, err := db.read.BeginTxx(ctx, nil)
	if err != nil {
		return nil, answered(ctx, fmt.Errorf("begin a copy: %w", err))
	}
	defer func() { _ = tx.Rollback() }()
	var snapshot, schema string
	for _, set := range []string{`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY`, `SET LOCAL idle_in_transaction_session_timeout = 0`} {
		if _, err := tx.ExecContext(ctx, set); err != nil {
			return nil, answered(ctx, fmt.Errorf("begin a copy: %w", err))
		}
	}
	if err := tx.QueryRowxContext(ctx, `SELECT pg_export_snapshot(), current_schema()`).Scan(&snapshot, &schema); err != nil {
		return nil, answered(ctx, fmt.Errorf("fix the moment of a copy: %w", err))
	}
	all, err := counts(ctx, tx, tablesOf(Postgres))
	if err != nil {
		return nil, answered(ctx, err)
	}
	return all, postgresProgram(ctx, db.url, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--compress=0",
		"--snapshot="+snapshot, "--schema="+pgx.Identifier{schema}.Sanitize(), "--file="+file)
}

// RestoreCopy makes a database of what Copy has written. On SQLite the file that the URL names must not be there; on PostgreSQL the database must
// be, and have nothing of ours. Errors: Conflict where something is there already.
func RestoreCopy(ctx context.Context, rawURL, file string) error {
	if path, ok := strings.CutPrefix(rawURL, "sqlite:"); ok {
		return restoreFile(path, file)
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
	// the empty schema that is there gives way to the one of the copy
	return postgresProgram(ctx, rawURL, "pg_restore", "--clean", "--if-exists", "--no-owner", "--no-privileges", "--exit-on-error",
		"--single-transaction", "--dbname="+database(rawURL), file)
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
func Scratch(ctx context.Context, rawURL, folder, name string) (scratch string, drop func(context.Context) error, err error) {
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
	quoted := pgx.Identifier{name}.Sanitize()
	if err := do(ctx, `CREATE DATABASE `+quoted); err != nil {
		return "", nil, &problem.Error{
			Kind: problem.Denied, What: "make a database for a trial", Why: err.Error(), Hint: "let the role make one: ALTER ROLE … CREATEDB", Cause: err,
		}
	}
	other, err := withDatabase(rawURL, name)
	return other, func(ctx context.Context) error { return do(ctx, `DROP DATABASE `+quoted+` WITH (FORCE)`) }, err
}

// postgresProgram runs one of PostgreSQL's programs on the database of a URL. What it needs to connect goes by its environment: arguments
// can be read by everybody on the machine.
func postgresProgram(ctx context.Context, rawURL, name string, args ...string) error {
	program, err := findProgram(name)
	if err != nil {
		return err
	}
	cfg, err := pgx.ParseConfig(rawURL)
	if err != nil {
		return fmt.Errorf("read the URL of the database: %w", err)
	}
	cmd := exec.CommandContext(ctx, program, append(args, "--no-password")...) //nolint:gosec // a program of the system, arguments of ours
	cmd.Env = append(os.Environ(), "PGHOST="+cfg.Host, "PGPORT="+strconv.Itoa(int(cfg.Port)), "PGUSER="+cfg.User, "PGPASSWORD="+cfg.Password,
		"PGDATABASE="+cfg.Database, "PGSSLMODE="+sslMode(rawURL))
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

// sslMode is that of a URL; PostgreSQL's programs do not learn it from what has been parsed.
func sslMode(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "prefer"
	}
	return cmp.Or(u.Query().Get("sslmode"), "prefer")
}

// database is the name of the database in a URL.
func database(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(u.Path, "/")
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
