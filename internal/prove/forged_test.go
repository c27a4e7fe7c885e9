package prove_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/audit"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/prove"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// places has the database hold a forged leaf, hashes over it, a checkpoint of old with the key that has ended, and the mark of that as a leaf: all that the
// plant would write itself, by SQL.
func (a *aged) places(old time.Time, ms ...message.Message) {
	a.t.Helper()
	var heads []audit.Head
	for _, m := range ms {
		heads = append(heads, audit.Head{Link: m.Link, Lane: m.Lane, Epoch: m.Epoch, Number: m.Number, Digest: m.Digest()})
	}
	text, err := json.Marshal(heads)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(audit.Entry{At: a.db.Now(), After: text})
	thiefs := audit.NewTree(a.db, a.origin, "a", audit.Config{Sign: func(_ context.Context, name, text string) (string, error) {
		return a.stolen.SignCheckpoint(name, text)
	}}, slog.New(slog.DiscardHandler)) // one that asks nobody whose signatures count
	now := a.clock.Swap(old.Unix())
	c, err := thiefs.Seal(a.t.Context())
	a.clock.Store(now)
	if err != nil || c == nil || !c.At.Equal(old) {
		a.t.Fatalf("forged %+v, %v", c, err)
	}
	mark, err := json.Marshal(audit.Mark{Size: c.Size, Root: c.Root, At: c.At})
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(audit.Entry{At: a.db.Now(), Before: mark, After: []byte("[]")})
	a.placeBySQL()
}

// placeBySQL gives the newest entry the next place in the tree.
func (a *aged) placeBySQL() {
	a.t.Helper()
	ctx := a.t.Context()
	if err := a.db.InTx(ctx, func(tx *store.Tx) error {
		last, err := audit.List(ctx, tx, audit.Filter{Action: audit.LanesMoved, Limit: 1})
		if err != nil {
			return err
		}
		size, err := audit.Size(ctx, tx)
		if err != nil {
			return err
		}
		leaf, err := last[0].Leaf()
		if err != nil {
			return err
		}
		hashes, err := tlog.StoredHashes(size, leaf, tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
			out := make([]tlog.Hash, len(at))
			for i, pos := range at {
				var h []byte
				if err := tx.Get(ctx, &h, `SELECT hash FROM audit_hashes WHERE pos = ?`, pos); err != nil {
					return nil, err
				}
				copy(out[i][:], h)
			}
			return out, nil
		}))
		for i, h := range hashes {
			if _, err := tx.Exec(ctx, `INSERT INTO audit_hashes (pos, hash) VALUES (?, ?)`, tlog.StoredHashIndex(0, size)+int64(i), h[:]); err != nil {
				return err
			}
		}
		for _, step := range []string{`INSERT INTO audit_leaves (leaf, entry) VALUES (?, ?)`, `UPDATE audit_tree SET size = ? + 1 WHERE ? > 0`, `DELETE FROM audit_pending WHERE ? >= 0 AND entry = ?`} {
			if _, err := tx.Exec(ctx, step, size, last[0].Seq); err != nil {
				return err
			}
		}
		return err
	}); err != nil {
		a.t.Fatal(err)
	}
}

// recorded is how often the record itself says that it was altered.
func (a *aged) recorded() int {
	a.t.Helper()
	var all []audit.Entry
	if err := a.db.View(a.t.Context(), func(tx *store.Tx) (err error) {
		all, err = audit.List(a.t.Context(), tx, audit.Filter{Action: audit.Forged})
		return err
	}); err != nil {
		a.t.Fatal(err)
	}
	return len(all)
}

