package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

const plant = "urn:holdfast:plant:1000"

var origin = audit.Origin(string(seal.ForCheckpoint), plant)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// signing signs a checkpoint.
type signing = func(ctx context.Context, name, text string) (string, error)

// signer is a node of the plant with a keyring of its own, and what checks its signatures.
func signer(t testing.TB, db *store.DB) (sign signing, by audit.Signatures) {
	t.Helper()
	all, by := signers(t, db, "a")
	return all["a"], by
}

// signers are nodes of the plant under one keyring, each with a key of its own, and what checks their signatures.
func signers(t testing.TB, db *store.DB, nodes ...string) (sign map[string]signing, by audit.Signatures) {
	t.Helper()
	safe := seal.NewSafe(t.TempDir(), "correct horse", 10)
	if err := seal.InitLocal(safe, "1000", db.Now()); err != nil {
		t.Fatal(err)
	}
	sign = map[string]signing{}
	for _, name := range nodes {
		node := seal.NodeURI(plant, name)
		ring, err := seal.OpenRing(t.Context(), db, seal.NewLocal(safe, node, 7*24*time.Hour, db.Now), nil, node, seal.RingConfig{Now: db.Now}, quiet())
		if err != nil {
			t.Fatal(err)
		}
		trust, err := ring.Trust(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sign[name] = func(_ context.Context, name, text string) (string, error) { return ring.SignCheckpoint(name, text) }
		by = trust.Notes(origin, nil)
	}
	return sign, by
}

// entries writes n entries, each with all that an entry can have.
func entries(t testing.TB, db *store.DB, n int) {
	t.Helper()
	for i := range n {
		write(t, db, audit.Entry{
			Actor: "local:anna", From: "127.0.0.1", Action: "link.pause", Object: fmt.Sprintf("link/%d", i), Reason: "maintenance",
			Before: []byte(`{"paused":false}`), After: []byte(`{"paused":true}`),
		})
	}
}

// sealed makes a checkpoint, which there has to be.
func sealed(t testing.TB, tree *audit.Tree) audit.Checkpoint {
	t.Helper()
	c, err := tree.Seal(t.Context())
	if err != nil || c == nil {
		t.Fatalf("got checkpoint %v, %v, want one", c, err)
	}
	return *c
}

func verify(t testing.TB, db *store.DB, by audit.Signatures, outside ...audit.Checkpoint) audit.Report {
	t.Helper()
	var r audit.Report
	err := db.View(t.Context(), func(tx *store.Tx) (err error) {
		r, err = audit.Verify(t.Context(), tx, origin, outside, by)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// whole wants a record in which nothing is wrong.
func whole(t *testing.T, r audit.Report) {
	t.Helper()
	if err := r.Err(); err != nil {
		t.Errorf("%+v", r.Wrong)
	}
}

func TestACheckpointCoversWhatWasDone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, by := signer(t, db)
		tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet())
		entries(t, db, 5)
		first := sealed(t, tree)
		if c, err := tree.Seal(t.Context()); c != nil || err != nil {
			t.Errorf("without anything new: got %v, %v, want nothing", c, err)
		}
		entries(t, db, 8)
		second := sealed(t, tree)
		entries(t, db, 2)
		r := verify(t, db, by, first, second)
		whole(t, r)
		if r.Entries != 13 || r.Waiting != 2 || r.Checkpoints != 2 || r.Outside != 2 || r.Signed != 4 || r.Covered != 13 {
			t.Errorf("got %+v, want 13 entries, 2 waiting, 2 checkpoints signed here and outside", r)
		}
	})
}

