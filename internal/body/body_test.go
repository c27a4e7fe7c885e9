package body_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// noise is so many bytes that are the same for the same seed.
func noise(seed uint64, size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

func keep(t *testing.T, db *store.DB, b []byte) *message.Large {
	t.Helper()
	l, err := body.Keep(t.Context(), db, bytes.NewReader(b), "", message.MaxBody)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func hold(t *testing.T, db *store.DB, owner string, l *message.Large) {
	t.Helper()
	if err := db.InTx(t.Context(), func(tx *store.Tx) error { return body.Hold(t.Context(), tx, owner, l) }); err != nil {
		t.Fatal(err)
	}
}

func free(t *testing.T, db *store.DB, owners ...string) {
	t.Helper()
	if err := db.InTx(t.Context(), func(tx *store.Tx) error { return body.Free(t.Context(), tx, owners) }); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, l *message.Large) []byte {
	t.Helper()
	r, err := l.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// left is how many bodies and chunks there are.
func left(t *testing.T, db *store.DB) [2]int {
	t.Helper()
	var n [2]int
	err := db.View(t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.Get(t.Context(), &n[0], `SELECT COUNT(*) FROM bodies`), tx.Get(t.Context(), &n[1], `SELECT COUNT(*) FROM body_chunks`))
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func sweep(t *testing.T, db *store.DB, want int) {
	t.Helper()
	got, err := body.Sweep(t.Context(), db)
	if err != nil || got != want {
		t.Errorf("swept %d, %v, want %d", got, err, want)
	}
}

func TestAnyBodyComesBackByteForByte(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sizes := []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 256 << 10, 256<<10 + 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3 << 20}
		r := rand.New(rand.NewPCG(3, 5))
		for range 12 {
			sizes = append(sizes, r.IntN(3<<20))
		}
		for i, size := range sizes {
			b := noise(uint64(i), size)
			inMemory := message.Message{ID: "m", Body: b}
			ways := map[string]*message.Large{"piece by piece": keep(t, db, b)}
			err := db.InTx(t.Context(), func(tx *store.Tx) (err error) {
				ways["at once"], err = body.KeepIn(t.Context(), tx, b, "")
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			ways["by its name"] = body.RefOf(ways["piece by piece"]).Large(db)
			for way, l := range ways {
				if got, want := (message.Message{ID: "m", Large: l}).Digest(), inMemory.Digest(); got != want || l.Size != int64(size) {
					t.Errorf("%d bytes, kept %s: digest %s of %d bytes, want %s", size, way, got, l.Size, want)
				}
				if !bytes.Equal(read(t, l), b) {
					t.Errorf("%d bytes, kept %s, came back otherwise", size, way)
				}
			}
		}
		if got := left(t, db)[0]; got > 2*len(sizes) {
			t.Errorf("%d bodies are kept of %d", got, len(sizes))
		}
	})
}

func TestBodyIsReadWithinTheTransactionThatActsOnIt(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite::memory:", store.Config{}) // it has one connection
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	want := noise(1, 700<<10)
	ref := body.RefOf(keep(t, db, want))
	err = db.InTx(t.Context(), func(tx *store.Tx) error {
		if got := read(t, ref.Within(tx)); !bytes.Equal(got, want) {
			t.Errorf("got %d other bytes", len(got))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// broken is a reader that breaks off.
type broken struct {
	io.Reader
	err error
}

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = b.err
	}
	return n, err
}

func TestBodyThatIsNotWantedLeavesNothing(t *testing.T) {
	gone := errors.New("the caller hung up")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		_, err := body.Keep(t.Context(), db, bytes.NewReader(noise(1, 2<<20+1)), "", 2<<20)
		if problem.KindOf(err) != problem.TooLarge || !strings.Contains(err.Error(), "2097152") {
			t.Errorf("over the limit: got %v, want a problem of kind %s that names the limit", err, problem.TooLarge)
		}
		_, err = body.Keep(t.Context(), db, broken{bytes.NewReader(noise(2, 1500<<10)), gone}, "", message.MaxBody)
		if !errors.Is(err, gone) {
			t.Errorf("broken off: got %v, want %v", err, gone)
		}
		sweep(t, db, 2)
		if got, want := left(t, db), [2]int{}; got != want {
			t.Errorf("%v bodies and chunks are left, want none", got)
		}
	})
}

// TestBodyThatTheDiskDidNotTakeLeavesNothing has a disk fill up while a body is written, and be freed at once or much later.
func TestBodyThatTheDiskDidNotTakeLeavesNothing(t *testing.T) {
	now := time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC)
	full := &problem.Error{Kind: problem.Full, What: "write", Why: "the disk is full"}
	chunks, freed := 0, false
	hook := func(_ context.Context, statement string) error {
		isChunk := strings.Contains(statement, "INSERT INTO body_chunks")
		if isChunk {
			chunks++
		}
		if chunks > 40 && (isChunk || !freed) { // in the third transaction
			return full
		}
		return nil
	}
	for _, freed = range []bool{true, false} {
		storetest.Each(t, func(t *testing.T, db *store.DB) {
			chunks = 0
			_, err := body.Keep(t.Context(), db, bytes.NewReader(noise(1, 5<<20)), "", message.MaxBody)
			if problem.KindOf(err) != problem.Full {
				t.Fatalf("got %v, want a problem of kind %s", err, problem.Full)
			}
			chunks = 0
			if !freed {
				sweep(t, db, 0) // it could not say that nobody writes it any more
				now = now.Add(body.Loose)
			}
			sweep(t, db, 1)
			if got, want := left(t, db), [2]int{}; got != want {
				t.Errorf("%v bodies and chunks are left, want none", got)
			}
		}, storetest.WithBefore(hook), storetest.WithClock(func() time.Time { return now }))
	}
}

func TestBodyStaysForAsLongAsAMessageHoldsIt(t *testing.T) {
	now := time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC)
	clock := storetest.WithClock(func() time.Time { return now })
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := noise(1, 300<<10)
		first := keep(t, db, b)
		hold(t, db, "outbox/a", first)
		second := keep(t, db, b)
		hold(t, db, "outbox/b", second)
		hold(t, db, "outbox/b", second)
		sweep(t, db, 1) // what was written the second time
		now = now.Add(2 * body.Loose)
		sweep(t, db, 0)
		free(t, db, "outbox/a", "outbox/none")
		now = now.Add(2 * body.Loose)
		sweep(t, db, 0)
		if !bytes.Equal(read(t, second), b) {
			t.Error("the body of the message that is left is another")
		}
		free(t, db, "outbox/b")
		sweep(t, db, 0) // somebody may be about to hold it again
		now = now.Add(body.Loose)
		sweep(t, db, 1)
		if got, want := left(t, db), [2]int{}; got != want {
			t.Errorf("%v bodies and chunks are left, want none", got)
		}
		err := db.InTx(t.Context(), func(tx *store.Tx) error { return body.Hold(t.Context(), tx, "outbox/c", first) })
		if problem.KindOf(err) != problem.Unavailable {
			t.Errorf("to hold what is gone: got %v, want a problem of kind %s", err, problem.Unavailable)
		}
	}, clock)
}

