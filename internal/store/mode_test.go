package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"holdfast/internal/store"
)

// TestANewDatabaseIsForItsOwnerAlone: it holds what the plant knows, and what lies beside it takes its mode.
func TestANewDatabaseIsForItsOwnerAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plant.db")
	db, err := store.Open(t.Context(), "sqlite:"+file, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	names, err := filepath.Glob(file + "*")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range []string{file, file + "-wal"} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}
