package edition_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/audit"
	"holdfast/internal/edition"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// made is an edition of one mapping with this text.
func made(t *testing.T, text string) edition.Edition {
	t.Helper()
	e, err := edition.Read(fstest.MapFS{"out/m.yaml": {Data: []byte(text)}, "notes.txt": {Data: []byte("no mapping")}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// plant is a database with editions.
type plant struct {
	t  *testing.T
	db *store.DB
}

// do keeps the edition of a text and does something with it.
func (p plant) do(text string, act func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error)) (s edition.State, err error) {
	p.t.Helper()
	e := made(p.t, text)
	err = p.db.InTx(p.t.Context(), func(tx *store.Tx) error {
		if err := edition.Keep(p.t.Context(), tx, e); err != nil {
			return err
		}
		if s, err = act(p.t.Context(), tx, e.Hash); err != nil {
			return err
		}
		return recorded(p.t.Context(), tx)
	})
	return s, err
}

// recorded writes the entry of the audit record that whoever did the last step writes in the same transaction.
func recorded(ctx context.Context, tx *store.Tx) error {
	steps, err := edition.Steps(ctx, tx, 1)
	if err != nil {
		return err
	}
	last, slot := steps[0], "used"
	if last.Step == edition.Proposed {
		slot = "proposed"
	}
	after := fmt.Appendf(nil, `{%q:%q}`, slot, last.Edition)
	return audit.Append(ctx, tx, audit.Entry{Actor: last.Actor, Action: "mapping." + last.Step, Object: "mapping/" + edition.Short(last.Edition), After: after})
}

// approved is what the audit record has against the edition in use where four eyes are asked for.
func (p plant) approved() error {
	return p.db.View(p.t.Context(), func(tx *store.Tx) error {
		s, err := edition.Current(p.t.Context(), tx)
		if err != nil {
			return err
		}
		return s.Used.Approved(p.t.Context(), tx)
	})
}

func publish(fourEyes bool, actor string) func(context.Context, *store.Tx, string) (edition.State, error) {
	return func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
		return edition.Publish(ctx, tx, hash, fourEyes, edition.By{Actor: actor, Reason: "because"})
	}
}

func approve(actor string) func(context.Context, *store.Tx, string) (edition.State, error) {
	return func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
		return edition.Approve(ctx, tx, hash, edition.By{Actor: actor, Reason: "looked at"})
	}
}

func rollBack(fourEyes bool) func(context.Context, *store.Tx, string) (edition.State, error) {
	return func(ctx context.Context, tx *store.Tx, _ string) (edition.State, error) {
		return edition.RollBack(ctx, tx, "", fourEyes, edition.By{Actor: "user:anna"})
	}
}

