package body_test

import (
	"bytes"
	"crypto/sha256"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

func TestBodyIsReadFromAnyPlace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, size := range []int{0, 1, 64 << 10, 300<<10 + 7} {
			b := noise(uint64(size), size)
			l := keep(t, db, b)
			r := body.Seek(t.Context(), l)
			if size <= 64<<10 { // it reads byte by byte as well
				if err := iotest.TestReader(r, b); err != nil {
					t.Errorf("%d bytes: %v", size, err)
				}
			}
			for _, from := range []int{0, size / 3, 64 << 10, size - 1, size} {
				if from < 0 || from > size {
					continue
				}
				if _, err := r.Seek(int64(from), io.SeekStart); err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, b[from:]) {
					t.Errorf("%d bytes from %d: got %d, %v", size, from, len(got), err)
				}
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestBodyIsFoundByItsDigest also takes one for a message just before the sweep would have.
func TestBodyIsFoundByItsDigest(t *testing.T) {
	now := time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC)
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := noise(1, 100<<10)
		digest := sha256.Sum256(b)
		if _, err := body.Find(t.Context(), db, digest); problem.KindOf(err) != problem.NotFound {
			t.Errorf("before: got %v, want a problem of kind %s", err, problem.NotFound)
		}
		keep(t, db, b)
		if n, err := body.Idle(t.Context(), db); err != nil || n != int64(len(b)) {
			t.Errorf("%d bytes are idle, %v, want %d", n, err, len(b))
		}
		now = now.Add(body.Loose - time.Second)
		var l *message.Large
		err := db.InTx(t.Context(), func(tx *store.Tx) (err error) { l, err = body.Take(t.Context(), tx, digest); return err })
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
		sweep(t, db, 0)
		hold(t, db, "m", l)
		found, err := body.Find(t.Context(), db, digest)
		if err != nil || found.Size != int64(len(b)) || !bytes.Equal(read(t, found), b) {
			t.Errorf("found %v, %v", found, err)
		}
		if n, err := body.Idle(t.Context(), db); err != nil || n != 0 {
			t.Errorf("%d bytes are idle, %v, want none", n, err)
		}
	}, storetest.WithClock(func() time.Time { return now }))
}
