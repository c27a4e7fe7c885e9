package store_test

import (
	"testing"

	"holdfast/internal/store"
)

func TestWhoLooksSeesWhetherAProcessServes(t *testing.T) {
	seats(t, func(t *testing.T, rawURL string) {
		db, other := openAt(t, rawURL, store.Config{}), openAt(t, rawURL, store.Config{})
		look := func(want bool) {
			t.Helper()
			if got, err := other.Served(t.Context(), "n1"); got != want || err != nil {
				t.Errorf("served %t, %v, want %t", got, err, want)
			}
		}
		look(false)
		seat, err := db.TakeSeat(t.Context(), "n1")
		if err != nil {
			t.Fatal(err)
		}
		look(true)
		if err := seat.Close(); err != nil {
			t.Fatal(err)
		}
		if db.Dialect() == store.SQLite { // PostgreSQL's server ends the session a moment later
			look(false)
		}
	})
}
