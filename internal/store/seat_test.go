package store_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// openAt opens a database a second time, as another process does.
func openAt(t *testing.T, rawURL string, cfg store.Config) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), rawURL, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// seats gives the URL of an empty database of each kind.
func seats(t *testing.T, test func(t *testing.T, rawURL string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, storetest.PostgresURL(t)) })
}

func TestASeatIsForOneProcess(t *testing.T) {
	seats(t, func(t *testing.T, rawURL string) {
		one, two := openAt(t, rawURL, store.Config{}), openAt(t, rawURL, store.Config{})
		first, err := one.TakeSeat(t.Context(), "n1")
		if err != nil || !first.Held() || first.Term() != 1 {
			t.Fatalf("held %t, term %d, %v", first.Held(), first.Term(), err)
		}
		second, err := two.TakeSeat(t.Context(), "n1")
		if problem.KindOf(err) != problem.Conflict || second.Held() || !strings.Contains(err.Error(), "another process") {
			t.Errorf("held %t, %v, want a conflict", second.Held(), err)
		}
		if two.Dialect() == store.Postgres {
			other, err := two.TakeSeat(t.Context(), "n2")
			if err != nil || other.Close() != nil {
				t.Errorf("a node of another name: %v", err)
			}
		}
		if err := first.Close(); err != nil || first.Held() || first.Term() != 0 {
			t.Errorf("close: %v, held %t, term %d", err, first.Held(), first.Term())
		}
		second, err = two.TakeSeat(t.Context(), "n1")
		if err != nil || !second.Held() || second.Close() != nil {
			t.Errorf("once it is free: %v", err)
		}
	})
}

// TestASeatIsForTheFileByWhateverName opens one file through links to it and to its folder.
func TestASeatIsForTheFileByWhateverName(t *testing.T) {
	dir, links := t.TempDir(), t.TempDir()
	file := filepath.Join(dir, "plant.db")
	first, err := openAt(t, "sqlite:"+file, store.Config{}).TakeSeat(t.Context(), "n1")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if err := errors.Join(os.Symlink(file, filepath.Join(links, "linked.db")), os.Symlink(dir, filepath.Join(links, "folder"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"linked.db", "folder/plant.db"} {
		ctx, end := context.WithCancel(t.Context())
		end() // a start waits for a process that is just ending
		s, err := openAt(t, "sqlite:"+filepath.Join(links, name), store.Config{}).TakeSeat(ctx, "n1")
		if problem.KindOf(err) != problem.Conflict || s.Held() {
			t.Errorf("%s: held %t, %v, want a conflict", name, s.Held(), err)
		}
	}
}

// TestAMigrationLocksTheFileByWhateverName: two processes that open one file by two names must not migrate it at once.
func TestAMigrationLocksTheFileByWhateverName(t *testing.T) {
	dir, links := t.TempDir(), t.TempDir()
	file := filepath.Join(dir, "plant.db")
	if err := errors.Join(os.Symlink(file, filepath.Join(links, "linked.db")), os.Symlink(dir, filepath.Join(links, "folder"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"linked.db", "folder/plant.db"} { // the first finds no file behind its name
		openAt(t, "sqlite:"+filepath.Join(links, name), store.Config{})
		if got, err := filepath.Glob(filepath.Join(links, "*-migrate")); err != nil || len(got) > 0 {
			t.Errorf("%s: locked %q, %v, want one lock beside the file itself", name, got, err)
		}
	}
	if _, err := os.Stat(file + "-migrate"); err != nil {
		t.Errorf("no lock beside the file: %v", err)
	}
}

// TestTheSeatOfAKilledProcessIsFree runs this test once more as a process that takes the seat and is killed.
func TestTheSeatOfAKilledProcessIsFree(t *testing.T) {
	const asked = "HOLDFAST_TEST_SEAT"
	if rawURL := os.Getenv(asked); rawURL != "" {
		if _, err := openAt(t, rawURL, store.Config{}).TakeSeat(t.Context(), "n1"); err != nil {
			t.Fatal(err)
		}
		_, _ = os.Stdout.WriteString("taken\n")
		select {}
	}
	seats(t, func(t *testing.T, rawURL string) {
		here := openAt(t, rawURL, store.Config{})
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTheSeatOfAKilledProcessIsFree$")
		cmd.Env = append(os.Environ(), asked+"="+rawURL)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if n, err := out.Read(make([]byte, 6)); n != 6 || err != nil {
			t.Fatalf("the process has not taken the seat: %v", err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		s, err := here.TakeSeat(t.Context(), "n1")
		if err != nil || s.Close() != nil {
			t.Errorf("the seat of a killed process: %v", err)
		}
	})
}

// TestASeatIsTakenAgainAfterItsConnectionWasLost has another process take the name meanwhile.
func TestASeatIsTakenAgainAfterItsConnectionWasLost(t *testing.T) {
	direct := storetest.PostgresURL(t)
	way, through := newProxy(t, direct)
	log := make(lines, 100)
	here, there := openAt(t, through, store.Config{Log: slog.New(log)}), openAt(t, direct, store.Config{})
	mine, err := here.TakeSeat(t.Context(), "n1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = mine.Run(ctx) })
	defer func() { stop(); wg.Wait(); _ = mine.Close() }()
	way.set(true)
	if got := next(t, log, "a warning"); mine.Held() || !strings.HasPrefix(got, "contact through the database is lost: hold the name") {
		t.Errorf("held %t, log says %q", mine.Held(), got)
	}
	other, err := there.TakeSeat(t.Context(), "n1")
	if err != nil {
		t.Fatalf("the name of a node whose connection is lost: %v", err)
	}
	way.set(false)
	for range 3 {
		next(t, way.passed, "another try")
	}
	if mine.Held() || mine.Term() != 0 {
		t.Error("two processes hold one name")
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	if got := next(t, log, "good news"); !mine.Held() || mine.Term() != 2 || !strings.HasPrefix(got, "contact through the database is back") {
		t.Errorf("held %t, log says %q", mine.Held(), got)
	}
}

func TestTheSessionOfASeatStaysOpen(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), storetest.PostgresURL(t)+"&options=-c%20idle_session_timeout%3D60s")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if err := store.StayOpen(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	var limit, idle string
	if err := conn.QueryRow(t.Context(), `SELECT current_setting('idle_session_timeout'), current_setting('tcp_keepalives_idle')`).Scan(&limit, &idle); err != nil {
		t.Fatal(err)
	}
	if limit != "0" || idle != "10" {
		t.Errorf("an idle session ends after %s, a client that is silent is asked after %s s, want 0 (never) and 10", limit, idle)
	}
}
