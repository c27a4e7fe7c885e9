package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// alter changes the database as its owner could: without the triggers that guard the record.
func alter(t *testing.T, db *store.DB, statements ...string) {
	t.Helper()
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		for _, s := range append(disarm(tx.Dialect()), statements...) {
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

func disarm(d store.Dialect) []string {
	var all []string
	for _, table := range []string{"audit_entries", "audit_leaves", "audit_hashes", "audit_checkpoints", "audit_tree"} {
		if d == store.Postgres {
			all = append(all, "ALTER TABLE "+table+" DISABLE TRIGGER USER")
			continue
		}
		for _, name := range []string{"keep", "stay", "stays", "mac"} {
			all = append(all, "DROP TRIGGER IF EXISTS "+table+"_"+name)
		}
	}
	if d == store.SQLite {
		all = append(all, "DROP TRIGGER IF EXISTS audit_entries_added")
	}
	return all
}

// TestAnAlteredRecordIsFoundOut alters one thing behind Holdfast: want is the entry that is named, and words what is said.
func TestAnAlteredRecordIsFoundOut(t *testing.T) {
	tests := []struct {
		name       string
		statements []string
		entry      int64
		words      string
	}{
		{"the time of an entry", []string{`UPDATE audit_entries SET at = at + 1 WHERE seq = 3`}, 3, "not what was sealed"},
		{"who", []string{`UPDATE audit_entries SET actor = 'local:ben' WHERE seq = 3`}, 3, "not what was sealed"},
		{"from where", []string{`UPDATE audit_entries SET origin = '' WHERE seq = 3`}, 3, "not what was sealed"},
		{"what was done", []string{`UPDATE audit_entries SET action = 'link.resume' WHERE seq = 3`}, 3, "not what was sealed"},
		{"to what", []string{`UPDATE audit_entries SET object = 'link/9' WHERE seq = 3`}, 3, "not what was sealed"},
		{"why", []string{`UPDATE audit_entries SET reason = 'none' WHERE seq = 3`}, 3, "not what was sealed"},
		{"what was before", []string{`UPDATE audit_entries SET old = NULL WHERE seq = 3`}, 3, "not what was sealed"},
		{"what was after", []string{`UPDATE audit_entries SET new = old WHERE seq = 3`}, 3, "not what was sealed"},
		{"how it ended", []string{`UPDATE audit_entries SET outcome = 'refused' WHERE seq = 3`}, 3, "not what was sealed"},
		{"the first entry", []string{`UPDATE audit_entries SET actor = '' WHERE seq = 1`}, 1, "not what was sealed"},
		{"the last entry", []string{`UPDATE audit_entries SET actor = '' WHERE seq = 10`}, 10, "not what was sealed"},
		{"an entry removed", []string{`DELETE FROM audit_entries WHERE seq = 3`}, 3, "was removed"},
		{"an entry removed with its place", []string{`DELETE FROM audit_entries WHERE seq = 3`, `DELETE FROM audit_leaves WHERE entry = 3`}, 0, "should have 10"},
		{"an entry removed that waits", []string{`DELETE FROM audit_entries WHERE seq = 11`}, 11, "before a checkpoint covered it"},
		{"two entries swapped", []string{
			`UPDATE audit_leaves SET entry = -1 WHERE leaf = 2`, `UPDATE audit_leaves SET entry = 3 WHERE leaf = 4`, `UPDATE audit_leaves SET entry = 5 WHERE leaf = 2`,
		}, 5, "not what was sealed"},
		{"an entry put in", []string{
			`DELETE FROM audit_pending WHERE entry = 11`,
		}, 11, "waits for none"},
		{"an entry and its hash", []string{
			`UPDATE audit_entries SET actor = 'b' WHERE seq = 3`, `UPDATE audit_hashes SET hash = (SELECT hash FROM audit_hashes WHERE pos = 0) WHERE pos = 3`,
		}, 3, "not what was sealed"},
		{"a hash", []string{`UPDATE audit_hashes SET hash = (SELECT hash FROM audit_hashes WHERE pos = 0) WHERE pos = 2`}, 0, "over place 1 was changed"},
		{"a hash removed", []string{`DELETE FROM audit_hashes WHERE pos = 3`}, 3, "is gone"},
		{"bytes after the hash of an entry", []string{`UPDATE audit_hashes SET hash = hash || hash WHERE pos = 3`}, 3, "has another length"},
		{"bytes after a hash", []string{`UPDATE audit_hashes SET hash = hash || hash WHERE pos = 2`}, 0, "over place 1 was changed"},
		{"a checkpoint's note", []string{`UPDATE audit_checkpoints SET note = (SELECT MIN(note) FROM audit_checkpoints) WHERE size = 5`}, 0, "was changed"},
		{"a checkpoint's time", []string{`UPDATE audit_checkpoints SET at = at + 1 WHERE size = 5`}, 0, "was changed"},
		{"a checkpoint's node", []string{`UPDATE audit_checkpoints SET node = 'b' WHERE size = 5`}, 0, "its row was changed"},
		{"a checkpoint's node taken away", []string{`UPDATE audit_checkpoints SET node = '' WHERE size = 10`}, 0, "its row was changed"},
		{"a checkpoint removed", []string{`DELETE FROM audit_checkpoints WHERE size = 5`}, 0, "was removed from the database"},
		{"the size of the tree", []string{`UPDATE audit_tree SET size = 5`}, 0, "should have 5"},
		{"the end cut off with all that tells of it", []string{
			`DELETE FROM audit_entries WHERE seq > 5`, `DELETE FROM audit_leaves WHERE leaf >= 5`, `DELETE FROM audit_hashes WHERE pos >= 8`,
			`DELETE FROM audit_checkpoints WHERE size > 5`, `DELETE FROM audit_pending WHERE entry > 5`, `UPDATE audit_tree SET size = 5`,
		}, 0, "the record was cut after place 4"},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, by := signer(t, db)
		tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet())
		entries(t, db, 5)
		outside := []audit.Checkpoint{sealed(t, tree)}
		entries(t, db, 5)
		outside = append(outside, sealed(t, tree))
		entries(t, db, 1)
		whole(t, verify(t, db, by, outside...))
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				r := altered(t, db, tt.statements, outside, by)
				for _, w := range r.Wrong {
					if w.Entry == tt.entry && strings.Contains(w.What, tt.words) {
						return
					}
				}
				t.Errorf("got %+v, want entry %d: %q", r.Wrong, tt.entry, tt.words)
			})
		}
		whole(t, verify(t, db, by, outside...))
	})
}

