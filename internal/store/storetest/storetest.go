// Package storetest gives each test a real, empty database of its own, on SQLite and on PostgreSQL.
//
// To make the schema step by step costs half a second, and some tests need little more: it is made once and copied.
package storetest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/store"
)

// Option changes how the database is opened.
type Option func(*store.Config)

// WithClock has the database read now as its clock.
func WithClock(now func() time.Time) Option { return func(c *store.Config) { c.Now = now } }

// WithBefore has hook called ahead of each statement.
func WithBefore(hook func(ctx context.Context, statement string) error) Option {
	return func(c *store.Config) { c.Before = hook }
}

// Each runs test once on each database.
func Each(t *testing.T, test func(t *testing.T, db *store.DB), opts ...Option) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t, opts...)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t, opts...)) })
}

// SQLite is a database in a file of the test's own folder.
func SQLite(tb testing.TB, opts ...Option) *store.DB {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "plant.db")
	copySQLite(tb, file)
	return open(tb, "sqlite:"+file, opts)
}

// Postgres is a database of the test's own on the server that HOLDFAST_TEST_POSTGRES names. Without that variable the test is
// skipped, and fails where CI is set.
func Postgres(tb testing.TB, opts ...Option) *store.DB {
	tb.Helper()
	return open(tb, PostgresURL(tb), opts)
}

// PostgresURL is the URL of a new database with the newest schema and no plant, dropped when the test ends.
func PostgresURL(tb testing.TB) string {
	tb.Helper()
	server := postgresServer(tb)
	return newDatabase(tb, server, templateOf(tb, server))
}

// EmptyPostgresURL is the URL of a new database without any table, dropped when the test ends.
func EmptyPostgresURL(tb testing.TB) string {
	tb.Helper()
	return newDatabase(tb, postgresServer(tb), "template1")
}

// Lose drops the database of a URL that EmptyPostgresURL or PostgresURL gave, with whoever is connected, and makes an empty one in its place: what
// is left to a plant whose disk was lost.
func Lose(rawURL string) error {
	u, err := url.Parse(rawURL)
	if err != nil {
		return fmt.Errorf("read the URL of a database: %w", err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	return execute(os.Getenv("HOLDFAST_TEST_POSTGRES"), "DROP DATABASE "+name+" WITH (FORCE)", "CREATE DATABASE "+name)
}

func open(tb testing.TB, rawURL string, opts []Option) *store.DB {
	tb.Helper()
	var cfg store.Config
	for _, o := range opts {
		o(&cfg)
	}
	db, err := store.Open(context.Background(), rawURL, cfg)
	if err != nil {
		tb.Fatalf("open the test's database: %v", err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Errorf("close the test's database: %v", err)
		}
	})
	return db
}
