package seal_test

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// told is what a ring has recorded.
type told struct {
	mu    sync.Mutex
	all   []string
	fails map[string]int // how often it is not written
}

func (r *told) record(_ context.Context, _ *store.Tx, what string, key seal.KeyID, _ time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails[what] > 0 {
		r.fails[what]--
		return errors.New("the database is full")
	}
	r.all = append(r.all, what+" "+string(key))
	return nil
}

func (r *told) count(what string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.all {
		if s == what {
			n++
		}
	}
	return n
}

func chainOf(t *testing.T, db *store.DB, id seal.KeyID) (a seal.Archived) {
	t.Helper()
	err := db.View(t.Context(), func(tx *store.Tx) (err error) { a, err = seal.Find(t.Context(), tx, id); return err })
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestANodeSeesThatItsKeyIsOnTheListOfTheLocalKeyring, which somebody has put there without the plant's database: while it runs, and at a start.
func TestANodeSeesThatItsKeyIsOnTheListOfTheLocalKeyring(t *testing.T) {
	dir := t.TempDir()
	bubble(t, func(t *testing.T, k *away, db *store.DB) {
		var said told
		cfg := seal.RingConfig{Renew: time.Hour, Record: said.record}
		safe := seal.NewSafe(dir, "correct horse", work)
		r, err := seal.OpenRing(t.Context(), db, k, safe, nodeA, cfg, quiet())
		if err != nil {
			t.Fatal(err)
		}
		first := r.State().Key
		running(t, r, func() {
			if err := k.Revoke(t.Context(), chainOf(t, db, first).Chain[0]); err != nil {
				t.Fatal(err)
			}
			k.down.Store(true)
			time.Sleep(6 * time.Minute)
			if _, err := r.Sign(forTest, []byte("digest")); problem.KindOf(err) != problem.Unavailable {
				t.Errorf("it signs with a key that was revoked: %v", err)
			}
			k.down.Store(false)
			time.Sleep(time.Minute)
			if s, err := r.Sign(forTest, []byte("digest")); err != nil || s.Key == first {
				t.Errorf("signed with %s, %v", s.Key, err)
			}
		})
		second := r.State().Key
		if err := k.Revoke(t.Context(), chainOf(t, db, second).Chain[0]); err != nil {
			t.Fatal(err)
		}
		again, err := seal.OpenRing(t.Context(), db, k, safe, nodeA, cfg, quiet())
		if err != nil || again.State().Key == second {
			t.Errorf("a start: signs with %s, %v", again.State().Key, err)
		}
		for _, id := range []seal.KeyID{first, second} {
			if a := chainOf(t, db, id); a.Revoked.IsZero() || a.Reason != "the keyring's list of revoked keys names it" || said.count(seal.KeyListed+" "+string(id)) != 1 {
				t.Errorf("the archive says %v %q, recorded %v", a.Revoked, a.Reason, said.all)
			}
		}
	})
}

// TestARevokedKeyIsOnRecordBeforeAnotherTakesItsPlace, also if the database does not take it at first.
func TestARevokedKeyIsOnRecordBeforeAnotherTakesItsPlace(t *testing.T) {
	dir := t.TempDir()
	bubble(t, func(t *testing.T, k *away, db *store.DB) {
		said := told{fails: map[string]int{seal.KeyListed: 1}}
		r, err := seal.OpenRing(t.Context(), db, k, seal.NewSafe(dir, "correct horse", work), nodeA, seal.RingConfig{Renew: time.Hour, Record: said.record}, quiet())
		if err != nil {
			t.Fatal(err)
		}
		first := r.State().Key
		running(t, r, func() {
			if err := k.Revoke(t.Context(), chainOf(t, db, first).Chain[0]); err != nil {
				t.Fatal(err)
			}
			time.Sleep(7 * time.Minute)
		})
		if a := chainOf(t, db, first); a.Revoked.IsZero() || said.count(seal.KeyListed+" "+string(first)) != 1 {
			t.Errorf("the archive says %v, recorded %v", a.Revoked, said.all)
		}
		if r.State().Key == first {
			t.Error("no other key took its place")
		}
	})
}

// TestANodeSeesThatVaultHasRevokedItsKey: it stops to sign with it, and gets another one only as long as its role is there.
func TestANodeSeesThatVaultHasRevokedItsKey(t *testing.T) {
	t.Parallel()
	v, s := vault(t, t.TempDir())
	db := storetest.SQLite(t)
	var said told
	r, err := seal.OpenRing(t.Context(), db, v, nil, nodeA, seal.RingConfig{Record: said.record, Look: time.Second}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	operator := v.As(s.Token)
	running(t, r, func() {
		first := r.State().Key
		if err := operator.Revoke(t.Context(), chainOf(t, db, first).Chain[0]); err != nil {
			t.Fatal(err)
		}
		until(t, "another key", func() bool {
			got, err := r.Sign(forTest, []byte("digest"))
			return err == nil && got.Key != first
		})
		second := r.State().Key
		if _, err := s.Admin(t).Logical().Delete("holdfast-pki/roles/a"); err != nil {
			t.Fatal(err)
		}
		if err := operator.Revoke(t.Context(), chainOf(t, db, second).Chain[0]); err != nil {
			t.Fatal(err)
		}
		var why error
		until(t, "an end of signing", func() bool {
			_, why = r.Sign(forTest, []byte("digest"))
			return why != nil
		})
		if problem.KindOf(why) != problem.Unavailable || !strings.Contains(why.Error(), "its key was revoked") {
			t.Errorf("got %v, want that it says why", why)
		}
		until(t, "both in the record", func() bool {
			return said.count(seal.KeyListed+" "+string(first)) == 1 && said.count(seal.KeyListed+" "+string(second)) == 1
		})
		if a := chainOf(t, db, second); a.Revoked.IsZero() {
			t.Error("the archive does not have it as revoked")
		}
	})
}

// until waits for something that comes from another process.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("no %s", what)
}

// askedFor counts how often a keyring is asked for its roots.
type askedFor struct {
	seal.Keyring
	roots atomic.Int64
}

func (a *askedFor) Roots(ctx context.Context) ([]*x509.Certificate, []*x509.RevocationList, error) {
	a.roots.Add(1)
	return a.Keyring.Roots(ctx)
}

// TestWhoAsksForThePublicKeysDoesNotAskTheKeyring: anybody may ask for the JWK set, as often as they like. What was revoked is not in it at once, and
// what the keyring has to say is heard after a few minutes.
func TestWhoAsksForThePublicKeysDoesNotAskTheKeyring(t *testing.T) {
	bubble(t, func(t *testing.T, k *away, db *store.DB) {
		counts := &askedFor{Keyring: k}
		r, err := seal.OpenRing(t.Context(), db, counts, nil, nodeA, seal.RingConfig{Renew: time.Hour}, quiet())
		if err != nil {
			t.Fatal(err)
		}
		has := func(id seal.KeyID) bool {
			t.Helper()
			b, err := r.Bundle(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			set, err := b.JWKS()
			if err != nil {
				t.Fatal(err)
			}
			return strings.Contains(string(set), string(id))
		}
		first := r.State().Key
		for range 1000 {
			if !has(first) {
				t.Fatal("the key is not told")
			}
		}
		if n := counts.roots.Load(); n != 1 {
			t.Errorf("the keyring was asked %d times, want once", n)
		}
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if second := r.State().Key; !has(second) || !has(first) {
			t.Error("after a rotation not both are told")
		}
		revoke(t, db, first)
		if has(first) {
			t.Error("what was revoked is told")
		}
		second := r.State().Key
		if err := k.Revoke(t.Context(), chainOf(t, db, second).Chain[0]); err != nil { // by somebody else
			t.Fatal(err)
		}
		time.Sleep(6 * time.Minute)
		if has(second) || counts.roots.Load() != 2 {
			t.Errorf("what the keyring says is not heard; it was asked %d times", counts.roots.Load())
		}
	})
}

// TestWhatWasRevokedStaysSo: the archive has it taken back, or put later, that keys were revoked, of which no list of the keyring's says anything. A node
// writes it there again, with an entry each, whether the keyring answers or not, and signs nothing with its own; a check believes none meanwhile.
func TestWhatWasRevokedStaysSo(t *testing.T) {
	dir := t.TempDir()
	bubble(t, func(t *testing.T, k *away, db *store.DB) {
		var said told
		onRecord := map[seal.KeyID]time.Time{}
		cfg := seal.RingConfig{Renew: time.Hour, Record: said.record, Decided: func(context.Context, *store.Tx, []seal.KeyID) (map[seal.KeyID]time.Time, error) { return onRecord, nil }}
		other, r := ringOf(t, db, k, dir, "b", cfg), ringOf(t, db, k, dir, "a", cfg)
		own, old := r.State().Key, other.State().Key
		by, err := other.Sign(forTest, []byte("digest"))
		if err != nil {
			t.Fatal(err)
		}
		onRecord[own], onRecord[old] = time.Now(), time.Now()
		err = db.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE seal_keys SET revoked_at = ? WHERE id = ?`, store.Micros(time.Now().Add(time.Hour)), string(old))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		trust, err := r.Trust(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := trust.Verify(forTest, []byte("digest"), by); problem.KindOf(err) != problem.Denied {
			t.Errorf("before anybody has looked: %v", err)
		}
		k.down.Store(true)
		running(t, r, func() {
			time.Sleep(6 * time.Minute)
			if _, err := r.Sign(forTest, []byte("digest")); problem.KindOf(err) != problem.Unavailable {
				t.Errorf("it signs with a key that was revoked: %v", err)
			}
		})
		for _, id := range []seal.KeyID{own, old} {
			if a := chainOf(t, db, id); !a.Revoked.Equal(onRecord[id].Truncate(time.Microsecond)) || said.count(seal.KeyUndone+" "+string(id)) != 1 {
				t.Errorf("the archive says %v %q, recorded %v, want %v", a.Revoked, a.Reason, said.all, onRecord[id])
			}
		}
	})
}

// TestTheListSpeaksOfEveryNodesKey: one that somebody has put on the list without the plant is revoked by whichever node sees it.
func TestTheListSpeaksOfEveryNodesKey(t *testing.T) {
	dir := t.TempDir()
	bubble(t, func(t *testing.T, k *away, db *store.DB) {
		var said told
		cfg := seal.RingConfig{Renew: time.Hour, Record: said.record}
		gone := ringOf(t, db, k, dir, "b", cfg).State().Key
		if err := k.Revoke(t.Context(), chainOf(t, db, gone).Chain[0]); err != nil {
			t.Fatal(err)
		}
		running(t, ringOf(t, db, k, dir, "a", cfg), func() { time.Sleep(6 * time.Minute) })
		if a := chainOf(t, db, gone); a.Revoked.IsZero() || said.count(seal.KeyListed+" "+string(gone)) != 1 {
			t.Errorf("the archive says %v, recorded %v", a.Revoked, said.all)
		}
	})
}

// ringOf is the ring of a node under the keyring of node a's plant.
func ringOf(t *testing.T, db *store.DB, k *away, dir, node string, cfg seal.RingConfig) *seal.Ring {
	t.Helper()
	safe, uri := seal.NewSafe(dir, "correct horse", work), seal.NodeURI(plantURI, node)
	of := &away{Keyring: k.Keyring}
	if node != "a" {
		of.Keyring = seal.NewLocal(k.safe, uri, 7*time.Hour, time.Now)
	} else {
		of = k
	}
	r, err := seal.OpenRing(t.Context(), db, of, safe, uri, cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return r
}
