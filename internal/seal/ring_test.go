package seal_test

import (
	"context"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// away is a keyring that can be made to answer nothing, and counts who asks it.
type away struct {
	seal.Keyring
	safe  *seal.Safe // of the CA
	down  atomic.Bool
	asked atomic.Int64
}

func (a *away) Certify(ctx context.Context, r *x509.CertificateRequest) ([]*x509.Certificate, error) {
	a.asked.Add(1)
	if a.down.Load() {
		return nil, &problem.Error{Kind: problem.Unavailable, What: "certify a key", Why: "the test has taken the keyring away"}
	}
	return a.Keyring.Certify(ctx, r)
}

// inBubble runs test with a ring that Run keeps, on a clock that moves only while everybody waits. A certificate lasts seven hours and
// a key is replaced after one.
func inBubble(t *testing.T, test func(t *testing.T, r *seal.Ring, k *away, db *store.DB)) {
	t.Helper()
	bubble(t, func(t *testing.T, k *away, db *store.DB) {
		r, err := seal.OpenRing(t.Context(), db, k, nil, nodeA, seal.RingConfig{Renew: time.Hour}, quiet())
		if err != nil {
			t.Fatal(err)
		}
		running(t, r, func() { test(t, r, k, db) })
	})
}

// bubble runs test with a keyring and a database on such a clock.
func bubble(t *testing.T, test func(t *testing.T, k *away, db *store.DB)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(t.Context(), "sqlite::memory:", store.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		safe := seal.NewSafe(dir, "correct horse", work)
		if err := seal.InitLocal(safe, "1000", time.Now()); err != nil {
			t.Fatal(err)
		}
		test(t, &away{Keyring: seal.NewLocal(safe, nodeA, 7*time.Hour, time.Now), safe: safe}, db)
	})
}

// running calls fn while Run keeps the ring.
func running(t *testing.T, r *seal.Ring, fn func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	fn()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run ended with %v", err)
	}
}