func TestAnEditionIsItsFiles(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p, e := plant{t, db}, made(t, "one")
		if again := made(t, "one"); again.Hash != e.Hash || made(t, "two").Hash == e.Hash {
			t.Error("the hash is not that of the files")
		}
		if _, err := p.do("one", publish(false, "user:anna")); err != nil {
			t.Fatal(err)
		}
		err := db.View(t.Context(), func(tx *store.Tx) error {
			hash, err := edition.Find(t.Context(), tx, e.Hash[:8])
			if err != nil {
				return err
			}
			got, err := edition.Load(t.Context(), tx, hash)
			if err != nil {
				return err
			}
			files, err := got.FS()
			if err != nil {
				return err
			}
			text, err := fs.ReadFile(files, "out/m.yaml")
			if string(text) != "one" || got.Empty() {
				t.Errorf("got %q", text)
			}
			if _, err := fs.Stat(files, "notes.txt"); err == nil {
				t.Error("a file that is no mapping was taken")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.InTx(t.Context(), func(tx *store.Tx) error {
			other := made(t, "two")
			if err := edition.Keep(t.Context(), tx, other); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), "UPDATE mapping_editions SET files = (SELECT files FROM mapping_editions WHERE hash = ?) WHERE hash = ?", other.Hash, e.Hash)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.View(t.Context(), func(tx *store.Tx) error {
			_, err := edition.Load(t.Context(), tx, e.Hash)
			return err
		})
		if problem.KindOf(err) != problem.Integrity {
			t.Errorf("changed files were given out: %v", err)
		}
	})
}

func TestAFolderThatIsNotThereIsAnEmptyEdition(t *testing.T) {
	e, err := edition.Read(fstest.MapFS{})
	if err != nil || !e.Empty() {
		t.Errorf("got %+v, %v", e, err)
	}
	if files, err := e.FS(); err != nil {
		t.Error(err)
	} else if _, err := fs.ReadDir(files, "."); err != nil {
		t.Error(err)
	}
}

// TestASetIsFoundByAVersionOfItsOwn: among many sets, and not by one that resembles it.
func TestASetIsFoundByAVersionOfItsOwn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		keep := func(text, version string) edition.Edition {
			whole, err := edition.Whole(fstest.MapFS{}, made(t, text))
			if err == nil {
				err = db.InTx(t.Context(), func(tx *store.Tx) error { return edition.KeepSet(t.Context(), tx, whole, []string{"a", version, "z"}) })
			}
			if err != nil {
				t.Fatal(err)
			}
			return whole
		}
		want := keep("first", "mine/m_1!@abc")
		for _, later := range []string{"mine/mx1!@abc", "mine/m%1!@abc", "mine/m_1!@abcd", "not/mine/m_1!@abc", "mine/m_1@abc"} {
			keep(later, later)
		}
		for by, found := range map[string]bool{"mine/m_1!@abc": true, "mine/m_1!@ab": false, "m_1!@abc": false, "mine/%@abc": false} {
			err := db.View(t.Context(), func(tx *store.Tx) error {
				got, ok, err := edition.LoadSet(t.Context(), tx, by)
				if ok != found || ok && got.Hash != want.Hash {
					t.Errorf("%s: found %t %s, want %t %s", by, ok, got.Hash, found, want.Hash)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestOnlySetsThatNobodyNamesArePurged: a set goes once nobody has named it for as long as settled messages are kept, and a month more; what is owed
// names it or a version of a mapping in it, and a node that which it maps by.
func TestOnlySetsThatNobodyNamesArePurged(t *testing.T) {
	var now time.Time
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		const day = 24 * time.Hour
		do := func(fn func(tx *store.Tx) error) {
			t.Helper()
			if err := db.InTx(t.Context(), fn); err != nil {
				t.Fatal(err)
			}
		}
		name := map[string]string{}
		keep := func(set, version string) {
			whole, err := edition.Whole(fstest.MapFS{}, made(t, set))
			if err != nil {
				t.Fatal(err)
			}
			name[set] = edition.Short(whole.Hash)
			do(func(tx *store.Tx) error { return edition.KeepSet(t.Context(), tx, whole, []string{"other@0", version}) })
		}
		purge := func(names ...string) (gone int64) {
			do(func(tx *store.Tx) (err error) {
				gone, err = edition.PurgeSets(t.Context(), tx, append(names, "", "no such set", "none@9"), 90*day)
				return err
			})
			return gone
		}
		left := func(want ...string) {
			t.Helper()
			var got []string
			do(func(tx *store.Tx) error {
				for set, short := range name {
					if _, ok, err := edition.LoadSet(t.Context(), tx, short); err != nil {
						return err
					} else if ok {
						got = append(got, set)
					}
				}
				return nil
			})
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("these are kept (-want):\n%s", diff)
			}
		}
		keep("before", "m@1")
		keep("nobody", "m@2")
		keep("owed", "m@3")
		keep("present", "m@4")
		now = now.Add(119 * day)
		keep("version", "m@1") // one edit later: the same mapping, in another set
		named := []string{name["owed"], "m@1", name["present"]}
		if gone := purge(named...); gone != 0 {
			t.Errorf("%d sets were deleted too early", gone)
		}
		now = now.Add(2 * day)
		if gone := purge(named...); gone != 2 {
			t.Errorf("%d sets were deleted, want those that nobody names", gone)
		}
		left("owed", "present", "version")
		now = now.Add(119 * day)
		purge(name["present"])
		left("owed", "present", "version") // what was settled yesterday can be replayed
		now = now.Add(2 * day)
		purge(name["present"])
		left("present")
		keep("nobody", "m@2") // somebody goes back to it
		left("nobody", "present")
		now = now.Add(119 * day)
		keep("nobody", "m@2") // another node begins with it
		now = now.Add(2 * day)
		purge(name["present"])
		left("nobody", "present")
	}, storetest.WithClock(func() time.Time { return now }))
}

// TestOnlyWhatMappingsAreMadeOfIsTaken: what Kubernetes and editors keep beside them is not, and what would be passed over is, to be refused.
func TestOnlyWhatMappingsAreMadeOfIsTaken(t *testing.T) {
	e, err := edition.Read(fstest.MapFS{
		"m.yaml": {Data: []byte("m")}, "c.csv": {Data: []byte("c")}, "o.yml": {Data: []byte("o")},
		"..v1/m.yaml": {Data: []byte("old")}, ".#m.yaml": {Data: []byte("lock")},
	})
	if err != nil {
		t.Fatal(err)
	}
	files, err := e.FS()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			got = append(got, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"c.csv", "m.yaml", "o.yml"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestGoingBackGoesStepByStep(t *testing.T) {
	p := plant{t, storetest.SQLite(t)}
	if _, err := p.do("", rollBack(false)); problem.KindOf(err) != problem.Conflict {
		t.Errorf("with nothing before: %v", err)
	}
	for _, text := range []string{"a", "b", "c"} {
		if _, err := p.do(text, publish(false, "user:anna")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.do("c", publish(false, "user:anna")); problem.KindOf(err) != problem.Conflict {
		t.Errorf("the same again: %v", err)
	}
	for _, want := range []string{"b", "a"} {
		s, err := p.do("", rollBack(false))
		if err != nil || s.Used.Edition != made(t, want).Hash || s.Used.Author != "user:anna" {
			t.Errorf("got %+v, %v, want %s", s.Used, err, want)
		}
	}
	if _, err := p.do("", rollBack(false)); problem.KindOf(err) != problem.Conflict {
		t.Errorf("before the first: %v", err)
	}
	if s, err := p.do("d", publish(false, "user:ben")); err != nil || s.Used.Previous != made(t, "a").Hash {
		t.Errorf("got %+v, %v", s.Used, err)
	}
}

// TestGoingBackReachesWhatWasUsedFirst: editions that were used more than once, and going back in between, make no circle of it.
func TestGoingBackReachesWhatWasUsedFirst(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := plant{t, db}
		run := func(steps, want string) {
			t.Helper()
			got := ""
			for _, step := range strings.Split(steps, "") {
				act := publish(false, "user:anna")
				if step == "<" {
					act = rollBack(false)
				}
				s, err := p.do(step, act)
				switch {
				case step != "<" && err != nil:
					t.Fatal(err)
				case step != "<":
				case problem.KindOf(err) == problem.Conflict:
					got += "."
				default:
					for _, text := range []string{"F", "A", "B", "C"} {
						if made(t, text).Hash == s.Used.Edition {
							got += text
						}
					}
				}
			}
			if got != want {
				t.Errorf("after %s it went back to %s, want %s", steps, got, want)
			}
		}
		run("FABA<<<<", "BAF.")
		run("AFA<B<<<<", "FFAF.")
		run("CB<<C<<", "CFF.")
	})
}

func TestFourEyes(t *testing.T) {
	p := plant{t, storetest.SQLite(t)}
	s, err := p.do("a", publish(true, "user:anna"))
	if err != nil || s.Used.Edition != "" || s.Proposed.Edition != made(t, "a").Hash {
		t.Fatalf("got %+v, %v", s, err)
	}
	if _, err := p.do("a", approve("user:anna")); problem.KindOf(err) != problem.Denied {
		t.Errorf("its author approves: %v", err)
	}
	if _, err := p.do("b", approve("user:ben")); problem.KindOf(err) != problem.Conflict {
		t.Errorf("another is approved: %v", err)
	}
	s, err = p.do("a", approve("user:ben"))
	if err != nil || s.Used.Edition != made(t, "a").Hash || p.approved() != nil || s.Used.Author != "user:anna" || s.Proposed.Edition != "" {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := p.do("a", approve("user:carl")); problem.KindOf(err) != problem.Conflict {
		t.Errorf("a second time: %v", err)
	}
	if _, err := p.do("b", publish(false, "user:anna")); err != nil { // before the policy was made
		t.Fatal(err)
	}
	if s, err := p.do("", rollBack(true)); err != nil || p.approved() != nil {
		t.Errorf("back to what was approved: %+v, %v", s.Used, err)
	}
	for _, text := range []string{"b", "c"} {
		if _, err := p.do(text, publish(false, "user:anna")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.do("", rollBack(true)); problem.KindOf(err) != problem.Denied {
		t.Errorf("back to what nobody approved: %v", err)
	}
}

// TestFourEyesRestOnTheAuditRecord: who can write the database can say of any edition that it was approved, and of any proposal that somebody else made
// it; of the record they cannot.
func TestFourEyesRestOnTheAuditRecord(t *testing.T) {
	rows := func(t *testing.T, p plant, all ...string) {
		t.Helper()
		err := p.db.InTx(t.Context(), func(tx *store.Tx) error {
			for _, sql := range all {
				if _, err := tx.Exec(t.Context(), sql); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	const use = "UPDATE mapping_state SET used = (SELECT MAX(seq) FROM mapping_steps), proposed = 0, revision = revision + 1"
	insert := func(p plant, action, actor, slot string) error {
		e := made(p.t, "b")
		return p.db.InTx(p.t.Context(), func(tx *store.Tx) error {
			return audit.Append(p.t.Context(), tx, audit.Entry{
				Actor: actor, Action: action, Object: "mapping/" + edition.Short(e.Hash), After: fmt.Appendf(nil, `{%q:%q}`, slot, e.Hash),
			})
		})
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := plant{t, db}
		for _, act := range []func(context.Context, *store.Tx, string) (edition.State, error){publish(true, "user:anna"), approve("user:ben")} {
			if _, err := p.do("a", act); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.do("b", publish(true, "user:anna")); err != nil {
			t.Fatal(err)
		}
		rows(t, p, "UPDATE mapping_steps SET author = 'user:carl' WHERE seq = (SELECT MAX(seq) FROM mapping_steps)")
		if _, err := p.do("b", approve("user:anna")); problem.KindOf(err) != problem.Denied {
			t.Errorf("anna approves her own proposal, which another is said to have made: %v", err)
		}
		rows(t, p, "UPDATE mapping_steps SET step = 'approve', approver = 'user:ben' WHERE seq = (SELECT MAX(seq) FROM mapping_steps)", use)
		if err := p.approved(); problem.KindOf(err) != problem.Integrity || !strings.Contains(err.Error(), "user:ben") {
			t.Errorf("an approval that two rows say there was: %v", err)
		}
		if _, err := p.do("c", publish(false, "user:anna")); err != nil {
			t.Fatal(err)
		}
		if _, err := p.do("", rollBack(true)); problem.KindOf(err) != problem.Integrity {
			t.Errorf("back to what two rows say was approved: %v", err)
		}
		if _, err := p.do("", rollBack(false)); err != nil {
			t.Fatal(err)
		}
		if err := insert(p, "mapping.approve", "user:anna", "used"); err != nil || p.approved() == nil {
			t.Errorf("approved by who has proposed it: %v", err)
		}
		if _, err := p.do("b", publish(true, "user:anna")); err != nil {
			t.Errorf("what nobody has approved cannot be published once more: %v", err)
		}
		if _, err := p.do("b", approve("user:ben")); err != nil || p.approved() != nil {
			t.Errorf("approved: %v, %v", err, p.approved())
		}
		if err := insert(p, "mapping.propose", "user:ben", "proposed"); err != nil || p.approved() != nil {
			t.Errorf("approved, and proposed once more later: %v, %v", err, p.approved())
		}
	})
	t.Run("a proposal that two rows make", func(t *testing.T) {
		p := plant{t, storetest.SQLite(t)}
		if _, err := p.do("b", publish(false, "user:anna")); err != nil {
			t.Fatal(err)
		}
		rows(t, p, "UPDATE mapping_steps SET step = 'propose', author = 'user:carl'", "UPDATE mapping_state SET used = 0, proposed = 1")
		if _, err := p.do("b", approve("user:ben")); problem.KindOf(err) != problem.Integrity {
			t.Errorf("it is approved: %v", err)
		}
	})
}

// TestOnePersonInConsoleAndShellIsNoFourEyes: the two lists of names do not say who is who, so that what one name has proposed is not
// approved by a name of the other.
func TestOnePersonInConsoleAndShellIsNoFourEyes(t *testing.T) {
	p := plant{t, storetest.SQLite(t)}
	if _, err := p.do("a", publish(true, "user:anna")); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"user:anna", "local:anna", "local:root", "local"} {
		if s, err := p.do("a", approve(who)); problem.KindOf(err) != problem.Denied {
			t.Errorf("%s approves what user:anna proposed: %+v, %v", who, s.Used, err)
		}
	}
	if s, err := p.do("a", approve("user:ben")); err != nil || p.approved() != nil {
		t.Errorf("somebody else: %+v, %v", s.Used, err)
	}
}

// TestWhatIsUsedIsApprovedOnceThePolicyAsksForIt: without that, a plant whose policy becomes stricter had to change its mappings to go on.
func TestWhatIsUsedIsApprovedOnceThePolicyAsksForIt(t *testing.T) {
	p := plant{t, storetest.SQLite(t)}
	for _, text := range []string{"a", "b"} {
		if _, err := p.do(text, publish(false, "user:anna")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.do("b", publish(true, "user:anna")); err != nil {
		t.Fatal(err)
	}
	s, err := p.do("b", approve("user:ben"))
	if err != nil || s.Used.Edition != made(t, "b").Hash || p.approved() != nil || s.Proposed.Edition != "" {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := p.do("b", publish(true, "user:anna")); problem.KindOf(err) != problem.Conflict {
		t.Errorf("once more: %v", err)
	}
	if s, err := p.do("", rollBack(false)); err != nil || s.Used.Edition != made(t, "a").Hash {
		t.Errorf("back goes to %+v, %v; want what was used before", s.Used, err)
	}
}

// TestTwoWhoPublishAtOnce have both their steps kept, one after the other.
// TestAnApprovalBringsNothingBack: what waits was proposed over an edition that was undone since, and has all of it.
func TestAnApprovalBringsNothingBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := plant{t, db}
		for _, text := range []string{"one", "two"} {
			if _, err := p.do(text, publish(false, "user:anna")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.do("two and more", publish(true, "user:anna")); err != nil {
			t.Fatal(err)
		}
		if _, err := p.do("", rollBack(false)); err != nil {
			t.Fatal(err)
		}
		if _, err := p.do("two and more", approve("user:bert")); problem.KindOf(err) != problem.Conflict {
			t.Errorf("approved: %v, want a conflict", err)
		}
		if _, err := p.do("two and more", publish(true, "user:anna")); err != nil {
			t.Fatal(err)
		}
		if _, err := p.do("two and more", approve("user:bert")); err != nil {
			t.Errorf("proposed anew: %v", err)
		}
	})
}

func TestTwoWhoPublishAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := plant{t, db}
		var all sync.WaitGroup
		for _, text := range []string{"a", "b", "c", "d"} {
			all.Go(func() {
				if _, err := p.do(text, publish(false, text)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		err := db.View(t.Context(), func(tx *store.Tx) error {
			steps, err := edition.Steps(t.Context(), tx, 10)
			if err != nil {
				return err
			}
			s, err := edition.Current(t.Context(), tx)
			if len(steps) != 4 || s.Revision != 4 || s.Used != steps[0] {
				t.Errorf("got %d steps, %+v", len(steps), s)
			}
			for i, step := range steps[:3] {
				if step.Previous != steps[i+1].Edition {
					t.Errorf("step %d followed %s, want %s", step.Seq, step.Previous, steps[i+1].Edition)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestATrialKeepsWhereDocumentsDiffer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := plant{t, db}
		begin := func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
			return edition.Try(ctx, tx, hash, edition.By{Actor: "user:anna"})
		}
		s, err := p.do("a", begin)
		if err != nil || s.Tried.Edition != made(t, "a").Hash || s.Used.Edition != "" {
			t.Fatalf("got %+v, %v", s, err)
		}
		hash := s.Tried.Edition
		differs := edition.Trial{Mapping: "out/m", Message: "m-2", Kind: "k", Link: "erp", Places: []string{"body/a", "body/b"}}
		for range 2 { // the same message again
			err := db.InTx(t.Context(), func(tx *store.Tx) error {
				var g edition.Gathered
				g.Add(edition.Trial{Mapping: "out/m", Message: "m-1", Kind: "k", Link: "erp"})
				g.Add(differs)
				return edition.Record(t.Context(), tx, hash, g)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		err = db.View(t.Context(), func(tx *store.Tx) error {
			tallies, differing, err := edition.Trials(t.Context(), tx, hash, 10, func(string) bool { return true })
			if d := cmp.Diff([]edition.Tally{{Mapping: "out/m", Mapped: 4, Differed: 2}}, tallies); d != "" {
				t.Error(d)
			}
			if len(differing) != 1 || strings.Join(differing[0].Places, " ") != "body/a body/b" {
				t.Errorf("got %+v", differing)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := p.do("a", publish(false, "user:anna")); err != nil || s.Tried.Edition != "" {
			t.Errorf("what is used is not tried any more: %+v, %v", s, err)
		}
		end := func(ctx context.Context, tx *store.Tx, _ string) (edition.State, error) {
			return edition.EndTrial(ctx, tx, edition.By{Actor: "user:anna"})
		}
		if _, err := p.do("", end); problem.KindOf(err) != problem.Conflict {
			t.Errorf("with no trial: %v", err)
		}
	})
}

// TestWhatSomebodyElsePublishedIsNotUndoneUnseen: who publishes a folder says what it was made from, unless the used edition is their own.
func TestWhatSomebodyElsePublishedIsNotUndoneUnseen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := plant{t, db}
		from := func(base string) func(context.Context, *store.Tx, string) (edition.State, error) {
			return func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
				return edition.Publish(ctx, tx, hash, false, edition.By{Actor: "local:anna", Base: &base})
			}
		}
		if _, err := p.do("one", from("")); err != nil {
			t.Fatal(err)
		}
		if _, err := p.do("two", from("")); err != nil {
			t.Errorf("over one's own: %v", err)
		}
		if _, err := p.do("theirs", publish(false, "user:bert")); err != nil {
			t.Fatal(err)
		}
		_, err := p.do("three", from(""))
		said, _ := errors.AsType[*problem.Error](err)
		for _, want := range []string{"user:bert", edition.Short(made(t, "theirs").Hash), "--base", "mapping diff " + edition.Short(made(t, "two").Hash) + " used"} {
			if problem.KindOf(err) != problem.Conflict || !strings.Contains(said.Why+said.Hint, want) {
				t.Errorf("over another's: %v, want %s", err, want)
			}
		}
		if _, err := p.do("three", from(made(t, "two").Hash)); problem.KindOf(err) != problem.Conflict {
			t.Errorf("made from what is no longer used: %v", err)
		}
		if _, err := p.do("three", from(made(t, "theirs").Hash)); err != nil {
			t.Errorf("made from theirs: %v", err)
		}
	})
}

// TestTwoWhoGoBackAtOnce go back one step together.
func TestTwoWhoGoBackAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := plant{t, db}
		for _, text := range []string{"a", "b", "c"} {
			if _, err := p.do(text, publish(false, "user:anna")); err != nil {
				t.Fatal(err)
			}
		}
		var all sync.WaitGroup
		var refused atomic.Int32
		for range 2 {
			all.Go(func() {
				_, err := p.do("c", func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
					return edition.RollBack(ctx, tx, hash, false, edition.By{Actor: "user:anna"})
				})
				if problem.KindOf(err) == problem.Conflict {
					refused.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		err := db.View(t.Context(), func(tx *store.Tx) error {
			s, err := edition.Current(t.Context(), tx)
			if s.Used.Edition != made(t, "b").Hash || refused.Load() != 1 {
				t.Errorf("got %s used, %d refused, want %s and 1", edition.Short(s.Used.Edition), refused.Load(), edition.Short(made(t, "b").Hash))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