// TestOthersProgramsReadACheckpoint with the library of Go's own checksum database, whose form it is.
func TestOthersProgramsReadACheckpoint(t *testing.T) {
	db := storetest.SQLite(t)
	sign, _ := signer(t, db)
	entries(t, db, 3)
	c := sealed(t, audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet()))
	var key string
	if err := db.View(t.Context(), func(tx *store.Tx) error {
		all, err := seal.Archive(t.Context(), tx)
		if err == nil {
			key, err = all[0].NoteKey(origin)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open([]byte(c.Note), note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(n.Sigs) != 1 || lines[0] != origin || lines[1] != "3" || lines[2] != c.Root.String() {
		t.Errorf("got %q", n.Text)
	}
}

// TestSeveralNodesBuildOneTree: acts go on meanwhile, some are undone, and each entry has one place.
func TestSeveralNodesBuildOneTree(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const writers, each = 4, 60
		var acts, nodes sync.WaitGroup
		var done atomic.Bool
		undone := errors.New("undone")
		for w := range writers {
			acts.Go(func() {
				for i := range each {
					err := db.InTx(t.Context(), func(tx *store.Tx) error {
						e := audit.Entry{Actor: "a", Action: "order.start", Object: fmt.Sprintf("order/%d-%d", w, i)}
						if err := audit.Append(t.Context(), tx, e); err != nil || i%10 != 0 {
							return err
						}
						return undone
					})
					if err != nil && !errors.Is(err, undone) {
						t.Error(err)
					}
				}
			})
		}
		for n := range 3 {
			nodes.Go(func() {
				tree := audit.NewTree(db, origin, fmt.Sprint(n), audit.Config{Lease: time.Nanosecond}, quiet())
				for last := false; !last; {
					last = done.Load()
					if _, err := tree.Seal(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		acts.Wait()
		done.Store(true)
		nodes.Wait()
		r := verify(t, db, nil)
		whole(t, r)
		if r.Entries != writers*each*9/10 || r.Covered != r.Entries || r.Waiting != 0 {
			t.Errorf("got %d entries, %d covered, %d waiting; want %d, all covered", r.Entries, r.Covered, r.Waiting, writers*each*9/10)
		}
	})
}

func TestTheLeaseKeepsOthersFromTheTree(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		entries(t, db, 1)
		sealed(t, audit.NewTree(db, origin, "a", audit.Config{}, quiet()))
		entries(t, db, 1)
		if c, err := audit.NewTree(db, origin, "b", audit.Config{}, quiet()).Seal(t.Context()); c != nil || err != nil {
			t.Errorf("another node: got %v, %v, want that it leaves it", c, err)
		}
		sealed(t, audit.NewTree(db, origin, "a", audit.Config{}, quiet()))
	})
}

// TestACheckpointThatComesTooLateIsNone: a node that was held up while it signed finds that another has made later ones. Its own would stand
// before them, where no other node looks for what it has not copied yet.
func TestACheckpointThatComesTooLateIsNone(t *testing.T) {
	for name, more := range map[string]int{"another has a larger one": 1, "another has the same": 0} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				folder := t.TempDir()
				late := audit.NewTree(db, origin, "a", audit.Config{Lease: time.Nanosecond, Sign: func(context.Context, string, string) (string, error) {
					entries(t, db, more)
					ranAs(t, db, "b", audit.Config{Folder: folder})
					return "", nil
				}}, quiet())
				entries(t, db, 2)
				if c, err := late.Seal(t.Context()); c != nil || err != nil {
					t.Errorf("got %v, %v, want that it leaves it", c, err)
				}
				outside, _, err := audit.ReadCopies(folder)
				r := verify(t, db, nil, outside...)
				whole(t, r)
				if err != nil || r.Checkpoints != 1 || len(outside) != 1 || r.Covered != int64(2+more) {
					t.Errorf("got %+v, and %d outside, %v; want one checkpoint, here and there", r, len(outside), err)
				}
			})
		})
	}
}

// TestTheLeaseEndsWithTheLastCheckpoint: not before it is signed, and not later.
func TestTheLeaseEndsWithTheLastCheckpoint(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		signed := 0
		entries(t, db, 1)
		ran(t, db, audit.Config{Sign: func(context.Context, string, string) (string, error) {
			signed++
			entries(t, db, 1)
			if c, err := audit.NewTree(db, origin, "b", audit.Config{}, quiet()).Seal(t.Context()); c != nil || err != nil {
				t.Errorf("another node meanwhile: got %v, %v, want that it leaves it", c, err)
			}
			return "", nil
		}})
		sealed(t, audit.NewTree(db, origin, "b", audit.Config{Lease: time.Nanosecond}, quiet()))
		ranAs(t, db, "a", audit.Config{}) // and also where there is nothing to sign
		entries(t, db, 1)
		sealed(t, audit.NewTree(db, origin, "b", audit.Config{}, quiet()))
		if signed != 1 {
			t.Errorf("signed %d times, want once", signed)
		}
	})
}

// TestACrashAnywhereLosesNothing has the database fail at each statement of a round in turn, as a crash would end it there: while the tree
// grows, before its checkpoint is kept, and while checkpoints are written outside.
func TestACrashAnywhereLosesNothing(t *testing.T) {
	var left, n atomic.Int64
	left.Store(1 << 40)
	before := func(context.Context, string) error {
		if left.Add(-1) < 0 {
			return errors.New("crash")
		}
		return nil
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		folder := t.TempDir()
		n.Store(0)
		for at, said := int64(0), "crash"; said != ""; at++ {
			if !strings.Contains(said, "crash") {
				t.Fatal(said)
			}
			if at%3 == 0 { // else there are ever more checkpoints to write at once
				entries(t, db, 3)
				n.Add(3)
			}
			left.Store(at)
			said = ran(t, db, audit.Config{Folder: folder})
			left.Store(1 << 40)
		}
		outside, spoiled, err := audit.ReadCopies(folder)
		r := verify(t, db, nil, outside...)
		whole(t, r)
		if err != nil || r.Entries != n.Load() || r.Covered != n.Load() || r.Waiting != 0 {
			t.Errorf("got %d entries, %d covered, %d waiting, %v, want %d", r.Entries, r.Covered, r.Waiting, err, n.Load())
		}
		if len(spoiled) != 0 || int64(len(outside)) != r.Checkpoints || outside[len(outside)-1].Size != n.Load() {
			t.Errorf("%d checkpoints outside and %v that are none, want all %d, each once", len(outside), spoiled, r.Checkpoints)
		}
	}, storetest.WithBefore(before))
}