// TestCrashBetweenChunksAndTheirMessage stops the program at each statement in turn, as a kill would: nothing of it is undone, and
// nothing after it is done. Whatever is left either is held by a message and whole, or goes.
func TestCrashBetweenChunksAndTheirMessage(t *testing.T) {
	now := time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC)
	dead := errors.New("killed")
	until, count := -1, 0
	hook := func(context.Context, string) error {
		if count++; until >= 0 && count > until {
			return dead
		}
		return nil
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := noise(7, 1100<<10)
		for at := 0; ; at++ {
			until, count = at, 0
			l, err := body.Keep(t.Context(), db, bytes.NewReader(b), "", message.MaxBody)
			if err == nil {
				err = db.InTx(t.Context(), func(tx *store.Tx) error { return body.Hold(t.Context(), tx, "m", l) })
			}
			until = -1
			if err == nil {
				if !bytes.Equal(read(t, l), b) {
					t.Error("the body that is held is not whole")
				}
				sweep(t, db, 0)
				break
			}
			now = now.Add(2 * body.Loose)
			if _, err := body.Sweep(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			if got, want := left(t, db), [2]int{}; got != want {
				t.Fatalf("killed at statement %d: %v bodies and chunks are left, want none", at, got)
			}
		}
	}, storetest.WithBefore(hook), storetest.WithClock(func() time.Time { return now }))
}

