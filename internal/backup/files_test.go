package backup_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"holdfast/internal/backup"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// TestIncrementsHaveThePlantsFiles: what the database was sealed with since the copy stands in a key's file that is newer than the copy, and both come back as they were
// at one moment, also over a restart of the log. What lies in a folder that is away, or has nothing, was not removed.
func TestIncrementsHaveThePlantsFiles(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	s.write("keys/ca.age", "version 1")
	s.write("mappings/c/x.yaml", "in a folder")
	s.write("audit/a.log", "as copied")
	s.src.Files["audit"], s.src.Once = filepath.Join(s.files, "audit"), []string{"audit"}
	folder := t.TempDir()
	l := s.follow(folder)
	s.write("keys/ca.age", "version 2")
	s.write("keys/ca.crl", "revoked")
	s.write("mappings/erp-out/b.yaml", "of today")
	s.write("audit/a.log", "later than the database")
	s.ship(l) // the database has not changed
	var err error
	if l, err = backup.OpenLog(folder); err != nil {
		t.Fatal(err)
	}
	s.write("keys/ca.crl", "revoked, two")
	if err := os.RemoveAll(filepath.Join(s.files, "mappings", "c")); err != nil {
		t.Fatal(err)
	}
	s.write("mappings/c", "a file of the folder's name")
	if err := os.Remove(filepath.Join(s.files, "mappings", "erp-out", "a.yaml")); err != nil {
		t.Fatal(err)
	}
	s.owe("o1", 2)
	s.ship(l)
	if err := os.Rename(filepath.Join(s.files, "keys"), filepath.Join(s.files, "away")); err != nil {
		t.Fatal(err)
	}
	s.owe("o1", 2)
	s.ship(l)
	if proof, err := backup.Verify(t.Context(), s.near, "", s.trial(s.own)); err != nil || proof.Increments != 3 {
		t.Fatalf("got %+v, %v, want three increments", proof, err)
	}
	to := filepath.Join(t.TempDir(), "new")
	if _, err := backup.Restore(t.Context(), s.far, "", to, "", s.trial(s.recovery)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"keys/ca.age": "version 2", "keys/ca.crl": "revoked, two", "mappings/erp-out/b.yaml": "of today", "mappings/c": "a file of the folder's name", "audit/a.log": "as copied", "holdfast.yaml": "plant: {}\n",
	} {
		if got, err := os.ReadFile(filepath.Join(to, filepath.FromSlash(name))); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v, want %q", name, got, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(to, "mappings", "erp-out", "a.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a mapping that the plant had removed is there again: %v", err)
	}
}

// TestAConfigurationOfAnotherNameBeginsTheLogAnew: what is restored has the copy's names, and would have a configuration that leads to none of it.
func TestAConfigurationOfAnotherNameBeginsTheLogAnew(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	s.src.Config, s.src.File = "holdfast.yaml", "plant.db"
	l := s.follow(t.TempDir())
	s.src.File = "data/plant.db"
	s.owe("o1", 1)
	if through, err := l.Ship(t.Context(), s.src, s.opt); err != nil || !through.IsZero() {
		t.Errorf("shipped through %s, %v, want nothing", through, err)
	}
	if base, _ := l.Base(); base != "" {
		t.Errorf("the log still follows %s", base)
	}
}

// keyringOf is Trial.Seeds of a database that only a keyring of these words opens.
func keyringOf(t *testing.T, want string) func(ctx context.Context, restored *store.DB, folder string, m backup.Manifest) error {
	t.Helper()
	return func(_ context.Context, _ *store.DB, folder string, m backup.Manifest) error {
		if b, err := os.ReadFile(filepath.Join(folder, "keys", "ca.age")); err != nil || string(b) != want {
			return &problem.Error{Kind: problem.Integrity, What: "open what is sealed in backup " + m.ID, Cause: err}
		}
		return nil
	}
}

// TestACopyIsNotProvenWhoseSeedsDoNotOpen, and one that is restored says so.
func TestACopyIsNotProvenWhoseSeedsDoNotOpen(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	s.write("keys/ca.age", "version 1")
	s.create()
	trial := s.trial(s.own)
	trial.Seeds = keyringOf(t, "version 1")
	if _, err := backup.Verify(t.Context(), s.near, "", trial); err != nil {
		t.Fatal(err)
	}
	trial.Seeds = keyringOf(t, "version 2")
	if _, err := backup.Verify(t.Context(), s.near, "", trial); problem.KindOf(err) != problem.Integrity {
		t.Errorf("got %v, want a problem of integrity", err)
	}
	if all, err := backup.List(t.Context(), s.near, s.signer); err != nil || all[0].Proven != nil {
		t.Errorf("it still counts as proven: %+v, %v", all, err)
	}
	if got, err := backup.Restore(t.Context(), s.near, "", filepath.Join(t.TempDir(), "new"), "", trial); err != nil || problem.KindOf(got.Shut) != problem.Integrity {
		t.Errorf("got %v, %v, want a plant, and that its seeds do not open", got.Shut, err)
	}
}
