package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/decimal"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

func table(t *testing.T, db *store.DB) {
	t.Helper()
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `CREATE TABLE notes (id BIGINT PRIMARY KEY, words TEXT NOT NULL)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, db *store.DB) (n int) {
	t.Helper()
	if err := db.View(t.Context(), func(tx *store.Tx) error { return tx.Get(t.Context(), &n, `SELECT count(*) FROM notes`) }); err != nil {
		t.Fatal(err)
	}
	return n
}

func insert(ctx context.Context, tx *store.Tx, id int) error {
	_, err := tx.Exec(ctx, `INSERT INTO notes (id, words) VALUES (?, ?)`, id, "words")
	return err
}

func TestInTxKeepsAllOrNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		table(t, db)
		refusal := errors.New("no")
		woken, done := db.Subscribe("notes")
		defer done()

		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			tx.Wake("notes")
			return errors.Join(insert(t.Context(), tx, 1), refusal)
		})
		if !errors.Is(err, refusal) || count(t, db) != 0 {
			t.Fatalf("err = %v with %d rows, want the refusal and none", err, count(t, db))
		}
		if len(woken) != 0 {
			t.Error("a wake came from a transaction that was rolled back")
		}
		err = db.InTx(t.Context(), func(tx *store.Tx) error {
			tx.Wake("notes")
			return insert(t.Context(), tx, 1)
		})
		if err != nil || count(t, db) != 1 || len(woken) != 1 {
			t.Errorf("err = %v, %d rows, %d wakes, want one of each", err, count(t, db), len(woken))
		}
	})
}

func TestSavepointUndoesOnlyItsPart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		table(t, db)
		woken, done := db.Subscribe("notes")
		defer done()
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			if err := insert(t.Context(), tx, 1); err != nil {
				return err
			}
			err := tx.Savepoint(t.Context(), func() error {
				tx.Wake("notes")
				return insert(t.Context(), tx, 1)
			})
			if !store.IsUnique(err) {
				return fmt.Errorf("the same row again: %w, want a unique key that is taken", err)
			}
			return tx.Savepoint(t.Context(), func() error { return insert(t.Context(), tx, 2) })
		})
		if err != nil || count(t, db) != 2 || len(woken) != 0 {
			t.Errorf("err = %v, %d rows, %d wakes, want 2 rows and no wake", err, count(t, db), len(woken))
		}
	})
}

// TestEveryoneIsToldOfTheEnd: one who panics at it takes the word from nobody else, and is not kept quiet.
func TestEveryoneIsToldOfTheEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var told []string
		panicked := func() (v any) {
			defer func() { v = recover() }()
			_ = db.InTx(t.Context(), func(tx *store.Tx) error {
				tx.AfterCommit(func() { told = append(told, "first") })
				tx.AfterCommit(func() { panic("broken") })
				tx.AfterEnd(func(err error) { told = append(told, fmt.Sprint("last ", err)) })
				return nil
			})
			return nil
		}()
		if diff := cmp.Diff([]string{"first", "last <nil>"}, told); diff != "" || panicked != "broken" {
			t.Errorf("told (-want +got), panic %v:\n%s", panicked, diff)
		}
	})
}

// TestSavepointWithinASavepoint undoes the inner one first.
func TestSavepointWithinASavepoint(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		table(t, db)
		inner, outer := errors.New("inner"), errors.New("outer")
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			err := tx.Savepoint(t.Context(), func() error {
				if err := insert(t.Context(), tx, 1); err != nil {
					return err
				}
				if err := tx.Savepoint(t.Context(), func() error { return errors.Join(insert(t.Context(), tx, 2), inner) }); !errors.Is(err, inner) {
					t.Errorf("err = %v, want the inner one", err)
				}
				return errors.Join(tx.Later(t.Context(), insertNote, 3), outer)
			})
			if !errors.Is(err, outer) {
				t.Errorf("err = %v, want the outer one", err)
			}
			return insert(t.Context(), tx, 4)
		})
		if got := count(t, db); err != nil || got != 1 {
			t.Errorf("err = %v, %d rows, want what followed both", err, got)
		}
	})
}

func TestManyWritersAndReadersMeetNoLock(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		table(t, db)
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := range 20 {
					if err := db.InTx(t.Context(), func(tx *store.Tx) error { return insert(t.Context(), tx, w*1000+i) }); err != nil {
						t.Errorf("writer %d: %v", w, err)
					}
					var n int
					if err := db.View(t.Context(), func(tx *store.Tx) error { return tx.Get(t.Context(), &n, `SELECT count(*) FROM notes`) }); err != nil {
						t.Errorf("reader %d: %v", w, err)
					}
				}
			})
		}
		wg.Wait()
		if got, want := count(t, db), 160; got != want {
			t.Errorf("%d rows, want %d", got, want)
		}
	})
}

func TestDeadlockRunsAgain(t *testing.T) {
	db := storetest.Postgres(t)
	table(t, db)
	if err := db.InTx(t.Context(), func(tx *store.Tx) error { return errors.Join(insert(t.Context(), tx, 1), insert(t.Context(), tx, 2)) }); err != nil {
		t.Fatal(err)
	}
	var first sync.WaitGroup
	first.Add(2)
	var once [2]sync.Once
	var wg sync.WaitGroup
	for i, order := range [][]int{{1, 2}, {2, 1}} {
		wg.Go(func() {
			err := db.InTx(t.Context(), func(tx *store.Tx) error {
				for n, id := range order {
					if _, err := tx.Exec(t.Context(), `UPDATE notes SET words = words || 'x' WHERE id = ?`, id); err != nil {
						return err
					}
					if n == 0 {
						once[i].Do(func() { first.Done(); first.Wait() })
					}
				}
				return nil
			})
			if err != nil {
				t.Errorf("transaction %d: %v, want it to run again after the deadlock", i, err)
			}
		})
	}
	wg.Wait()
	var got []string
	if err := db.View(t.Context(), func(tx *store.Tx) error { return tx.Select(t.Context(), &got, `SELECT words FROM notes ORDER BY id`) }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"wordsxx", "wordsxx"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestViewCannotWrite(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		table(t, db)
		if err := db.View(t.Context(), func(tx *store.Tx) error { return insert(t.Context(), tx, 1) }); err == nil {
			t.Error("a view wrote")
		}
	})
}

func TestSQLiteIsDurableByItsSettings(t *testing.T) {
	db := storetest.SQLite(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000"} {
		var got string
		err := db.InTx(t.Context(), func(tx *store.Tx) error { return tx.Get(t.Context(), &got, "PRAGMA "+pragma) })
		if err != nil || got != want {
			t.Errorf("%s = %q, %v, want %q", pragma, got, err, want)
		}
	}
}

func TestQuantitiesAndTimesComeBackAsTheyWere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		at := time.Date(2026, 3, 29, 1, 59, 59, 123456789, time.FixedZone("", 2*3600))
		type row struct {
			Q decimal.Decimal `db:"q"`
			T store.Zoned     `db:"t"`
			B []byte          `db:"b"`
		}
		blob := map[store.Dialect]string{store.SQLite: "BLOB", store.Postgres: "BYTEA"}[db.Dialect()]
		want, got := row{decimal.MustParse("12.500"), store.Zoned{Time: at}, []byte{0, 1, 255}}, row{}
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			if _, err := tx.Exec(t.Context(), `CREATE TABLE kept (q TEXT, t TEXT, b `+blob+`)`); err != nil {
				return err
			}
			if _, err := tx.Exec(t.Context(), `INSERT INTO kept VALUES (?, ?, ?)`, want.Q, want.T, want.B); err != nil {
				return err
			}
			return tx.Get(t.Context(), &got, `SELECT * FROM kept`)
		})
		if err != nil {
			t.Fatal(err)
		}
		_, offset := got.T.Zone()
		if got.Q.String() != "12.500" || !got.T.Equal(at) || offset != 2*3600 || !slices.Equal(got.B, want.B) {
			t.Errorf("got %s %s %v, want %s %s %v", got.Q, got.T, got.B, want.Q, want.T, want.B)
		}
	})
	if got := store.FromMicros(store.Micros(time.Time{})); !got.IsZero() {
		t.Errorf("the zero time came back as %s", got)
	}
}

func TestManyNodesMayOpenAtOnce(t *testing.T) {
	for name, url := range map[string]string{"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "plant.db"), "postgres": ""} {
		t.Run(name, func(t *testing.T) {
			if url == "" {
				url = storetest.EmptyPostgresURL(t)
			}
			var wg sync.WaitGroup
			for range 6 {
				wg.Go(func() {
					db, err := store.Open(t.Context(), url, store.Config{})
					if err != nil {
						t.Errorf("open: %v", err)
						return
					}
					if err := db.Close(); err != nil {
						t.Errorf("close: %v", err)
					}
				})
			}
			wg.Wait()
		})
	}
}

func TestMigrationsAreTheSameOnBothAndAllApplied(t *testing.T) {
	names := map[store.Dialect][]string{}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		steps, err := db.Migrations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			names[db.Dialect()] = append(names[db.Dialect()], s.Name)
			if s.Applied.IsZero() {
				t.Errorf("%s is not applied", s.Name)
			}
		}
	})
	if pg, lite := names[store.Postgres], names[store.SQLite]; pg != nil && !slices.Equal(pg, lite) {
		t.Errorf("PostgreSQL has %q, SQLite has %q", pg, lite)
	}
}

func TestNoMigrateLeavesTheSchemaAlone(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "plant.db"), store.Config{NoMigrate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	applied := func() (n int) {
		steps, err := db.Migrations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			if !s.Applied.IsZero() {
				n++
			}
		}
		return n
	}
	if got := applied(); got != 0 {
		t.Fatalf("%d steps applied, want none", got)
	}
	if err := db.Migrate(t.Context()); err != nil || applied() == 0 {
		t.Errorf("Migrate = %v with %d steps applied", err, applied())
	}
}

func TestWakesCrossProcesses(t *testing.T) {
	url := storetest.PostgresURL(t)
	open := func() *store.DB {
		db, err := store.Open(t.Context(), url, store.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	here, there := open(), open()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for _, db := range []*store.DB{here, there} {
		wg.Go(func() {
			if err := db.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	heard, done := there.Subscribe("outbox")
	defer done()
	deadline := time.After(patience) // the listener may still be connecting: wake until it hears
	for {
		if err := here.InTx(t.Context(), func(tx *store.Tx) error { tx.Wake("outbox"); return nil }); err != nil {
			t.Fatal(err)
		}
		select {
		case <-heard:
			return
		case <-deadline:
			t.Fatal("no wake reached the other process")
		case <-time.After(150 * time.Millisecond):
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	tests := []struct {
		name, url string
		want      problem.Kind
	}{
		{"no known database", "mysql://x", problem.Invalid},
		{"nobody listens", "postgres://nobody@127.0.0.1:1/none?connect_timeout=2", problem.Unavailable},
		{"no such folder", "sqlite:/nonexistent/folder/plant.db", problem.Unavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := store.Open(t.Context(), tt.url, store.Config{})
			if got := problem.KindOf(err); got != tt.want {
				t.Errorf("kind = %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

func TestFullDiskRefusesAndKeepsWhatIsThere(t *testing.T) {
	if db := onSmallDisk(t); db != nil {
		fillUntilRefused(t, db)
		return
	}
	fullByPageCount(t)
}

// TestFullDiskKeepsExactlyWhatManyWritersWereTold fills the disk in statements and in commits that many share.
func TestFullDiskKeepsExactlyWhatManyWritersWereTold(t *testing.T) {
	db := onSmallDisk(t)
	if db == nil {
		t.Skip("skipped for want of the right to mount: fill a small disk by many writers")
	}
	var mu sync.Mutex
	var want []int
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			big := string(make([]byte, 2<<10<<(w%4*2)))
			for i := range 1000 {
				id := w*1000 + i
				err := db.InTx(t.Context(), func(tx *store.Tx) error {
					_, err := tx.Exec(t.Context(), `INSERT INTO notes (id, words) VALUES (?, ?)`, id, big)
					return err
				})
				if err != nil {
					if got := problem.KindOf(err); got != problem.Full {
						t.Errorf("kind = %q (%v), want %q", got, err, problem.Full)
					}
					return
				}
				mu.Lock()
				want = append(want, id)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(want)
	if diff := cmp.Diff(want, ids(t, db)); diff != "" {
		t.Errorf("told as committed (-) and kept (+) differ:\n%s", diff)
	}
}

// onSmallDisk is a database with a table on a disk of its own of 16 MiB; nil where the test may not mount.
func onSmallDisk(t *testing.T) *store.DB {
	t.Helper()
	dir := t.TempDir()
	if err := exec.Command("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", dir).Run(); err != nil {
		return nil
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "plant.db"), store.Config{})
	if err != nil {
		t.Fatalf("open a database on the small disk: %v", err)
	}
	t.Cleanup(func() { db.Close() })
	table(t, db)
	return db
}

// fullByPageCount makes the same refusal where a test may not mount: SQLite's own limit on pages gives the same code.
func fullByPageCount(t *testing.T) {
	db := storetest.SQLite(t)
	table(t, db)
	var pages int
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		if err := tx.Get(t.Context(), &pages, `PRAGMA page_count`); err != nil {
			return err
		}
		var limit int
		return tx.Get(t.Context(), &limit, fmt.Sprintf(`PRAGMA max_page_count = %d`, pages+10))
	})
	if err != nil {
		t.Fatal(err)
	}
	fillUntilRefused(t, db)
}

func fillUntilRefused(t *testing.T, db *store.DB) {
	t.Helper()
	big := string(make([]byte, 8<<10))
	for i := range 10_000 {
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO notes (id, words) VALUES (?, ?)`, i, big)
			return err
		})
		if err == nil {
			continue
		}
		if got := problem.KindOf(err); got != problem.Full {
			t.Errorf("kind = %q (%v), want %q", got, err, problem.Full)
		}
		if got := count(t, db); got != i {
			t.Errorf("%d rows after the refusal, want the %d that were accepted", got, i)
		}
		return
	}
	t.Error("the disk never filled")
}

