package postgres_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"testing"

	"holdfast/cmd/holdfast/internal/postgres"
	"holdfast/internal/store"
)

// TestAServerOfOnesOwn keeps what it has committed over both ways to end it.
func TestAServerOfOnesOwn(t *testing.T) {
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(found) == 0 {
		if _, err := exec.LookPath("initdb"); err != nil {
			t.Skip("skipped for want of a PostgreSQL server")
		}
	}
	s, err := postgres.Open(t.Context(), filepath.Join(t.TempDir(), "postgres.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(s.Close(), s.Remove()); err != nil {
			t.Error(err)
		}
	}()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, drop, err := store.NewSchema(t.Context(), s.URL, "kept")
	if err != nil {
		t.Fatal(err)
	}
	for _, atOnce := range []bool{false, true} {
		if err := s.Stop(t.Context(), atOnce); err != nil {
			t.Fatal(err)
		}
		if err := drop(t.Context()); err == nil {
			t.Error("it answers after its end")
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := drop(t.Context()); err != nil {
		t.Errorf("what it had is gone: %v", err)
	}
}