// TestAnEntryThatIsPutInWithATimeOfLongAgoIsDoubtful: it takes its place and is signed as every other, but what was there at that time was sealed before.
func TestAnEntryThatIsPutInWithATimeOfLongAgoIsDoubtful(t *testing.T) {
	start := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	now := start
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		now = start
		sign, by := signer(t, db)
		tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet())
		entries(t, db, 2)
		now = now.Add(24 * time.Hour) // in which no node ran
		entries(t, db, 1)
		sealed(t, tree)
		if r := verify(t, db, by); len(r.Doubtful) != 0 {
			t.Errorf("what waited for the first checkpoint: %v", r.Doubtful)
		}
		now = now.Add(time.Hour)
		write(t, db, audit.Entry{At: now.Add(-70 * time.Minute), Actor: "local:eve", Action: "slow", Object: "link/1"})
		write(t, db, audit.Entry{At: now.Add(-71 * time.Minute), Actor: "local:ben", Action: "link.pause", Object: "link/1"})
		sealed(t, tree)
		r := verify(t, db, by)
		whole(t, r)
		if len(r.Doubtful) != 1 || r.Doubtful[0].Entry != 5 || !strings.Contains(r.Doubtful[0].What, "2026-11-02T07:49:00Z") {
			t.Errorf("got %+v, want that entry 5 is doubtful", r.Doubtful)
		}
	}, storetest.WithClock(func() time.Time { return now }))
}

// altered is what is found in a record that was altered, which is then undone.
func altered(t *testing.T, db *store.DB, statements []string, outside []audit.Checkpoint, by audit.Signatures) (r audit.Report) {
	t.Helper()
	undone := errors.New("undone")
	err := db.InTx(t.Context(), func(tx *store.Tx) (err error) {
		for _, s := range append(disarm(tx.Dialect()), statements...) {
			if _, err := tx.Exec(t.Context(), s); err != nil {
				return err
			}
		}
		r, err = audit.Verify(t.Context(), tx, origin, outside, by)
		return errors.Join(err, undone)
	})
	if !errors.Is(err, undone) {
		t.Fatal(err)
	}
	return r
}