func TestBeforeMayRefuse(t *testing.T) {
	no := errors.New("slow disk")
	db := storetest.SQLite(t)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	hooked := storetest.SQLite(t, storetest.WithBefore(func(context.Context, string) error { return no }))
	if err := hooked.InTx(t.Context(), func(*store.Tx) error { return nil }); !errors.Is(err, no) {
		t.Errorf("err = %v, want %v", err, no)
	}
	if err := hooked.View(t.Context(), func(*store.Tx) error { return nil }); !errors.Is(err, no) {
		t.Errorf("err = %v, want %v", err, no)
	}
	if err := hooked.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
}

// TestCommittedRowsSurviveAKill has many writers at once in a process of their own, which is killed in the middle: each row that
// it said was committed must be there.
func TestCommittedRowsSurviveAKill(t *testing.T) {
	if file := os.Getenv("HOLDFAST_TEST_WRITER"); file != "" {
		writeUntilKilled(t, file)
		return
	}
	file := filepath.Join(t.TempDir(), "plant.db")
	db, err := store.Open(t.Context(), "sqlite:"+file, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	table(t, db)
	kept := map[int]bool{}
	for round := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestCommittedRowsSurviveAKill$")
		cmd.Env = append(os.Environ(), "HOLDFAST_TEST_WRITER="+file)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := []int{}
		for id := 0; ; {
			if _, err := fmt.Fscanf(out, "%d\n", &id); err != nil {
				break // all that it said before the kill has been read
			}
			if said = append(said, id); len(said) == 200 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
		if len(said) < 200 {
			t.Fatalf("the writers ended after %d rows", len(said))
		}
		for _, id := range ids(t, db) {
			kept[id] = true
		}
		if lost := slices.DeleteFunc(said, func(id int) bool { return kept[id] }); len(lost) != 0 {
			t.Errorf("round %d: rows %v were committed and are gone", round, lost)
		}
	}
}

func writeUntilKilled(t *testing.T, file string) {
	db, err := store.Open(t.Context(), "sqlite:"+file, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var next atomic.Int64
	next.Store(int64(count(t, db)) * 2) // above all that the round before may have kept
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for {
				id := int(next.Add(1))
				if err := db.InTx(t.Context(), func(tx *store.Tx) error { return insert(t.Context(), tx, id) }); err != nil {
					t.Error(err)
					return
				}
				fmt.Println(id)
			}
		})
	}
	wg.Wait()
}

