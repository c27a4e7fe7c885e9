package audit_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// withoutKey has the MAC of one entry not checked, as while the keyring is away and its epoch's key is not at hand.
type withoutKey struct {
	*seal.Rest
	of *string
}

func (w withoutKey) CheckMAC(ctx context.Context, tx *store.Tx, c store.Cell, epoch int64, mac []byte) error {
	if c.Row == *w.of {
		return &problem.Error{Kind: problem.Unavailable, What: "check a MAC", Why: "the key of its epoch is not at hand"}
	}
	return w.Rest.CheckMAC(ctx, tx, c, epoch, mac)
}

// aside is a plant with entries that are sealed and three that are not, and the number of the middle one of these: its key is away while away names it.
type aside struct {
	db     *store.DB
	now    time.Time
	tree   func(node string) *audit.Tree
	by     audit.Signatures
	away   string
	middle string
	last   int64
}

func eachAside(t *testing.T, test func(t *testing.T, a *aside)) {
	t.Helper()
	a := &aside{now: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a.db, a.away = db, ""
		sign, by := signers(t, db, "a", "b")
		a.by = by
		a.tree = func(node string) *audit.Tree {
			return audit.NewTree(db, origin, node, audit.Config{Sign: sign[node], Check: func(context.Context) (*seal.Notes, error) { return by.(*seal.Notes), nil }}, quiet())
		}
		db.SealWith(withoutKey{keyed(t, db, seal.RestConfig{Now: db.Now}), &a.away})
		if err := db.InTx(t.Context(), func(tx *store.Tx) error { return audit.BeginMACs(t.Context(), tx, "node:a", nil) }); err != nil {
			t.Fatal(err)
		}
		entries(t, db, 3)
		sealed(t, a.tree("a"))
		entries(t, db, 3)
		all := list(t, db, audit.Filter{})
		a.last, a.middle = all[0].Seq, strconv.FormatInt(all[1].Seq, 10)
		test(t, a)
	}, storetest.WithClock(func() time.Time { return a.now }))
}

func (a *aside) size(t *testing.T) (size int64) {
	t.Helper()
	if err := a.db.View(t.Context(), func(tx *store.Tx) (err error) { size, err = audit.Size(t.Context(), tx); return err }); err != nil {
		t.Fatal(err)
	}
	return size
}

// TestWhatFollowsAnEntryWithoutItsKeyWaitsWithIt: placed before it, it would look as if somebody had moved one behind the other.
func TestWhatFollowsAnEntryWithoutItsKeyWaitsWithIt(t *testing.T) {
	eachAside(t, func(t *testing.T, a *aside) {
		a.away = a.middle
		tree := a.tree("a")
		if c, err := tree.Seal(t.Context()); problem.KindOf(err) != problem.Unavailable || a.size(t) != a.last-2 {
			t.Errorf("with one key away: %+v, %v, %d places, want that it is told, and %d places", c, err, a.size(t), a.last-2)
		}
		a.away = ""
		if c := sealed(t, tree); c.Size != a.last {
			t.Errorf("with all keys there is a checkpoint of %d entries, want %d", c.Size, a.last)
		}
		whole(t, verify(t, a.db, a.by))
	})
}

// TestAKeyThatStaysAwayHoldsNothingUpForEver: alerts are told from entries that have their places. What was not checked is covered by no checkpoint.
func TestAKeyThatStaysAwayHoldsNothingUpForEver(t *testing.T) {
	eachAside(t, func(t *testing.T, a *aside) {
		a.away = a.middle
		tree := a.tree("a")
		a.now = a.now.Add(9 * time.Minute)
		if err := tree.Place(t.Context()); err != nil || a.size(t) != a.last-2 {
			t.Fatalf("after nine minutes: %v, %d places, want %d", err, a.size(t), a.last-2)
		}
		a.now = a.now.Add(2 * time.Minute)
		if c, err := tree.Seal(t.Context()); c != nil || problem.KindOf(err) != problem.Unavailable || a.size(t) != a.last {
			t.Fatalf("after eleven minutes: %+v, %v, %d places, want %d and no checkpoint", c, err, a.size(t), a.last)
		}
		a.away = ""
		if c := sealed(t, tree); c.Size != a.last {
			t.Errorf("with all keys there is a checkpoint of %d entries, want %d", c.Size, a.last)
		}
		whole(t, verify(t, a.db, a.by))
	})
}

// TestNobodyVouchesForTheLastOfAChain: it may have been put in there, and nothing waits for it.
func TestNobodyVouchesForTheLastOfAChain(t *testing.T) {
	eachAside(t, func(t *testing.T, a *aside) {
		a.away = strconv.FormatInt(a.last, 10)
		a.now = a.now.Add(time.Hour)
		if err := a.tree("a").Place(t.Context()); err != nil || a.size(t) != a.last-1 {
			t.Errorf("got %v, %d places, want %d", err, a.size(t), a.last-1)
		}
	})
}

// TestANodeWithoutTheKeyOfAnEntryLeavesTheTreeToAnother that has it, at once and not when its lease ends.
func TestANodeWithoutTheKeyOfAnEntryLeavesTheTreeToAnother(t *testing.T) {
	for name, waits := range map[string]time.Duration{"while it waits": 0, "once it has its place": time.Hour} {
		t.Run(name, func(t *testing.T) {
			eachAside(t, func(t *testing.T, a *aside) {
				a.away = a.middle
				a.now = a.now.Add(waits)
				if _, err := a.tree("a").Seal(t.Context()); problem.KindOf(err) != problem.Unavailable {
					t.Fatalf("node a: %v, want that it is told", err)
				}
				a.away = ""
				if c := sealed(t, a.tree("b")); c.Size != a.last {
					t.Errorf("node b makes a checkpoint of %d entries, want %d", c.Size, a.last)
				}
				whole(t, verify(t, a.db, a.by))
			})
		})
	}
}

