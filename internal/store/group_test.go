package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// caller is one of those who share a commit.
type caller struct {
	ctx context.Context // the test's own if nil
	fn  func(ctx context.Context, tx *store.Tx) error
}

// errPanic stands for a panic in what together returns, errGoexit for an exit of the goroutine.
var errPanic, errGoexit = errors.New("panic"), errors.New("goexit")

// together runs the callers in one group, in this order, and says what each was told. They stand in the line behind a writer
// that does not end before all are there.
func together(t *testing.T, db *store.DB, callers ...caller) []error {
	t.Helper()
	return behind(t, db, func(tx *store.Tx) error { return insert(t.Context(), tx, 0) }, nil, callers...)
}

// behind is together after a writer of the test's own; gathered is called when all stand in the line.
func behind(t *testing.T, db *store.DB, first func(*store.Tx) error, gathered func(), callers ...caller) []error {
	t.Helper()
	db.Group(len(callers)+1, time.Hour)
	told := make([]error, len(callers))
	running, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		var once sync.Once
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			once.Do(func() { close(running); <-release })
			return first(tx)
		})
		if err != nil {
			t.Logf("the first of the line: %v", err)
		}
	})
	<-running
	for i, c := range callers {
		if c.ctx == nil {
			c.ctx = t.Context()
		}
		told[i] = errGoexit
		wg.Go(func() {
			defer func() {
				if recover() != nil {
					told[i] = errPanic
				}
			}()
			told[i] = db.InTx(c.ctx, func(tx *store.Tx) error { return c.fn(c.ctx, tx) })
		})
		for db.Waiting() <= i {
			runtime.Gosched()
		}
	}
	if gathered != nil {
		gathered()
	}
	close(release)
	wg.Wait()
	return told
}

func ids(t *testing.T, db *store.DB) (got []int) {
	t.Helper()
	if err := db.View(t.Context(), func(tx *store.Tx) error { return tx.Select(t.Context(), &got, `SELECT id FROM notes ORDER BY id`) }); err != nil {
		t.Fatal(err)
	}
	return got
}

func inserts(id int) caller {
	return caller{fn: func(ctx context.Context, tx *store.Tx) error { return insert(ctx, tx, id) }}
}

func TestWhoWaitsSharesTheCommitInTheOrderOfTheLine(t *testing.T) {
	var clock atomic.Int64
	db := storetest.SQLite(t, storetest.WithClock(func() time.Time { return time.Unix(clock.Add(1), 0) }))
	table(t, db)
	var order []int
	nows := map[int64]bool{}
	var callers []caller
	for i := range 5 {
		callers = append(callers, caller{fn: func(ctx context.Context, tx *store.Tx) error {
			order = append(order, i)
			nows[tx.Now.Unix()] = true
			if got := ids(t, db); len(got) != 0 {
				t.Errorf("%v are visible before the commit that they share", got)
			}
			return insert(ctx, tx, i+1)
		}})
	}
	if told := together(t, db, callers...); !slices.Equal(told, make([]error, 5)) {
		t.Errorf("told %v", told)
	}
	if want := []int{0, 1, 2, 3, 4}; !slices.Equal(order, want) || len(nows) != 5 {
		t.Errorf("they ran in the order %v at %d times, want %v, each at its own", order, len(nows), want)
	}
	if got, want := ids(t, db), []int{0, 1, 2, 3, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
}

func TestWhoFailsInAGroupUndoesOnlyItsOwn(t *testing.T) {
	db := storetest.SQLite(t)
	table(t, db)
	refusal := errors.New("no")
	woken := make([]<-chan struct{}, 7)
	var callers []caller
	for i, end := range []func() error{
		func() error { return nil },
		func() error { return refusal },
		func() error { panic("broken") },
		func() error { runtime.Goexit(); return nil },
		func() error { return nil },
		nil, // cancelled in its function
		func() error { return nil },
	} {
		topic := fmt.Sprint(i)
		ch, done := db.Subscribe(topic)
		defer done()
		woken[i] = ch
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		callers = append(callers, caller{ctx, func(ctx context.Context, tx *store.Tx) error {
			tx.Wake(topic)
			if err := insert(ctx, tx, i+1); err != nil {
				return err
			}
			if end == nil {
				cancel()
				return nil
			}
			return end()
		}})
	}
	told := together(t, db, callers...)
	if want := []error{nil, refusal, errPanic, errGoexit, nil, context.Canceled, nil}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	if got, want := ids(t, db), []int{0, 1, 5, 7}; !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	for i, ch := range woken {
		if got, want := len(ch) == 1, told[i] == nil; got != want {
			t.Errorf("caller %d: woken %v, want %v", i, got, want)
		}
	}
}

func TestTheLastMayFailInAnyWay(t *testing.T) {
	for name, end := range map[string]func() error{
		"error":  func() error { return errors.New("no") },
		"panic":  func() error { panic("broken") },
		"goexit": func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			db := storetest.SQLite(t)
			table(t, db)
			told := together(t, db, inserts(1), caller{fn: func(ctx context.Context, tx *store.Tx) error { return errors.Join(insert(ctx, tx, 2), end()) }})
			if told[0] != nil || told[1] == nil || !slices.Equal(ids(t, db), []int{0, 1}) {
				t.Errorf("told %v, kept %v, want 0 and 1", told, ids(t, db))
			}
			if err := db.InTx(t.Context(), func(tx *store.Tx) error { return insert(t.Context(), tx, 3) }); err != nil {
				t.Errorf("the next writer: %v", err)
			}
		})
	}
}

