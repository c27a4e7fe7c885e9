package audit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// keyed gives the database the seeds of a plant that seals, as serve does.
func keyed(t testing.TB, db *store.DB, cfg seal.RestConfig) *seal.Rest {
	t.Helper()
	safe := seal.NewSafe(t.TempDir(), "correct horse", 10)
	if err := seal.InitLocal(safe, "1000", db.Now()); err != nil {
		t.Fatal(err)
	}
	cfg.Begin = func(context.Context, *store.Tx) (may, whole bool, err error) { return true, true, nil }
	rest, err := seal.OpenRest(t.Context(), db, seal.NewLocal(safe, "a", time.Hour, db.Now), cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	db.SealWith(rest)
	return rest
}

// forged are the ways to alter entries that no checkpoint covers: each with the entry that is named, what is said, and whether Holdfast's other
// entries are sealed all the same. Entry 1 is there from before, entry 2 begins the MACs, 3 to 5 are sealed, 6 to 8 are not.
var forged = []struct {
	name       string
	statements []string
	entry      int64
	words      string
	placed     bool // with the places given already: nothing is sealed then
}{
	{"put in with the time of now", []string{
		`INSERT INTO audit_entries (at, actor, origin, action, object, reason, outcome) SELECT MAX(at), 'local:eve', '', 'link.pause', 'link/1', 'mine', 'done' FROM audit_entries`,
	}, 9, "it has no MAC", false},
	{"put in with a MAC of another entry", []string{
		`INSERT INTO audit_entries (at, actor, origin, action, object, reason, outcome, chain, link, previous, mac, epoch)
		SELECT at, 'local:eve', origin, action, object, reason, outcome, chain, 9999, previous, mac, epoch FROM audit_entries WHERE seq = 8`,
	}, 9, "not written by Holdfast as it is", false},
	{"an old one copied to a new place", []string{
		`INSERT INTO audit_entries (at, actor, origin, action, object, reason, old, new, outcome, chain, link, previous, mac, epoch)
		SELECT at, actor, origin, action, object, reason, old, new, outcome, chain, 9999, previous, mac, epoch FROM audit_entries WHERE seq = 4`,
	}, 9, "not written by Holdfast as it is", false},
	{"changed", []string{`UPDATE audit_entries SET actor = 'local:eve' WHERE seq = 7`}, 7, "not written by Holdfast as it is", false},
	{"its MAC taken away", []string{`UPDATE audit_entries SET actor = 'local:eve', chain = 0, link = 0, mac = NULL WHERE seq = 7`}, 7, "it has no MAC", false},
	{"a key that there is not", []string{`UPDATE audit_entries SET epoch = 4711 WHERE seq = 8`}, 8, "nothing vouches for entry 8", false},
	{"a key that there is not, of one that others follow", []string{`UPDATE audit_entries SET epoch = 4711 WHERE seq = 7`}, 7, "nothing vouches for entry 7", false},
	{"put in under a key that there is not", []string{putIn("-1", "4711")}, 9, "nothing vouches for entry 9", false},
	{"put in under a key that nobody can open", []string{seedOfNobody, putIn("-1", "(SELECT MAX(id) FROM rest_epochs)")}, 9, "nothing vouches for entry 9", false},
	{"removed with all that tells of it", []string{`DELETE FROM audit_pending WHERE entry = 7`, `DELETE FROM audit_entries WHERE seq = 7`}, 8, "what was written before entry 8", false},
	{"the last removed", []string{`DELETE FROM audit_pending WHERE entry = 8`, `DELETE FROM audit_entries WHERE seq = 8`}, 0, "removed or altered", false},
	{"the end removed and the chain set back", []string{
		`UPDATE audit_chains SET length = length - 1, mac = (SELECT mac FROM audit_entries WHERE seq = 7)`,
	}, 0, "set back", false},
	{"two reordered", []string{
		`UPDATE audit_entries SET actor = 'local:x' WHERE seq = 6`,
		`UPDATE audit_entries SET object = (SELECT object FROM audit_entries WHERE seq = 7), actor = (SELECT actor FROM audit_entries WHERE seq = 7) WHERE seq = 6`,
	}, 6, "not written by Holdfast as it is", false},
	{"the chain removed", []string{`DELETE FROM audit_chains`}, 0, "was removed", false},
	{"changed in its place", []string{`UPDATE audit_entries SET actor = 'local:eve' WHERE seq = 7`}, 7, "not written by Holdfast as it is", true},
	{"reordered in their places", swapped, 7, "was moved behind entry 8", true},
	{"its MAC changed in its place", []string{`UPDATE audit_entries SET mac = previous WHERE seq = 7`}, 7, "not written by Holdfast as it is", true},
	{"the MAC of the last changed in its place", []string{`UPDATE audit_entries SET mac = previous WHERE seq = 8`}, 8, "not written by Holdfast as it is", true},
	{"its MAC taken away in its place", []string{`UPDATE audit_entries SET chain = 0, link = 0, mac = NULL WHERE seq = 7`}, 7, "it has no MAC", true},
	{"a key that there is not in its place", []string{`UPDATE audit_entries SET epoch = 4711 WHERE seq = 7`}, 7, "nothing vouches for entry 7", true},
	{"changed in its place with the hashes", []string{`UPDATE audit_entries SET actor = 'local:eve' WHERE seq = 7`, rehashed}, 7, "not written by Holdfast as it is", true},
	{"reordered in their places with the hashes", append(slices.Clone(swapped), rehashed), 7, "was moved behind entry 8", true},
	{"another in its link of the chain", []string{
		`UPDATE audit_entries SET chain = 0, link = 0 WHERE seq = 7`,
		`INSERT INTO audit_entries (at, actor, origin, action, object, reason, outcome, chain, link, previous, mac, epoch)
		SELECT at, 'local:eve', origin, action, object, reason, outcome, (SELECT chain FROM audit_entries WHERE seq = 8), 6, previous, mac, epoch FROM audit_entries WHERE seq = 7`,
	}, 7, "it has no MAC", true},
	{"the MAC of the last changed in its place and its chain set back", []string{
		`UPDATE audit_entries SET mac = previous WHERE seq = 8`, `UPDATE audit_chains SET length = length - 1, mac = (SELECT mac FROM audit_entries WHERE seq = 7)`,
	}, 8, "not written by Holdfast as it is", true},
}

// putIn is an entry under the key of an epoch, in a chain of the plant's.
func putIn(link, epoch string) string {
	return `INSERT INTO audit_entries (at, actor, origin, action, object, reason, outcome, chain, link, previous, mac, epoch)
		SELECT at, 'local:eve', '', action, object, reason, outcome, chain, ` + link + `, previous, mac, ` + epoch + ` FROM audit_entries WHERE seq = 4`
}

const seedOfNobody = `INSERT INTO rest_epochs (wrapped, made_at) VALUES ('local:v1:AAAA', 1)`

var swapped = []string{
	`UPDATE audit_leaves SET entry = -1 WHERE entry = 7`, `UPDATE audit_leaves SET entry = 7 WHERE entry = 8`, `UPDATE audit_leaves SET entry = 8 WHERE entry = -1`,
}

// rehashed stands for the statements that make the kept hashes those of what is there.
const rehashed = "the hashes are made anew"

// TestWhatIsForgedBeforeACheckpointIsFoundAndNotSealed: whoever can write the database alone can put no act into the record, nor take one out.
func TestWhatIsForgedBeforeACheckpointIsFoundAndNotSealed(t *testing.T) {
	for _, tt := range forged {
		t.Run(tt.name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				sign, by := signer(t, db)
				tree, outside := begun(t, db, sign)
				entries(t, db, 3)
				if tt.placed { // by a node that checks what it signs, as serve does
					tree = audit.NewTree(db, origin, "a", audit.Config{Sign: sign, Check: func(context.Context) (*seal.Notes, error) { return by.(*seal.Notes), nil }}, quiet())
					if err := tree.Place(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				whole(t, verify(t, db, by, outside))
				forge(t, db, tt.statements...)
				names(t, verify(t, db, by, outside), tt.entry, tt.words)
				c, err := tree.Seal(t.Context())
				if problem.KindOf(err) != problem.Integrity || tt.placed != (c == nil) {
					t.Fatalf("got checkpoint %v, %v, want that it is told, and what Holdfast wrote besides sealed unless it has its place", c, err)
				}
				if tt.entry > 0 && !strings.Contains(err.Error(), fmt.Sprintf("entry %d", tt.entry)) &&
					!strings.Contains(err.Error(), fmt.Sprintf("places %d of", tt.entry-1)) {
					t.Errorf("got %v, want entry %d or its place named", err, tt.entry)
				}
				r := verify(t, db, by, outside)
				names(t, r, tt.entry, tt.words)
				if notSealed(t, db, tt.entry, r.Covered) {
					t.Errorf("entry %d was sealed: %d covered", tt.entry, r.Covered)
				}
			})
		})
	}
}