// TestACheckpointThatCannotBeMadeStaysTold until one is made.
func TestACheckpointThatCannotBeMadeStaysTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		figures := prometheus.NewRegistry()
		trouble := func(want string) {
			t.Helper()
			want = "# HELP holdfast_audit_trouble 1 while checkpoints cannot be made (build), are not written outside the database (copy), or do not continue what is there (altered).\n" +
				"# TYPE holdfast_audit_trouble gauge\nholdfast_audit_trouble{what=\"altered\"} 0\nholdfast_audit_trouble{what=\"build\"} " + want + "\nholdfast_audit_trouble{what=\"copy\"} 0\n"
			if err := testutil.GatherAndCompare(figures, strings.NewReader(want), "holdfast_audit_trouble"); err != nil {
				t.Error(err)
			}
		}
		entries(t, db, 3)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var tree *audit.Tree
		asked := 0
		tree = audit.NewTree(db, origin, "a", audit.Config{Every: 100 * time.Millisecond, Poll: 5 * time.Millisecond, Metrics: figures, Sign: func(context.Context, string, string) (string, error) {
			switch asked++; asked {
			case 1:
				return "", &problem.Error{Kind: problem.Unavailable, What: "sign", Why: "the key has ended"}
			case 2: // it was looked many times since
				trouble("1")
				stop()
			}
			return "a line\n", nil
		}}, quiet())
		if err := tree.Run(ctx); err != nil {
			t.Fatal(err)
		}
		trouble("0")
	})
}

// TestARecordWithoutCheckpointsForTenMinutesHasAGap that somebody must look at.
func TestARecordWithoutCheckpointsForTenMinutesHasAGap(t *testing.T) {
	eachAside(t, func(t *testing.T, a *aside) {
		a.away = a.middle
		tree := a.tree("a")
		look := func(what string, after time.Duration, want string) {
			t.Helper()
			a.now = a.now.Add(after)
			if err := tree.Begin(t.Context(), time.Time{}, nil); err != nil {
				t.Fatal(err)
			}
			if got := tree.Gap(); !strings.Contains(got, want) || (got == "") != (want == "") {
				t.Errorf("%s: got gap %q, want %q", what, got, want)
			}
		}
		look("at once", 0, "")
		look("nine minutes later", 9*time.Minute, "")
		look("ten minutes later", time.Minute, "no checkpoint could be made since 2026-11-24T")
		a.away = ""
		look("with all keys", 0, "")
	})
}

// TestLanesThatAreHeldUnderAKeyThatIsAwayAreLookedAtLater, and keep no others from being looked at.
func TestLanesThatAreHeldUnderAKeyThatIsAwayAreLookedAtLater(t *testing.T) {
	eachAside(t, func(t *testing.T, a *aside) {
		ctx := t.Context()
		head := func(lane string) audit.Head {
			return audit.Head{Link: "erp", Lane: lane, Epoch: 1, Number: 1, Digest: "x"}
		}
		for _, lane := range []string{"o1", "o2"} {
			if err := a.db.InTx(ctx, func(tx *store.Tx) error { return audit.Hold(ctx, tx, "node:a", []audit.Head{head(lane)}) }); err != nil {
				t.Fatal(err)
			}
		}
		a.away = strconv.FormatInt(a.last+1, 10)
		if err := a.db.View(ctx, func(tx *store.Tx) error {
			held, err := audit.HeldAfter(ctx, tx, 0, 10)
			if want := (audit.Held{Heads: []audit.Head{head("o2")}, Last: a.last + 2, N: 2, Unjudged: []int64{a.last + 1}}); err != nil || !cmp.Equal(held, want) {
				t.Errorf("got %+v, %v, want %+v", held, err, want)
			}
			a.away = ""
			late, err := audit.HeldBy(ctx, tx, held.Unjudged)
			if want := []audit.Head{head("o1")}; err != nil || !cmp.Equal(late.Heads, want) || len(late.Unjudged) != 0 {
				t.Errorf("with the key: %+v, %v, want %v", late, err, want)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestWhatSaysThatReceiptsHaveMACsCountsBesideOneUnderAKeyThatIsAway: that one may have been put in.
func TestWhatSaysThatReceiptsHaveMACsCountsBesideOneUnderAKeyThatIsAway(t *testing.T) {
	eachAside(t, func(t *testing.T, a *aside) {
		ctx := t.Context()
		begun := func(what string, want bool, kind problem.Kind) {
			t.Helper()
			if err := a.db.InTx(ctx, func(tx *store.Tx) error {
				return audit.Append(ctx, tx, audit.Entry{Actor: "x", Action: audit.ReceiptsBegin, Object: "audit/record", After: []byte(`{}`)})
			}); err != nil {
				t.Fatal(err)
			}
			err := a.db.View(ctx, func(tx *store.Tx) error {
				is, err := audit.ReceiptsBegun(ctx, tx)
				if is != want {
					t.Errorf("%s: got %v, want %v", what, is, want)
				}
				return err
			})
			if problem.KindOf(err) != kind {
				t.Errorf("%s: got %v, want kind %q", what, err, kind)
			}
		}
		a.away = strconv.FormatInt(a.last+1, 10)
		begun("alone", false, problem.Unavailable)
		begun("beside another one", true, "")
	})
}
