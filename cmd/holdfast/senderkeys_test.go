package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/problem"
)

func keyText(t *testing.T, seed byte) []byte {
	t.Helper()
	text, err := os.ReadFile(keySet(t, seed))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestKeyThatASenderHasMadeIsKnownAtOnce replaces the file of a sender: what its new key signs is not refused meanwhile.
func TestKeyThatASenderHasMadeIsKnownAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.json")
	r := &readKeys{load: fileOf(file), what: file, log: slog.New(slog.DiscardHandler)}
	if _, err := r.Find(signing('a').ID); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("without a file: %v, want it to be unknown yet", err)
	}
	for _, seed := range []byte{'a', 'b'} {
		written(t, file, string(keyText(t, seed)))
		if _, err := r.Find(signing(seed).ID); err != nil {
			t.Errorf("key %c: %v", seed, err)
		}
	}
	if _, err := r.Find(signing('a').ID); problem.KindOf(err) != problem.Denied {
		t.Errorf("a key that is there no more: %v, want it denied", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Find(signing('b').ID); err != nil {
		t.Errorf("the last keys count while the file is away: %v", err)
	}
}

// TestKeysAtAnAddressAreAskedForOnceMore: nothing is refused for good while a sender may have made a key that nobody here knows.
func TestKeysAtAnAddressAreAskedForOnceMore(t *testing.T) {
	var seed atomic.Int32
	texts := map[byte][]byte{'a': keyText(t, 'a'), 'b': keyText(t, 'b')}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if s := byte(seed.Load()); s == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		} else if _, err := w.Write(texts[s]); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	f := newFetchedKeys(srv.URL, slog.New(slog.DiscardHandler))
	find := func(s byte) problem.Kind {
		_, err := f.Find(signing(s).ID)
		return problem.KindOf(err)
	}
	fetch := func(s byte) {
		seed.Store(int32(s))
		if keys, err := f.fetch(t.Context()); err == nil {
			f.keys, f.at = keys, time.Now()
		}
	}
	fetch(0)
	if got := find('a'); got != problem.Unavailable {
		t.Errorf("while the address does not answer: %q", got)
	}
	fetch('a')
	if got := find('a'); got != "" {
		t.Errorf("a key that is there: %q", got)
	}
	if got := find('b'); got != problem.Denied {
		t.Errorf("a stranger's, just after they were asked for: %q", got)
	}
	f.at = f.at.Add(-2 * fetchAtOnce)
	if got := find('b'); got != problem.Unavailable || len(f.wanted) != 1 {
		t.Errorf("a stranger's, later: %q, and %d wants to ask", got, len(f.wanted))
	}
	fetch('b')
	if got := find('b'); got != "" {
		t.Errorf("the sender's new key: %q", got)
	}
}