// notSealed tells whether an entry that was forged is covered by a checkpoint all the same.
func notSealed(t *testing.T, db *store.DB, entry, covered int64) (sealed bool) {
	t.Helper()
	err := db.View(t.Context(), func(tx *store.Tx) error {
		return tx.Get(t.Context(), &sealed, `SELECT EXISTS (SELECT 1 FROM audit_leaves JOIN audit_entries ON seq = entry WHERE entry = ? AND leaf < ? AND (actor = 'local:eve' OR seq > 8))`, entry, covered)
	})
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// begun is a plant with five entries that are sealed, the first from before it had keys.
func begun(t *testing.T, db *store.DB, sign func(context.Context, string, string) (string, error)) (*audit.Tree, audit.Checkpoint) {
	t.Helper()
	entries(t, db, 1)
	keyed(t, db, seal.RestConfig{Now: db.Now})
	tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet())
	if err := db.InTx(t.Context(), func(tx *store.Tx) error { return audit.BeginMACs(t.Context(), tx, "node:a", nil) }); err != nil {
		t.Fatal(err)
	}
	entries(t, db, 3)
	return tree, sealed(t, tree)
}

// forge changes the database as its owner could, and leaves the trigger by which an entry that is put in waits for its place.
func forge(t *testing.T, db *store.DB, statements ...string) {
	t.Helper()
	alter(t, db)
	again := []string{`CREATE TRIGGER audit_entries_added AFTER INSERT ON audit_entries BEGIN INSERT INTO audit_pending (entry) VALUES (NEW.seq); END`}
	if db.Dialect() == store.Postgres {
		again = []string{`ALTER TABLE audit_entries ENABLE TRIGGER audit_entries_added`}
	}
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		for _, s := range append(again, statements...) {
			if s == rehashed {
				if err := rehash(t.Context(), tx); err != nil {
					return err
				}
				continue
			}
			if _, err := tx.Exec(t.Context(), s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// rehash makes the kept hashes those of the entries at their places, as who altered one of these would.
func rehash(ctx context.Context, tx *store.Tx) error {
	placed, size, err := audit.Placed(ctx, tx, 0, 1000)
	if err != nil {
		return err
	}
	var all []tlog.Hash
	for n := range size {
		leaf, err := placed[n].Leaf()
		if err != nil {
			return err
		}
		more, err := tlog.StoredHashes(n, leaf, tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, _ error) {
			for _, pos := range at {
				out = append(out, all[pos])
			}
			return out, nil
		}))
		if err != nil {
			return err
		}
		all = append(all, more...)
	}
	for pos, h := range all {
		if _, err := tx.Exec(ctx, `UPDATE audit_hashes SET hash = ? WHERE pos = ?`, h[:], pos); err != nil {
			return err
		}
	}
	return nil
}

func names(t *testing.T, r audit.Report, entry int64, words string) {
	t.Helper()
	for _, w := range r.Wrong {
		if w.Entry == entry && strings.Contains(w.What, words) {
			return
		}
	}
	t.Errorf("got %+v, want entry %d: %q", r.Wrong, entry, words)
}

// TestASealedEntryThatIsChangedWithItsHashesIsFoundByItsMACToo: and so without any checkpoint from outside.
func TestWhatIsSealedIsCheckedByItsMACToo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, by := signer(t, db)
		_, outside := begun(t, db, sign)
		for _, tt := range []struct {
			statement string
			entry     int64
			words     string
		}{
			{`UPDATE audit_entries SET actor = 'local:eve' WHERE seq = 4`, 4, "not written by Holdfast as it is"},
			{`UPDATE audit_entries SET mac = previous WHERE seq = 4`, 4, "not written by Holdfast as it is"},
			{`DELETE FROM audit_entries WHERE seq = 4`, 5, "what was written before entry 5"},
			{`DELETE FROM audit_entries WHERE seq = 2`, 0, audit.MACsBegin},
		} {
			names(t, altered(t, db, []string{tt.statement}, []audit.Checkpoint{outside}, by), tt.entry, tt.words)
		}
		whole(t, verify(t, db, by, outside))
	})
}

