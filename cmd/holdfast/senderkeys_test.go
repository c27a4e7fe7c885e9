package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store/storetest"
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
	r := keysInFile(file, slog.New(slog.DiscardHandler))
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
	if _, err := r.Find(signing('a').ID); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("a key that is not known, while the file is away: %v, want it to be unknown yet", err)
	}
	if _, err := r.Find(signing('b').ID); err != nil {
		t.Errorf("the last keys count while the file is away: %v", err)
	}
}

// TestANewKeyOfAnotherPlantIsKnownAtOnce: what it signed would be refused for good.
func TestANewKeyOfAnotherPlantIsKnownAtOnce(t *testing.T) {
	db, safe := storetest.SQLite(t), seal.NewSafe(t.TempDir(), "correct horse", 10)
	if err := seal.InitLocal(safe, "2000", time.Now()); err != nil {
		t.Fatal(err)
	}
	node := seal.NodeURI("urn:holdfast:plant:2000", "a")
	from := seal.NewLocal(safe, node, time.Hour, time.Now)
	ring, err := seal.OpenRing(t.Context(), db, from, nil, node, seal.RingConfig{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "plant.keys")
	export := func() {
		t.Helper()
		b, err := seal.ReadBundle(t.Context(), db, from)
		if err != nil {
			t.Fatal(err)
		}
		text, err := b.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		written(t, file, string(text))
	}
	m := message.Message{ID: "1", Source: "urn:holdfast:plant:2000", Kind: "order.done", Version: 1, Body: []byte(`{}`), Place: message.Place{Link: "here", Role: message.Event}}
	guard := seal.NewGuard(map[string]seal.Policy{"plant": {Audience: "here", Senders: []seal.Sender{{
		Name: "there", Form: seal.ByOrigin, Trust: plantKeys(file, time.Now, slog.New(slog.DiscardHandler)).with, Sources: []string{m.Source}, Kinds: []string{"*"},
	}}}}, time.Now)
	take := func() problem.Kind {
		t.Helper()
		s, err := ring.SignMessage(m, m.Digest())
		if err != nil {
			t.Fatal(err)
		}
		signed := m
		signed.Origin = &s
		_, err = guard.Check(t.Context(), message.Incoming{Message: signed}, "plant")
		return problem.KindOf(err)
	}
	rotate := func() {
		t.Helper()
		if err := ring.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := take(); got != problem.Unavailable {
		t.Errorf("without a file: %q, want that it comes again", got)
	}
	export()
	if got := take(); got != "" {
		t.Errorf("with it: %q", got)
	}
	rotate()
	if got := take(); got != problem.Denied {
		t.Errorf("a key that the file does not have: %q, want it refused", got)
	}
	export()
	if got := take(); got != "" {
		t.Errorf("a key that came just now: %q", got)
	}
	rotate()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got := take(); got != problem.Unavailable {
		t.Errorf("a new key while the file is away: %q, want that it comes again", got)
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
		f.renew(t.Context())
	}
	fetch(0)
	if got := find('a'); got != problem.Unavailable {
		t.Errorf("while the address does not answer: %q", got)
	}
	fetch('a')
	if got := find('a'); got != "" {
		t.Errorf("a key that is there: %q", got)
	}
	if got := find('b'); got != problem.Unavailable || len(f.wanted) != 1 {
		t.Errorf("a key that is new, just after they were asked for: %q, and %d wants to ask", got, len(f.wanted))
	}
	fetch(0)
	if got := find('b'); got != problem.Unavailable {
		t.Errorf("a key that is new, while the address does not answer: %q", got)
	}
	fetch('b')
	if got := find('b'); got != "" {
		t.Errorf("the sender's new key: %q", got)
	}
	if got := find('s'); got != problem.Unavailable {
		t.Errorf("a stranger's, before the sender was asked: %q", got)
	}
	fetch('b')
	for range 2 {
		if got := find('s'); got != problem.Denied {
			t.Errorf("a stranger's, after the sender was asked: %q", got)
		}
	}
	f.at = f.at.Add(-2 * refusedFor)
	if got := find('s'); got != problem.Unavailable {
		t.Errorf("a key that was a stranger's long ago: %q", got)
	}
}

// TestAFetchThatHadBegunRefusesNoKey: the sender may have made it since.
func TestAFetchThatHadBegunRefusesNoKey(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan []byte)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		if _, err := w.Write(<-answer); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	f, text := newFetchedKeys(srv.URL, slog.New(slog.DiscardHandler)), keyText(t, 'a')
	fetch := func(meanwhile func()) {
		var wg sync.WaitGroup
		wg.Go(func() { f.renew(t.Context()) })
		<-asked
		meanwhile()
		answer <- text
		wg.Wait()
	}
	find := func() problem.Kind {
		_, err := f.Find(signing('b').ID)
		return problem.KindOf(err)
	}
	fetch(func() {})
	fetch(func() { find() })
	if got := find(); got != problem.Unavailable {
		t.Errorf("after a fetch that had begun before: %q", got)
	}
	fetch(func() {})
	if got := find(); got != problem.Denied {
		t.Errorf("after the next: %q", got)
	}
}

// TestStrangersAreNotAllRemembered: nor does what they ask keep a sender's new key from being known.
func TestStrangersAreNotAllRemembered(t *testing.T) {
	f := newFetchedKeys("http://erp", slog.New(slog.DiscardHandler))
	f.keys, f.at, f.begun, f.good = seal.FixedKeys{signing('a').Key()}, time.Now(), 1, 1
	for n := range 2 * mostAsked {
		if _, err := f.Find(seal.KeyID(fmt.Sprint("stranger", n))); problem.KindOf(err) != problem.Unavailable {
			t.Fatal(err)
		}
	}
	if len(f.asked) > mostAsked {
		t.Errorf("%d are remembered", len(f.asked))
	}
	f.keys, f.begun, f.good = seal.FixedKeys{signing('b').Key()}, 2, 2
	if _, err := f.Find(signing('b').ID); err != nil {
		t.Error(err)
	}
}

// TestKeysAreAskedForSoonIfTheyAreWanted has a key asked for just after a fetch: the next one comes when its pause is over, not ten minutes
// later, and not at once.
func TestKeysAreAskedForSoonIfTheyAreWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFetchedKeys("http://erp", slog.New(slog.DiscardHandler))
		f.keys = seal.FixedKeys{signing('a').Key()}
		pause := func() time.Duration {
			begun := time.Now()
			if !f.pause(t.Context()) {
				t.Error("it ends")
			}
			return time.Since(begun)
		}
		if got := pause(); got != fetchAgain {
			t.Errorf("nobody wants any: %s", got)
		}
		if _, err := f.Find(signing('b').ID); problem.KindOf(err) != problem.Unavailable {
			t.Error(err)
		}
		if got := pause(); got != fetchAtOnce {
			t.Errorf("one is wanted: %s", got)
		}
	})
}

