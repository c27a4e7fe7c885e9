package seal_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/seal/vaulttest"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// eachWrapper runs test on the wrapping key of a local keyring and on one of a real Vault, with what rotates it.
func eachWrapper(t *testing.T, test func(t *testing.T, w seal.Wrapper, rotate func())) {
	t.Helper()
	t.Run("local", func(t *testing.T) {
		l := local(t, t.TempDir())
		test(t, l, func() {
			if _, err := l.RotateWrapping(); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("vault", func(t *testing.T) {
		v, s := vault(t, t.TempDir())
		test(t, v, func() {
			if _, err := s.Admin(t).Logical().WriteWithContext(t.Context(), "holdfast-transit/keys/rest/rotate", nil); err != nil {
				t.Fatal(err)
			}
		})
	})
}

func TestAKeyringShowsAgainTheSeedsThatItWrapped(t *testing.T) {
	eachWrapper(t, func(t *testing.T, w seal.Wrapper, rotate func()) {
		plain, wrapped, err := w.Wrap(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		again, err := w.Rewrap(t.Context(), wrapped)
		if err != nil || !slices.Equal(again, wrapped) {
			t.Errorf("wrapped anew without a rotation: %v, %v, want them as they were", again, err)
		}
		rotate()
		fresh, err := w.Rewrap(t.Context(), wrapped)
		if err != nil {
			t.Fatal(err)
		}
		for n := range wrapped {
			if fresh[n] == wrapped[n] {
				t.Error("a rotation left a seed as it was")
			}
		}
		got, err := w.Unwrap(t.Context(), slices.Concat(wrapped, fresh))
		if err != nil {
			t.Fatal(err)
		}
		for n, seed := range slices.Concat(plain, plain) {
			if len(seed) != 32 || !bytes.Equal(got[n], seed) {
				t.Errorf("seed %d came back otherwise", n)
			}
		}
		if _, err := w.Unwrap(t.Context(), []string{wrapped[0][:len(wrapped[0])-8] + "AAAAAAAA"}); problem.KindOf(err) != problem.Denied {
			t.Errorf("an altered seed: got %v, want a problem of kind %s", err, problem.Denied)
		}
	})
}

// TestNodesWithCopiesOfAKeyringOpenEachOthersSeeds: also one whose copy was made before the wrapping key was rotated waits, and takes nothing
// for altered.
func TestNodesWithCopiesOfAKeyringOpenEachOthersSeeds(t *testing.T) {
	dir := t.TempDir()
	a, b := local(t, dir), local(t, dir)
	plain, wrapped, err := a.Wrap(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Unwrap(t.Context(), wrapped); err != nil || !bytes.Equal(got[0], plain[0]) {
		t.Fatalf("b opens %x, %v, want %x", got, err, plain[0])
	}
	if _, err := a.RotateWrapping(); err != nil {
		t.Fatal(err)
	}
	fresh, err := a.Rewrap(t.Context(), wrapped)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Unwrap(t.Context(), fresh); err != nil || !bytes.Equal(got[0], plain[0]) {
		t.Errorf("after a rotation b opens %x, %v, want %x", got, err, plain[0])
	}
}

// restWorld is a database with one Rest on it, and a clock and a keyring of its own.
type restWorld struct {
	t    *testing.T
	db   *store.DB
	keys *flaky
	us   *atomic.Int64
}

// flaky is a keyring that may be away, and counts its calls.
type flaky struct {
	seal.Wrapper
	mu    sync.Mutex
	err   error // guarded by mu
	calls int   // guarded by mu
	most  int   // that are wrapped anew by one call, 0 for all; guarded by mu
}

func (f *flaky) only(most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.most = most
}

// Rewrap leaves some as they were, as a job does that is stopped.
func (f *flaky) Rewrap(ctx context.Context, wrapped []string) ([]string, error) {
	fresh, err := f.Wrapper.Rewrap(ctx, wrapped)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.most > 0 && len(fresh) > f.most {
		copy(fresh[f.most:], wrapped[f.most:])
	}
	return fresh, err
}

func (f *flaky) asked() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	return f.err
}

func (f *flaky) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *flaky) Wrap(ctx context.Context, n int) ([][]byte, []string, error) {
	if err := f.asked(); err != nil {
		return nil, nil, err
	}
	return f.Wrapper.Wrap(ctx, n)
}

func (f *flaky) Unwrap(ctx context.Context, wrapped []string) ([][]byte, error) {
	if err := f.asked(); err != nil {
		return nil, err
	}
	return f.Wrapper.Unwrap(ctx, wrapped)
}

var errAway = &problem.Error{Kind: problem.Unavailable, What: "ask the keyring", Why: "it is away"}

func eachRest(t *testing.T, test func(t *testing.T, w restWorld)) {
	t.Helper()
	us := &atomic.Int64{}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		us.Store(0)
		test(t, restWorld{t, db, &flaky{Wrapper: local(t, t.TempDir())}, us})
	}, storetest.WithClock(func() time.Time { return noon.Add(time.Duration(us.Load()) * time.Microsecond) }))
}

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func (w restWorld) forward(d time.Duration) { w.us.Add(d.Microseconds()) }

func (w restWorld) open(cfg seal.RestConfig) (*seal.Rest, error) { return w.openIn(w.t.Context(), cfg) }

func (w restWorld) openIn(ctx context.Context, cfg seal.RestConfig) (*seal.Rest, error) {
	cfg.Now = w.db.Now
	cfg.Begin = func(context.Context, *store.Tx) (bool, bool, error) { return true, true, nil }
	return seal.OpenRest(ctx, w.db, w.keys, cfg, quiet())
}

func (w restWorld) must(cfg seal.RestConfig) *seal.Rest {
	w.t.Helper()
	r, err := w.open(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

var cellA = store.Cell{Table: "things", Row: "a", Bound: [][]byte{[]byte("x"), []byte("yz")}}

func (w restWorld) seal(r *seal.Rest, c store.Cell, text string) (sealed []byte, epoch int64) {
	w.t.Helper()
	err := w.db.InTx(w.t.Context(), func(tx *store.Tx) (err error) {
		sealed, epoch, err = r.Seal(w.t.Context(), tx, c, []byte(text))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return sealed, epoch
}

func (w restWorld) unseal(r *seal.Rest, c store.Cell, epoch int64, sealed []byte) (text string, err error) {
	err = w.db.View(w.t.Context(), func(tx *store.Tx) error {
		b, err := r.Unseal(w.t.Context(), tx, c, epoch, sealed)
		text = string(b)
		return err
	})
	return text, err
}

func (w restWorld) visit(r *seal.Rest) {
	w.t.Helper()
	if err := r.Visit(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// TestASealedValueOpensInItsOwnPlaceAlone: whatever is put elsewhere, or of which something that it is bound to has changed, does not open.
func TestASealedValueOpensInItsOwnPlaceAlone(t *testing.T) {
	eachRest(t, func(t *testing.T, w restWorld) {
		r := w.must(seal.RestConfig{})
		own := cellA
		own.Own = []byte("a secret of its own")
		for _, c := range []store.Cell{cellA, own} {
			sealed, epoch := w.seal(r, c, "secret")
			if epoch == 0 || bytes.Contains(sealed, []byte("secret")) {
				t.Fatalf("%q is kept by epoch %d", sealed, epoch)
			}
			if got, err := w.unseal(r, c, epoch, sealed); err != nil || got != "secret" {
				t.Errorf("opened %q, %v", got, err)
			}
			other := []struct {
				name string
				cell store.Cell
			}{
				{"another table", store.Cell{Table: "others", Row: c.Row, Bound: c.Bound, Own: c.Own}},
				{"another row", store.Cell{Table: c.Table, Row: "b", Bound: c.Bound, Own: c.Own}},
				{"bound to less", store.Cell{Table: c.Table, Row: c.Row, Bound: c.Bound[:1], Own: c.Own}},
				{"bound to the same bytes in other parts", store.Cell{Table: c.Table, Row: c.Row, Bound: [][]byte{[]byte("xy"), []byte("z")}, Own: c.Own}},
				{"with another secret", store.Cell{Table: c.Table, Row: c.Row, Bound: c.Bound, Own: []byte("another")}},
			}
			for _, o := range other {
				if _, err := w.unseal(r, o.cell, epoch, sealed); problem.KindOf(err) != problem.Integrity {
					t.Errorf("%s: got %v, want a problem of kind %s", o.name, err, problem.Integrity)
				}
			}
			for n := range sealed {
				flipped := slices.Clone(sealed)
				flipped[n] ^= 1
				if _, err := w.unseal(r, c, epoch, flipped); problem.KindOf(err) != problem.Integrity {
					t.Errorf("byte %d flipped: got %v, want a problem of kind %s", n, err, problem.Integrity)
				}
			}
			if _, err := w.unseal(r, c, epoch+1, sealed); err == nil {
				t.Error("it opens under another epoch")
			}
		}
	})
}

// TestSecretsTakeTurnsInOneTransaction: the key of the last one is at hand, and opens nothing of the next.
func TestSecretsTakeTurnsInOneTransaction(t *testing.T) {
	eachRest(t, func(t *testing.T, w restWorld) {
		r := w.must(seal.RestConfig{})
		cell := func(table, own string) store.Cell {
			return store.Cell{Table: table, Row: "a", Own: []byte(own)}
		}
		cells := []store.Cell{cell("things", "one"), cell("things", "two"), cell("others", "two"), cell("others", "")}
		cells[3].Own = nil
		err := w.db.InTx(t.Context(), func(tx *store.Tx) error {
			for _, c := range cells {
				sealed, epoch, err := r.Seal(t.Context(), tx, c, []byte("secret"))
				if err != nil {
					return err
				}
				for _, o := range append(cells, cells...) {
					got, err := r.Unseal(t.Context(), tx, o, epoch, sealed)
					if same := o.Table == c.Table && bytes.Equal(o.Own, c.Own); same != (err == nil) || same && string(got) != "secret" {
						t.Errorf("%s with %q opened with %s and %q: %q, %v", c.Table, c.Own, o.Table, o.Own, got, err)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestEpochsTurnWithoutTheKeyring: by age, for as long as those last that lie ready; then the last one goes on. What was sealed stays readable.
func TestEpochsTurnWithoutTheKeyring(t *testing.T) {
	eachRest(t, func(t *testing.T, w restWorld) {
		r := w.must(seal.RestConfig{Ahead: 3})
		w.keys.fail(errAway)
		type kept struct {
			sealed []byte
			epoch  int64
		}
		var all []kept
		used := map[int64]bool{}
		for day := range 6 {
			sealed, epoch := w.seal(r, cellA, fmt.Sprint("day ", day))
			all, used[epoch] = append(all, kept{sealed, epoch}), true
			w.forward(24 * time.Hour)
			w.visit(r)
		}
		if len(used) != 4 || all[3].epoch != all[5].epoch {
			t.Errorf("sealed by the epochs %v, want the first, three that lay ready, and the last of them on", used)
		}
		if why := r.Alarm(); !strings.Contains(why, "no epoch lies ready") {
			t.Errorf("the last one goes on, and the alarm is %q", why)
		}
		w.keys.fail(nil)
		w.forward(time.Minute)
		w.visit(r)
		if why := r.Alarm(); why != "" {
			t.Errorf("with the keyring back the alarm is %q", why)
		}
		if _, epoch := w.seal(r, cellA, "back"); used[epoch] {
			t.Errorf("sealed by epoch %d with the keyring back, want a new one", epoch)
		}
		for n, k := range all {
			if got, err := w.unseal(w.must(seal.RestConfig{}), cellA, k.epoch, k.sealed); err != nil || got != fmt.Sprint("day ", n) {
				t.Errorf("day %d: opened %q, %v", n, got, err)
			}
		}
	})
}

// TestAnEpochTurnsByItsUse: after so many seals, whoever made them.
func TestAnEpochTurnsByItsUse(t *testing.T) {
	eachRest(t, func(t *testing.T, w restWorld) {
		first := w.must(seal.RestConfig{Most: 1 << 19})
		_, began := w.seal(first, cellA, "x")
		for range 2 {
			w.must(seal.RestConfig{Most: 1 << 19}) // each start reserves some
		}
		next := w.must(seal.RestConfig{Most: 1 << 19})
		if _, epoch := w.seal(next, cellA, "x"); epoch == began {
			t.Errorf("epoch %d goes on beyond its use", epoch)
		}
	})
}

// TestAStartWithoutTheKeyring needs a safe with the seeds.
func TestAStartWithoutTheKeyring(t *testing.T) {
	eachRest(t, func(t *testing.T, w restWorld) {
		cfg := seal.RestConfig{Safe: seal.NewSafe(t.TempDir(), "correct horse", work), File: "rest.age"}
		sealed, epoch := w.seal(w.must(cfg), cellA, "secret")
		w.keys.fail(errAway)
		if _, err := w.open(seal.RestConfig{}); problem.KindOf(err) != problem.Unavailable {
			t.Errorf("without a safe: got %v, want a problem of kind %s", err, problem.Unavailable)
		}
		r := w.must(cfg)
		if got, err := w.unseal(r, cellA, epoch, sealed); err != nil || got != "secret" {
			t.Errorf("with the safe: opened %q, %v", got, err)
		}
		if _, epoch := w.seal(r, cellA, "more"); epoch == 0 {
			t.Error("with the safe: it seals nothing")
		}
	})
}

// TestANodeThatStartsWithoutTheKeyringBeginsToSealLater: it has its key of before, and the plant has not begun. Any other node does not start.
func TestANodeThatStartsWithoutTheKeyringBeginsToSealLater(t *testing.T) {
	eachRest(t, func(t *testing.T, w restWorld) {
		cfg := seal.RestConfig{Begin: func(context.Context, *store.Tx) (bool, bool, error) { return true, true, nil }}
		w.keys.fail(errAway)
		if _, err := w.open(cfg); problem.KindOf(err) != problem.Unavailable {
			t.Errorf("got %v, want a problem of kind %s", err, problem.Unavailable)
		}
		cfg.Later = true
		r, err := w.open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if r.Seals() || !strings.Contains(r.Alarm(), "not begun") {
			t.Errorf("it seals: %v; alarm %q", r.Seals(), r.Alarm())
		}
		w.keys.fail(nil)
		if err := r.Visit(t.Context()); err != nil || !r.Seals() || r.Alarm() != "" {
			t.Errorf("the keyring is back: %v, seals: %v, alarm %q", err, r.Seals(), r.Alarm())
		}
	})
}

// TestWhatIsSwitchedOffStaysReadable, and nothing is taken for forged when it is switched on again.
func TestWhatIsSwitchedOffStaysReadable(t *testing.T) {
	eachRest(t, func(t *testing.T, w restWorld) {
		on := w.must(seal.RestConfig{})
		sealed, epoch := w.seal(on, cellA, "secret")
		if !on.AllSealed() {
			t.Error("a plant that began with nothing owed is not whole")
		}
		off := w.must(seal.RestConfig{Off: true})
		if got, err := w.unseal(off, cellA, epoch, sealed); err != nil || got != "secret" {
			t.Errorf("opened %q, %v", got, err)
		}
		if kept, epoch := w.seal(off, cellA, "plain"); epoch != 0 || string(kept) != "plain" || off.AllSealed() {
			t.Errorf("kept %q by epoch %d", kept, epoch)
		}
		if w.must(seal.RestConfig{}).AllSealed() {
			t.Error("what was kept in between is taken for forged")
		}
	})
}

// TestARotatedKeyringWrapsEpochsAnew: what is sealed stays, and an earlier version of the wrapping key is needed no more.
func TestARotatedKeyringWrapsEpochsAnew(t *testing.T) {
	v, s := vault(t, t.TempDir())
	db := storetest.SQLite(t)
	w := restWorld{t: t, db: db, keys: &flaky{Wrapper: v}}
	r := w.must(seal.RestConfig{})
	sealed, epoch := w.seal(r, cellA, "secret")
	admin := s.Admin(t).Logical()
	if _, err := admin.WriteWithContext(t.Context(), "holdfast-transit/keys/rest/rotate", nil); err != nil {
		t.Fatal(err)
	}
	progress := func(want int) {
		t.Helper()
		var s seal.RestState
		err := db.View(t.Context(), func(tx *store.Tx) (err error) { s, err = seal.ReadRestState(t.Context(), tx); return err })
		if err != nil || s.Epochs != 8 || s.Earlier != want {
			t.Errorf("%d of %d epochs are said to be wrapped by an earlier version, %v; want %d of 8", s.Earlier, s.Epochs, err, want)
		}
	}
	w.keys.only(3)
	if _, changed, err := r.Rewrap(t.Context()); err != nil || changed != 3 {
		t.Errorf("%d were wrapped anew, %v; want three, as of a job that was stopped", changed, err)
	}
	progress(5)
	w.keys.only(0)
	all, changed, err := r.Rewrap(t.Context())
	if err != nil || all != 8 || changed != 5 {
		t.Errorf("of %d epochs %d were wrapped anew, %v; want the other five of 8", all, changed, err)
	}
	progress(0)
	if _, changed, err := r.Rewrap(t.Context()); err != nil || changed != 0 {
		t.Errorf("a second time %d were wrapped anew, %v; want none", changed, err)
	}
	_, err = admin.WriteWithContext(t.Context(), "holdfast-transit/keys/rest/config", map[string]any{"min_decryption_version": 2})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := w.unseal(w.must(seal.RestConfig{}), cellA, epoch, sealed); err != nil || got != "secret" {
		t.Errorf("opened %q, %v", got, err)
	}
	err = db.InTx(t.Context(), func(tx *store.Tx) error { // as a backup from before the rotation has them
		_, err := tx.Exec(t.Context(), `UPDATE rest_epochs SET wrapped = 'vault:v1:'||SUBSTR(wrapped, 10) WHERE id = ?`, epoch)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	figures := prometheus.NewRegistry()
	r = w.must(seal.RestConfig{Metrics: figures})
	if _, err := w.unseal(r, cellA, epoch, sealed); problem.KindOf(err) != problem.Unavailable || !strings.Contains(r.Alarm(), "refuses the seeds of 1 ") {
		t.Errorf("by a version that is no longer shown: got %v, alarm %q, want a problem of kind %s", err, r.Alarm(), problem.Unavailable)
	}
	if got := refused(t, figures); got != 1 {
		t.Errorf("%v seeds are said to be refused; want one", got)
	}
}

// TestSeedsThatAreRefusedAreAskedForTogether: min_decryption_version is the brake for an emergency, and a Vault in one is not asked for each seed,
// nor for a login. When it is released, everything opens again. A seed that was altered stays shut by itself, and keeps no other from being wrapped
// anew.
func TestSeedsThatAreRefusedAreAskedForTogether(t *testing.T) {
	s := vaulttest.Start(t)
	s.Setup(t, nil, "plant", "1000")
	var calls atomic.Int64
	w := restWorld{t: t, db: storetest.SQLite(t), keys: &flaky{Wrapper: through(t, s, func(*http.Request) { calls.Add(1) })}}
	r := w.must(seal.RestConfig{})
	admin := func(path string, data map[string]any) {
		t.Helper()
		if _, err := s.Admin(t).Logical().WriteWithContext(t.Context(), "holdfast-transit/keys/rest/"+path, data); err != nil {
			t.Fatal(err)
		}
	}
	admin("rotate", nil)
	err := w.db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE rest_epochs SET wrapped = SUBSTR(wrapped, 1, LENGTH(wrapped) - 8)||'AAAAAAAA' WHERE id = 8`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.keys.only(3)
	if _, changed, err := r.Rewrap(t.Context()); problem.KindOf(err) != problem.Denied || changed != 3 {
		t.Errorf("%d were wrapped anew, %v; want three, and a word of the one that was altered", changed, err)
	}
	admin("config", map[string]any{"min_decryption_version": 2})
	figures := prometheus.NewRegistry()
	before := calls.Load()
	again := w.must(seal.RestConfig{Metrics: figures}) // some are refused
	w.visit(again)                                     // all that are missing are
	if got := calls.Load() - before; got > 3 {
		t.Errorf("two visits asked Vault %d times", got)
	}
	if got := refused(t, figures); got != 5 {
		t.Errorf("%v seeds are said to be refused, want five", got)
	}
	admin("config", map[string]any{"min_decryption_version": 1})
	w.visit(again)
	if got := refused(t, figures); got != 1 {
		t.Errorf("when the brake is released %v seeds are said to be refused, want the one that was altered", got)
	}
	w.keys.only(0)
	if _, changed, err := again.Rewrap(t.Context()); problem.KindOf(err) != problem.Denied || changed != 4 {
		t.Errorf("%d were wrapped anew, %v; want all but the one that was altered", changed, err)
	}
}

// refused is of how many seeds it is said that the keyring refuses them.
func refused(t *testing.T, figures *prometheus.Registry) float64 {
	t.Helper()
	told, err := figures.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range told {
		if f.GetName() == "holdfast_keys_rest_refused" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("there is no such figure")
	return 0
}
