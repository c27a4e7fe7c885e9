package store_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

func hasTurn(t *testing.T, turn *store.Turn, want bool) {
	t.Helper()
	if got, err := turn.Mine(t.Context()); err != nil || got != want {
		t.Errorf("the turn is ours: %t, %v, want %t", got, err, want)
	}
}

// TestATurnIsOfOneNode, until that gives it back, and of each work apart. On SQLite there is one process for the file, and every turn is its own.
func TestATurnIsOfOneNode(t *testing.T) {
	seats(t, func(t *testing.T, rawURL string) {
		one, two := openAt(t, rawURL, store.Config{}), openAt(t, rawURL, store.Config{})
		first, second, other := one.Turn("backup"), two.Turn("backup"), two.Turn("else")
		hasTurn(t, first, true)
		hasTurn(t, first, true)
		hasTurn(t, second, one.Dialect() == store.SQLite)
		hasTurn(t, other, true)
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		hasTurn(t, second, true)
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		hasTurn(t, second, true) // one that was closed can be taken again
		if err := (*store.Turn)(nil).Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestATurnEndsWithItsSession: whoever lost it does not go on as if it were his own.
func TestATurnEndsWithItsSession(t *testing.T) {
	rawURL := storetest.PostgresURL(t)
	first, second := openAt(t, rawURL, store.Config{}).Turn("backup"), openAt(t, rawURL, store.Config{}).Turn("backup")
	hasTurn(t, first, true)
	admin, err := pgx.Connect(t.Context(), rawURL)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	if _, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend($1, 10000)`, first.PID()); err != nil {
		t.Fatal(err)
	}
	hasTurn(t, second, true)
	hasTurn(t, first, false)
}