// TestAStrangerCostsNoReading: a file that nobody has written since has no other keys, and a secret never has.
func TestAStrangerCostsNoReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file, read := filepath.Join(t.TempDir(), "keys.json"), 0
		written(t, file, string(keyText(t, 'a')))
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(file, old, old); err != nil {
			t.Fatal(err)
		}
		r := keysInFile(file, slog.New(slog.DiscardHandler))
		load := r.load
		r.load = func() (seal.FixedKeys, error) { read++; return load() }
		for range 100 {
			if _, err := r.Find(signing('s').ID); problem.KindOf(err) != problem.Denied {
				t.Fatal(err)
			}
		}
		if read != 1 {
			t.Errorf("it was read %d times, want once", read)
		}
		written(t, file, string(keyText(t, 'b')))
		if _, err := r.Find(signing('b').ID); err != nil {
			t.Errorf("a new key: %v", err)
		}
	})
}

// TestWhoHasKeysDoesNotWaitForThemToBeRead has a stranger's key looked for while the place of the keys hangs.
func TestWhoHasKeysDoesNotWaitForThemToBeRead(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	keys := []seal.Key{signing('a').Key()}
	r := newReadKeys("keys", func() ([]seal.Key, error) { return keys, nil }, slog.New(slog.DiscardHandler))
	if _, err := r.Find(signing('a').ID); err != nil {
		t.Fatal(err)
	}
	r.load = func() (seal.FixedKeys, error) { close(begun); <-end; return keys, nil }
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := r.Find(signing('s').ID); problem.KindOf(err) != problem.Denied {
			t.Error(err)
		}
	})
	<-begun
	if _, err := r.Find(signing('a').ID); err != nil {
		t.Error(err)
	}
	close(end)
	wg.Wait()
}
