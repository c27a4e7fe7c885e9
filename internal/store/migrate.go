package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

// Migration is one step of the schema.
type Migration struct {
	Name    string    // the file's name, the same for both databases
	Applied time.Time // zero if it has not been applied
}

// Migrations lists the steps that this program knows, oldest first, and when each was applied. An empty database it leaves empty: a copy can be restored into it.
func (db *DB) Migrations(ctx context.Context) ([]Migration, error) {
	p, err := db.provider(ctx)
	if err != nil {
		return nil, err
	}
	begun, err := db.Begun(ctx)
	if err != nil {
		return nil, err
	}
	if begun.IsZero() { // goose would make its table
		return unapplied(p.ListSources()), nil
	}
	steps, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the state of the schema: %w", answered(ctx, err))
	}
	out := make([]Migration, 0, len(steps))
	for _, s := range steps {
		out = append(out, Migration{Name: strings.TrimSuffix(filepath.Base(s.Source.Path), ".sql"), Applied: s.AppliedAt})
	}
	return out, nil
}

func unapplied(sources []*goose.Source) []Migration {
	out := make([]Migration, 0, len(sources))
	for _, s := range sources {
		out = append(out, Migration{Name: strings.TrimSuffix(filepath.Base(s.Path), ".sql")})
	}
	return out
}

// SchemaDigest is the SHA-256, in hexadecimal, of all steps that this program knows for a kind of database. Programs of one digest have one schema.
func SchemaDigest(d Dialect) string {
	h := sha256.New()
	err := fs.WalkDir(migrations, "migrations/"+string(d), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := migrations.ReadFile(path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(text), text)
		return err
	})
	if err != nil { // the files are in the program
		panic(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Migrate brings the schema up to date; Open has done so unless Config.NoMigrate was set.
func (db *DB) Migrate(ctx context.Context) error { return answered(ctx, db.migrate(ctx)) }

func (db *DB) migrate(ctx context.Context) error {
	unlock, err := db.lockSQLite(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	p, err := db.provider(ctx)
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring the schema up to date: %w", err)
	}
	return nil
}

// lockSQLite lets one process at a time migrate a SQLite file: it holds an exclusive transaction on an empty database beside
// it, which ends with the process whatever happens. PostgreSQL's lock is the provider's own.
func (db *DB) lockSQLite(ctx context.Context) (unlock func(), err error) {
	file, err := db.file()
	if err != nil {
		return nil, err
	}
	if file == "" {
		return func() {}, nil
	}
	name := "file:" + (&url.URL{Path: file + "-migrate"}).EscapedPath() + "?_txlock=exclusive&_pragma=busy_timeout(60000)"
	gate, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the schema: %w", err)
	}
	tx, err := gate.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("wait for the lock of the schema: %w", cmp.Or(err, gate.Close()))
	}
	return func() { _, _ = tx.Rollback(), gate.Close() }, nil
}

// provider joins our files with goose. A lower number that comes in later (two branches merged) is applied all the same.
func (db *DB) provider(ctx context.Context) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations/"+string(db.dialect))
	if err != nil {
		return nil, fmt.Errorf("find the migrations: %w", err)
	}
	opts := []goose.ProviderOption{goose.WithAllowOutofOrder(true), goose.WithDisableGlobalRegistry(true)}
	dialect := goose.DialectSQLite3
	if db.dialect == Postgres {
		dialect = goose.DialectPostgres
		name, err := db.channel(ctx)
		if err != nil {
			return nil, err
		}
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockID(name)), lock.WithLockTimeout(1, 120))
		if err != nil {
			return nil, fmt.Errorf("prepare the lock of the schema: %w", err)
		}
		opts = append(opts, goose.WithSessionLocker(locker))
	}
	p, err := goose.NewProvider(dialect, db.write.DB, files, opts...)
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return p, nil
}

// lockID makes the advisory lock one for each schema, so that plants in one database migrate apart.
func lockID(name string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return int64(h.Sum64() >> 1)
}
