package backup_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// empty is the URL of a database beside the site's that has nothing; on SQLite of a file that is not there.
func (s *site) empty() string {
	s.t.Helper()
	url, drop, err := store.Scratch(s.t.Context(), s.url, s.t.TempDir())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = drop(context.Background()) })
	return url
}

// loseDatabase has the plant begin an empty one, a while after its first: configuration, keys, copies and log are kept.
func (s *site) loseDatabase() {
	s.t.Helper()
	url := s.empty()
	db, err := store.Open(s.t.Context(), url, store.Config{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = db.Close() })
	if err := db.InTx(s.t.Context(), func(tx *store.Tx) error { // as if an hour had passed: SQLite keeps seconds
		_, err := tx.Exec(s.t.Context(), `UPDATE goose_db_version SET tstamp = ?`, time.Now().UTC().Add(time.Hour).Format("2006-01-02 15:04:05"))
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	s.db, s.url, s.src.DB = db, url, db
}

// TestNothingOfAnotherDatabaseStandsBehindACopy: where the database was lost and begun anew, the log follows the old copy no more, which can be restored as it
// was, by its name; without one nobody gets the empty plant for the one that was lost.
func TestNothingOfAnotherDatabaseStandsBehindACopy(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		s.owe("o1", 5)
		folder := t.TempDir()
		l := s.follow(folder)
		s.owe("o1", 2)
		s.ship(l)
		was, _ := l.Base()
		s.loseDatabase()
		s.owe("o9", 1)
		l, err := backup.OpenLog(folder) // the process was started again
		if err != nil {
			t.Fatal(err)
		}
		if at, err := l.Ship(t.Context(), s.src, s.opt); problem.KindOf(err) != problem.Conflict || !strings.Contains(err.Error(), was) || !at.IsZero() {
			t.Errorf("shipped through %s, %v; want Conflict that names %s", at, err, was)
		}
		if base, _ := l.Base(); base != "" {
			t.Errorf("the log still follows %s", base)
		}
		if _, err := backup.Verify(t.Context(), s.near, "", s.trial(s.own)); err != nil {
			t.Errorf("the old copy: %v", err)
		}
		s.opt.Log = l
		m := s.create()
		s.owe("o9", 1)
		s.ship(l)
		all, err := backup.List(t.Context(), s.near, s.signer)
		if err != nil || len(all) != 2 || all[0].Increments != 1 || all[1].Increments != 1 || all[1].ID != was {
			t.Fatalf("got the list %+v, %v; want two copies with an increment each", all, err)
		}
		if err := backup.Another(all); problem.KindOf(err) != problem.Conflict || !strings.Contains(err.Error(), was) || !strings.Contains(err.Error(), m.ID) {
			t.Errorf("of both copies: %v; want Conflict that names both", err)
		}
		if proof, err := backup.Verify(t.Context(), s.near, "", s.trial(s.own)); err != nil || proof.ID != m.ID {
			t.Errorf("proven %s, %v; want %s", proof.ID, err, m.ID)
		}
		if _, err := backup.Restore(t.Context(), s.near, "", filepath.Join(t.TempDir(), "new"), s.empty(), s.trial(s.own)); problem.KindOf(err) != problem.Conflict {
			t.Errorf("restore of the newest: %v, want Conflict", err)
		}
		r, err := backup.Restore(t.Context(), s.near, was, filepath.Join(t.TempDir(), "new"), s.empty(), s.trial(s.own))
		if err != nil || r.Increments != 1 || r.Doubtful != 7 {
			t.Errorf("restored %d increments and %d messages, %v; want 1 and 7", r.Increments, r.Doubtful, err)
		}
	})
}

// TestCopiesOfOneDatabaseAreNotOfAnother, also where it was restored in between, or a release made them that did not say.
func TestCopiesOfOneDatabaseAreNotOfAnother(t *testing.T) {
	at := time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)
	of := func(id string, day int, begun time.Time, trouble string) backup.Copy {
		return backup.Copy{Manifest: backup.Manifest{ID: id, Made: at.AddDate(0, 0, day), Begun: begun}, Trouble: trouble}
	}
	tests := []struct {
		name string
		all  []backup.Copy
		want problem.Kind
	}{
		{"none", nil, ""},
		{"one", []backup.Copy{of("a", 1, at, "")}, ""},
		{"two of one", []backup.Copy{of("b", 2, at, ""), of("a", 1, at, "")}, ""},
		{"one before that does not say", []backup.Copy{of("b", 2, at, ""), of("a", 1, time.Time{}, "")}, ""},
		{"the newest does not say", []backup.Copy{of("b", 2, time.Time{}, ""), of("a", 1, at, "")}, ""},
		{"another", []backup.Copy{of("b", 2, at.Add(time.Hour), ""), of("a", 1, at, "")}, problem.Conflict},
		{"another that the keys of now do not know", []backup.Copy{of("b", 2, at.Add(time.Hour), ""), of("a", 1, at, "no such key is known here")}, problem.Conflict},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := problem.KindOf(backup.Another(tt.all)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
