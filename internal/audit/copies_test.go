package audit_test

import (
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestATimeThatGoesBackIsTold by who writes the checkpoints outside: once, in the record, and the copies go on.
func TestATimeThatGoesBackIsTold(t *testing.T) {
	var clock atomic.Int64
	clock.Store(1_800_000_000)
	db := storetest.SQLite(t, storetest.WithClock(func() time.Time { return time.Unix(clock.Load(), 0).UTC() }))
	folder := filepath.Join(t.TempDir(), "audit")
	cfg := audit.Config{Folder: folder}
	entries(t, db, 1)
	ran(t, db, cfg)
	clock.Add(-3600)
	entries(t, db, 1)
	if said := ran(t, db, cfg); !strings.Contains(said, "ALARM") {
		t.Errorf("nothing is told: %s", said)
	}
	clock.Add(60)
	for range 2 {
		if said := ran(t, db, cfg); strings.Contains(said, "ALARM") {
			t.Errorf("it is told again: %s", said)
		}
	}
	all, spoiled, err := audit.ReadCopies(folder)
	if err != nil || len(spoiled) > 0 || len(all) != 3 {
		t.Errorf("%d copies, %v, %v; want those of the two and of the entry that tells it", len(all), spoiled, err)
	}
	if err := db.View(t.Context(), func(tx *store.Tx) error {
		told, err := audit.List(t.Context(), tx, audit.Filter{Action: audit.Forged})
		if len(told) != 1 {
			t.Errorf("the record tells it %d times, want once", len(told))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