// TestAHistoryWrittenAnewIsFoundOut: whoever has the node's key can sign another history, but not take back what was told outside.
func TestAHistoryWrittenAnewIsFoundOut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, by := signer(t, db)
		tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet())
		entries(t, db, 6)
		outside := sealed(t, tree)
		alter(t, db, `UPDATE audit_entries SET actor = 'local:ben' WHERE seq = 2`, `DELETE FROM audit_leaves`, `DELETE FROM audit_hashes`,
			`DELETE FROM audit_checkpoints`, `UPDATE audit_tree SET size = 0`, `INSERT INTO audit_pending (entry) SELECT seq FROM audit_entries`)
		forked := sealed(t, tree)
		if forked.Size != outside.Size || forked.Root == outside.Root {
			t.Fatalf("the fork has %d entries and root %s", forked.Size, forked.Root)
		}
		whole(t, verify(t, db, by))
		if r := verify(t, db, by, outside); len(r.Wrong) != 1 || !strings.Contains(r.Wrong[0].What, "of another history") {
			t.Errorf("got %+v, want that it is another history", r.Wrong)
		}
	})
}

// TestACheckpointThatNobodyVouchesForIsFoundOut: who has no key of the plant can write a whole history anew, and sign it with nothing or with
// a key of his own.
func TestACheckpointThatNobodyVouchesForIsFoundOut(t *testing.T) {
	type sign = func(context.Context, string, string) (string, error)
	db := storetest.SQLite(t)
	node, by := signer(t, db)
	stranger, _ := signer(t, storetest.SQLite(t))
	none := func(context.Context, string, string) (string, error) { return "", nil }
	before := db.Now().Add(-time.Minute)
	var texts []string // of checkpoints of 2, 4 and 6 entries
	for range 3 {
		entries(t, db, 2)
		text, _, _ := strings.Cut(sealed(t, audit.NewTree(db, origin, "a", audit.Config{}, quiet())).Note, "\n\n")
		texts = append(texts, text+"\n")
	}
	tests := []struct {
		name    string
		signed  []sign // of each checkpoint that there is, in turn
		by      audit.Signatures
		words   string // "" if nothing is wrong
		covered int64
	}{
		{"all signed", []sign{node, node}, by, "", 4},
		{"none, and nobody checks", []sign{none, none}, nil, "", 4},
		{"none before the plant had keys", []sign{none, node}, by, "", 4},
		{"none", []sign{none, none}, by, "the newest checkpoint, of 4 entries in the database, has no good signature", 0},
		{"none for the newest", []sign{node, none}, by, "the checkpoint of 4 entries in the database has no signature, and earlier ones have", 2},
		{"none for one between", []sign{node, none, node}, by, "the checkpoint of 4 entries in the database has no signature, and earlier ones have", 6},
		{"a stranger's for the newest", []sign{node, stranger}, by, "the newest checkpoint, of 4 entries in the database, has no good signature", 2},
		{"a stranger's for one between", []sign{node, stranger, node}, by, "", 6},
		{"a revoked key's for the newest", []sign{node, stranger}, revoked{by}, "the newest checkpoint, of 4 entries in the database, has no good signature", 2},
		{"a revoked key's for one between", []sign{stranger, node}, revoked{by}, "", 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			statements := []string{fmt.Sprintf(`DELETE FROM audit_checkpoints WHERE size > %d`, 2*len(tt.signed))}
			for i, s := range tt.signed {
				lines, err := s(t.Context(), origin, texts[i])
				if err != nil {
					t.Fatal(err)
				}
				statements = append(statements, fmt.Sprintf(`UPDATE audit_checkpoints SET note = '%s' WHERE size = %d`, texts[i]+"\n"+lines, 2*(i+1)))
			}
			r := altered(t, db, statements, nil, tt.by)
			if r.Covered != tt.covered || r.Last.After(before) != (tt.covered > 0) {
				t.Errorf("covers %d entries, the last of %s, want %d", r.Covered, r.Last, tt.covered)
			}
			if tt.words == "" {
				whole(t, r)
			} else if len(r.Wrong) != 1 || !strings.Contains(r.Wrong[0].What, tt.words) {
				t.Errorf("got %+v, want %q", r.Wrong, tt.words)
			}
			said := &problem.Error{}
			byPerson := strings.HasPrefix(tt.name, "a revoked key's for the newest")
			if errors.As(r.Err(), &said); strings.Contains(said.Hint, "wait a minute for the next checkpoint") != byPerson || strings.Contains(said.Why, "the key was revoked") != byPerson {
				t.Errorf("%q, hint %q: is it a person's act: want %v", said.Why, said.Hint, byPerson)
			}
		})
	}
}