// TestTheEndThatIsCutWithItsChainIsToldByANodeThatSawIt: a database that is put back to what it was seconds before says nothing of itself.
func TestTheEndThatIsCutWithItsChainIsToldByANodeThatSawIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, _ := signer(t, db)
		tree, _ := begun(t, db, sign)
		entries(t, db, 2)
		if err := tree.Place(t.Context()); err != nil {
			t.Fatal(err)
		}
		forge(t, db, `DELETE FROM audit_leaves WHERE entry = 7`, `DELETE FROM audit_hashes WHERE pos >= 10`, `DELETE FROM audit_entries WHERE seq = 7`, `UPDATE audit_tree SET size = 6`,
			`UPDATE audit_chains SET length = length - 1, mac = (SELECT mac FROM audit_entries WHERE seq = 6)`)
		entries(t, db, 0)
		if _, err := tree.Seal(t.Context()); problem.KindOf(err) != problem.Integrity || !strings.Contains(err.Error(), "removed from the end") {
			t.Errorf("got %v, want that entries were removed", err)
		}
	})
}

// TestManyWriteEntriesWithMACsAtOnce: chains have no gaps, whatever is rolled back, and nobody waits for another.
func TestManyWriteEntriesWithMACsAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, by := signer(t, db)
		tree, outside := begun(t, db, sign)
		undone := errors.New("undone")
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				for i := range 10 {
					err := db.InTx(t.Context(), func(tx *store.Tx) error {
						for range 2 {
							if err := audit.Append(t.Context(), tx, audit.Entry{Actor: fmt.Sprint(n), Action: "link.pause", Object: fmt.Sprint(i)}); err != nil {
								return err
							}
						}
						if i%3 == 1 {
							return undone
						}
						return nil
					})
					if err != nil && !errors.Is(err, undone) {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		whole(t, verify(t, db, by, outside))
		if c := sealed(t, tree); c.Size != 5+8*7*2 {
			t.Errorf("got %d entries sealed", c.Size)
		}
		whole(t, verify(t, db, by, outside))
	})
}

