package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Served tells whether a process has the seat of a node now: on SQLite that of the file, whatever the name. It takes nothing: a start
// that falls into the same moment tries again (seatPatience).
func (db *DB) Served(ctx context.Context, node string) (bool, error) {
	if db.dialect == Postgres {
		return db.servedPostgres(ctx, node)
	}
	path, err := db.file()
	if err != nil || path == "" {
		return false, err
	}
	f, err := os.Open(path + "-serve")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open the lock of the database: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	taken := errors.Is(err, syscall.EWOULDBLOCK)
	if taken {
		err = nil
	}
	return taken, errors.Join(err, f.Close())
}

// servedPostgres looks for the advisory lock, whose key PostgreSQL shows in two halves.
func (db *DB) servedPostgres(ctx context.Context, node string) (taken bool, err error) {
	schema, err := db.channel(ctx)
	if err != nil {
		return false, answered(ctx, err)
	}
	key := lockID(schema + " node " + node)
	err = db.read.GetContext(ctx, &taken, `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND CAST(classid AS BIGINT) = $1 AND CAST(objid AS BIGINT) = $2)`, key>>32, key&0xffffffff)
	if err != nil {
		return false, answered(ctx, fmt.Errorf("look for the process of node %s: %w", node, err))
	}
	return taken, nil
}