// TestWhatHasItsPlaceAndNoCheckpointWaits: a node that cannot sign is behind, although every entry is in the tree.
func TestWhatHasItsPlaceAndNoCheckpointWaits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		entries(t, db, 2)
		sealed(t, audit.NewTree(db, origin, "a", audit.Config{}, quiet()))
		entries(t, db, 3)
		away := &problem.Error{Kind: problem.Unavailable, What: "sign", Why: "the keyring is away"}
		fails := audit.Config{Sign: func(context.Context, string, string) (string, error) { return "", away }}
		ran(t, db, fails)
		entries(t, db, 1)
		if r := verify(t, db, nil); r.Waiting != 4 || r.Covered != 2 {
			t.Errorf("%d are covered and %d wait, want 2 and 4", r.Covered, r.Waiting)
		}
		var file bytes.Buffer
		if err := audit.Export(t.Context(), db, origin, &file); err != nil {
			t.Fatal(err)
		}
		if r, err := audit.VerifyExport(&file, origin, nil, nil); err != nil || r.Waiting != 3 {
			t.Errorf("of an export %d wait, %v, want the 3 that are in it", r.Waiting, err)
		}
		fails.Metrics = prometheus.NewRegistry()
		ran(t, db, fails)
		if got := figure(t, fails.Metrics.(*prometheus.Registry), "holdfast_audit_waiting_entries"); got != 4 {
			t.Errorf("the figure says that %v wait, want 4", got)
		}
	})
}

// figure is a gauge as it is told.
func figure(t *testing.T, from prometheus.Gatherer, name string) float64 {
	t.Helper()
	all, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no figure %s", name)
	return 0
}