// TestWithoutTheKeyringNothingIsWritten once entries have MACs; what a restore leaves then is repeated by the next node, which vouches for none of it.
func TestWithoutTheKeyringNothingIsWritten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, by := signer(t, db)
		entries(t, db, 1)
		rest := keyed(t, db, seal.RestConfig{Now: db.Now})
		tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet())
		if err := db.InTx(t.Context(), func(tx *store.Tx) error { return audit.BeginMACs(t.Context(), tx, "node:a", nil) }); err != nil {
			t.Fatal(err)
		}
		e := audit.Entry{Actor: "local:anna", Action: "backup.restore", Object: "backup/1", After: []byte(`{"through":1}`)}
		tell := func() error {
			return db.InTx(t.Context(), func(tx *store.Tx) error { return audit.AppendOrTell(t.Context(), tx, e) })
		}
		db.SealWith(nil)
		for what, write := range map[string]func(context.Context, *store.Tx) error{
			"append": func(ctx context.Context, tx *store.Tx) error { return audit.Append(ctx, tx, e) }, "ready": audit.Ready,
		} {
			if err := db.InTx(t.Context(), func(tx *store.Tx) error { return write(t.Context(), tx) }); problem.KindOf(err) != problem.Unavailable {
				t.Errorf("%s: got %v, want that it is refused", what, err)
			}
		}
		if err := tell(); err != nil {
			t.Fatal(err)
		}
		db.SealWith(rest)
		outside := sealed(t, tree)
		whole(t, verify(t, db, by, outside))
		got := list(t, db, audit.Filter{Action: audit.Told})
		if len(got) != 1 || got[0].Actor != "node:a" || got[0].Object != "audit/record" || !strings.Contains(got[0].Reason, "nobody vouches for it") ||
			!strings.Contains(string(got[0].After), "local:anna") {
			t.Errorf("got %+v, want an entry of the node with what it was told", got)
		}
		if err := tell(); err != nil {
			t.Fatal(err)
		}
		if got := list(t, db, audit.Filter{Action: "backup.restore"}); len(got) != 1 || got[0].Actor != "local:anna" {
			t.Errorf("got %+v, want the act of who has the keyring alone", got)
		}
	})
}