// TestFailedCommitIsToldToAll breaks a deferred constraint, which SQLite notices at the commit. Who was refused because of what it
// read of the others must not be told so either: what it read is gone.
func TestFailedCommitIsToldToAll(t *testing.T) {
	db := storetest.SQLite(t)
	table(t, db)
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `CREATE TABLE orphans (id BIGINT REFERENCES notes (id) DEFERRABLE INITIALLY DEFERRED)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	woken, done := db.Subscribe("notes")
	defer done()
	refusal := errors.New("row 1 is there already")
	told := together(t, db,
		caller{fn: func(ctx context.Context, tx *store.Tx) error { tx.Wake("notes"); return insert(ctx, tx, 1) }},
		caller{fn: func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO orphans VALUES (99)`)
			return err
		}},
		caller{fn: func(context.Context, *store.Tx) error { return refusal }},
	)
	for i, err := range told {
		if err == nil || errors.Is(err, refusal) {
			t.Errorf("caller %d was told %v, want that the commit failed", i, err)
		}
	}
	if got := ids(t, db); len(got) != 0 || len(woken) != 0 {
		t.Errorf("kept %v with %d wakes, want nothing", got, len(woken))
	}
	if err := db.InTx(t.Context(), func(tx *store.Tx) error { return insert(t.Context(), tx, 1) }); err != nil {
		t.Errorf("the next writer: %v", err)
	}
}

// TestNoMigrationDefersAConstraint: its violation by one would fail the commit of all.
func TestNoMigrationDefersAConstraint(t *testing.T) {
	files, err := filepath.Glob("migrations/sqlite/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d migrations: %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.ToUpper(string(text)), "DEFER") {
			t.Errorf("%s defers a constraint", f)
		}
	}
}

