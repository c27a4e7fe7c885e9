package relay_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/store"
)

// TestAnOutageOfTheDatabaseSplitsNoLane has the database go away, refuse for a reason that does not pass, and go away again while two
// messages of one lane are settled: neither answer may be dropped.
func TestAnOutageOfTheDatabaseSplitsNoLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, script := 0, []error{syscall.ECONNREFUSED, errors.New("something that does not pass"), syscall.ECONNREFUSED}
		db, err := store.Open(t.Context(), "sqlite::memory:", store.Config{Before: func(_ context.Context, statement string) error {
			if !strings.Contains(statement, "INTO outbox_delivered") {
				return nil
			}
			if n++; n <= len(script) {
				return script[n-1]
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		p := newPlant(t, db)
		p.owe(event("a", "operation.confirmed", "o1"))
		p.owe(event("b", "operation.confirmed", "o1"))
		p.runFor(time.Minute)
		p.wantOnce("a", "b")
		if got := len(p.erp.Calls()); got != 2 {
			t.Errorf("the ERP was called %d times, want once for each message", got)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}