// revoked says of every key that is not known that it was revoked.
type revoked struct{ audit.Signatures }

func (r revoked) Verify(name string, hash uint32, text, signature []byte, at time.Time) (string, error) {
	who, err := r.Signatures.Verify(name, hash, text, signature, at)
	if problem.KindOf(err) == problem.NotFound {
		err = &problem.Error{Kind: problem.Denied, What: "verify", Why: "the key was revoked"}
	}
	return who, err
}

func TestASignatureThatIsNotTheNodesIsFoundOut(t *testing.T) {
	db := storetest.SQLite(t)
	sign, by := signer(t, db)
	other, _ := signer(t, storetest.SQLite(t))
	entries(t, db, 3)
	c := sealed(t, audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet()))
	text, line, _ := strings.Cut(c.Note, "\n\n")
	foreign, err := other(t.Context(), origin, text+"\n")
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.Replace(text, "\n3\n", "\n2\n", 1)
	tests := []struct {
		name, note           string
		wrong                int
		signed, unknown, not int64
	}{
		{"as it was signed", c.Note, 0, 2, 0, 0},
		{"by another keyring", text + "\n\n" + foreign, 0, 1, 1, 0},
		{"by both", c.Note + foreign, 0, 2, 1, 0},
		{"by nobody", text + "\n\n", 0, 1, 0, 1},
		{"of another size", moved + "\n\n" + line, 2, 1, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := audit.ParseCheckpoint(tt.note)
			if err != nil {
				t.Fatal(err)
			}
			r := verify(t, db, by, p)
			if len(r.Wrong) != tt.wrong || r.Signed != tt.signed || r.Unchecked != tt.unknown || r.Unsigned != tt.not {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// ran lets the tree of node a run for one round, and tells what it logged.
func ran(t testing.TB, db *store.DB, cfg audit.Config) string {
	t.Helper()
	return ranAs(t, db, "a", cfg)
}

func ranAs(t testing.TB, db *store.DB, node string, cfg audit.Config) string {
	t.Helper()
	var said bytes.Buffer
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := audit.NewTree(db, origin, node, cfg, slog.New(slog.NewTextHandler(&said, nil))).Run(ctx); err != nil {
		t.Fatal(err)
	}
	return said.String()
}

func TestCheckpointsAreKeptOutsideWhateverHappens(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		folder := filepath.Join(t.TempDir(), "audit")
		cfg := audit.Config{Folder: folder, Every: time.Hour}
		has := func(when string, want ...int64) {
			t.Helper()
			all, _, err := audit.ReadCopies(folder)
			var got []int64
			for _, c := range all {
				got = append(got, c.Size)
			}
			if err != nil || len(got) != len(want) || len(got) > 0 && got[len(got)-1] != want[len(want)-1] {
				t.Errorf("%s: got %v, %v, want %v", when, got, err, want)
			}
		}
		entries(t, db, 2)
		sealed(t, audit.NewTree(db, origin, "a", audit.Config{}, quiet())) // and a crash before it is outside
		entries(t, db, 1)
		ran(t, db, cfg)
		has("after the next start", 2, 3)
		files, err := filepath.Glob(filepath.Join(folder, "a-*.jsonl"))
		if err != nil || len(files) != 1 {
			t.Fatalf("files %v, %v", files, err)
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(files[0], text[:len(text)-20], 0o600); err != nil { // a crash within the line
			t.Fatal(err)
		}
		entries(t, db, 1)
		ran(t, db, cfg)
		has("after a crash within a line", 2, 3, 4)
		all, spoiled, err := audit.ReadCopies(folder)
		if err != nil || len(spoiled) != 0 {
			t.Errorf("spoiled %v, %v, want none: a crash explains it", spoiled, err)
		}
		whole(t, verify(t, db, nil, all...))
	})
}

// TestWhatIsKeptOutsideIsReadOrNamed: of what is given as checkpoints nothing is passed over but the traces of crashes.
func TestWhatIsKeptOutsideIsReadOrNamed(t *testing.T) {
	db, folder := storetest.SQLite(t), t.TempDir()
	for range 3 {
		entries(t, db, 1)
		ran(t, db, audit.Config{Folder: folder})
	}
	files, err := filepath.Glob(filepath.Join(folder, "a-*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	all, _, err := audit.ReadCopies(files[0])
	if err != nil || len(all) != 3 {
		t.Fatalf("got %v, %v", all, err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	cut := strings.TrimSpace(lines[1])[:30]
	tests := []struct {
		name, text string
		want       int
		spoiled    []int
	}{
		{"as it was written", string(text), 3, nil},
		{"a note alone", all[2].Note, 1, nil},
		{"the last line cut", string(text[:len(text)-20]), 2, nil},
		{"a line cut by a crash, then written", lines[0] + cut + "\n" + lines[1] + lines[2], 3, nil},
		{"cut twice", lines[0] + cut[:12] + "\n" + cut + "\x00\x00\n" + lines[1] + lines[2], 3, nil},
		{"a line cut, and another follows", lines[0] + cut + "\n" + lines[2], 2, []int{2}},
		{"the last lines cut", lines[0] + cut + "\n" + lines[2][:30], 1, []int{2}},
		{"the last lines cut, which end", lines[0] + cut + "\n" + lines[2][:30] + "\n", 1, []int{2, 3}},
		{"garbage at the end", lines[0] + lines[1] + "garbage", 2, []int{3}},
		{"garbage", "garbage\n", 0, []int{1}},
		{"another size than the note's", strings.Replace(string(text), `"size":2`, `"size":1`, 1), 2, []int{2}},
		{"nothing", "", 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "copy.jsonl")
			if err := os.WriteFile(name, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, n := range tt.spoiled {
				want = append(want, fmt.Sprintf("line %d of %s", n, name))
			}
			all, spoiled, err := audit.ReadCopies(name)
			if err != nil || len(all) != tt.want || !slices.Equal(spoiled, want) {
				t.Errorf("got %d checkpoints, spoiled %v, %v, want %d, %v", len(all), spoiled, err, tt.want, want)
			}
		})
	}
}

// TestANodeIsAWitness: it takes over nothing that does not continue what it has, and says so at once.
func TestANodeIsAWitness(t *testing.T) {
	tests := []struct {
		name, words string
		statements  []string
	}{
		{"cut", "does not have it", []string{
			`DELETE FROM audit_checkpoints`, `DELETE FROM audit_leaves`, `DELETE FROM audit_hashes`, `DELETE FROM audit_entries`, `DELETE FROM audit_pending`,
			`UPDATE audit_tree SET size = 0`,
		}},
		{"written anew", "another history", []string{
			`DELETE FROM audit_checkpoints`, `DELETE FROM audit_leaves`, `DELETE FROM audit_hashes`, `UPDATE audit_entries SET actor = 'b'`,
			`UPDATE audit_tree SET size = 0`, `INSERT INTO audit_pending (entry) SELECT seq FROM audit_entries`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				folder := t.TempDir()
				entries(t, db, 3)
				if said := ran(t, db, audit.Config{Folder: folder}); said != "" {
					t.Fatalf("said %s", said)
				}
				alter(t, db, tt.statements...)
				if said := ran(t, db, audit.Config{Folder: folder}); !strings.Contains(said, tt.words) || !strings.Contains(said, "ALARM") {
					t.Errorf("said %q, want an alarm with %q", said, tt.words)
				}
				if all, _, err := audit.ReadCopies(folder); err != nil || len(all) != 1 || all[0].Size != 3 {
					t.Errorf("outside there is %v, %v, want what was there", all, err)
				}
			})
		})
	}
}

// TestTheFirstCheckpointsOfANodeAreProvenToo: a folder that is new has nothing to continue, but what goes into it must be one history.
func TestTheFirstCheckpointsOfANodeAreProvenToo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		entries(t, db, 3)
		tree := audit.NewTree(db, origin, "a", audit.Config{}, quiet())
		sealed(t, tree)
		entries(t, db, 1)
		if err := tree.Place(t.Context()); err != nil {
			t.Fatal(err)
		}
		other := storetest.SQLite(t)
		entries(t, other, 4)
		fork := sealed(t, audit.NewTree(other, origin, "a", audit.Config{}, quiet()))
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO audit_checkpoints (size, at, node, note) VALUES (?, ?, 'a', ?)`, fork.Size, store.Micros(fork.At), fork.Note)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		folder := t.TempDir()
		if said := ran(t, db, audit.Config{Folder: folder}); !strings.Contains(said, "ALARM") || !strings.Contains(said, "does not continue it") {
			t.Errorf("said %q, want an alarm", said)
		}
		if all, _, err := audit.ReadCopies(folder); err != nil || len(all) != 0 {
			t.Errorf("outside there is %v, %v, want nothing", all, err)
		}
	})
}

// TestANodeReadsNoMoreOfItsFilesThanItNeeds: those of the months before are only looked at if the last one has nothing.
func TestANodeReadsNoMoreOfItsFilesThanItNeeds(t *testing.T) {
	db := storetest.SQLite(t)
	folder := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	has := func(when string, want ...int64) {
		t.Helper()
		entries(t, db, 1)
		if said := ran(t, db, audit.Config{Folder: folder}); said != "" {
			t.Errorf("%s: said %q", when, said)
		}
		all, _, err := audit.ReadCopies(filepath.Join(folder, "a-"+db.Now().UTC().Format("2006-01")+".jsonl"))
		var got []int64
		for _, c := range all {
			got = append(got, c.Size)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, %v, want %v", when, got, err, want)
		}
	}
	has("at first", 1)
	if err := os.Mkdir(filepath.Join(folder, "a-2020-01.jsonl"), 0o700); err != nil { // nobody can read it
		t.Fatal(err)
	}
	has("with an older file that cannot be read", 1, 2)
	write("a-9999-01.jsonl", `{"size":3,"no`)
	has("with a newer file that holds none", 1, 2, 3)
	write("a-9999-02.jsonl", "")
	has("with one that is empty", 1, 2, 3, 4)
}

func TestAnExportIsCheckedAnywhere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, by := signer(t, db)
		tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet())
		entries(t, db, 4)
		outside := sealed(t, tree)
		entries(t, db, 3)
		last := sealed(t, tree)
		var file bytes.Buffer
		if err := audit.Export(t.Context(), db, origin, &file); err != nil {
			t.Fatal(err)
		}
		text := file.String()
		lines := strings.SplitAfter(text, "\n")
		tests := []struct {
			name, text, words string
			entry             int64
		}{
			{"as it is", text, "", 0},
			{"a word changed", strings.Replace(text, "link/2", "link/7", 1), "not what was sealed", 3},
			{"a line removed", strings.Replace(text, lines[3], "", 1), "where place 2 comes next", 4},
			{"two lines swapped", strings.Replace(text, lines[3]+lines[4], lines[4]+lines[3], 1), "where place 2 comes next", 4},
			{"the end cut", strings.Join(lines[:6], ""), "the record was cut after place 3", 0},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				r, err := audit.VerifyExport(strings.NewReader(tt.text), origin, []audit.Checkpoint{outside, last}, by)
				if err != nil {
					t.Fatal(err)
				}
				if tt.words == "" {
					whole(t, r)
					return
				}
				if len(r.Wrong) == 0 || r.Wrong[0].Entry != tt.entry || !strings.Contains(r.Wrong[0].What, tt.words) {
					t.Errorf("got %+v, want entry %d: %q", r.Wrong, tt.entry, tt.words)
				}
			})
		}
		if _, err := audit.VerifyExport(strings.NewReader("{}"), origin, nil, by); problem.KindOf(err) != problem.Invalid {
			t.Errorf("no export: %v", err)
		}
	})
}

