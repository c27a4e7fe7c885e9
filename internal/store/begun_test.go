package store_test

import (
	"path/filepath"
	"testing"

	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestADatabaseIsBegunOnce: looking makes nothing, the schema does, and every later start finds the same moment.
func TestADatabaseIsBegunOnce(t *testing.T) {
	urls := map[string]string{"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "plant.db"), "postgres": storetest.EmptyPostgresURL(t)}
	for name, url := range urls {
		t.Run(name, func(t *testing.T) {
			db, err := store.Open(t.Context(), url, store.Config{NoMigrate: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			if at, err := db.Begun(t.Context()); err != nil || !at.IsZero() {
				t.Fatalf("an empty database was begun %s, %v", at, err)
			}
			if steps, err := db.Migrations(t.Context()); err != nil || len(steps) == 0 || !steps[0].Applied.IsZero() {
				t.Errorf("of an empty database got the steps %v, %v", steps, err)
			}
			if tables, err := db.Counts(t.Context()); err != nil || len(tables) > 0 {
				t.Errorf("looking has made %v, %v", tables, err)
			}
			if err := db.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			first, err := db.Begun(t.Context())
			if err != nil || first.IsZero() {
				t.Fatalf("begun %s, %v", first, err)
			}
			if err := db.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if again, err := db.Begun(t.Context()); err != nil || !again.Equal(first) {
				t.Errorf("begun %s, %v; want %s", again, err, first)
			}
		})
	}
}