func TestZonedRefusesWhatItDidNotWrite(t *testing.T) {
	var z store.Zoned
	if err := z.Scan(42); err == nil {
		t.Errorf("Scan(42) gave %s, want a refusal", z)
	}
	// A row that somebody has altered keeps no other from being read, and what is read of it is no time of a message.
	if err := z.Scan("yesterday"); err != nil || !z.Equal(store.Unreadable) || z.IsZero() {
		t.Errorf("Scan of what is no time = %v, %s", err, z)
	}
	if err := z.Scan(nil); err != nil || !z.IsZero() {
		t.Errorf("Scan(nil) = %v, %s", err, z)
	}
	if err := z.Scan([]byte("")); err != nil || !z.IsZero() {
		t.Errorf("Scan of nothing = %v, %s", err, z)
	}
	if v, err := (store.Zoned{}).Value(); v != "" || err != nil {
		t.Errorf("Value of the zero time = %v, %v", v, err)
	}
}

func TestConnectionLostAtCommitIsUnavailable(t *testing.T) {
	db := storetest.Postgres(t)
	table(t, db)
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		var pid int
		if err := tx.Get(t.Context(), &pid, `SELECT pg_backend_pid()`); err != nil {
			return err
		}
		if err := insert(t.Context(), tx, 1); err != nil {
			return err
		}
		return db.View(t.Context(), func(other *store.Tx) error {
			var ended bool
			return other.Get(t.Context(), &ended, `SELECT pg_terminate_backend(?)`, pid)
		})
	})
	if got := problem.KindOf(err); got != problem.Unavailable {
		t.Errorf("kind = %q (%v), want %q", got, err, problem.Unavailable)
	}
	if got := count(t, db); got != 0 {
		t.Errorf("%d rows, want none", got)
	}
}