// TestAnEntryOfAnExportWithItsHashAnewIsFoundOut: who changes an entry of an export can give it its hash, but not the checkpoints theirs.
func TestAnEntryOfAnExportWithItsHashAnewIsFoundOut(t *testing.T) {
	db := storetest.SQLite(t)
	sign, by := signer(t, db)
	entries(t, db, 4)
	sealed(t, audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet()))
	var file bytes.Buffer
	if err := audit.Export(t.Context(), db, origin, &file); err != nil {
		t.Fatal(err)
	}
	e := list(t, db, audit.Filter{})[1]
	was, err := e.Leaf()
	if err != nil {
		t.Fatal(err)
	}
	e.Object = "link/7"
	is, err := e.Leaf()
	if err != nil {
		t.Fatal(err)
	}
	old, _ := json.Marshal(tlog.RecordHash(was))
	anew, _ := json.Marshal(tlog.RecordHash(is))
	text := strings.Replace(strings.Replace(file.String(), "link/2", "link/7", 1), string(old), string(anew), 1)
	r, err := audit.VerifyExport(strings.NewReader(text), origin, nil, by)
	if err != nil || len(r.Wrong) != 1 || !strings.Contains(r.Wrong[0].What, "of another history") {
		t.Errorf("got %+v, %v", r.Wrong, err)
	}
}
