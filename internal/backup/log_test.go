package backup_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"holdfast/internal/backup"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// follow has a log follow a copy that is made now.
func (s *site) follow(folder string) *backup.Log {
	s.t.Helper()
	l, err := backup.OpenLog(folder)
	if err != nil {
		s.t.Fatal(err)
	}
	s.opt.Log = l
	s.create()
	return l
}

func (s *site) ship(l *backup.Log) {
	s.t.Helper()
	if through, err := l.Ship(s.t.Context(), s.src, s.opt); err != nil || through.IsZero() {
		s.t.Fatalf("shipped through %s, %v", through, err)
	}
}

// count is how many messages and entries a database has.
func (s *site) count(db *store.DB) (messages, entries int64) {
	s.t.Helper()
	all, err := db.Counts(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return all["outbox_messages"], all["audit_entries"]
}

// TestWhatHasChangedIsShippedWhileThePlantWorks, over a restart of the log: with its increments the copy is whole, is of one moment, and has everything
// that was there when the last began. A place that was away gets what it lacks.
func TestWhatHasChangedIsShippedWhileThePlantWorks(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		s.owe("o1", 20)
		folder := t.TempDir()
		l := s.follow(folder)
		for i := range 4 {
			var beside sync.WaitGroup
			beside.Go(func() { s.owe("o2", 5) })
			places := s.opt.Places
			if i == 1 {
				s.opt.Places = places[:1]
			}
			s.ship(l)
			beside.Wait()
			s.opt.Places = places
			if i == 2 { // the process ends
				var err error
				if l, err = backup.OpenLog(folder); err != nil {
					t.Fatal(err)
				}
			}
		}
		want, _ := s.count(s.db)
		s.ship(l)
		s.owe("o3", 3) // after the recovery point
		for p, k := range map[backup.Place]backup.Key{s.near: s.own, s.far: s.recovery} {
			proof, err := backup.Verify(t.Context(), p, "", s.trial(k))
			if err != nil {
				t.Fatal(err)
			}
			if proof.Increments < 4 || proof.Increments > 5 { // the first may have found nothing yet
				t.Errorf("%s: %d increments were restored, want 4 or 5", p, proof.Increments)
			}
		}
		if strings.HasPrefix(s.url, "sqlite:") {
			restored := filepath.Join(t.TempDir(), "new")
			got, err := backup.Restore(t.Context(), s.far, "", restored, "", s.trial(s.own))
			if err != nil {
				t.Fatal(err)
			}
			db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(restored, "holdfast.db"), store.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			messages, entries := s.count(db)
			if messages != want || entries != want+1 || got.Increments < 4 || !got.Through.After(got.Made) { // and one of the restore
				t.Errorf("%d messages and %d entries were restored by %+v, want %d of both and one of the restore", messages, entries, got, want)
			}
		}
	})
}

// TestWhatIsWrongWithAnIncrementIsFound, and what was before it can be restored.
func TestWhatIsWrongWithAnIncrementIsFound(t *testing.T) { each(t, whatIsWrongWithAnIncrement) }

func whatIsWrongWithAnIncrement(t *testing.T, s *site) {
	l := s.follow(t.TempDir())
	for range 3 {
		s.owe("o1", 2)
		s.ship(l)
	}
	id, _ := l.Base()
	file := func(n int) string { return filepath.Join(string(s.near), fmt.Sprintf("%s.%06d.inc", id, n)) }
	read := func(n int) []byte {
		b, err := os.ReadFile(file(n))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	second, third := read(2), read(3)
	flip := func(b []byte, at int) []byte {
		c := bytes.Clone(b)
		c[at] ^= 1
		return c
	}
	for name, tt := range map[string]struct {
		b   []byte
		why string
	}{
		"a bit of its body": {flip(second, len(second)-20), "read its body: it is not what was written"}, "a bit of its line": {flip(second, 40), "read its first line"},
		"a bit of what is signed": {bytes.Replace(second, []byte(`"number":2`), []byte(`"number":3`), 1), "read its first line, which says what it is: it was changed after it was signed"},
		"the end is missing":      {second[:len(second)-1], "read its body: it is not what was written"}, "its line was cut off": {second[:40], "read its first line, which says what it is: it was cut off"},
		"nothing is behind its line": {second[:bytes.IndexByte(second, '\n')+1], "read its body: it is not what was written"},
		"something follows":          {append(bytes.Clone(second), 0), "read its body: "}, "it is another": {third, "it does not follow what is before it"},
		"it is empty": {[]byte{}, "read its first line, which says what it is: it is empty"}, "it is missing": {nil, "it is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			err := os.WriteFile(file(2), tt.b, 0o600)
			if tt.b == nil {
				err = os.Remove(file(2))
			}
			if err != nil {
				t.Fatal(err)
			}
			_, err = backup.Verify(t.Context(), s.near, id, s.trial(s.own))
			p, ok := errors.AsType[*problem.Error](err)
			if !ok || p.Kind != problem.Integrity || !strings.Contains(p.Why, tt.why) || !strings.Contains(p.What, id+".000002.inc of "+s.near.String()) || !strings.Contains(p.Hint, "--increments 1, or from another place") {
				t.Errorf("got %v, want %q with what to do", err, tt.why)
			}
			one := s.trial(s.own)
			one.Increments = new(int64)
			*one.Increments = 1
			if proof, err := backup.Verify(t.Context(), s.near, id, one); err != nil || proof.Increments != 1 {
				t.Errorf("what is before it: got %+v, %v", proof, err)
			}
		})
	}
	if proof, err := backup.Verify(t.Context(), s.far, id, s.trial(s.own)); err != nil || proof.Increments != 3 {
		t.Errorf("the other place: got %+v, %v", proof, err)
	}
}

// TestAnIncrementThatFailsIsMadeAgain whole: what it had is in the next.
func TestAnIncrementThatFailsIsMadeAgain(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	l := s.follow(t.TempDir())
	s.owe("o1", 5)
	bad := s.opt
	bad.Recipients = nil
	if _, err := l.Ship(t.Context(), s.src, bad); err == nil {
		t.Fatal("it was encrypted to nobody")
	}
	bad = s.opt
	bad.Places = []backup.Place{gone{s.near}}
	if through, err := l.Ship(t.Context(), s.src, bad); err == nil || !through.IsZero() {
		t.Fatalf("got %s, %v, want nothing shipped", through, err)
	}
	s.owe("o1", 5)
	s.ship(l)
	proof, err := backup.Verify(t.Context(), s.far, "", s.trial(s.own))
	if err != nil || proof.Increments != 2 {
		t.Errorf("got %+v, %v, want two increments", proof, err)
	}
}
