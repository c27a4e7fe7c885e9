package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"holdfast/internal/store"
)

// migratedSQLite is a file of a database with the newest schema, made once for each process.
var migratedSQLite = sync.OnceValues(func() (content []byte, err error) {
	dir, err := os.MkdirTemp("", "holdfast-schema-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "plant.db")
	if err := migrate("sqlite:" + file); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
})

func copySQLite(tb testing.TB, file string) {
	tb.Helper()
	content, err := migratedSQLite()
	if err == nil {
		err = os.WriteFile(file, content, 0o600)
	}
	if err != nil {
		tb.Fatalf("copy a database with the newest schema: %v", err)
	}
}

// migrate makes the newest schema and closes what it has opened.
func migrate(rawURL string) error {
	db, err := store.Open(context.Background(), rawURL, store.Config{})
	if err != nil {
		return err
	}
	return db.Close()
}

// postgresServer is the server that tests make their databases on.
func postgresServer(tb testing.TB) string {
	tb.Helper()
	server := os.Getenv("HOLDFAST_TEST_POSTGRES")
	if server == "" {
		if os.Getenv("CI") != "" {
			tb.Fatal("HOLDFAST_TEST_POSTGRES is not set, and CI skips nothing: run deploy/dev/services up")
		}
		tb.Skip("skipped for want of PostgreSQL: set HOLDFAST_TEST_POSTGRES, or run make test, which starts one")
	}
	return server
}

// newDatabase copies template, which is dropped with its connections when the test ends.
func newDatabase(tb testing.TB, server, template string) string {
	tb.Helper()
	name := "t" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if err := execute(server, "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		tb.Fatalf("make a database on HOLDFAST_TEST_POSTGRES: %v", err)
	}
	tb.Cleanup(func() {
		if err := execute(server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Errorf("drop the test's database: %v", err)
		}
	})
	return inDatabase(tb, server, name)
}

// inDatabase is server's URL with another database in it.
func inDatabase(tb testing.TB, server, name string) string {
	tb.Helper()
	u, err := url.Parse(server)
	if err != nil {
		tb.Fatal("HOLDFAST_TEST_POSTGRES is no URL: write postgres://user:password@host:port/database")
	}
	u.Path = "/" + name
	return u.String()
}

// execute runs statements one after the other on a connection of their own.
func execute(server string, statements ...string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// templates remembers for each server how the making of its template ended.
var templates sync.Map // server → func() error

// templateOf names a database with the newest schema on server. The first process that needs one makes it.
func templateOf(tb testing.TB, server string) string {
	tb.Helper()
	name := "holdfast_schema_" + store.SchemaDigest(store.Postgres)[:16]
	made, _ := templates.LoadOrStore(server, sync.OnceValue(func() error {
		return makeTemplate(server, name, inDatabase(tb, server, name+"_new"))
	}))
	if err := made.(func() error)(); err != nil {
		tb.Fatalf("make the database that tests copy: %v", err)
	}
	return name
}

// makeTemplate holds a lock of the server meanwhile. What a process that died in its midst has left is made anew.
func makeTemplate(server, name, newURL string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext($1))", name); err != nil {
		return err
	}
	var found bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&found)
	if err != nil || found {
		return err
	}
	if err := execute(server, "DROP DATABASE IF EXISTS "+name+"_new WITH (FORCE)", "CREATE DATABASE "+name+"_new"); err != nil {
		return err
	}
	if err := migrate(newURL); err != nil {
		return err
	}
	return execute(server, "ALTER DATABASE "+name+"_new RENAME TO "+name)
}
