// Package storetest gives each test a real, empty database of its own, on SQLite and on PostgreSQL.
package storetest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

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
	return open(tb, "sqlite:"+filepath.Join(tb.TempDir(), "plant.db"), opts)
}

// Postgres is a schema of the test's own in the database that HOLDFAST_TEST_POSTGRES names. Without that variable the test is
// skipped, and fails where CI is set.
func Postgres(tb testing.TB, opts ...Option) *store.DB {
	tb.Helper()
	return open(tb, PostgresURL(tb), opts)
}

// PostgresURL is the URL of a new schema, dropped when the test ends.
func PostgresURL(tb testing.TB) string {
	tb.Helper()
	base := os.Getenv("HOLDFAST_TEST_POSTGRES")
	if base == "" {
		if os.Getenv("CI") != "" {
			tb.Fatal("HOLDFAST_TEST_POSTGRES is not set, and CI skips nothing: run deploy/dev/services up")
		}
		tb.Skip("skipped for want of PostgreSQL: set HOLDFAST_TEST_POSTGRES, or run make test, which starts one")
	}
	schema, drop, err := store.NewSchema(context.Background(), base, "t"+strings.ReplaceAll(uuid.NewString(), "-", ""))
	if err != nil {
		tb.Fatalf("make a schema in HOLDFAST_TEST_POSTGRES: %v", err)
	}
	tb.Cleanup(func() {
		if err := drop(context.Background()); err != nil {
			tb.Errorf("drop the test's schema: %v", err)
		}
	})
	return schema
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
