package store_test

import (
	"testing"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestWhoStandsStillLosesItsLocks has a process stop in the middle of a transaction, as one does that is frozen or whose machine is
// cut off. Others must not wait for it: who waits for its lock runs again until it is free. It wakes, and does its work again.
func TestWhoStandsStillLosesItsLocks(t *testing.T) {
	url := storetest.PostgresURL(t)
	patient := openAt(t, url, store.Config{}) // a slow machine needs longer than the limit between two steps of a migration
	table(t, patient)
	frozen := openAt(t, url, store.Config{IdleLimit: 100 * time.Millisecond})
	locked, done := make(chan struct{}), make(chan struct{})
	other := make(chan error, 1)
	go func() {
		<-locked
		other <- frozen.InTx(t.Context(), func(tx *store.Tx) error { return insert(t.Context(), tx, 1) })
		close(done)
	}()
	runs := 0
	err := frozen.InTx(t.Context(), func(tx *store.Tx) error {
		if runs++; runs > 1 {
			return insert(t.Context(), tx, 2)
		}
		if err := insert(t.Context(), tx, 1); err != nil {
			return err
		}
		close(locked)
		<-done
		return insert(t.Context(), tx, 2)
	})
	if oerr := <-other; oerr != nil {
		t.Errorf("the other: %v", oerr)
	}
	if runs == 1 && err == nil || err != nil && problem.KindOf(err) != problem.Unavailable {
		t.Errorf("err = %v after %d runs, want it to run again, or that the database was away", err, runs)
	}
}
