package main

import (
	"strings"
	"testing"
	"time"

	"holdfast/internal/backup"
)

// TestTheListSaysWhatIsOwedAtTheRecoveryPoint: with the increments that follow a copy, not by the copy alone.
func TestTheListSaysWhatIsOwedAtTheRecoveryPoint(t *testing.T) {
	t.Parallel()
	now, five := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC), int64(5)
	copyOf := backup.Copy{Manifest: backup.Manifest{ID: "20260504T110000Z-aaaaaa", State: backup.State{Owed: 3}}, Place: "/mnt/b", Increments: 2, Through: now}
	for want, owed := range map[string]*int64{"5": &five, "-": nil} {
		copyOf.Owed = owed
		var out strings.Builder
		if err := printBackups(&out, []backup.Copy{copyOf}, now); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(out.String(), "\n")
		if got := strings.Fields(lines[1]); got[4] != want {
			t.Errorf("it says that %s are owed, want %s:\n%s", got[4], want, out.String())
		}
	}
}