func TestWhoIsCancelledInTheLineLeavesIt(t *testing.T) {
	db := storetest.SQLite(t)
	table(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	told := behind(t, db, func(tx *store.Tx) error { return insert(t.Context(), tx, 0) }, func() {
		cancel()
		for db.Waiting() > 2 {
			runtime.Gosched()
		}
	}, inserts(1), caller{ctx, func(context.Context, *store.Tx) error { t.Error("it ran"); return nil }}, inserts(3))
	if told[0] != nil || !errors.Is(told[1], context.Canceled) || told[2] != nil {
		t.Errorf("told %v", told)
	}
	if got, want := ids(t, db), []int{0, 1, 3}; !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
}

// forever is a write that ends only when it is interrupted.
const forever = `INSERT INTO notes (id, words) WITH RECURSIVE s (n) AS (SELECT 1000 UNION ALL SELECT n + 1 FROM s) SELECT n, 'words' FROM s`

// TestARollbackBySQLiteItselfSpoilsNobody has one of a group run into an error at which SQLite rolls the whole transaction back.
func TestARollbackBySQLiteItselfSpoilsNobody(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	spoilers := map[string]caller{
		"an interrupted write": {ctx, func(ctx context.Context, tx *store.Tx) error {
			time.AfterFunc(20*time.Millisecond, cancel)
			_, err := tx.Exec(ctx, forever)
			return err
		}},
		"a full database": {nil, func(ctx context.Context, tx *store.Tx) error { return fill(ctx, tx) }},
		"a full database that is passed over": {nil, func(ctx context.Context, tx *store.Tx) error {
			if fill(ctx, tx) == nil {
				return nil
			}
			return insert(ctx, tx, 77)
		}},
	}
	for name, spoiler := range spoilers {
		t.Run(name, func(t *testing.T) {
			db := storetest.SQLite(t)
			table(t, db)
			runs := 0
			told := together(t, db,
				caller{fn: func(ctx context.Context, tx *store.Tx) error { runs++; return insert(ctx, tx, 1) }}, spoiler, inserts(3))
			if told[0] != nil || told[1] == nil || told[2] != nil {
				t.Errorf("told %v, want an error for the second alone", told)
			}
			if got, want := ids(t, db), []int{0, 1, 3}; !slices.Equal(got, want) || runs != 2 {
				t.Errorf("kept %v after %d runs of the first, want %v after 2", got, runs, want)
			}
		})
	}
}

// fill meets SQLite's own limit on pages, which gives the code of a full disk.
func fill(ctx context.Context, tx *store.Tx) error {
	var pages, limit int
	if err := tx.Get(ctx, &pages, `PRAGMA page_count`); err != nil {
		return err
	}
	if err := tx.Get(ctx, &limit, fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO notes (id, words) VALUES (?, ?)`, 50, string(make([]byte, 64<<10)))
	if _, lerr := tx.Exec(ctx, `PRAGMA max_page_count = 1000000`); err == nil {
		return lerr
	}
	return err
}

func TestAGroupIsBounded(t *testing.T) {
	for name, bound := range map[string]struct {
		callers int
		open    time.Duration
	}{"by number": {2, time.Hour}, "by time": {100, 0}} {
		t.Run(name, func(t *testing.T) {
			db := storetest.SQLite(t)
			table(t, db)
			var seen []int
			told := behind(t, db, func(tx *store.Tx) error { return insert(t.Context(), tx, 0) }, func() { db.Group(bound.callers, bound.open) },
				inserts(1), caller{fn: func(context.Context, *store.Tx) error { seen = ids(t, db); return nil }})
			if !slices.Equal(told, make([]error, 2)) || !slices.Equal(seen, []int{0, 1}) {
				t.Errorf("the third saw %v (%v), want what those before it have committed", seen, told)
			}
		})
	}
}

func TestWritersOfTwoProcessesTakeTurns(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "plant.db")
	open := func(busy time.Duration) *store.DB {
		db, err := store.Open(t.Context(), url, store.Config{BusyTimeout: busy})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	holder, hasty, patient := open(0), open(time.Millisecond), open(time.Hour)
	table(t, holder)
	err := holder.InTx(t.Context(), func(tx *store.Tx) error {
		err := hasty.InTx(t.Context(), func(*store.Tx) error { return nil })
		if got := problem.KindOf(err); got != problem.Unavailable {
			t.Errorf("kind = %q (%v), want %q", got, err, problem.Unavailable)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := patient.InTx(ctx, func(*store.Tx) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want the end of its time", err)
		}
		return insert(t.Context(), tx, 1)
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, db := range []*store.DB{hasty, patient} {
		if err := db.InTx(t.Context(), func(tx *store.Tx) error { return insert(t.Context(), tx, i+2) }); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
}

// TestExactlyWhatReturnedNilIsKept has 64 writers at once commit, fail, panic, be cancelled and undo parts, at random.
func TestExactlyWhatReturnedNilIsKept(t *testing.T) {
	db := storetest.SQLite(t)
	table(t, db)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	want, hooked := []int{}, []int{}
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(w)))
			for i := range 25 {
				id := w*1000 + i
				if randomly(t.Context(), db, rnd, id, func() { mu.Lock(); hooked = append(hooked, id); mu.Unlock() }) == nil {
					mu.Lock()
					want = append(want, id)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	slices.Sort(want)
	slices.Sort(hooked)
	if diff := cmp.Diff(want, ids(t, db)); diff != "" {
		t.Errorf("told as committed (-) and kept (+) differ:\n%s", diff)
	}
	if diff := cmp.Diff(want, hooked); diff != "" {
		t.Errorf("told as committed (-) and hooks (+) differ:\n%s", diff)
	}
	if len(want) == 0 || len(want) == 64*25 {
		t.Errorf("%d of %d were kept: nothing was tried", len(want), 64*25)
	}
}

// randomly keeps row id, or does not because something goes wrong.
func randomly(ctx context.Context, db *store.DB, rnd *rand.Rand, id int, hook func()) (err error) {
	defer func() {
		if recover() != nil {
			err = errPanic
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fate := rnd.IntN(12)
	if fate == 0 {
		time.AfterFunc(time.Duration(rnd.IntN(3000))*time.Microsecond, cancel)
	}
	return db.InTx(ctx, func(tx *store.Tx) error {
		tx.AfterCommit(hook)
		if err := insert(ctx, tx, id); err != nil {
			return err
		}
		switch fate {
		case 1:
			return errors.New("no")
		case 2:
			panic("broken")
		case 3:
			cancel()
			return nil
		case 4:
			time.AfterFunc(time.Millisecond, cancel)
			_, err := tx.Exec(ctx, forever)
			return err
		case 5:
			if err := tx.Savepoint(ctx, func() error { return insert(ctx, tx, id) }); !store.IsUnique(err) {
				return fmt.Errorf("the same row again: %w", err)
			}
		}
		return nil
	})
}
