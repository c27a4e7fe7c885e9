package seal_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestADrillShowsTheWholeBudget, on both keyrings, and leaves nothing behind.
func TestADrillShowsTheWholeBudget(t *testing.T) {
	eachKeyring(t, func(t *testing.T, k seal.Keyring) {
		d, err := seal.Drill(t.Context(), k, nodeA, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		// The first signature is at once, the others each hour of seven days.
		if d.Life != 7*24*time.Hour || d.Budget != d.Life-24*time.Hour || d.Signed != 7*24 && d.Signed != 7*24+1 ||
			d.Asked < 6*24 || d.Key == "" {
			t.Errorf("got %+v", d)
		}
	})
}

func TestADrillNeedsTheKeyringAtItsBeginning(t *testing.T) {
	if _, err := seal.Drill(t.Context(), local(t, t.TempDir()), seal.NodeURI(plantURI, "b"), 24*time.Hour); problem.KindOf(err) != problem.Denied {
		t.Errorf("got %v, want what the keyring says", err)
	}
}

// fickle is a keyring that may be away, or refuse.
type fickle struct {
	seal.Keyring
	away, denies bool
}

func (f *fickle) Certify(ctx context.Context, r *x509.CertificateRequest) ([]*x509.Certificate, error) {
	switch {
	case f.away:
		return nil, &problem.Error{Kind: problem.Unavailable, Why: "away"}
	case f.denies:
		return nil, &problem.Error{Kind: problem.Denied, Why: "no"}
	}
	return f.Keyring.Certify(ctx, r)
}

func record(to *[]string) func(context.Context, *store.Tx, string, seal.KeyID, time.Duration) error {
	return func(_ context.Context, _ *store.Tx, what string, _ seal.KeyID, left time.Duration) error {
		if what == seal.ColdStart && left <= 0 {
			return fmt.Errorf("left %s", left)
		}
		*to = append(*to, what)
		return nil
	}
}

// TestAColdStartIsRecorded, each one, and ends with the first new key.
func TestAColdStartIsRecorded(t *testing.T) {
	dir := t.TempDir()
	k := &fickle{Keyring: local(t, dir)}
	db, safe := storetest.SQLite(t), seal.NewSafe(dir, "correct horse", work)
	var recorded []string
	open := func() *seal.Ring {
		t.Helper()
		r, err := seal.OpenRing(t.Context(), db, k, safe, nodeA, seal.RingConfig{Fresh: true, Record: record(&recorded)}, quiet())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := open().State()
	if second := open().State(); second.Key == first.Key || second.Cold {
		t.Errorf("a start with the keyring: got %+v, want a new key", second)
	}
	k.away = true
	before := open()
	r := open()
	s := r.State()
	if !s.Cold || s.Key != before.State().Key {
		t.Errorf("a start without: got %+v, want the sealed key", s)
	}
	k.away = false
	if err := r.Rotate(t.Context()); err != nil || r.State().Cold {
		t.Errorf("after a new key: %+v, %v", r.State(), err)
	}
	want := []string{seal.KeyMade, seal.KeyMade, seal.ColdStart, seal.ColdStart, seal.KeyMade}
	if len(recorded) != len(want) {
		t.Fatalf("recorded %q, want %q", recorded, want)
	}
	for i := range want {
		if recorded[i] != want[i] {
			t.Errorf("recorded %q, want %q", recorded, want)
		}
	}
	k.denies = true
	if _, err := seal.OpenRing(t.Context(), db, k, safe, nodeA, seal.RingConfig{Fresh: true}, quiet()); problem.KindOf(err) != problem.Denied {
		t.Errorf("a keyring that refuses: got %v, want no start", err)
	}
}