// TestWhatIsPlacedBySQLIsDenied: the thief of a key that has ended gives his entries their places himself, with hashes and checkpoint. The plant
// signs the tree as it is, and says in what it signs that these are not its own; what it did sign itself is vouched for as before.
func TestWhatIsPlacedBySQLIsDenied(t *testing.T) {
	a := newAged(t)
	lane := a.lane("o1", 4)
	a.hold(a.db, a.stolen, lane[3])
	a.hold(a.db, a.stolen, a.lane("o2", 1)...)
	a.clock.Store(signedAt + 2*3600)
	honest := a.newKey(a.clock)
	a.hold(a.db, honest, a.lane("o3", 1)...)
	a.clock.Add(600)
	a.thief.Store(signedAt + 60)
	longer := a.lane("o1", 5)
	a.places(time.Unix(signedAt+60, 0).UTC(), longer[4])

	a.hold(a.db, honest, a.lane("o6", 1)...)
	a.clock.Add(60)
	a.hold(a.db, honest, a.lane("o7", 1)...)
	_, err := prove.Read(strings.NewReader(proof(t, longer...)+a.vouchers(a.db, longer...)), a.keys(t))
	if problem.KindOf(err) != problem.Denied || !strings.Contains(err.Error(), "number 5 of lane o1: ") {
		t.Errorf("the thief's: got %v, want it refused", err)
	}
	if _, err := prove.Read(strings.NewReader(proof(t, lane...)+a.vouchers(a.db, lane...)), a.keys(t)); err != nil {
		t.Errorf("what the plant did sign: %v", err)
	}
	if n := a.recorded(); n != 2 { // the checkpoint that the plant has not made, and the places that it denies
		t.Errorf("the record says %d times that it was altered, want 2", n)
	}
	if err := a.db.View(t.Context(), func(tx *store.Tx) error {
		r, err := audit.Verify(t.Context(), tx, a.origin, nil, a.keys(t).Trust.Notes(a.origin, nil))
		if !slices.ContainsFunc(r.Wrong, func(w audit.Wrong) bool { return strings.Contains(w.What, "none of the plant's") }) {
			t.Errorf("got %+v, want that the place is denied", r.Wrong)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// run lets a tree run until fn returns, a round each millisecond.
func run(t *testing.T, tree *audit.Tree, fn func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = tree.Run(ctx) })
	fn()
	cancel()
	wg.Wait()
}

// polling is the tree of a node that looks all the time, and what waits until it has looked so often.
func (a *aged) polling(node string, ring *seal.Ring) (tree *audit.Tree, looked func(times int)) {
	asked := &atomic.Int64{}
	tree = audit.NewTree(a.db, a.origin, node, audit.Config{
		Every: time.Second, Poll: time.Millisecond, Lease: time.Hour,
		Sign: func(_ context.Context, name, text string) (string, error) { return ring.SignCheckpoint(name, text) },
		Check: func(context.Context) (*seal.Notes, error) {
			asked.Add(1)
			return a.keys(a.t).Trust.Notes(a.origin, nil), nil
		},
	}, slog.New(slog.DiscardHandler))
	return tree, func(times int) {
		a.t.Helper()
		for range times {
			before := asked.Load()
			for until := time.Now().Add(10 * time.Second); asked.Load() <= before; time.Sleep(5 * time.Millisecond) {
				a.clock.Add(1) // so that a round is due
				if time.Now().After(until) {
					a.t.Fatal("the tree does not look")
				}
			}
		}
	}
}

// forgedMarks puts entries into the record that remember a checkpoint that there was not.
func (a *aged) forgedMarks(n int) {
	a.t.Helper()
	mark, err := json.Marshal(audit.Mark{Size: 1, At: time.Unix(signedAt-5000, 0).UTC()})
	if err != nil {
		a.t.Fatal(err)
	}
	for range n {
		a.write(audit.Entry{At: time.Unix(signedAt, 0).UTC(), Before: mark, After: []byte("[]")})
	}
}

func alarmed(tree *audit.Tree) bool { return problem.KindOf(tree.Trouble()) == problem.Integrity }

// TestAForgeryIsToldUntilItIsOver through round after round, whether a checkpoint is due or not, and also by a node that has lost the lease.
func TestAForgeryIsToldUntilItIsOver(t *testing.T) {
	a := newAged(t)
	ring := a.newKey(a.clock)
	a.hold(a.db, ring, a.lane("o1", 1)...)
	a.clock.Add(300) // the lease of the tree that held it has ended
	a.forgedMarks(1)
	tree, looked := a.polling("a", ring)
	other, otherLooked := a.polling("b", ring)
	exec := func(query string, args ...any) {
		t.Helper()
		if err := a.db.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), query, args...)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	run(t, tree, func() {
		run(t, other, func() {
			looked(2) // the first look is over once the second has begun
			otherLooked(2)
			for range 5 {
				if looked(1); !alarmed(tree) && !alarmed(other) {
					t.Fatal("nobody tells of the forgery any more")
				}
			}
			first, second := tree, other
			if !alarmed(tree) {
				first, second = other, tree
			}
			if alarmed(second) {
				t.Fatal("the node without the lease tells what it has not seen")
			}
			exec(`UPDATE audit_tree SET owner = 'c'`) // another one has the lease
			for range 5 {
				looked(1)
				otherLooked(1)
				if !alarmed(first) {
					t.Fatal("the node that has lost the lease forgets the forgery, which still waits")
				}
			}
			exec(`DELETE FROM audit_pending`)
			looked(2)
			otherLooked(2)
			if alarmed(first) || alarmed(second) {
				t.Errorf("it is over, and told still: %v, %v", first.Trouble(), second.Trouble())
			}
		})
	})
}

// TestForgedEntriesInFrontStopNothing: there are more of them than one look takes.
func TestForgedEntriesInFrontStopNothing(t *testing.T) {
	a := newAged(t)
	ring := a.newKey(a.clock)
	a.hold(a.db, ring, a.lane("o1", 1)...)
	a.forgedMarks(2001)
	tree := a.tree(a.db, ring, nil)
	sizes := []int64{}
	for range 3 {
		a.clock.Add(61)
		a.write(audit.Entry{After: []byte("[]")})
		c, err := tree.Seal(t.Context())
		if err != nil || c == nil {
			t.Fatalf("sealed %v, %v", c, err)
		}
		sizes = append(sizes, c.Size)
	}
	if sizes[1] <= sizes[0] || sizes[2] <= sizes[1] {
		t.Errorf("the tree has %v entries", sizes)
	}
	for range 3 {
		a.clock.Add(61)
		if c, err := tree.Seal(t.Context()); err != nil || c != nil && c.Size > sizes[2]+1 {
			t.Errorf("what waits for ever makes a checkpoint: %v, %v", c, err)
		}
	}
	var waits int64
	if err := a.db.View(t.Context(), func(tx *store.Tx) error { return tx.Get(t.Context(), &waits, `SELECT COUNT(*) FROM audit_pending`) }); err != nil || waits != 2001 {
		t.Errorf("%d entries wait, %v, want the forged ones", waits, err)
	}
}

// TestAClockThatWasAheadStopsNoRemembering, and is told until its time has come. Nor does a row that somebody puts among the checkpoints.
func TestAClockThatWasAheadStopsNoRemembering(t *testing.T) {
	a := newAged(t)
	ring := a.newKey(a.clock)
	lane := a.lane("o1", 1)
	a.clock.Store(signedAt + 600)
	a.hold(a.db, ring, a.lane("o2", 1)...)
	a.clock.Store(signedAt + 10)
	tree := a.tree(a.db, ring, []audit.Head{{Link: lane[0].Link, Lane: "o1", Epoch: lane[0].Epoch, Number: 1, Digest: lane[0].Digest()}})
	if _, err := tree.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := tree.Ahead(), time.Unix(signedAt+600, 0); !got.Equal(want) {
		t.Errorf("told as ahead: %s, want %s", got, want)
	}
	a.clock.Store(signedAt + 20)
	a.write(audit.Entry{After: []byte("[]")})
	if _, err := tree.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO audit_checkpoints (size, at, node, note) SELECT 0, ?, node, note FROM audit_checkpoints WHERE size > 0 LIMIT 1`, store.Micros(time.Unix(signedAt+90_000_000, 0)))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	a.clock.Store(signedAt + 700)
	a.hold(a.db, ring, a.lane("o3", 1)...)
	ending, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tree.Run(ending); err != nil || !alarmed(tree) || !tree.Ahead().IsZero() {
		t.Errorf("got %v, %v, ahead %s; want an alarm for the row, and none for the clock any more", tree.Trouble(), err, tree.Ahead())
	}
	var latest time.Time
	if err := a.db.View(t.Context(), func(tx *store.Tx) error {
		return audit.EachMoved(t.Context(), tx, time.Unix(0, 0), func(e audit.Entry, _ int64) error {
			m, is, err := e.Mark()
			if !is {
				return err
			}
			if m.At.Before(latest) {
				t.Errorf("a checkpoint is remembered as of %s after one of %s", m.At, latest)
			}
			latest = m.At
			return err
		})
	}); err != nil {
		t.Fatal(err)
	}
	a.clock.Store(signedAt + 2*3600)
	a.hold(a.db, a.newKey(a.clock), a.lane("o4", 1)...)
	if _, err := prove.Read(strings.NewReader(proof(t, lane...)+a.vouchers(a.db, lane...)), a.keys(t)); err != nil {
		t.Errorf("what was held while the clock had been ahead: %v", err)
	}
}

// TestARecordThatRemembersNothingIsMarked: it is one of a release that had its checkpoints remembered by nobody. What they vouch for is
// remembered as far as nobody but the plant can have made them.
func TestARecordThatRemembersNothingIsMarked(t *testing.T) {
	a := newAged(t)
	first := a.lane("o1", 1)
	unmarking := func(ring *seal.Ring, ms ...message.Message) {
		t.Helper()
		var heads []audit.Head
		for _, m := range ms {
			heads = append(heads, audit.Head{Link: m.Link, Lane: m.Lane, Epoch: m.Epoch, Number: m.Number, Digest: m.Digest()})
		}
		if err := a.db.InTx(t.Context(), func(tx *store.Tx) error { return audit.Hold(t.Context(), tx, "node:a", heads) }); err != nil {
			t.Fatal(err)
		}
		if c, err := audit.NewTree(a.db, a.origin, "a", audit.Config{Sign: func(_ context.Context, name, text string) (string, error) {
			return ring.SignCheckpoint(name, text)
		}}, slog.New(slog.DiscardHandler)).Seal(t.Context()); err != nil || c == nil {
			t.Fatal(c, err)
		}
	}
	unmarking(a.stolen, first...)
	a.clock.Store(signedAt + 1800)
	later := a.newKey(a.clock)
	unmarking(later, a.lane("o2", 1)...)
	a.clock.Store(signedAt + 3700) // the first key has ended, and not the second
	a.thief.Store(signedAt + 60)
	backdated := a.lane("o9", 1)
	a.clock.Store(signedAt + 60)
	unmarking(a.stolen, backdated...) // his checkpoint says that it is of then
	a.clock.Store(signedAt + 3760)
	unmarking(later, a.lane("o5", 1)...)
	a.clock.Add(60)
	a.hold(a.db, later, a.lane("o3", 1)...)
	a.clock.Add(60)
	a.hold(a.db, later, a.lane("o4", 1)...)
	if _, err := prove.Read(strings.NewReader(proof(t, first...)+a.vouchers(a.db, first...)), a.keys(t)); err != nil {
		t.Errorf("what the plant did sign: %v", err)
	}
	if _, err := prove.Read(strings.NewReader(proof(t, backdated...)+a.vouchers(a.db, backdated...)), a.keys(t)); problem.KindOf(err) != problem.Denied {
		t.Errorf("the thief's: %v", err)
	}
}