func TestBytesThatAreKeptAreNotWrittenAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, b := range [][]byte{noise(1, 300<<10), noise(1, 300<<10), {}, {}} {
			l, err := body.KeepBytes(t.Context(), db, b, "")
			if err != nil {
				t.Fatal(err)
			}
			hold(t, db, "m", l)
			if !bytes.Equal(read(t, l), b) {
				t.Errorf("%d bytes came back otherwise", len(b))
			}
		}
		if got, want := left(t, db), [2]int{2, 5}; got != want {
			t.Errorf("%v bodies and chunks were written, want %v", got, want)
		}
	})
}

func TestSweepThatWasKilledIsTakenUpAgain(t *testing.T) {
	now := time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC)
	dead, chunks := errors.New("killed"), 0
	hook := func(_ context.Context, statement string) error {
		if strings.HasPrefix(statement, "DELETE FROM body_chunks") {
			if chunks++; chunks == 2 {
				return dead
			}
		}
		return nil
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		chunks = 0
		keep(t, db, noise(1, 5<<20))
		now = now.Add(2 * body.Loose)
		if _, err := body.Sweep(t.Context(), db); !errors.Is(err, dead) {
			t.Fatalf("got %v, want %v", err, dead)
		}
		sweep(t, db, 1)
		if got, want := left(t, db), [2]int{}; got != want {
			t.Errorf("%v bodies and chunks are left, want none", got)
		}
	}, storetest.WithBefore(hook), storetest.WithClock(func() time.Time { return now }))
}

// TestSweepAndHoldAtOnce has a message come for a body at the moment in which the sweep takes it: one of the two gives way.
func TestSweepAndHoldAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for i := range 20 {
			b := noise(uint64(i), 70<<10)
			l := keep(t, db, b)
			err := db.InTx(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), `UPDATE bodies SET loose_at = 1 WHERE loose_at > 0`)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			swept := make(chan error)
			go func() { _, err := body.Sweep(t.Context(), db); swept <- err }()
			held := db.InTx(t.Context(), func(tx *store.Tx) error { return body.Hold(t.Context(), tx, "m", l) })
			if err := <-swept; err != nil {
				t.Fatal(err)
			}
			if held == nil && !bytes.Equal(read(t, l), b) {
				t.Fatal("a body that is held is gone")
			}
			if held != nil && problem.KindOf(held) != problem.Unavailable {
				t.Fatal(held)
			}
			free(t, db, "m")
		}
	})
}

func TestAlteredChunkIsFound(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		tests := []struct{ name, statement string }{
			{"a chunk altered", `UPDATE body_chunks SET bytes = ? WHERE seq = 1`},
			{"a chunk deleted", `DELETE FROM body_chunks WHERE seq = 1 AND bytes <> ?`},
		}
		for n, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				l := keep(t, db, noise(uint64(n), 200<<10))
				err := db.InTx(t.Context(), func(tx *store.Tx) error {
					_, err := tx.Exec(t.Context(), tt.statement, slices.Repeat([]byte{'x'}, 64<<10))
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := (message.Message{Large: l}).Intact(t.Context()); problem.KindOf(err) != problem.Integrity {
					t.Errorf("got %v, want a problem of kind %s", err, problem.Integrity)
				}
			})
		}
	})
}