// TestWhoWritesTheDatabaseGetsNoActIntoTheRecord by what is meant for a restore either, whatever it is and however much of it there is.
func TestWhoWritesTheDatabaseGetsNoActIntoTheRecord(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, by := signer(t, db)
		tree, outside := begun(t, db, sign)
		before := len(list(t, db, audit.Filter{}))
		forge(t, db, `INSERT INTO audit_notes (told) SELECT CAST('{"actor": "user:anna", "action": "link.pause", "object": "link/erp"}' AS `+blob(db)+`) FROM audit_entries AS a, audit_entries AS b, audit_entries AS c`,
			`INSERT INTO audit_notes (told) VALUES (CAST('"}, no JSON' AS `+blob(db)+`))`)
		if err := db.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO audit_notes (told) VALUES (?)`, make([]byte, 1<<20))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := tree.Seal(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		whole(t, verify(t, db, by, outside))
		all := list(t, db, audit.Filter{})
		if len(all) != before+1 || all[0].Action != audit.Told || all[0].Actor != "node:a" || len(all[0].After) > 100_000 {
			t.Errorf("got %d entries more, the last %+v, want one that says what was told", len(all)-before, all[0])
		}
		if told := string(all[0].After); strings.Count(told, "user:anna") != 20 || !strings.Contains(told, `"left_out":107`) {
			t.Errorf("got %s, want the first 20 and how many there were besides", told)
		}
	})
}

func blob(db *store.DB) string {
	if db.Dialect() == store.Postgres {
		return "BYTEA"
	}
	return "BLOB"
}

// TestAReleaseWithoutMACsWritesNothingOnceThereAreSome: what it wrote would count as forged.
func TestAReleaseWithoutMACsWritesNothingOnceThereAreSome(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, by := signer(t, db)
		write := func() error {
			return db.InTx(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), `INSERT INTO audit_entries (at, actor, origin, action, object, reason, old, new, outcome, signature) VALUES (1, 'local:anna', '', 'link.pause', 'link/1', '', NULL, NULL, 'done', NULL)`)
				return err
			})
		}
		if err := write(); err != nil {
			t.Fatal(err)
		}
		_, outside := begun(t, db, sign)
		if err := write(); err == nil || !strings.Contains(err.Error(), "start the newer one") {
			t.Errorf("got %v, want that it is refused", err)
		}
		whole(t, verify(t, db, by, outside))
	})
}

// TestAPlantOfAnEarlierReleaseGetsMACs: what it had is what checkpoints say it is, what waited is sealed, and what is put in later is named. On
// PostgreSQL an earlier release may be at work still, so that a person says when.
func TestAPlantOfAnEarlierReleaseGetsMACs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, by := signer(t, db)
		tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet())
		entries(t, db, 3)
		outside := sealed(t, tree)
		earlier(t, db)
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		keyed(t, db, seal.RestConfig{Now: db.Now})
		entries(t, db, 1)
		want := int64(7) // 3 and 1 of before, 1 without a MAC on PostgreSQL, audit.macs, and the last
		if db.Dialect() == store.Postgres {
			if c := sealed(t, tree); c.Size != 5 || len(list(t, db, audit.Filter{Action: audit.MACsBegin})) != 0 {
				t.Fatalf("got %d entries sealed, want 5 and MACs not before somebody says so", c.Size)
			}
			if err := db.InTx(t.Context(), func(tx *store.Tx) error { return audit.BeginMACs(t.Context(), tx, "local:anna", nil) }); err != nil {
				t.Fatal(err)
			}
		} else if c := sealed(t, tree); c.Size != 6 {
			t.Fatalf("got %d entries sealed, want 6", c.Size)
		}
		entries(t, db, 1)
		if c := sealed(t, tree); c.Size != want {
			t.Errorf("got %d entries sealed, want %d", c.Size, want)
		}
		r := verify(t, db, by, outside)
		if whole(t, r); r.Unauthenticated != 5 {
			t.Errorf("got %d entries without a MAC, want 5", r.Unauthenticated)
		}
		forge(t, db, `INSERT INTO audit_entries (at, actor, origin, action, object, reason, outcome) SELECT MIN(at), 'local:eve', '', 'link.pause', 'link/1', 'mine', 'done' FROM audit_entries`)
		names(t, verify(t, db, by, outside), 8, "it has no MAC")
	})
}

// earlier makes the database that of the release before, with an entry that waits.
func earlier(t *testing.T, db *store.DB) {
	t.Helper()
	undo := []string{`DROP TRIGGER audit_entries_mac`}
	if db.Dialect() == store.Postgres {
		undo = []string{`DROP TRIGGER audit_entries_mac ON audit_entries`, `DROP FUNCTION audit_entries_mac`}
	}
	undo = append(undo, `DROP INDEX audit_entries_chain`, `DROP TABLE audit_chains`, `DROP TABLE audit_notes`, `ALTER TABLE audit_tree DROP COLUMN macs`)
	for _, c := range []string{"chain", "link", "previous", "mac", "epoch"} {
		undo = append(undo, `ALTER TABLE audit_entries DROP COLUMN `+c)
	}
	undo = append(undo, `DELETE FROM goose_db_version WHERE version_id = 150`,
		`INSERT INTO audit_entries (at, actor, origin, action, object, reason, old, new, outcome) SELECT MAX(at), 'local:anna', '', 'link.pause', 'link/1', '', NULL, NULL, 'done' FROM audit_entries`)
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		for _, s := range undo {
			if _, err := tx.Exec(t.Context(), s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestHeldAtBelievesWhatThePlantHasWritten: an entry that somebody puts in holds no head, nor does one whose key is not at hand hide what others hold.
func TestHeldAtBelievesWhatThePlantHasWritten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, _ := signer(t, db)
		begun(t, db, sign)
		mine, forgery := audit.Head{Link: "erp", Lane: "o1", Epoch: 1, Number: 1, Digest: "d"}, audit.Head{Link: "erp", Lane: "o1", Epoch: 1, Number: 1, Digest: "forged"}
		var at time.Time
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			at = tx.Now
			return audit.Hold(t.Context(), tx, "outbox", []audit.Head{mine})
		})
		if err != nil {
			t.Fatal(err)
		}
		held := func(h audit.Head) (is, other bool, kind problem.Kind) {
			t.Helper()
			err := db.View(t.Context(), func(tx *store.Tx) (err error) {
				is, other, err = audit.HeldAt(t.Context(), tx, h, at)
				return err
			})
			return is, other, problem.KindOf(err)
		}
		forge(t, db, `INSERT INTO audit_entries (at, actor, origin, action, object, reason, new, outcome)
			SELECT at, actor, origin, action, object, reason, '[{"link":"erp","lane":"o1","epoch":1,"number":1,"digest":"forged"}]', outcome FROM audit_entries WHERE object = 'lanes' ORDER BY seq DESC LIMIT 1`)
		if is, other, kind := held(forgery); is || !other || kind != "" {
			t.Errorf("what was put in: held %t, another %t, %q, want the plant's own alone", is, other, kind)
		}
		forge(t, db, seedOfNobody, `UPDATE audit_entries SET chain = (SELECT MAX(chain) FROM audit_entries), link = -1, previous = (SELECT mac FROM audit_entries WHERE seq = 2),
			mac = (SELECT mac FROM audit_entries WHERE seq = 2), epoch = (SELECT MAX(id) FROM rest_epochs) WHERE seq = (SELECT MAX(seq) FROM audit_entries)`)
		if is, _, kind := held(forgery); is || kind != problem.Unavailable {
			t.Errorf("what was put in under a key that nobody can open: held %t, %q, want that nobody can tell", is, kind)
		}
		if is, _, kind := held(mine); !is || kind != "" {
			t.Errorf("what the plant has written: held %t, %q", is, kind)
		}
	})
}

// TestAnEntryAtTheNextPlaceOfAChainStopsNoAct, nor one at the first of the chain to come: what Holdfast writes goes on in another, and what was put in is named.
func TestAnEntryAtTheNextPlaceOfAChainStopsNoAct(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, by := signer(t, db)
		tree, outside := begun(t, db, sign)
		const put = `INSERT INTO audit_entries (at, actor, origin, action, object, reason, outcome, chain, link, previous, mac, epoch)
			SELECT at, 'local:eve', origin, action, object, reason, outcome, %s, previous, mac, epoch FROM audit_entries WHERE seq = 4`
		forge(t, db, fmt.Sprintf(put, "chain, (SELECT MAX(length) + 1 FROM audit_chains)"))
		for n := range 4 {
			forge(t, db, fmt.Sprintf(put, fmt.Sprintf("(SELECT MAX(id) + %d FROM audit_chains), 1", n+1)))
		}
		forgeries := len(list(t, db, audit.Filter{Actor: "local:eve"}))
		before := len(list(t, db, audit.Filter{}))
		entries(t, db, 3)
		entries(t, db, 2)
		if got := len(list(t, db, audit.Filter{})) - before; got != 5 || forgeries != 5 {
			t.Fatalf("%d entries were written beside %d forged ones, want 5 of each", got, forgeries)
		}
		r := verify(t, db, by, outside)
		named := 0
		for _, w := range r.Wrong {
			if strings.Contains(w.What, "not written by Holdfast as it is") {
				named++
			} else {
				t.Errorf("told: %s", w.What)
			}
		}
		if named != forgeries {
			t.Errorf("%d of %d forged entries are named", named, forgeries)
		}
		if c, err := tree.Seal(t.Context()); problem.KindOf(err) != problem.Integrity || c == nil {
			t.Errorf("got checkpoint %v, %v, want what Holdfast wrote sealed, and the rest told", c, err)
		}
	})
}

// TestALargeRecordGetsItsPlacesBeforeMACsBegin: the transaction that begins with them, for which each act waits, is soon over.
func TestALargeRecordGetsItsPlacesBeforeMACsBegin(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, by := signer(t, db)
		tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet())
		forge(t, db, `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20001)
			INSERT INTO audit_entries (at, actor, origin, action, object, reason, outcome) SELECT 1, 'local:anna', '', 'link.pause', 'link/1', 'r', 'done' FROM n`,
			`UPDATE audit_tree SET macs = 1`)
		keyed(t, db, seal.RestConfig{Now: db.Now})
		for n, want := range []int{0, 1} {
			if _, err := tree.Seal(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := len(list(t, db, audit.Filter{Action: audit.MACsBegin})); got != want {
				t.Errorf("after pass %d MACs began %d times, want %d", n+1, got, want)
			}
		}
		entries(t, db, 1)
		if r := verify(t, db, by, sealed(t, tree)); len(r.Wrong) > 0 || r.Unauthenticated != 20001 {
			t.Errorf("%d entries without a MAC, wrong %v", r.Unauthenticated, r.Wrong)
		}
	})
}