func TestNobodyIsWokenAfterUnsubscribing(t *testing.T) {
	db := storetest.SQLite(t)
	left, leave := db.Subscribe("outbox")
	stayed, done := db.Subscribe("outbox")
	defer done()
	leave()
	if err := db.InTx(t.Context(), func(tx *store.Tx) error { tx.Wake("outbox"); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(left) != 0 || len(stayed) != 1 {
		t.Errorf("%d wakes for who left, %d for who stayed, want 0 and 1", len(left), len(stayed))
	}
}

func TestNameOfTheDatabaseHidesThePassword(t *testing.T) {
	db, err := store.Open(t.Context(), "postgres://plant:s3cret@127.0.0.1:1/none", store.Config{NoMigrate: true})
	if err == nil {
		t.Fatal(db, "opened where nobody listens")
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the password stands in the error: %v", err)
	}
}

func TestMemoryDatabaseIsGoneAtClose(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite::memory:", store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	table(t, db)
	if err := db.InTx(t.Context(), func(tx *store.Tx) error { return insert(t.Context(), tx, 1) }); err != nil || count(t, db) != 1 {
		t.Errorf("err = %v, %d rows", err, count(t, db))
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func TestADatabaseIsNamedWithoutSecrets(t *testing.T) {
	_, err := store.Open(t.Context(), "postgres://mes:s3cret@127.0.0.1:1/plant?sslmode=disable&password=hidd3n", store.Config{})
	if err == nil || !strings.Contains(err.Error(), "open database postgres://127.0.0.1:1/plant:") {
		t.Fatalf("got %v, want it to name the database", err)
	}
	for _, secret := range []string{"s3cret", "hidd3n"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("got %v, which tells a password", err)
		}
	}
	file := filepath.Join(t.TempDir(), "plant.db")
	for url, want := range map[string]string{"sqlite::memory:": "sqlite::memory:", "sqlite:" + file: "sqlite:" + file} {
		db, err := store.Open(t.Context(), url, store.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if got := db.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}