// TestANodeWhoseClockWasSetBackIsStillBelieved: what it signs is never earlier than its certificate, which receivers would refuse.
func TestANodeWhoseClockWasSetBackIsStillBelieved(t *testing.T) {
	bubble(t, func(t *testing.T, k *away, db *store.DB) {
		var back time.Duration
		cfg := seal.RingConfig{Renew: time.Hour, Now: func() time.Time { return time.Now().Add(-back) }}
		r, err := seal.OpenRing(t.Context(), db, k, nil, nodeA, cfg, quiet())
		if err != nil {
			t.Fatal(err)
		}
		trust, err := r.Trust(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, back = range []time.Duration{0, 30 * time.Second, 2 * time.Hour} {
			s, err := r.Sign(seal.ForCheckpoint, []byte("digest"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := trust.Verify(seal.ForCheckpoint, []byte("digest"), s); err != nil {
				t.Errorf("signed on a clock that is %s behind: %v", back, err)
			}
		}
	})
}

// TestAColdStartEndsWhenTheKeyringIsBack: the key that was sealed is used no longer than it must, however young it is.
func TestAColdStartEndsWhenTheKeyringIsBack(t *testing.T) {
	dir := t.TempDir()
	bubble(t, func(t *testing.T, k *away, db *store.DB) {
		safe, cfg := seal.NewSafe(dir, "correct horse", work), seal.RingConfig{Renew: 6 * time.Hour, Fresh: true}
		open := func() *seal.Ring {
			r, err := seal.OpenRing(t.Context(), db, k, safe, nodeA, cfg, quiet())
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		first := open().State().Key
		k.down.Store(true)
		r := open()
		if s := r.State(); !s.Cold || s.Key != first {
			t.Fatalf("got %+v, want a cold start with key %s", s, first)
		}
		asked := k.asked.Load()
		running(t, r, func() {
			time.Sleep(10 * time.Minute)
			if got := k.asked.Load() - asked; got < 10 || got > 60 {
				t.Errorf("a keyring that is away was asked %d times in ten minutes, want every half a minute", got)
			}
			if s := r.State(); !s.Cold || s.Key != first {
				t.Errorf("got %+v while the keyring is away", s)
			}
			k.down.Store(false)
			time.Sleep(time.Minute)
			if s := r.State(); s.Cold || s.Key == first {
				t.Errorf("got %+v after the keyring came back, want a new key", s)
			}
		})
	})
}

// TestAKeyThatCouldNotBeSealedIsSealedLater: else a start without the keyring would have an old one, or none.
func TestAKeyThatCouldNotBeSealedIsSealedLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	bubble(t, func(t *testing.T, k *away, db *store.DB) {
		safe, cfg := seal.NewSafe(dir, "correct horse", work), seal.RingConfig{Renew: time.Hour}
		r, err := seal.OpenRing(t.Context(), db, k, safe, nodeA, cfg, quiet())
		if err != nil {
			t.Fatal(err)
		}
		first := r.State().Key
		running(t, r, func() {
			if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil { // no folder can be made there
				t.Fatal(err)
			}
			time.Sleep(2*time.Hour + 5*time.Minute)
			made := r.State().Key
			if asked := k.asked.Load(); made == first || asked != 3 {
				t.Errorf("after two hours %d keys were made, want 3: what cannot be sealed keeps no key from being replaced", asked)
			}
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if got := r.State().Key; got != made || k.asked.Load() != 3 {
				t.Errorf("another key was made to be sealed")
			}
			k.down.Store(true)
			again, err := seal.OpenRing(t.Context(), db, k, safe, nodeA, cfg, quiet())
			if err != nil || again.State().Key != made {
				t.Errorf("a start without the keyring: %v, want key %s", err, made)
			}
		})
	})
}

func TestAKeyIsReplacedAtItsAge(t *testing.T) {
	inBubble(t, func(t *testing.T, r *seal.Ring, k *away, _ *store.DB) {
		first := r.State()
		time.Sleep(55 * time.Minute)
		if got := r.State().Key; got != first.Key {
			t.Errorf("replaced before its time, by %s", got)
		}
		time.Sleep(10 * time.Minute)
		if got := r.State(); got.Key == first.Key || !got.Until.After(first.Until) {
			t.Errorf("after its age still %+v", got)
		}
		if got := k.asked.Load(); got != 2 {
			t.Errorf("the keyring was asked %d times, want 2", got)
		}
	})
}

// TestTheKeyringMayBeAwayForTheWholeBudget: seven hours of certificate less one of age are six hours without the keyring.
func TestTheKeyringMayBeAwayForTheWholeBudget(t *testing.T) {
	inBubble(t, func(t *testing.T, r *seal.Ring, k *away, _ *store.DB) {
		time.Sleep(55 * time.Minute) // the worst moment: just before the renewal
		k.down.Store(true)
		asked := k.asked.Load()
		time.Sleep(6 * time.Hour)
		if _, err := r.Sign(forTest, []byte("digest")); err != nil {
			t.Errorf("after six hours without the keyring: %v", err)
		}
		if s := r.State(); !s.Half || s.Left > 10*time.Minute {
			t.Errorf("state %+v does not say that the time runs out", s)
		}
		if got := k.asked.Load() - asked; got > 6*3600/20 {
			t.Errorf("a keyring that is away was asked %d times in six hours", got)
		}
		time.Sleep(10 * time.Minute)
		if _, err := r.Sign(forTest, []byte("digest")); problem.KindOf(err) != problem.Unavailable {
			t.Errorf("signed after the certificate ended: %v", err)
		}
		k.down.Store(false)
		time.Sleep(time.Minute)
		if _, err := r.Sign(forTest, []byte("digest")); err != nil {
			t.Errorf("a minute after the keyring came back: %v", err)
		}
	})
}

// TestARevokedKeySignsNothingMore also when the keyring gives no other; and a node learns of it without a restart.
func TestARevokedKeySignsNothingMore(t *testing.T) {
	inBubble(t, func(t *testing.T, r *seal.Ring, k *away, db *store.DB) {
		k.down.Store(true)
		first := r.State().Key
		revoke(t, db, first)
		time.Sleep(time.Second)
		if _, err := r.Sign(forTest, []byte("digest")); problem.KindOf(err) != problem.Unavailable {
			t.Errorf("signed with a revoked key: %v", err)
		}
		k.down.Store(false)
		time.Sleep(time.Minute)
		if s, err := r.Sign(forTest, []byte("digest")); err != nil || s.Key == first {
			t.Errorf("signed with %s, %v", s.Key, err)
		}
	})
}

// TestAYoungKeyIsNotReplaced although its certificate begins a minute before it was made: a node would ask for keys without a pause.
func TestAYoungKeyIsNotReplaced(t *testing.T) {
	eachKeyring(t, func(t *testing.T, k seal.Keyring) {
		r, err := seal.OpenRing(t.Context(), storetest.SQLite(t), k, nil, nodeA, seal.RingConfig{Renew: 30 * time.Second}, quiet())
		if err != nil {
			t.Fatal(err)
		}
		s := r.State()
		if d := s.Renew.Sub(s.From); d < time.Minute {
			t.Errorf("it is replaced %s after its certificate began, want more than a minute", d)
		}
	})
}

func TestARetiredKeyIsReplacedAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, r *seal.Ring, _ *away, db *store.DB) {
		first := r.State().Key
		time.Sleep(time.Second) // Run waits for its next look
		if err := db.InTx(t.Context(), func(tx *store.Tx) error { _, err := seal.Retire(t.Context(), tx, first); return err }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := r.State().Key; got == first {
			t.Error("still signs with the retired key")
		}
	})
}

func TestAKeyOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	k := &away{Keyring: local(t, dir)}
	db, safe := storetest.SQLite(t), seal.NewSafe(dir, "correct horse", work)
	first := ring(t, db, k, safe).State().Key
	k.down.Store(true)
	if got := ring(t, db, k, safe).State().Key; got != first {
		t.Errorf("got key %s after the start, want %s", got, first)
	}
	if _, err := seal.OpenRing(t.Context(), db, k, seal.NewSafe(dir, "wrong", work), nodeA, seal.RingConfig{}, quiet()); problem.KindOf(err) != problem.Denied {
		t.Errorf("a wrong passphrase: %v", err)
	}
	if _, err := seal.OpenRing(t.Context(), storetest.SQLite(t), k, safe, nodeA, seal.RingConfig{}, quiet()); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("a database that does not know the key, and no keyring: %v", err)
	}
}

