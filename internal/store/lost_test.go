package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestALostConnectionIsNoDefect cuts the way to PostgreSQL at each point of a transaction.
func TestALostConnectionIsNoDefect(t *testing.T) {
	tests := []struct {
		name  string
		after func(ctx context.Context, tx *store.Tx) error // what is asked for once the way is cut
		kept  bool                                          // it may have been
	}{
		{"a statement", func(ctx context.Context, tx *store.Tx) error { return insert(ctx, tx, 2) }, false},
		{"a row", func(ctx context.Context, tx *store.Tx) error { return tx.Get(ctx, new(int), `SELECT 1`) }, false},
		{"rows", func(ctx context.Context, tx *store.Tx) error { return tx.Select(ctx, new([]int), `SELECT 1`) }, false},
		{"a savepoint", func(ctx context.Context, tx *store.Tx) error { return tx.Savepoint(ctx, func() error { return nil }) }, false},
		{"after an error that was passed over", func(ctx context.Context, tx *store.Tx) error {
			_ = insert(ctx, tx, 2)
			return insert(ctx, tx, 3)
		}, false},
		{"the commit", func(context.Context, *store.Tx) error { return nil }, true},
		{"the commit with what waits", func(ctx context.Context, tx *store.Tx) error { return tx.Later(ctx, insertNote, 2) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			way, through := newProxy(t, storetest.PostgresURL(t))
			db := openAt(t, through, store.Config{})
			table(t, db)
			err := db.InTx(t.Context(), func(tx *store.Tx) error {
				if err := insert(t.Context(), tx, 1); err != nil {
					return err
				}
				way.set(true)
				return tt.after(t.Context(), tx)
			})
			if got, want := problem.KindOf(err), problem.Unavailable; got != want {
				t.Errorf("kind %s, want %s: %v", got, want, err)
			}
			if got := strings.Contains(fmt.Sprint(err), "may have been kept"); got != tt.kept {
				t.Errorf("may have been kept: %t, want %t: %v", got, tt.kept, err)
			}
			way.set(false)
			if err := db.InTx(t.Context(), func(tx *store.Tx) error { return insert(t.Context(), tx, 1) }); err != nil {
				t.Errorf("once the database is back: %v", err)
			}
		})
	}
}

func TestAViewThatLosesItsConnectionIsNoDefect(t *testing.T) {
	way, through := newProxy(t, storetest.PostgresURL(t))
	db := openAt(t, through, store.Config{})
	err := db.View(t.Context(), func(tx *store.Tx) error {
		way.set(true)
		return tx.Get(t.Context(), new(int), `SELECT 1`)
	})
	if got, want := problem.KindOf(err), problem.Unavailable; got != want {
		t.Errorf("kind %s, want %s: %v", got, want, err)
	}
}

// TestTheCallersOwnWordsAreNotTheDatabases has a function fail as a reader of its own does.
func TestTheCallersOwnWordsAreNotTheDatabases(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		err := db.InTx(t.Context(), func(*store.Tx) error { return fmt.Errorf("read a document: %w", io.ErrUnexpectedEOF) })
		if got, want := problem.KindOf(err), problem.Internal; got != want {
			t.Errorf("kind %s, want %s: %v", got, want, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		err = db.InTx(ctx, func(tx *store.Tx) error {
			cancel()
			return tx.Get(ctx, new(int), `SELECT 1`)
		})
		if !errors.Is(err, context.Canceled) || problem.KindOf(err) != problem.Internal {
			t.Errorf("after the caller has ended it: %v", err)
		}
	})
}
