package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

const insertNote = `INSERT INTO notes (id, words) VALUES (?, 'words')`

func TestLaterRunsBeforeWhatFollows(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		table(t, db)
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			for id := range 3 {
				if err := tx.Later(t.Context(), insertNote, id); err != nil {
					return err
				}
			}
			n, err := tx.Exec(t.Context(), `UPDATE notes SET words = 'read'`)
			if err != nil || n != 3 {
				t.Errorf("a statement after them touched %d rows (%v), want 3", n, err)
			}
			return tx.Later(t.Context(), insertNote, 3)
		})
		if err != nil || count(t, db) != 4 {
			t.Errorf("err = %v, %d rows, want 4", err, count(t, db))
		}
	})
}

func TestErrorOfLaterFailsTheTransaction(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		table(t, db)
		woken, done := db.Subscribe("notes")
		defer done()
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			tx.Wake("notes")
			return errors.Join(tx.Later(t.Context(), insertNote, 1), tx.Later(t.Context(), insertNote, 1), tx.Later(t.Context(), insertNote, 2))
		})
		if !store.IsUnique(err) || count(t, db) != 0 || len(woken) != 0 {
			t.Errorf("err = %v, %d rows, %d wakes, want a key that is taken and none", err, count(t, db), len(woken))
		}
	})
}

func TestErrorOfLaterIsThatOfItsSavepoint(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		table(t, db)
		refusal := errors.New("no")
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			if err := tx.Later(t.Context(), insertNote, 1); err != nil {
				return err
			}
			err := tx.Savepoint(t.Context(), func() error { return tx.Later(t.Context(), insertNote, 1) })
			if !store.IsUnique(err) {
				t.Errorf("the same row again: %v, want a key that is taken", err)
			}
			err = tx.Savepoint(t.Context(), func() error {
				if err := tx.Later(t.Context(), insertNote, 2); err != nil {
					return err
				}
				return refusal
			})
			if got, want := fmt.Sprint(err), "no"; got != want {
				t.Errorf("err = %s, want the refusal alone", got)
			}
			return tx.Savepoint(t.Context(), func() error { return tx.Later(t.Context(), insertNote, 2) })
		})
		if err != nil || count(t, db) != 2 {
			t.Errorf("err = %v, %d rows, want 2", err, count(t, db))
		}
	})
}

// TestNothingIsKeptOutsideOfATransaction passes over the error of the statement that would have begun it.
func TestNothingIsKeptOutsideOfATransaction(t *testing.T) {
	db := storetest.Postgres(t)
	table(t, db)
	for _, wrong := range []string{`INSERT INTO nowhere VALUES (1)`, `INSERT INTO notes (id, words) VALUES (1, NULL)`} {
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			if _, err := tx.Exec(t.Context(), wrong); err == nil {
				t.Errorf("%s has no error", wrong)
			}
			if err := insert(t.Context(), tx, 2); err == nil {
				t.Error("a statement ran after that")
			}
			return nil
		})
		if err == nil || count(t, db) != 0 {
			t.Errorf("err = %v, %d rows, want an error and none", err, count(t, db))
		}
	}
}