func TestNoSecretIsReadableInTheFolder(t *testing.T) {
	dir := t.TempDir()
	ring(t, storetest.SQLite(t), local(t, dir), seal.NewSafe(dir, "correct horse", work))
	files, err := filepath.Glob(filepath.Join(dir, "*.age"))
	if err != nil || len(files) != 2 {
		t.Fatalf("files %q, %v, want the CA's and the node's", files, err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s has mode %o, want 600", f, got)
		}
	}
}

// TestACertificateThatHasEndedAlreadyIsNotTaken: a node whose clock is ahead by more than a certificate lasts would else make a key and a row of
// the archive every few seconds, and sign with none of them.
func TestACertificateThatHasEndedAlreadyIsNotTaken(t *testing.T) {
	bubble(t, func(t *testing.T, k *away, db *store.DB) {
		var ahead atomic.Int64
		cfg := seal.RingConfig{Renew: time.Hour, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}
		r, err := seal.OpenRing(t.Context(), db, k, nil, nodeA, cfg, quiet())
		if err != nil {
			t.Fatal(err)
		}
		running(t, r, func() {
			asked := k.asked.Load()
			ahead.Store(int64(8 * time.Hour))
			time.Sleep(30 * time.Minute)
			if got := k.asked.Load() - asked; got < 10 || got > 1800/20 {
				t.Errorf("the keyring was asked %d times in half an hour, want every half a minute", got)
			}
			var kept []seal.Archived
			if err := db.View(t.Context(), func(tx *store.Tx) (err error) { kept, err = seal.Archive(t.Context(), tx); return err }); err != nil || len(kept) != 1 {
				t.Errorf("%d keys are archived, %v, want the first alone", len(kept), err)
			}
			ahead.Store(0)
			if _, err := r.Sign(forTest, []byte("digest")); err != nil {
				t.Errorf("on a clock that is right again: %v", err)
			}
		})
	})
}

// TestAKeyringThatWasAwayAtFirstIsOpenedLater: a folder that comes back, or a passphrase that is put right, needs no other start.
func TestAKeyringThatWasAwayAtFirstIsOpenedLater(t *testing.T) {
	safe := seal.NewSafe(t.TempDir(), "correct horse", work)
	k := seal.NewLocal(safe, nodeA, time.Hour, time.Now)
	if _, err := k.Certify(t.Context(), csr(t)); problem.KindOf(err) != problem.NotFound {
		t.Errorf("without a file: %v", err)
	}
	if err := seal.InitLocal(safe, "1000", time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Certify(t.Context(), csr(t)); err != nil {
		t.Errorf("once the file is there: %v", err)
	}
}