func TestTheHeadsOfLanesAreHeldAsTheyMove(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		heads := []audit.Head{{Link: "erp", Lane: "1", Epoch: 1, Number: 4, Digest: "ab"}, {Link: "erp", Lane: "2", Epoch: 1, Number: 1, Digest: "cd"}}
		var since []time.Time
		tree := audit.NewTree(db, origin, "a", audit.Config{Lanes: func(_ context.Context, _ *store.Tx, s time.Time) ([]audit.Head, error) {
			since = append(since, s)
			return heads, nil
		}}, quiet())
		sealed(t, tree)
		if c, err := tree.Seal(t.Context()); c != nil || err != nil {
			t.Errorf("nothing moved: got %v, %v", c, err)
		}
		heads[0].Number, heads[0].Digest = 5, "ef"
		sealed(t, tree)
		got := list(t, db, audit.Filter{Action: audit.LanesMoved})
		if len(got) != 2 || string(got[0].After) != `[{"link":"erp","lane":"1","epoch":1,"number":5,"digest":"ef"}]` || got[0].Actor != "node:a" {
			t.Errorf("got %+v, want the lane that moved alone", got)
		}
		if n := len(list(t, db, audit.Filter{})); n != 0 {
			t.Errorf("a list of what somebody did has %d of them", n)
		}
		if d := since[2].Sub(since[1]); len(since) != 3 || d < 0 {
			t.Errorf("asked since %v", since)
		}
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE audit_tree SET lanes_at = ?`, store.Micros(tx.Now.Add(time.Hour)))
			return err
		})
		heads[1].Number, heads[1].Digest = 2, "01"
		if sealed(t, tree); err != nil || len(since) != 4 || since[3].After(since[2].Add(-23*time.Hour)) {
			t.Errorf("with a time that lies ahead asked since %v (%v), want what moved in the last 24 hours", since, err)
		}
		whole(t, verify(t, db, nil))
	})
}

// TestWhatCannotBeSignedIsSignedLater: the tree grows meanwhile, and acts do not wait.
func TestWhatCannotBeSignedIsSignedLater(t *testing.T) {
	db := storetest.SQLite(t)
	away := &problem.Error{Kind: problem.Unavailable, What: "sign", Why: "the keyring is away"}
	lines, fails := "", error(away)
	tree := audit.NewTree(db, origin, "a", audit.Config{Sign: func(context.Context, string, string) (string, error) { return lines, fails }}, quiet())
	entries(t, db, 2)
	if c, err := tree.Seal(t.Context()); c != nil || !errors.Is(err, away) {
		t.Errorf("got %v, %v, want that it cannot be signed", c, err)
	}
	lines = "— " + origin + " AAAAAAAA\n" // one of two signers
	if c := sealed(t, tree); c.Size != 2 || !strings.HasSuffix(c.Note, "\n\n"+lines) {
		t.Errorf("got %q", c.Note)
	}
}

func TestEveryEntryIsProven(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, by := signer(t, db)
		tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet())
		prove := func(seq int64) (text string, err error) {
			err = db.View(t.Context(), func(tx *store.Tx) error { text, err = audit.Prove(t.Context(), tx, seq); return err })
			return text, err
		}
		for _, n := range []int{1, 6, 20} {
			entries(t, db, n)
			sealed(t, tree)
		}
		entries(t, db, 1)
		for _, e := range list(t, db, audit.Filter{})[1:] {
			text, err := prove(e.Seq)
			if err != nil {
				t.Fatal(err)
			}
			p, err := audit.CheckProof(text)
			if err != nil || p.Entry.Seq != e.Seq || p.Entry.Object != e.Object || string(p.Entry.After) != string(e.After) || !p.Entry.At.Equal(e.At) {
				t.Fatalf("entry %d: got %+v, %v", e.Seq, p, err)
			}
			if signers, wrong, err := p.Checkpoint.Check(by); len(signers) != 1 || len(wrong) != 0 || err != nil {
				t.Errorf("entry %d: signed by %v, wrong %v, %v", e.Seq, signers, wrong, err)
			}
			if e.Seq == 2 && p.Checkpoint.Size != 7 {
				t.Errorf("entry 2 is proven by the checkpoint of %d entries, want the first that covers it", p.Checkpoint.Size)
			}
		}
		if _, err := prove(28); problem.KindOf(err) != problem.Conflict {
			t.Errorf("an entry that no checkpoint covers: %v", err)
		}
		if _, err := prove(99); problem.KindOf(err) != problem.NotFound {
			t.Errorf("no entry: %v", err)
		}
	})
}

func TestAProofThatWasAlteredIsRefused(t *testing.T) {
	db := storetest.SQLite(t)
	sign, by := signer(t, db)
	entries(t, db, 9)
	sealed(t, audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet()))
	var text string
	err := db.View(t.Context(), func(tx *store.Tx) (err error) { text, err = audit.Prove(t.Context(), tx, 4); return err })
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		altered := text[:i] + string(text[i]^1) + text[i+1:]
		p, err := audit.CheckProof(altered)
		if err != nil {
			continue
		}
		if signers, wrong, err := p.Checkpoint.Check(by); err == nil && len(wrong) == 0 && len(signers) > 0 {
			t.Errorf("byte %d (%q) of the proof can be altered", i, text[i])
		}
	}
}

func FuzzCheckProof(f *testing.F) {
	f.Add("c2sp.org/tlog-proof@v1\nextra AAAA\nindex 0\n\no\n1\n" + strings.Repeat("A", 43) + "=\ntime 2026-11-27T00:00:00Z\n\n")
	leaf, err := audit.Entry{Seq: 1, At: time.Unix(1, 0), Action: "a", After: []byte{}}.Leaf()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(leaf))
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := audit.CheckProof(text); err == nil && (p.Place < 0 || p.Place >= p.Checkpoint.Size) {
			t.Errorf("place %d of %d", p.Place, p.Checkpoint.Size)
		}
		if e, err := audit.ParseLeaf([]byte(text)); err == nil {
			if again, err := e.Leaf(); err != nil || string(again) != text {
				t.Errorf("%q is read as %+v", text, e)
			}
		}
	})
}

func TestALeafIsOneEntry(t *testing.T) {
	e := audit.Entry{Seq: 1, At: time.Unix(5, 0), Actor: "a", Object: "b", After: []byte("x")}
	hash := func(e audit.Entry) tlog.Hash {
		b, err := e.Leaf()
		if err != nil {
			t.Fatal(err)
		}
		return tlog.RecordHash(b)
	}
	moved := e
	moved.Actor, moved.Object = "", "ab"
	none := e
	none.Before = []byte{}
	for name, other := range map[string]audit.Entry{"text that moved": moved, "nothing for empty": none} {
		if hash(e) == hash(other) {
			t.Errorf("%s: the same hash", name)
		}
	}
	e.Actor = "\xff"
	if _, err := e.Leaf(); problem.KindOf(err) != problem.Integrity {
		t.Errorf("no text: %v", err)
	}
}