// TestTheConnectionComesBackWithoutATransaction has only one, so that each transaction finds what the one before has left.
func TestTheConnectionComesBackWithoutATransaction(t *testing.T) {
	db, err := store.Open(t.Context(), storetest.PostgresURL(t), store.Config{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	table(t, db)
	for name, end := range map[string]func() error{
		"error": func() error { return errors.New("no") },
		"panic": func() error { panic("broken") },
		"later": func() error { return nil },
	} {
		func() {
			defer func() { _ = recover() }()
			err := db.InTx(t.Context(), func(tx *store.Tx) error {
				return errors.Join(insert(t.Context(), tx, 1), tx.Later(t.Context(), insertNote, 1), end())
			})
			if err == nil {
				t.Errorf("%s: it was committed", name)
			}
		}()
		if got := count(t, db); got != 0 {
			t.Errorf("%s: %d rows, want none", name, got)
		}
	}
	if err := db.InTx(t.Context(), func(tx *store.Tx) error { return insert(t.Context(), tx, 1) }); err != nil || count(t, db) != 1 {
		t.Errorf("err = %v, %d rows, want 1", err, count(t, db))
	}
}

// TestNothingIsKeptWithoutWhatWaited passes over the error of a look-up that ended before what waited was sent with it.
func TestNothingIsKeptWithoutWhatWaited(t *testing.T) {
	tests := []struct {
		name string
		look func(ctx context.Context, tx *store.Tx) error
	}{
		{"a row", func(ctx context.Context, tx *store.Tx) error { return tx.Get(ctx, new(int), `SELECT 1`) }},
		{"rows", func(ctx context.Context, tx *store.Tx) error { return tx.Select(ctx, new([]int), `SELECT 1`) }},
		{"a statement", func(ctx context.Context, tx *store.Tx) error { return insert(ctx, tx, 9) }},
		{"a savepoint", func(ctx context.Context, tx *store.Tx) error { return tx.Savepoint(ctx, func() error { return nil }) }},
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db := storetest.Postgres(t)
			table(t, db)
			err := db.InTx(t.Context(), func(tx *store.Tx) error {
				if err := errors.Join(insert(t.Context(), tx, 1), tx.Later(t.Context(), insertNote, 2)); err != nil {
					return err
				}
				if err := tt.look(ended, tx); err == nil {
					t.Error("the look-up has no error")
				}
				return nil
			})
			if got := count(t, db); err == nil || got != 0 {
				t.Errorf("err = %v, %d rows, want an error and none", err, got)
			}
			err = db.InTx(t.Context(), func(tx *store.Tx) error {
				err := tx.Savepoint(t.Context(), func() error {
					if err := errors.Join(insert(t.Context(), tx, 1), tx.Later(t.Context(), insertNote, 2)); err != nil {
						return err
					}
					_ = tt.look(ended, tx)
					return nil
				})
				if err == nil {
					t.Error("the savepoint is kept without what waited")
				}
				return insert(t.Context(), tx, 3)
			})
			if got := count(t, db); err != nil || got != 1 {
				t.Errorf("err = %v, %d rows, want what followed the savepoint", err, got)
			}
		})
	}
}

// TestACommitThatWasSentIsWaitedFor ends the caller's context while PostgreSQL commits: a trigger holds the commit up.
func TestACommitThatWasSentIsWaitedFor(t *testing.T) {
	for name, ends := range map[string]bool{"it ends in time": true, "it does not end": false} {
		t.Run(name, func(t *testing.T) {
			db := storetest.Postgres(t)
			table(t, db)
			key := int64(rand.Int32())
			slowCommits(t, db, key)
			if !ends {
				db.CommitTime(time.Millisecond)
			}
			ctx, end := context.WithCancel(t.Context())
			done := make(chan error, 1)
			err := db.InTx(t.Context(), func(tx *store.Tx) error {
				if err := tx.Get(t.Context(), new(string), `SELECT pg_advisory_xact_lock(?)::text`, key); err != nil {
					return err
				}
				go func() {
					done <- db.InTx(ctx, func(tx *store.Tx) error { return insert(ctx, tx, 1) })
				}()
				for waiting := 0; waiting == 0; {
					err := tx.Get(t.Context(), &waiting, `SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
						AND classid::bigint = 0 AND objid::bigint = CAST(? AS BIGINT)`, key)
					if err != nil {
						return err
					}
				}
				end()
				if ends {
					return nil
				}
				err := <-done
				if problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "may have been kept") {
					t.Errorf("err = %v, want that it may have been kept", err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if !ends {
				return
			}
			if err := <-done; err != nil || count(t, db) != 1 {
				t.Errorf("err = %v, %d rows, want the row", err, count(t, db))
			}
		})
	}
}

// slowCommits has each commit of a note wait for an advisory lock.
func slowCommits(t *testing.T, db *store.DB, key int64) {
	t.Helper()
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), fmt.Sprintf(`CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
			$$BEGIN PERFORM pg_advisory_xact_lock(%d); RETURN NULL; END$$`, key))
		if err != nil {
			return err
		}
		_, err = tx.Exec(t.Context(), `CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON notes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheDatabasesAddressIsTheDrivers(t *testing.T) {
	t.Setenv("PGHOST", "")
	for rawURL, want := range map[string]string{
		"sqlite:plant.db":                                 " 0",
		"postgres://plant@db.example/plant":               "db.example 5432",
		"postgres://plant:s3cret@[2001:db8::1]:6432/p":    "2001:db8::1 6432",
		"postgres://plant@/plant?host=/run/postgresql":    " 0",
		"postgres://plant@/plant?host=far.example&port=7": "far.example 7",
	} {
		host, port, err := store.Address(rawURL)
		if got := fmt.Sprintf("%s %d", host, port); err != nil || got != want {
			t.Errorf("%s is at %q, want %q: %v", rawURL, got, want, err)
		}
	}
	if _, _, err := store.Address("postgres://plant:s3cret@db:none/plant"); problem.KindOf(err) != problem.Invalid || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a bad URL: %v", err)
	}
}
