package backup_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/backup"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestNothingStartsOnADatabaseIntoWhichARestoreHasNotEnded: neither while it is at work, as one that is killed then leaves it, nor after it has failed;
// what was owed would be sent again unasked. A failed one leaves the database as empty as it was, for the next.
func TestNothingStartsOnADatabaseIntoWhichARestoreHasNotEnded(t *testing.T) {
	s := newSite(t, storetest.PostgresURL(t))
	s.owe("o1", 3)
	s.create()
	into := storetest.EmptyPostgresURL(t)
	restore := func(tr backup.Trial) error {
		_, err := backup.Restore(t.Context(), s.far, "", filepath.Join(t.TempDir(), "plant"), into, tr)
		return err
	}
	fails := s.trial(s.recovery)
	fails.Settle = func(ctx context.Context, _ *store.Tx) error {
		db, err := store.Open(ctx, into, store.Config{NoMigrate: true})
		if problem.KindOf(err) != problem.Conflict {
			t.Errorf("while it is restored: got %v, want Conflict", err)
			_ = db.Close()
		}
		return errors.New("no")
	}
	stranger := s.trial(s.recovery)
	stranger.Trust, stranger.TrustBy = nil, func(context.Context, *store.DB) (backup.Trust, error) { return &signer{newKey(t)}, nil }
	for name, tr := range map[string]backup.Trial{"one that fails": fails, "one that is refused": stranger} {
		if err := restore(tr); err == nil {
			t.Fatalf("%s: it was restored", name)
		}
		db, err := store.Open(t.Context(), into, store.Config{NoMigrate: true})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if all, err := db.Counts(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("%s: it leaves %v, %v; want nothing", name, all, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := restore(s.trial(s.recovery)); err != nil {
		t.Fatalf("after those: %v", err)
	}
	db, err := store.Open(t.Context(), into, store.Config{})
	if err != nil {
		t.Fatalf("what was restored does not start: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := restore(s.trial(s.recovery)); problem.KindOf(err) != problem.Conflict {
		t.Fatalf("over a plant: got %v, want Conflict", err)
	}
	if db, err = store.Open(t.Context(), into, store.Config{}); err != nil {
		t.Fatalf("a restore that was refused has harmed the plant that was there: %v", err)
	}
	defer db.Close()
	if all, err := db.Counts(t.Context()); err != nil || all["outbox_messages"] != 3 {
		t.Errorf("a restore that was refused has left %d messages of 3, %v", all["outbox_messages"], err)
	}
}

// TestARestoreTakesThePlaceThatReachesFurthest: one that has lost its last increments, or was away, lags.
func TestARestoreTakesThePlaceThatReachesFurthest(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	s.owe("o1", 3)
	l := s.follow(t.TempDir())
	for range 3 {
		s.owe("o1", 2)
		s.ship(l)
	}
	both := []backup.Place{s.near, s.far}
	if p, _, err := backup.Furthest(t.Context(), both, ""); err != nil || p != s.far {
		t.Errorf("where both reach as far: got %v, %v, want the last", p, err)
	}
	base, _ := l.Base()
	for _, n := range []string{".000002.inc", ".000003.inc"} {
		if err := s.far.Remove(t.Context(), base+n); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"", base} {
		p, through, err := backup.Furthest(t.Context(), both, id)
		if err != nil || p != s.near {
			t.Fatalf("backup %q: got %v, %v, want the one that lost nothing", id, p, err)
		}
		r, err := backup.Restore(t.Context(), p, id, filepath.Join(t.TempDir(), "plant"), "", s.trial(s.own))
		if err != nil || r.Increments != 3 || !r.Through.Equal(through) {
			t.Errorf("backup %q: restored with %d increments up to %s, %v; want 3 up to %s", id, r.Increments, r.Through, err, through)
		}
	}
	lost := backup.Folder(filepath.Join(t.TempDir(), "\x00"))
	if p, _, err := backup.Furthest(t.Context(), []backup.Place{lost, s.near}, ""); err == nil || p != s.near {
		t.Errorf("where one cannot be read: got %v, %v, want the other and why", p, err)
	}
	if p, _, _ := backup.Furthest(t.Context(), both, "none"); p != nil {
		t.Errorf("of a copy that is nowhere: got %v", p)
	}
}

// TestAPlantOnPostgreSQLIsNotRestoredWithoutADatabase: what is said names the flag that is missing, before anything is fetched.
func TestAPlantOnPostgreSQLIsNotRestoredWithoutADatabase(t *testing.T) {
	s := newSite(t, storetest.EmptyPostgresURL(t))
	s.create()
	folder := filepath.Join(t.TempDir(), "new")
	_, err := backup.Restore(t.Context(), s.near, "", folder, "", s.trial(s.own))
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || p.Kind != problem.Invalid || !strings.Contains(p.Hint, "--database") {
		t.Errorf("got %v, want a refusal whose hint names --database", err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("there is %v, %v, want nothing", left, err)
	}
}
